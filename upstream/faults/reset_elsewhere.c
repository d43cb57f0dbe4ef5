// SPDX-License-Identifier: GPL-2.0-only
/*
 * reset_elsewhere BDF BAR [METHOD] - resets a device through sysfs while a program maps a BAR of it
 *
 * If the mapping survived the reset, a later access to it raises no page fault. The program then
 * reads through the mapping while the device is reset again. It must run as root, because only root
 * can write to sysfs.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"

static char *map;
static atomic_bool done;
static atomic_ulong reads, wrong;
static uint32_t normal;

static void *reader(void *argument)
{
	uint32_t value;

	(void)argument;
	while (!done) {
		if (touch(map, &value))
			continue;
		reads++;
		if (value != normal)
			wrong++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	char path[128];
	pthread_t thread;
	uint32_t value;
	bool survived;
	long before;

	if (argc < 3)
		return 2;
	if (argc > 3) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset_method", argv[1]);
		if (!write_text(path, argv[3]))
			cannot("choose the method of reset");
	}
	map = device_map(device_open(argv[1]), atoi(argv[2]), 0, 4 * KIB, 4 * KIB);
	if (touch(map, &value))
		cannot("read the BAR");
	/* Plain memory must not be zero, because a missing device can read as zero. */
	if (atoi(argv[2]) == BAR2)
		*(volatile uint32_t *)map = 0x12345678;
	if (!device_reset(argv[1]))
		cannot("reset the device");
	before = faults();
	if (touch(map, &normal))
		fault("the BAR cannot be read after the reset");
	survived = faults() == before;

	if (pthread_create(&thread, NULL, reader, NULL))
		cannot("make a thread");
	if (!device_reset(argv[1]))
		cannot("reset the device");
	done = true;
	pthread_join(thread, NULL);
	printf("%lu reads while the device was being reset, %lu of them wrong\n", reads, wrong);
	if (survived)
		fault("the mapping has survived the reset");
	if (wrong)
		fault("the device was read while it was being reset");
	right("the mapping was removed, and made again after the reset");
}
