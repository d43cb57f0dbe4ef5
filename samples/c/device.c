// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <stdarg.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vfio_subregion_helpers.h>

#include "device.h"
#include "vfio_bar.h"

int fail(int status, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int device_open(struct vfio_device *dev, const char *name)
{
	return vfio_open(dev, name) ? fail(STATUS_SYSTEM, "%s", dev->error) : STATUS_OK;
}

int device_region(struct vfio_device *dev, uint32_t index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info) { .argsz = sizeof(*info), .index = index };
	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info))
		return fail(STATUS_SYSTEM, "there is no region %u: %s", index, strerror(errno));
	return STATUS_OK;
}

static uint32_t config_read(struct vfio_device *dev, uint64_t offset)
{
	struct vfio_region_info config;
	uint32_t value;

	if (device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config) ||
	    pread(dev->fd, &value, sizeof(value), config.offset + offset) != sizeof(value))
		return 0;
	return value;
}

uint32_t device_id(struct vfio_device *dev)
{
	return config_read(dev, PCI_VENDOR_ID);
}

uint32_t device_class(struct vfio_device *dev)
{
	return config_read(dev, PCI_CLASS_REVISION) >> 8;
}

uint64_t device_bar_address(struct vfio_device *dev, uint32_t bar)
{
	const uint64_t at = PCI_BASE_ADDRESS_0 + 4 * bar;
	const uint32_t low = config_read(dev, at);
	uint64_t high = 0;

	if (low & PCI_BASE_ADDRESS_MEM_TYPE_64)
		high = config_read(dev, at + 4);
	return high << 32 | (low & ~0xfU);
}

int device_create(struct vfio_device *dev, uint32_t bar, uint32_t attribute, uint64_t offset,
		  uint64_t size, struct vfio_subregion_create *created, void **map)
{
	int error;

	*created = (struct vfio_subregion_create) {
		.parent = bar,
		.attribute = attribute,
		.offset = offset,
		.size = size,
	};
	*map = vfio_subregion_create_map(dev->fd, created);
	if (*map != MAP_FAILED)
		return STATUS_OK;
	switch (errno) {
	case ENOTTY:
		return fail(STATUS_NO_SUBREGIONS,
			    "this device's driver has no subregions (ENOTTY): bind it to %s",
			    "subregion_vfio_pci");
	case EEXIST:
		return fail(STATUS_REFUSED, "the range overlaps region %u", created->index);
	case EINVAL:
	case EPERM:
		error = errno;
		if (vfio_check_range(dev, bar, attribute, offset, size))
			return fail(STATUS_REFUSED, "%s", dev->error);
		return fail(STATUS_REFUSED, "the subregion cannot be created: %s",
			    strerror(error));
	case EOPNOTSUPP:
		return fail(STATUS_REFUSED, "this machine cannot give that type");
	case EBUSY:
		return fail(STATUS_REFUSED,
			    "the subregion cannot be created: %s",
			    vfio_subregion_busy(created->busy));
	default:
		return fail(STATUS_REFUSED, "the subregion or its mapping: %s", strerror(errno));
	}
}

int device_enable(struct vfio_device *dev)
{
	struct vfio_region_info config;
	uint64_t at;
	uint16_t command;

	if (device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config))
		return STATUS_SYSTEM;
	at = config.offset + PCI_COMMAND;
	if (pread(dev->fd, &command, sizeof(command), at) != sizeof(command))
		return fail(STATUS_SYSTEM, "the command register cannot be read");
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(dev->fd, &command, sizeof(command), at) != sizeof(command))
		return fail(STATUS_SYSTEM, "the command register cannot be written");
	return STATUS_OK;
}

int device_poll_for(const char *what, unsigned int seconds, bool (*done)(void *data), void *data)
{
	time_t begin = time(NULL);

	while (!done(data)) {
		if (time(NULL) - begin > seconds)
			return fail(STATUS_DATA, "%s did not happen within %u seconds", what,
				    seconds);
		sched_yield();
	}
	return STATUS_OK;
}

int device_poll(const char *what, bool (*done)(void *data), void *data)
{
	return device_poll_for(what, 5, done, data);
}

int device_map(struct vfio_device *dev, uint64_t offset, size_t size, void **map)
{
	*map = vfio_subregion_map(dev->fd, offset, size);
	if (*map == MAP_FAILED)
		return fail(STATUS_SYSTEM, "mmap of %#zx bytes: %s", size, strerror(errno));
	return STATUS_OK;
}
