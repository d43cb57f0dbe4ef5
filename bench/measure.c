// SPDX-License-Identifier: GPL-2.0-only
/*
 * measure LARGE MANY: counts the costs of the driver of two devices. BAR 2 of LARGE has 4 GiB, for
 * large mappings; that of MANY has 128 MiB, for many subregions.
 *
 * Run it only under -icount shift=0 (rig/bench); otherwise its numbers are times, not instructions.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "meter.h"
#include "measurements.h"

static void open_device(struct vfio_device *dev, const char *bdf)
{
	int ret = vfio_device_open(dev, bdf);

	if (ret)
		give_up("cannot open %s: %s", bdf, strerror(-ret));
}

int main(int argc, char **argv)
{
	/*
	 * The driver of the serial port must not send the output by interrupts during a
	 * measurement.
	 */
	static char output[1 << 20];
	struct vfio_device dev;

	if (argc != 3) {
		fputs("Usage: measure LARGE MANY\n", stderr);
		return 2;
	}
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	meter_settle();
	measure_open(argv[1]);
	open_device(&dev, argv[1]);
	measure_calls(&dev);
	measure_maps(&dev);
	measure_ioeventfds(&dev);
	if (has_subregions(&dev))
		measure_exports(&dev);
	vfio_device_close(&dev);
	measure_memory(argv[1]);

	open_device(&dev, argv[2]);
	measure_reset(&dev, false);
	if (has_subregions(&dev))
		measure_reset(&dev, true);
	vfio_device_close(&dev);
	/* Opened again each time, so that nothing of the previous measurement remains. */
	open_device(&dev, argv[2]);
	if (has_subregions(&dev))
		measure_strict_memory(&dev);
	vfio_device_close(&dev);
	open_device(&dev, argv[2]);
	measure_growth(&dev);
	vfio_device_close(&dev);
	return 0;
}
