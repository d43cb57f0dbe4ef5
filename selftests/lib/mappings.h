/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An audit of all that a process has mapped of a device: what /proc/self/maps says, beside the live
 * page-table entries.
 */
#ifndef MAPPINGS_H
#define MAPPINGS_H

#include <stdint.h>

/**
 * struct view - what some bytes of the device file are to be when they are mapped
 * @offset: where they begin in the device file
 * @size: how many they are
 * @phys: the physical address of the first one
 * @type: the type of each of their entries as the oracle names it, or NULL if a touch is to raise
 *	SIGBUS and there are to be no entries
 */
struct view {
	uint64_t offset;
	uint64_t size;
	uint64_t phys;
	const char *type;
};

#define COMPLAINT_LEN	256

/**
 * mappings_audit() - looks at each mapping of a VFIO device that this process has
 *
 * @views has to have all that is mapped; the first one that has a byte is that byte's. Of each
 * mapping its ends, its middle, and both sides of each end of a view and of the first and the last
 * boundary of 2 MiB are touched. They have to be as the view says: the type, the physical address,
 * and an entry that lies within the mapping and within the view. What is not readable has to raise
 * SIGSEGV.
 *
 * Returns how many mappings there were, and says in @complaint what was not as it should be, or
 * nothing.
 */
unsigned int mappings_audit(const struct view *views, unsigned int count,
			    char complaint[COMPLAINT_LEN]);

#endif /* MAPPINGS_H */
