/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VFIO device as a program uses it that tells on stderr what it cannot do: opening it, its
 * regions, a subregion of it. lib/open has what opens it.
 *
 * Functions that can fail say why on stderr and return one of the status values, which are also
 * the exit status of the program.
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
#define STATUS_NO_SUBREGIONS	3	/* the device's driver does not have them */
#define STATUS_REFUSED		4	/* the driver has them, and refused this one */
#define STATUS_DATA		5	/* what was read is not what was written */
#define STATUS_TYPE		6	/* the page tables hold another type than asked for */

/** fail() - says on stderr what went wrong; returns @status */
__attribute__((format(printf, 2, 3)))
int fail(int status, const char *format, ...);

/** device_open() - opens a PCI address such as 0000:01:00.0, or /dev/vfio/devices/vfioN */
int device_open(struct vfio_device *dev, const char *name);

/** device_region() - where a region is in the device file, how long it is, what it can do */
int device_region(struct vfio_device *dev, uint32_t index, struct vfio_region_info *info);

/** device_id() - the PCI device id in the high half, the vendor id in the low half; 0: unknown */
uint32_t device_id(struct vfio_device *dev);

/** device_class() - the PCI class, subclass and programming interface; 0: unknown */
uint32_t device_class(struct vfio_device *dev);

/** device_enable() - lets the device be accessed, and access memory */
int device_enable(struct vfio_device *dev);

/** device_poll() - asks @done until it says yes, for some seconds; @what is for the message */
int device_poll(const char *what, bool (*done)(void *data), void *data);

/** device_create() - creates and maps a subregion; @created says what it is */
int device_create(struct vfio_device *dev, uint32_t bar, uint32_t attribute, uint64_t offset,
		  uint64_t size, struct vfio_subregion_create *created, void **map);

/** device_map() - maps @size bytes of the device file from @offset on, ready for large entries */
int device_map(struct vfio_device *dev, uint64_t offset, size_t size, void **map);

#endif /* DEVICE_H */
