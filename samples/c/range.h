/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of a BAR that the command line chooses.
 */
#ifndef RANGE_H
#define RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"

/* The value of an option that was not given. */
#define NONE	UINT64_MAX

/** struct range - a range of a BAR; each field is an option, or NONE if it was not given */
struct range {
	uint64_t bar;
	uint64_t offset;
	uint64_t size;
};

/* No option was given. */
#define RANGE_NONE	{ .bar = NONE, .offset = NONE, .size = NONE }

/**
 * range_default() - without options, uses @size bytes at 1 MiB of the memory of QEMU's ivshmem
 *
 * Returns whether it has changed @range. Other devices have no default.
 */
bool range_default(struct vfio_device *dev, struct range *range, uint64_t size);

/**
 * range_check() - checks that @range is complete, and is a part of a BAR
 *
 * @what: its name in messages
 * @info: set to the kernel's description of the BAR
 *
 * Returns STATUS_USAGE if it is not, after it has printed the reason, or as device_region() does.
 */
int range_check(struct vfio_device *dev, const struct range *range, const char *what,
		struct vfio_region_info *info);

#endif /* RANGE_H */
