/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of a BAR that a command line names.
 */
#ifndef RANGE_H
#define RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"

/* What an option is that was not given. */
#define NONE	UINT64_MAX

/** struct range - bytes of a BAR; each of its fields is an option, and NONE until that is given */
struct range {
	uint64_t bar;
	uint64_t offset;
	uint64_t size;
};

/* No option is given. */
#define RANGE_NONE	{ .bar = NONE, .offset = NONE, .size = NONE }

/**
 * range_default() - without any option, @size bytes at 1 MiB of the memory of QEMU's ivshmem
 *
 * Returns whether @range was made that. There is no default of any other device.
 */
bool range_default(struct vfio_device *dev, struct range *range, uint64_t size);

/**
 * range_check() - checks that @range is all there, and is a part of a BAR
 *
 * @what: what messages call it
 * @info: becomes what the kernel says of the BAR
 *
 * Returns STATUS_USAGE when it is not, after telling why, or what device_region() does.
 */
int range_check(struct vfio_device *dev, const struct range *range, const char *what,
		struct vfio_region_info *info);

#endif /* RANGE_H */
