// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork_zap BDF [ROUNDS [MICROSECONDS]] - forks while VFIO removes all mappings of a BAR
 *
 * In each round one thread forks while another disables the device's memory, which removes the
 * mapping in every process. The second thread starts 0 to MICROSECONDS later, a little later in
 * each round. An access by the child must then raise SIGBUS. The device needs a BAR 2 of 2 MiB.
 *
 * The time in which the fault occurs is short. It has been seen only on a kernel with a delay in
 * copy_huge_pmd(), between the read of the entry and the locks.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"

/* Parent and child share it. */
static struct shared {
	atomic_int begin;
	atomic_int off;
} *shared;

struct zap {
	int device;
	useconds_t delay;
};

static void *zap(void *argument)
{
	struct zap *zap = argument;

	while (!shared->begin)
		;
	usleep(zap->delay);
	device_set_memory(zap->device, false);
	shared->off = 1;
	return NULL;
}

/* Whether the child can access the device while its memory is disabled. */
static bool round_of(struct zap *argument, char *map)
{
	pthread_t thread;
	uint32_t value;
	int status;
	pid_t child;

	shared->begin = 0;
	shared->off = 0;
	if (touch(map, &value))
		cannot("read the BAR");
	if (pthread_create(&thread, NULL, zap, argument))
		cannot("make a thread");
	shared->begin = 1;
	child = fork();
	if (child < 0)
		cannot("fork");
	if (!child) {
		while (!shared->off)
			usleep(100);
		_exit(touch(map, &value) == SIGBUS ? 0 : 1);
	}
	pthread_join(thread, NULL);
	waitpid(child, &status, 0);
	device_set_memory(argument->device, true);
	return status;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 20, most = argc > 3 ? atoi(argv[3]) : 60000;
	struct zap argument;
	char *map;
	int n;

	if (argc < 2)
		return 2;
	argument.device = device_open(argv[1]);
	map = device_map(argument.device, BAR2, 0, 2 * MIB, 2 * MIB);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		cannot("share memory");
	for (n = 0; n < rounds; n++) {
		argument.delay = (useconds_t)((uint64_t)most * n / rounds);
		if (round_of(&argument, map)) {
			printf("round %d: memory was turned off %u us after fork() began\n", n,
			       argument.delay);
			fault("the child reaches a device whose memory is off");
		}
	}
	printf("%d rounds\n", rounds);
	right("no child has kept the mapping");
}
