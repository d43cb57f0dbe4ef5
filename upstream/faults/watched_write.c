// SPDX-License-Identifier: GPL-2.0-only
/*
 * watched_write BDF - writes to a huge entry of BAR 2 while the kernel watches the process's writes
 *
 * The BAR needs 4 MiB, and the kernel CONFIG_MEM_SOFT_DIRTY. With the fault, the write does not
 * end, and a signal kills the program's child.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"

#define HUGE	(2 * MIB)

/* Whether this kernel has soft-dirty bits. */
static bool soft_dirty(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool found = false;
	char line[512];

	if (!smaps)
		cannot("open /proc/self/smaps");
	while (fgets(line, sizeof(line), smaps))
		if (!strncmp(line, "VmFlags:", 8) && strstr(line, " sd"))
			found = true;
	fclose(smaps);
	return found;
}

/* Writes to the huge page at @map; the status tells whether one fault was enough. */
static void write_to(volatile uint32_t *map) __attribute__((noreturn));
static void write_to(volatile uint32_t *map)
{
	uint32_t value;
	long before;

	alarm(5);
	*map = 1;
	alarm(0);
	/* The first call of each function may make faults of its own. */
	before = faults();
	touch(&value, &value);
	before = faults();
	touch((char *)map + HUGE / 2, &value);
	_exit(faults() == before ? 0 : 1);
}

int main(int argc, char **argv)
{
	int status;
	pid_t child;
	char *map;

	if (argc != 2)
		return 2;
	if (!soft_dirty())
		cannot("watch writes: this kernel has no soft-dirty bits");
	map = device_map(device_open(argv[1]), BAR2, HUGE, HUGE, HUGE);
	if (!write_text("/proc/self/clear_refs", "4"))
		cannot("write to clear_refs");
	child = fork();
	if (child < 0)
		cannot("fork");
	if (!child)
		write_to((volatile uint32_t *)map);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		fault("the write does not end");
	if (status)
		cannot("get an entry of 2 MiB: this kernel makes none");
	right("the write ends");
}
