// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes BARs write-combining for a program that does not support it, such as one of DPDK. vfio-wc
 * beside it starts programs with it; by hand it is
 *
 *	VFIO_WC_BARS=0000:03:00.0=2,0000:04:00.0=4 LD_PRELOAD=libvfio_wc.so dpdk-testpmd ...
 *
 * When the program gets the file of a named device, from its group or by binding it to an iommufd,
 * the library calls VFIO_REGION_SET_ATTR on it before the program can map anything. If that fails,
 * the program does not get the device: each request is fulfilled or an error. The library changes
 * nothing else in the program, and no other device.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/vfio.h>
#include <vfio_subregion_helpers.h>

#include "iommufd.h"
#include "pci.h"
#include "wc_bars.h"

#define PATH_LEN	512

struct state {
	struct wc_bar bar;
	bool granted;
	bool refused;
};

static struct state states[WC_BARS];
static size_t count;
static bool saw_device;
static int (*next_ioctl)(int fd, unsigned long request, ...);

#define say(format, ...) \
	fprintf(stderr, "vfio-wc: " format "\n", ##__VA_ARGS__)

/* Parses the variable; an error is fatal, because a request would be ignored. */
static void begin(void)
{
	const char *at = getenv(WC_BARS_VARIABLE);

	next_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	if (!next_ioctl) {
		say("the C library has no ioctl()");
		_exit(EXIT_FAILURE);
	}
	while (at && *at) {
		if (count == WC_BARS) {
			say(WC_BARS_VARIABLE " names more than %d BARs", WC_BARS);
			_exit(EXIT_FAILURE);
		}
		at = wc_bar_parse(&states[count].bar, at);
		if (!at) {
			say(WC_BARS_VARIABLE " must be ADDRESS=BAR[,ADDRESS=BAR]..., not \"%s\"",
			    getenv(WC_BARS_VARIABLE));
			_exit(EXIT_FAILURE);
		}
		count++;
	}
}

/* The constructor of another library can call ioctl() before that of this one has run. */
static pthread_once_t once = PTHREAD_ONCE_INIT;

__attribute__((constructor)) static void load(void)
{
	pthread_once(&once, begin);
}

/* If the program opened devices but not the named ones, the variable is probably wrong. */
__attribute__((destructor)) static void end(void)
{
	for (size_t i = 0; saw_device && i < count; i++)
		if (!states[i].granted && !states[i].refused)
			say("%s was never opened, so BAR %u of it is not write-combining",
			    states[i].bar.address, states[i].bar.bar);
}

/* Describes the failure @error of VFIO_REGION_SET_ATTR, and what to do about it. */
static const char *reason(int error, uint32_t busy)
{
	switch (error) {
	case ENOTTY:
		return "its driver has no subregions; use subregion_vfio_pci or the drop-in";
	case EBUSY:
		return vfio_subregion_busy(busy);
	case EPERM:
		return "it holds the MSI-X table, which must stay strict; name another BAR";
	case EINVAL:
		return "it is no memory BAR that can be mapped; name another (see lspci -vv)";
	case EOPNOTSUPP:
		return "this machine cannot give that type (nopat?), or the BAR exceeds 512 GiB";
	default:
		return strerror(error);
	}
}

/*
 * Makes the named BARs of @device, whose address begins @name, write-combining. All of them are or
 * the program does not get the device, so the one line about a BAR comes last.
 */
static int make_write_combining(int device, const char *name)
{
	char text[PCI_ADDRESS_LEN], address[PCI_ADDRESS_LEN];
	struct vfio_region_set_attr set;
	struct state *failed = NULL;
	int error = 0;

	saw_device = true;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(name, " "), name);
	if (pci_address(address, text))
		return 0;
	for (size_t i = 0; i < count && !failed; i++) {
		set = (struct vfio_region_set_attr) {
			.argsz = sizeof(set),
			.index = VFIO_PCI_BAR0_REGION_INDEX + states[i].bar.bar,
			.attribute = VFIO_SUBREGION_ATTR_WC,
		};
		if (!strcmp(states[i].bar.address, address) &&
		    next_ioctl(device, VFIO_REGION_SET_ATTR, &set)) {
			error = errno;
			failed = &states[i];
		}
	}
	if (failed)
		say("BAR %u of %s cannot be write-combining, so access is denied: %s",
		    failed->bar.bar, address, reason(error, set.busy));
	for (size_t i = 0; i < count; i++) {
		struct state *state = &states[i];

		if (strcmp(state->bar.address, address))
			continue;
		/* A program can open a device again, as DPDK does after a detach. */
		if (!failed && !state->granted)
			say("BAR %u of %s is write-combining", state->bar.bar, address);
		if (failed)
			state->refused = true;
		else
			state->granted = true;
	}
	return failed ? -1 : 0;
}

/*
 * Finds the name of what a device's own file is of: the directory in sysfs that its device number
 * names is NAME/vfio-dev/vfioN. Returns -1 if sysfs cannot be read.
 */
static int name_of(int device, char name[PATH_LEN])
{
	char link[64], *at;
	struct stat status;
	ssize_t length;

	if (fstat(device, &status))
		return -1;
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(status.st_rdev),
		 minor(status.st_rdev));
	length = readlink(link, name, PATH_LEN - 1);
	if (length < 0)
		return -1;
	name[length] = '\0';
	at = strstr(name, "/vfio-dev/");
	if (!at)
		return -1;
	*at = '\0';
	at = strrchr(name, '/');
	if (!at)
		return -1;
	memmove(name, at + 1, strlen(at));
	return 0;
}

/*
 * Takes the device from the program, which has bound its file to an iommufd: closes it, so that it
 * is no longer bound, and leaves a file that is no device under its number.
 */
static void take_away(int device)
{
	int flags = fcntl(device, F_GETFD);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup3(null, device, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0) {
		say("the program cannot be denied the device (/dev/null: %s), so it ends",
		    strerror(errno));
		_exit(EXIT_FAILURE);
	}
	close(null);
}

/* Whether the program may have the device, which it has bound to an iommufd. */
static bool may_have_bound(int device)
{
	char name[PATH_LEN];

	if (!name_of(device, name))
		return !make_write_combining(device, name);
	say("the address of a device is not in /sys, so access is denied; mount sysfs at /sys");
	return false;
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

	pthread_once(&once, begin);
	ret = next_ioctl(fd, request, argument);
	if (ret < 0 || !count)
		return ret;
	if (request == VFIO_GROUP_GET_DEVICE_FD && make_write_combining(ret, argument))
		close(ret);
	else if (request == VFIO_DEVICE_BIND_IOMMUFD && !may_have_bound(fd))
		take_away(fd);
	else
		return ret;
	errno = EACCES;
	return -1;
}
