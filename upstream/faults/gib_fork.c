// SPDX-License-Identifier: GPL-2.0-only
/*
 * gib_fork BDF - excludes half of an entry of 1 GiB from a fork, and reads it in the child
 *
 * The device needs a BAR 2 of 2 GiB. Half a GiB is a multiple of 2 MiB, so no entry of 2 MiB has to
 * be split.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gib.h"

int main(int argc, char **argv)
{
	uint32_t value;
	char *map;
	int status;
	pid_t child;

	if (argc != 2)
		return 2;
	map = gib_map(argv[1]);
	if (madvise(map + 512 * MIB, 512 * MIB, MADV_DONTFORK))
		cannot("MADV_DONTFORK");
	child = fork();
	if (child < 0)
		cannot("fork");
	if (!child)
		_exit(touch(map + 600 * MIB, &value) == SIGSEGV ? 0 : 1);
	waitpid(child, &status, 0);
	if (status)
		fault("the child reads a page that it has no mapping of");
	right("the child has no mapping of the excluded half");
}
