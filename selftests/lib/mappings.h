/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An audit of all mappings of a VFIO device in this process: /proc/self/maps against the live
 * page-table entries.
 */
#ifndef MAPPINGS_H
#define MAPPINGS_H

#include <stdint.h>

/**
 * struct view - the expected state of mappings of a range of the device file
 * @offset: the offset of the range in the device file
 * @size: the number of bytes
 * @phys: the physical address of the first byte
 * @type: the oracle's name for the type of all entries, or NULL if the range must have no entries
 *	and an access must raise SIGBUS
 */
struct view {
	uint64_t offset;
	uint64_t size;
	uint64_t phys;
	const char *type;
};

#define COMPLAINT_LEN	256

/**
 * mappings_audit() - checks each mapping of a VFIO device in this process
 *
 * @views must contain every mapped byte; the first view that contains a byte determines it. The
 * function touches both ends and the middle of each mapping, and both sides of each end of a view
 * and of the first and the last boundary of 2 MiB. Each must be as the view says: the type, the
 * physical address, and an entry inside the mapping and the view. A mapping that is not readable
 * must raise SIGSEGV.
 *
 * Returns the number of mappings, and writes the first error, or an empty string, to @complaint.
 */
unsigned int mappings_audit(const struct view *views, unsigned int count,
			    char complaint[COMPLAINT_LEN]);

#endif /* MAPPINGS_H */
