// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma_owner BDF [ROUNDS] - opens and closes a device, with allocations failing at random
 *
 * Needs CONFIG_FAILSLAB.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "device.h"

#define FAILSLAB	"/sys/kernel/debug/failslab/"

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 2000, opened = 0, device, n;
	long before;

	if (argc < 2)
		return 2;
	if (!write_text(FAILSLAB "ignore-gfp-wait", "N"))
		cannot("make allocations fail: no CONFIG_FAILSLAB");
	write_text(FAILSLAB "verbose", "0");
	write_text(FAILSLAB "task-filter", "Y");
	write_text(FAILSLAB "times", "-1");
	write_text(FAILSLAB "probability", "5");
	before = kernel_warnings();
	write_text("/proc/self/make-it-fail", "1");
	for (n = 0; n < rounds; n++) {
		device = device_try(argv[1]);
		if (device < 0)
			continue;
		opened++;
		close(device);
	}
	write_text("/proc/self/make-it-fail", "0");
	printf("%d of %d opens succeeded\n", opened, rounds);
	if (kernel_warnings() != before)
		fault("the kernel has warned, as its log shows");
	right("the kernel has not warned");
}
