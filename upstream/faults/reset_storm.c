// SPDX-License-Identifier: GPL-2.0-only
/*
 * reset_storm BDF BAR SECONDS - resets a device in all ways, and accesses it, at the same time
 *
 * Resets through sysfs and through VFIO, writes to the command register, changes of interrupts,
 * reads of the BAR through a mapping and with pread(). No thread may get stuck, and the device must
 * work afterwards. This shows no fault of Linux: it tests the patches for resets from elsewhere.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"

static const char *bdf;
static uint32_t bar;
static int device;
static char *map;
static atomic_bool done;

static void by_sysfs(void)
{
	device_reset(bdf);
}

/* Fails while the reset above locks the device. */
static void by_vfio(void)
{
	ioctl(device, VFIO_DEVICE_RESET);
	usleep(1000);
}

static void command(void)
{
	device_set_memory(device, false);
	device_set_memory(device, true);
}

static void mapping(void)
{
	uint32_t value;

	touch(map, &value);
}

static void by_pread(void)
{
	uint32_t value;

	if (pread(device, &value, sizeof(value), device_region(device, bar).offset) < 0)
		usleep(1);
}

/* Fails if the device has no MSI-X. */
static void interrupts(void)
{
	if (!device_interrupt(device, true))
		usleep(1000);
	device_interrupt(device, false);
}

static struct actor {
	const char *name;
	void (*act)(void);
	atomic_ulong times;
} actors[] = {
	{ .name = "resets by sysfs", .act = by_sysfs },
	{ .name = "resets by VFIO", .act = by_vfio },
	{ .name = "writes to the command register", .act = command },
	{ .name = "reads of the mapping", .act = mapping },
	{ .name = "reads of the mapping by another", .act = mapping },
	{ .name = "reads by pread()", .act = by_pread },
	{ .name = "changes of interrupts", .act = interrupts },
};

#define ACTORS (sizeof(actors) / sizeof(*actors))

static void *run(void *argument)
{
	struct actor *actor = argument;

	while (!done) {
		actor->act();
		actor->times++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[ACTORS];
	uint32_t first, last;
	unsigned long before;
	unsigned int n;

	if (argc != 4)
		return 2;
	bdf = argv[1];
	bar = atoi(argv[2]);
	device = device_open(bdf);
	map = device_map(device, bar, 0, 4 * KIB, 4 * KIB);
	if (touch(map, &first))
		cannot("read the BAR");
	for (n = 0; n < ACTORS; n++)
		if (pthread_create(&threads[n], NULL, run, &actors[n]))
			cannot("make a thread");
	sleep(atoi(argv[3]));
	for (n = 0; n < ACTORS; n++) {
		before = actors[n].times;
		printf("%lu %s\n", before, actors[n].name);
		/* The slowest reset takes some seconds. */
		for (int wait = 0; wait < 60 && actors[n].times == before; wait++)
			sleep(1);
		if (actors[n].times == before)
			fault("a thread is stuck");
	}
	done = true;
	for (n = 0; n < ACTORS; n++)
		pthread_join(threads[n], NULL);
	if (!device_memory(bdf))
		fault("the device's memory is off");
	if (touch(map, &last) || last != first)
		fault("the BAR cannot be read any more");
	right("no thread was stuck, and the device works");
}
