// SPDX-License-Identifier: GPL-2.0-only
/*
 * reset_command BDF BAR ROUNDS - resets a device through sysfs and changes its interrupts meanwhile
 *
 * VFIO reads the command register before it enables interrupts, and writes it back afterwards. If
 * it was read during the reset, it is that of a function in reset. If it is then written after the
 * reset, the memory of the device remains off. The device must have MSI-X, and the first bytes of
 * the BAR must be a register that does not change.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"

#define THREADS	4

static int device;
static atomic_bool done;
static atomic_ulong changes;

static void *change_interrupts(void *argument)
{
	(void)argument;
	while (!done) {
		if (device_interrupt(device, true))
			changes++;
		device_interrupt(device, false);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	uint32_t first, last = 0;
	unsigned int round, i;
	bool on, same;
	char *map;

	if (argc != 4)
		return 2;
	device = device_open(argv[1]);
	if (!device_interrupt(device, true) || !device_interrupt(device, false))
		cannot("enable an interrupt");
	map = device_map(device, atoi(argv[2]), 0, 4 * KIB, 4 * KIB);
	if (touch(map, &first))
		cannot("read the BAR");
	for (round = 1; round <= (unsigned int)atoi(argv[3]); round++) {
		done = false;
		for (i = 0; i < THREADS; i++)
			if (pthread_create(&threads[i], NULL, change_interrupts, NULL))
				cannot("make a thread");
		if (!device_reset(argv[1]))
			cannot("reset the device");
		done = true;
		for (i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		on = device_memory(argv[1]);
		same = !touch(map, &last) && last == first;
		if (on && same)
			continue;
		printf("reset %u, %lu changes of interrupts: memory is %s, a register reads 0x%x\n",
		       round, changes, on ? "on" : "off", last);
		fault("the memory of the device has remained off after a reset");
	}
	printf("%u resets, %lu changes of interrupts\n", round - 1, changes);
	if (!changes)
		cannot("enable an interrupt while the device is reset");
	right("the memory of the device was on after each reset");
}
