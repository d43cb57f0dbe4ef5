// SPDX-License-Identifier: GPL-2.0-only
/*
 * gib_mremap BDF whole|part - moves an entry of 1 GiB, or half of it, and reads at the old address
 *
 * The device needs a BAR 2 of 2 GiB.
 */
#include <string.h>
#include <sys/mman.h>

#include "gib.h"

int main(int argc, char **argv)
{
	uint64_t size = GIB, at = 0;
	uint32_t value;
	char *map, *to;

	if (argc != 3)
		return 2;
	if (!strcmp(argv[2], "part")) {
		size = 512 * MIB;
		at = 512 * MIB;
	}
	map = gib_map(argv[1]);
	to = mmap(NULL, 2 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (to == MAP_FAILED)
		cannot("find an address to move it to");
	to += -(uintptr_t)to % GIB;
	if (mremap(map + at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		cannot("mremap");
	if (!touch(map + 600 * MIB, &value))
		fault("the old address can still be read");
	if (touch(to + 600 * MIB - at, &value))
		fault("the new address cannot be read");
	right("the mapping was moved");
}
