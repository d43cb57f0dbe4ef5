/* SPDX-License-Identifier: GPL-2.0-only */
/* A BAR of two GiB that is mapped with entries of one GiB. */
#ifndef GIB_H
#define GIB_H

#include "device.h"

/** gib_map() - maps two GiB of BAR 2, and has the first one mapped by one entry */
static inline char *gib_map(const char *bdf)
{
	int device = device_open(bdf);
	char *map = device_map(device, BAR2, 0, 2 * GIB, GIB);
	uint32_t value;
	long before;

	touch(map, &value);
	before = faults();
	touch(map + 600 * MIB, &value);
	if (faults() != before)
		cannot("get an entry of 1 GiB: this kernel makes none");
	return map;
}

#endif /* GIB_H */
