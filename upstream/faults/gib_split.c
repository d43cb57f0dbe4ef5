// SPDX-License-Identifier: GPL-2.0-only
/*
 * gib_split BDF CALL - does CALL to one page of a BAR that is mapped by an entry of 1 GiB
 *
 * The device needs a BAR 2 of 2 GiB. The program needs only the right to open it.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gib.h"

#define PAGE	(4 * KIB)

static int call(const char *name, char *page)
{
	if (!strcmp(name, "munmap"))
		return munmap(page, PAGE);
	if (!strcmp(name, "mprotect"))
		return mprotect(page, PAGE, PROT_NONE);
	if (!strcmp(name, "madvise"))
		return madvise(page, PAGE, MADV_DONTFORK);
	if (!strcmp(name, "mbind"))
		return syscall(SYS_mbind, page, PAGE, 4 /* MPOL_LOCAL */, NULL, 0, 0);
	if (!strcmp(name, "fixed"))
		return mmap(page, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			    0) == page ? 0 : -1;
	if (!strcmp(name, "shrink"))
		return mremap(page, 2 * GIB - PAGE, PAGE, 0) == page ? 0 : -1;
	return -1;
}

int main(int argc, char **argv)
{
	uint32_t value;
	char *map;

	if (argc != 3)
		return 2;
	map = gib_map(argv[1]);
	if (call(argv[2], map + PAGE))
		cannot(argv[2]);
	/* If the kernel takes something else for a page table, the program does not get here. */
	if (touch(map, &value))
		fault("the page before it is gone");
	if (strcmp(argv[2], "shrink") && touch(map + 600 * MIB, &value))
		fault("the rest of the mapping is gone");
	right("the mapping was split");
}
