// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "device.h"
#include "vfio_open.h"

static void end(const char *kind, const char *what, int status) __attribute__((noreturn));
static void end(const char *kind, const char *what, int status)
{
	printf("%s: %s\n", kind, what);
	fflush(stdout);
	exit(status);
}

void cannot(const char *what)
{
	perror(what);
	end("cannot", what, 2);
}

void right(const char *what)
{
	end("right", what, 0);
}

void fault(const char *what)
{
	end("fault", what, 1);
}

int device_try(const char *bdf)
{
	struct vfio_device device;
	int ret = vfio_open_group(&device, bdf, NULL);

	if (ret) {
		errno = -ret;
		return -1;
	}
	/* The device keeps both descriptors. */
	close(device.group);
	close(device.container);
	return device.fd;
}

int device_open(const char *bdf)
{
	int device;

	setvbuf(stdout, NULL, _IOLBF, 0);
	device = device_try(bdf);
	if (device < 0)
		cannot("open the device");
	device_set_memory(device, true);
	return device;
}

struct vfio_region_info device_region(int device, uint32_t index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		cannot("VFIO_DEVICE_GET_REGION_INFO");
	return info;
}

void device_set_memory(int device, bool on)
{
	off_t at = device_region(device, VFIO_PCI_CONFIG_REGION_INDEX).offset + PCI_COMMAND;
	uint16_t command;

	if (pread(device, &command, sizeof(command), at) != sizeof(command))
		cannot("read the command register");
	command &= ~PCI_COMMAND_MEMORY;
	if (on)
		command |= PCI_COMMAND_MEMORY;
	if (pwrite(device, &command, sizeof(command), at) != sizeof(command))
		cannot("write the command register");
}

bool device_memory(const char *bdf)
{
	char path[128];
	uint16_t command;
	int file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || pread(file, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		cannot("read the command register from sysfs");
	close(file);
	return command & PCI_COMMAND_MEMORY;
}

bool device_reset(const char *bdf)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", bdf);
	return write_text(path, "1");
}

bool device_interrupt(int device, bool on)
{
	union {
		struct vfio_irq_set set;
		char bytes[sizeof(struct vfio_irq_set) + sizeof(int)];
	} irq = { .set = {
		.argsz = sizeof(irq),
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER |
			 (on ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.count = on,
	} };
	static int event = -1;

	if (event < 0)
		event = eventfd(0, EFD_CLOEXEC);
	memcpy(irq.set.data, &event, sizeof(event));
	return !ioctl(device, VFIO_DEVICE_SET_IRQS, &irq);
}

char *device_map(int device, uint32_t bar, uint64_t offset, uint64_t size, uint64_t align)
{
	uint64_t at = device_region(device, bar).offset + offset;
	char *hole, *map;

	hole = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (hole == MAP_FAILED)
		cannot("find a place for the mapping");
	munmap(hole, size + align);
	hole += (at - (uintptr_t)hole) % align;
	map = mmap(hole, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, device,
		   at);
	if (map == MAP_FAILED)
		cannot("map the BAR");
	return map;
}

static __thread sigjmp_buf env;

static void jump(int signal)
{
	siglongjmp(env, signal);
}

int touch(const void *address, uint32_t *value)
{
	struct sigaction action = { .sa_handler = jump };
	int raised;

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	raised = sigsetjmp(env, 1);
	if (!raised)
		*value = *(const volatile uint32_t *)address;
	return raised;
}

long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

long kernel_warnings(void)
{
	int file = open("/sys/kernel/warn_count", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (file < 0 || read(file, text, sizeof(text) - 1) <= 0)
		cannot("count the warnings of the kernel");
	close(file);
	return atol(text);
}

bool write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (file < 0)
		return false;
	if (write(file, text, strlen(text)) < 0)
		error = errno;
	close(file);
	errno = error;
	return !error;
}
