// SPDX-License-Identifier: GPL-2.0-only

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "meter.h"
#include "measurements.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX

bool has_subregions(struct vfio_device *dev)
{
	struct vfio_subregion_query query;

	return !subregion_query(dev, BAR2, &query);
}

static void open_device(struct vfio_device *dev, const char *bdf)
{
	int ret = vfio_device_open(dev, bdf);

	if (ret)
		give_up("cannot open %s: %s", bdf, strerror(-ret));
}

void measure_open(const char *bdf)
{
	struct least least = { }, most = { };
	struct vfio_device dev;
	unsigned int i;
	uint64_t begin;

	for (i = 0; i < REPEAT; i++) {
		open_device(&dev, bdf);
		/* The group and its container do not belong to the driver. */
		close(dev.fd);
		begin = meter_thread();
		dev.fd = ioctl(dev.group, VFIO_GROUP_GET_DEVICE_FD, dev.bdf);
		least_add(&least, meter_thread_since(begin));
		if (dev.fd < 0)
			give_up("cannot open %s again", bdf);
		begin = meter_thread();
		close(dev.fd);
		least_add(&most, meter_thread_since(begin));
		dev.fd = -1;
		vfio_device_close(&dev);
	}
	say_least("open", "device", 0, &least);
	say_least("close", "device", 0, &most);
}

static void measure_info(struct vfio_device *dev)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_region_info region = { .argsz = sizeof(region), .index = BAR2 };
	struct least device_info = { }, region_info = { };
	unsigned int i;
	uint64_t begin;
	int ret = 0;

	for (i = 0; i < REPEAT; i++) {
		begin = meter_ticks();
		ret |= ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info);
		least_add(&device_info, meter_ticks_since(begin));
		begin = meter_ticks();
		ret |= ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &region);
		least_add(&region_info, meter_ticks_since(begin));
	}
	if (ret)
		give_up("VFIO_DEVICE_GET_INFO failed");
	say_least("GET_INFO", "device", 0, &device_info);
	say_least("GET_REGION_INFO", "bar", 0, &region_info);
}

void measure_transfer(int fd, const char *subject, uint64_t offset, size_t size)
{
	struct least reading = { }, writing = { };
	static char buffer[MIB];
	uint64_t begin;
	/* A mebibyte takes 262,144 accesses of 4 bytes. */
	unsigned int i, times = size > 4 ? 3 : REPEAT;
	bool whole = true;

	/* The pages of the buffer must be present. */
	memset(buffer, 1, sizeof(buffer));
	for (i = 0; i < times; i++) {
		begin = meter_ticks();
		whole &= pwrite(fd, buffer, size, offset) == (ssize_t)size;
		least_add(&writing, meter_ticks_since(begin));
		begin = meter_ticks();
		whole &= pread(fd, buffer, size, offset) == (ssize_t)size;
		least_add(&reading, meter_ticks_since(begin));
	}
	if (!whole)
		give_up("%zu bytes cannot be read and written", size);
	say_least("read", subject, size, &reading);
	say_least("write", subject, size, &writing);
}

void measure_calls(struct vfio_device *dev)
{
	uint64_t bar = vfio_offset(dev, BAR2, 0);

	measure_info(dev);
	measure_transfer(dev->fd, "bar", bar, 4);
	measure_transfer(dev->fd, "bar", bar, MIB);
}
