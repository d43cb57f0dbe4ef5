// SPDX-License-Identifier: GPL-2.0-only

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "meter.h"
#include "measurements.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX

/* The subjects of the figures: a subregion, through the device and through an export. */
#define OWNER	"WC"
#define EXPORT	"export"

static int open_export(struct vfio_device *dev, uint32_t index)
{
	int fd = subregion_export(dev, index, O_RDWR);

	if (fd < 0)
		give_up("no export: %s", strerror(-fd));
	return fd;
}

static void measure_export(struct vfio_device *dev, uint32_t index)
{
	struct least opening = { }, closing = { };
	unsigned int i;
	uint64_t begin;
	int fd;

	for (i = 0; i < REPEAT; i++) {
		begin = meter_ticks();
		fd = open_export(dev, index);
		least_add(&opening, meter_ticks_since(begin));
		begin = meter_ticks();
		close(fd);
		least_add(&closing, meter_ticks_since(begin));
	}
	say_least("EXPORT", OWNER, 0, &opening);
	say_least("close_export", OWNER, 0, &closing);
}

void measure_exports(struct vfio_device *dev)
{
	struct vfio_subregion_create sub;
	unsigned int i;
	int fd, ret;

	for (i = 0; i < MAP_SIZES; i++) {
		sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 0, map_sizes[i]);
		ret = subregion_create(dev, &sub);
		if (ret)
			give_up("no subregion to export: %s", strerror(-ret));
		if (!i)
			measure_export(dev, sub.index);
		fd = open_export(dev, sub.index);
		if (!i) {
			measure_transfer(dev->fd, OWNER, sub.mmap_offset, 4);
			measure_transfer(fd, EXPORT, 0, 4);
		}
		/* measure_maps() has measured the owner's mapping of an equal subregion. */
		measure_map(fd, EXPORT, 0, map_sizes[i]);
		close(fd);
		if (subregion_destroy(dev, sub.index))
			give_up("an exported subregion cannot be destroyed");
	}
}
