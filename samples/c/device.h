/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VFIO device for the samples: open it, find its regions, create a subregion. lib/open opens it.
 *
 * A function that fails prints the reason on stderr and returns one of the status values, which are
 * also the exit status of the program.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>
#include <linux/vfio_subregion.h>

#include "vfio_open.h"

#define STATUS_OK		0
#define STATUS_SYSTEM		1	/* a file, a mapping or VFIO itself is missing */
#define STATUS_USAGE		2	/* the command line is wrong or does not fit the device */
#define STATUS_NO_SUBREGIONS	3	/* the driver of the device has no subregions */
#define STATUS_REFUSED		4	/* the driver refused this subregion */
#define STATUS_DATA		5	/* the data that was read differs from what was written */
#define STATUS_TYPE		6	/* the page tables have another type */

/** fail() - prints an error on stderr; returns @status */
__attribute__((format(printf, 2, 3)))
int fail(int status, const char *format, ...);

/** device_open() - opens a PCI address such as 0000:01:00.0, or /dev/vfio/devices/vfioN */
int device_open(struct vfio_device *dev, const char *name);

/** device_region() - gets the offset, size and flags of a region */
int device_region(struct vfio_device *dev, uint32_t index, struct vfio_region_info *info);

/** device_id() - returns the PCI device id (high half) and vendor id (low half), 0 if unknown */
uint32_t device_id(struct vfio_device *dev);

/** device_class() - returns PCI class, subclass and programming interface, 0 if unknown */
uint32_t device_class(struct vfio_device *dev);

/** device_bar_address() - returns the address of a memory BAR on the bus, 0 if unknown */
uint64_t device_bar_address(struct vfio_device *dev, uint32_t bar);

/** device_enable() - enables accesses to the memory of the device, and its DMA */
int device_enable(struct vfio_device *dev);

/** device_poll_for() - waits @seconds for @done to return true; @what is for the message */
int device_poll_for(const char *what, unsigned int seconds, bool (*done)(void *data), void *data);

/** device_poll() - waits 5 seconds for @done to return true; @what is for the message */
int device_poll(const char *what, bool (*done)(void *data), void *data);

/** device_create() - creates and maps a subregion, and describes it in @created */
int device_create(struct vfio_device *dev, uint32_t bar, uint32_t attribute, uint64_t offset,
		  uint64_t size, struct vfio_subregion_create *created, void **map);

/** device_map() - maps @size bytes at @offset of the device file, for large entries */
int device_map(struct vfio_device *dev, uint64_t offset, size_t size, void **map);

#endif /* DEVICE_H */
