// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes BARs write-combining for a program that does not support it, such as one of DPDK:
 *
 *	VFIO_WC_BARS=0000:03:00.0=2,0000:04:00.0=4 LD_PRELOAD=libvfio_wc.so dpdk-testpmd ...
 *
 * When the program gets the file of a named device, the library calls VFIO_REGION_SET_ATTR on it
 * before the program can map anything. If that fails, the program does not get the device: each
 * request is fulfilled or an error. The library changes nothing else in the program.
 *
 * It supports programs that get devices from groups. One that uses iommufd gets ENOTSUP.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>
#include <vfio_subregion_helpers.h>

#include "pci.h"

#define VARIABLE	"VFIO_WC_BARS"

/* Since Linux 6.6; headers can be older. */
#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD	_IO(VFIO_TYPE, VFIO_BASE + 18)
#endif

#define REQUESTS	32

struct request {
	char address[PCI_ADDRESS_LEN];
	unsigned int bar;
	bool granted;
};

static struct request requests[REQUESTS];
static size_t count;
static bool saw_device;
static int (*next_ioctl)(int fd, unsigned long request, ...);

#define say(format, ...) \
	fprintf(stderr, VARIABLE ": " format "\n", ##__VA_ARGS__)

/* Parses the variable; an error is fatal, because a request would be ignored. */
__attribute__((constructor)) static void begin(void)
{
	const char *at = getenv(VARIABLE);
	char address[PCI_ADDRESS_LEN];
	int length;

	next_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	if (!next_ioctl) {
		say("the C library has no ioctl()");
		_exit(EXIT_FAILURE);
	}
	while (at && *at) {
		struct request *request = &requests[count];

		if (count == REQUESTS) {
			say("more than %d BARs are named", REQUESTS);
			_exit(EXIT_FAILURE);
		}
		length = 0;
		if (sscanf(at, "%31[^=,]=%1u%n", address, &request->bar, &length) != 2 || !length ||
		    request->bar > 5 || (at[length] && at[length] != ',') ||
		    pci_address(request->address, address)) {
			say("expected ADDRESS=BAR[,ADDRESS=BAR]..., not \"%s\"", at);
			_exit(EXIT_FAILURE);
		}
		count++;
		at += length + (at[length] == ',');
	}
}

/* If the program opened devices but not the named ones, the variable is probably wrong. */
__attribute__((destructor)) static void end(void)
{
	for (size_t i = 0; saw_device && i < count; i++)
		if (!requests[i].granted)
			say("%s was never opened, so BAR %u of it is not write-combining",
			    requests[i].address, requests[i].bar);
}

/*
 * Makes the named BARs of @device write-combining; @name begins with its address.
 */
static int make_write_combining(int device, const char *name)
{
	char text[PCI_ADDRESS_LEN], address[PCI_ADDRESS_LEN];

	saw_device = true;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(name, " "), name);
	if (pci_address(address, text))
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct request *request = &requests[i];
		struct vfio_region_set_attr set = {
			.argsz = sizeof(set),
			.index = VFIO_PCI_BAR0_REGION_INDEX + request->bar,
			.attribute = VFIO_SUBREGION_ATTR_WC,
		};

		if (strcmp(request->address, address))
			continue;
		if (next_ioctl(device, VFIO_REGION_SET_ATTR, &set)) {
			int error = errno;
			const char *why = strerror(error);

			if (error == ENOTTY)
				why = "the driver of the device has no subregions";
			else if (error == EBUSY)
				why = vfio_subregion_busy(set.busy);
			say("BAR %u of %s cannot be write-combining, so it is not opened: %s",
			    request->bar, request->address, why);
			errno = error;
			return -1;
		}
		say("BAR %u of %s is write-combining", request->bar, request->address);
		request->granted = true;
	}
	return 0;
}

/* The only symbol that other programs see. */
__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int ret;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);

	if (count && request == VFIO_DEVICE_BIND_IOMMUFD) {
		say("devices that are opened by iommufd cannot be made write-combining");
		errno = ENOTSUP;
		return -1;
	}
	ret = next_ioctl(fd, request, argument);
	if (ret >= 0 && request == VFIO_GROUP_GET_DEVICE_FD &&
	    make_write_combining(ret, argument)) {
		int error = errno;

		close(ret);
		errno = error;
		return -1;
	}
	return ret;
}
