// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a program on one CPU while the plugin wctrace follows its stores to the BARs of devices.
 *
 * The trace begins at the first instruction of the program and ends with it, so that nothing of the
 * shell or of booting is in it.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wctrace.h"

#define BARS		6
#define IORESOURCE_MEM	0x200
#define COUNTS		9

static const char usage[] =
	"Usage: wctrace_run [--all-cpus] [--count NAME] DEVICE[,DEVICE]... PROGRAM [ARGUMENT]...\n"
	"       wctrace_run --begin DEVICE[,DEVICE]...\n"
	"       wctrace_run --end NAME\n"
	"\n"
	"Runs PROGRAM on one CPU, and has the plugin of rig/vm --trace follow its stores to all\n"
	"memory BARs of the devices, which are PCI addresses. The status is the program's.\n"
	"\n"
	"  --all-cpus    does not keep the program on one CPU\n"
	"  --count NAME  prints NAME and sums for rig/writes, which makes tables of them\n"
	"  --begin       begins a trace of programs that are already running\n"
	"  --end NAME    ends it, and prints NAME and sums\n";

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "wctrace_run: error: %s: %s\n", what, why);
	return 125;
}

/* Asks the plugin to trace the BARs of the device @address. */
static int trace_device(const char *address)
{
	char path[128];
	uint64_t start, end, flags;
	int bar, found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", address);
	file = fopen(path, "r");
	if (!file)
		return fail(path, strerror(errno));
	for (bar = 0; bar < BARS; bar++) {
		if (fscanf(file, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) != 3)
			break;
		if (!(flags & IORESOURCE_MEM) || end <= start)
			continue;
		if (!wctrace(WCTRACE_START, start, end - start + 1)) {
			fclose(file);
			return fail(address, "no more ranges can be traced: name fewer devices");
		}
		found++;
	}
	fclose(file);
	return found ? 0 : fail(address, "the device has no memory BAR");
}

/* Asks it to trace the devices of the list @addresses. */
static int trace_devices(char *addresses)
{
	char *device;
	int status = 0;

	for (device = strtok(addresses, ","); device && !status; device = strtok(NULL, ","))
		status = trace_device(device);
	return status;
}

/* The load address of the executable of @pid. */
static uint64_t load_address(pid_t pid)
{
	char path[64];
	uint64_t start = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%" SCNx64, &start) != 1)
		start = 0;
	fclose(file);
	return start;
}

/* Prints what was counted, on a line that begins with a word for rig/writes. */
static void print_counts(const char *name)
{
	static const enum wctrace_count counts[COUNTS] = {
		WCTRACE_STORES, WCTRACE_BYTES, WCTRACE_WRITES, WCTRACE_BY_TYPE, WCTRACE_FULL_LINES,
		WCTRACE_BROKEN_LINES, WCTRACE_LINK_BYTES, WCTRACE_FENCES, WCTRACE_IDLE_FENCES,
	};
	size_t i;

	printf("program\t%s", name);
	for (i = 0; i < COUNTS; i++)
		printf("\t%" PRIu64, wctrace(WCTRACE_COUNT, counts[i], 0));
	putchar('\n');
}

static int stay_on_this_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(int argc, char **argv)
{
	const char *name = NULL;
	bool one_cpu = true;
	int at = 1, status;
	pid_t child;

	if (at < argc && !strcmp(argv[at], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (at < argc && !strcmp(argv[at], "--all-cpus")) {
		one_cpu = false;
		at++;
	}
	if (argc - at > 2 && !strcmp(argv[at], "--count")) {
		name = argv[at + 1];
		at += 2;
	}
	if (argc - at < 2) {
		fputs(usage, stderr);
		return 2;
	}
	if (wctrace(WCTRACE_STATE, 0, 0) == 0)
		return fail("no plugin answers", "use rig/vm --trace");
	if (!strcmp(argv[at], "--begin"))
		return trace_devices(argv[at + 1]);
	if (!strcmp(argv[at], "--end")) {
		wctrace(WCTRACE_STOP, 0, 0);
		print_counts(argv[at + 1]);
		return 0;
	}
	if (one_cpu && stay_on_this_cpu())
		return fail("sched_setaffinity", strerror(errno));

	child = fork();
	if (child < 0)
		return fail("fork", strerror(errno));
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(fail("ptrace", strerror(errno)));
		execv(argv[at + 1], argv + at + 1);
		_exit(fail(argv[at + 1], strerror(errno)));
	}
	/* The child stops at the first instruction of the program. */
	if (waitpid(child, &status, 0) != child)
		return fail("waitpid", strerror(errno));
	if (!WIFSTOPPED(status))
		return WIFEXITED(status) ? WEXITSTATUS(status) : 125;

	wctrace(WCTRACE_BASE, load_address(child), 0);
	status = trace_devices(argv[at]);
	if (status) {
		kill(child, SIGKILL);
		return status;
	}
	if (ptrace(PTRACE_DETACH, child, NULL, NULL))
		return fail("ptrace", strerror(errno));
	if (waitpid(child, &status, 0) != child)
		return fail("waitpid", strerror(errno));
	wctrace(WCTRACE_STOP, 0, 0);
	if (name)
		print_counts(name);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
