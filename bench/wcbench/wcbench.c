// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures the effect of write combining on stores to a device: transfers of 4 bytes to 64 KiB
 * through the plain BAR, and through a write-combining subregion of the same bytes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "options.h"
#include "range.h"
#include "wcbench.h"

#define PCI_SUBSYSTEM	0x2c

static const char usage_text[] =
	"Usage: wcbench [OPTION]... DEVICE\n"
	"\n"
	"Writes to a range of a BAR, first strictly and then through a write-combining subregion,\n"
	"and prints the time of a transfer: the median, and the limits of the middle half of all\n"
	"measurements. On an emulator it prints no times, because they would be the emulator's.\n"
	"\n"
	"DEVICE is a PCI address (0000:01:00.0 or 01:00.0) or /dev/vfio/devices/vfioN.\n"
	"\n"
	"  --bar N          the BAR\n"
	"  --offset BYTES   the offset of the range in the BAR\n"
	"  --size BYTES     the size of the range: whole pages, at least 68 KiB and a page\n"
	"  --verify         reads back everything that is written, without measurements\n"
	"  --plot FILE      also writes the figures to FILE, from which gnuplot draws FILE.svg\n"
	"\n"
	"The range is overwritten, so it must be memory. On QEMU's ivshmem there is a default: 1 MiB\n"
	"at 1 MiB of BAR 2.\n"
	"\n"
	"The status is 0 on success, 1 if the device cannot be used, 2 for a wrong command line,\n"
	"3 if its driver has no subregions, 4 if the driver refused this one, 5 if data was read\n"
	"back wrong.\n";

struct options {
	const char *device;
	const char *plot;
	struct range range;
	bool verify;
};

/* Returns -1 to continue, or the exit status. */
static int parse(int argc, char **argv, struct options *options)
{
	const struct command_option known[] = {
		{ .name = "bar", .number = &options->range.bar },
		{ .name = "offset", .number = &options->range.offset },
		{ .name = "size", .number = &options->range.size },
		{ .name = "verify", .given = &options->verify },
		{ .name = "plot", .text = &options->plot },
		{ }
	};

	*options = (struct options) { .range = RANGE_NONE };
	return parse_options(argc, argv, usage_text, known, &options->device);
}

/* Sets defaults for known devices, and checks everything that the driver does not check. */
static int complete(struct options *options, struct bench *bench)
{
	struct range *range = &options->range;
	uint64_t page = sysconf(_SC_PAGESIZE);
	uint32_t subsystem = 0;
	struct vfio_region_info info;
	int ret;

	range_default(&bench->dev, range, 1 << 20);
	ret = range_check(&bench->dev, range, "range", &info);
	if (ret)
		return ret;
	if (range->offset % page || range->size % page ||
	    range->size < page + TRANSFER_MAX + (4 << 10))
		return fail(STATUS_USAGE,
			    "the range must be whole pages, at least 68 KiB and a page");
	bench->bar = range->bar;
	bench->offset = range->offset;
	bench->bar_offset = info.offset;
	bench->length = range->size - page;

	ret = device_region(&bench->dev, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (ret)
		return ret;
	if (pread(bench->dev.fd, &subsystem, sizeof(subsystem), info.offset + PCI_SUBSYSTEM) !=
	    sizeof(subsystem))
		return fail(STATUS_SYSTEM, "the configuration space cannot be read");
	bench->machine = machine_kind(device_id(&bench->dev), subsystem, bench->reason,
				      sizeof(bench->reason));
	return STATUS_OK;
}

int bench_claim(struct bench *bench)
{
	void *map;
	int ret;

	ret = device_create(&bench->dev, bench->bar, VFIO_SUBREGION_ATTR_WC, bench->offset,
			    bench->length, &bench->created, &map);
	if (!ret)
		bench->wc = map;
	return ret;
}

int bench_release(struct bench *bench)
{
	struct vfio_subregion_destroy destroy = {
		.argsz = sizeof(destroy),
		.index = bench->created.index,
	};

	munmap((void *)bench->wc, bench->length);
	bench->wc = NULL;
	if (ioctl(bench->dev.fd, VFIO_SUBREGION_DESTROY, &destroy))
		return fail(STATUS_SYSTEM, "VFIO_SUBREGION_DESTROY: %s", strerror(errno));
	return STATUS_OK;
}

static int run(struct options *options, struct bench *bench)
{
	void *map;
	int ret;

	ret = complete(options, bench);
	if (!ret)
		ret = device_map(&bench->dev, bench->bar_offset + bench->offset,
				 bench->length + sysconf(_SC_PAGESIZE), &map);
	if (ret)
		return ret;
	bench->plain = map;
	if (bench->machine == MACHINE_EMULATED && !options->verify)
		fail(STATUS_OK, "warning: this is an emulator (%s): it prints no times, because %s",
		     bench->reason, "they would not be those of a device");
	if (bench->machine == MACHINE_VIRTUAL && !options->verify)
		fail(STATUS_OK, "warning: this is a virtual machine (%s)", bench->reason);
	return options->verify ? bench_verify(bench) : bench_measure(bench, options->plot);
}

int main(int argc, char **argv)
{
	struct bench bench = { };
	struct options options;
	int status;

	status = parse(argc, argv, &options);
	if (status >= 0)
		return status;
	bench.name = options.device;
	status = device_open(&bench.dev, options.device);
	if (!status)
		status = run(&options, &bench);
	vfio_device_close(&bench.dev);
	return status;
}
