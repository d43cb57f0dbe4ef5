// SPDX-License-Identifier: GPL-2.0-only
/*
 * group_alloc BDF - binds a device to vfio-pci, with each of the allocations failing once
 *
 * Needs CONFIG_FAILSLAB.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "device.h"

#define FAILSLAB	"/sys/kernel/debug/failslab/"
#define MOST		2000

/* Writes the address to a file of the driver, while allocation @nth of this task fails. */
static bool bind_with(const char *bdf, int nth, bool *failed)
{
	char text[16] = "";
	int file = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	bool bound;

	if (file < 0)
		cannot("make allocations fail: no CONFIG_FAULT_INJECTION");
	snprintf(text, sizeof(text), "%d", nth);
	if (write(file, text, sizeof(text)) < 0)
		cannot("write to fail-nth");
	bound = write_text("/sys/bus/pci/drivers/vfio-pci/bind", bdf);
	*failed = pread(file, text, sizeof(text) - 1, 0) > 0 && !atoi(text);
	(void)!pwrite(file, "0", 1, 0);
	close(file);
	return bound;
}

int main(int argc, char **argv)
{
	char path[128];
	bool bound = false, failed = true;
	long before;
	int nth;

	if (argc != 2)
		return 2;
	if (!write_text(FAILSLAB "ignore-gfp-wait", "N") || !write_text(FAILSLAB "verbose", "0"))
		cannot("make allocations fail: no CONFIG_FAILSLAB");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", argv[1]);
	if (!write_text(path, "vfio-pci"))
		cannot("write to driver_override");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind", argv[1]);
	write_text(path, argv[1]);
	before = kernel_warnings();
	for (nth = 1; nth < MOST && failed; nth++) {
		bound = bind_with(argv[1], nth, &failed);
		if (bound)
			write_text("/sys/bus/pci/drivers/vfio-pci/unbind", argv[1]);
	}
	if (!bound)
		cannot("bind the device to vfio-pci");
	printf("binding makes %d allocations\n", nth - 2);
	if (kernel_warnings() != before)
		fault("the kernel has warned, as its log shows");
	right("the kernel has not warned");
}
