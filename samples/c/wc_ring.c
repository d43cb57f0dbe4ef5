// SPDX-License-Identifier: GPL-2.0-only
/*
 * A descriptor ring in write-combining memory, next to registers that stay strict.
 *
 * A userspace driver can start from this program. It opens a device by VFIO, makes a
 * write-combining subregion of the part of a BAR that takes data, maps the subregion and the
 * registers, writes descriptors, orders them before the doorbell, and shows the memory types.
 *
 * Only device_create() differs from a driver for vfio-pci.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vfio_subregion_helpers.h>

#include "device.h"
#include "options.h"
#include "range.h"
#include "report.h"

#define RING_MAX	(4ULL << 20)
#define WORDS		(sizeof(struct descriptor) / sizeof(uint64_t))

static const char usage_text[] =
	"Usage: wc_ring [OPTION]... DEVICE\n"
	"\n"
	"Writes a descriptor ring to a write-combining range of a BAR, leaves the registers of\n"
	"the BAR strict, reads the ring back, and prints what is mapped how.\n"
	"\n"
	"DEVICE is a PCI address (0000:01:00.0 or 01:00.0) or /dev/vfio/devices/vfioN.\n"
	"\n"
	"  --bar N          the BAR\n"
	"  --offset BYTES   where in the BAR the range begins\n"
	"  --size BYTES     how long it is\n"
	"  --doorbell BYTES a register of the BAR, outside the range, that is written with the\n"
	"                   number of descriptors; without it none is written\n"
	"  --oracle         asks pte_oracle.ko what the page tables hold\n"
	"\n"
	"The range is overwritten, so it must be memory. On QEMU's ivshmem all have a default:\n"
	"4 MiB at 1 MiB of BAR 2, with the doorbell at 0.\n"
	"\n"
	"The status is 0 when all is as asked for; 1 when the device cannot be used, 2 for a\n"
	"wrong command line, 3 when its driver has no subregions, 4 when it refused this one, 5\n"
	"when the ring reads back wrong, 6 when --oracle found another type than was asked for.\n";

/* The command line; complete() adds the defaults for the device. */
struct options {
	const char *device;
	struct range window;
	uint64_t doorbell;
	bool oracle;
};

/* Everything that one run uses. */
struct ring {
	struct vfio_device dev;
	struct vfio_region_info bar;
	struct vfio_subregion_create window;
	/* The registers: the part of the BAR below the range, or above it if it is at 0. */
	uint64_t registers_offset;
	uint64_t registers_size;
	void *registers;
	void *descriptors;
	size_t count;
};

/* A descriptor has the size of a line, so it fills one write-combining buffer. */
struct descriptor {
	uint64_t address;
	uint32_t length;
	uint32_t flags;
	uint64_t sequence;
	uint64_t pad[5];
};

_Static_assert(sizeof(struct descriptor) == 64, "a descriptor fills one buffer");

static struct descriptor make_descriptor(uint64_t sequence)
{
	return (struct descriptor) {
		.address = 0x100000000 + sequence * 2048,
		.length = 2048,
		.flags = 1,
		.sequence = sequence,
		.pad = { sequence ^ 0x5555, 0, 0, 0, ~sequence },
	};
}

/*
 * Writes the descriptors. Each is made in ordinary memory and then copied as one line, which leaves
 * the CPU as one burst. Single stores in no order, and loads from the range, would break the line
 * into words.
 */
static void write_ring(struct ring *ring)
{
	struct descriptor *slot = ring->descriptors;
	struct descriptor next;
	size_t i;

	for (i = 0; i < ring->count; i++) {
		next = make_descriptor(i);
		vfio_subregion_write_line(&slot[i], &next);
	}
}

/* Tells the device how many descriptors there are. They must reach it before the doorbell does. */
static void ring_doorbell(struct ring *ring, uint64_t doorbell)
{
	char *registers = ring->registers;

	if (doorbell == NONE) {
		vfio_subregion_flush_stores();
		return;
	}
	vfio_subregion_order_stores();
	vfio_subregion_write32(registers + (doorbell - ring->registers_offset), ring->count);
}

/* Reads through the mapping, and by pread(), which uses the kernel's own mapping of the BAR. */
static int verify_ring(struct ring *ring)
{
	const uint64_t *slot = ring->descriptors;
	uint64_t words[WORDS];
	struct descriptor want, got;
	size_t i, word;

	for (i = 0; i < ring->count; i++) {
		want = make_descriptor(i);
		for (word = 0; word < WORDS; word++)
			words[word] = vfio_subregion_read64(slot++);
		if (memcmp(words, &want, sizeof(want)))
			return fail(STATUS_DATA, "descriptor %zu reads back wrong", i);
	}
	for (i = 0; i < ring->count; i += ring->count / 16 + 1) {
		want = make_descriptor(i);
		if (pread(ring->dev.fd, &got, sizeof(got),
			  ring->window.mmap_offset + i * sizeof(got)) != sizeof(got))
			return fail(STATUS_SYSTEM, "read of descriptor %zu: %s", i,
				    strerror(errno));
		if (memcmp(&got, &want, sizeof(want)))
			return fail(STATUS_DATA, "descriptor %zu has not reached the device", i);
	}
	return STATUS_OK;
}

/* Returns -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct options *options)
{
	const struct command_option known[] = {
		{ .name = "bar", .number = &options->window.bar },
		{ .name = "offset", .number = &options->window.offset },
		{ .name = "size", .number = &options->window.size },
		{ .name = "doorbell", .number = &options->doorbell },
		{ .name = "oracle", .given = &options->oracle },
		{ }
	};

	*options = (struct options) { .window = RANGE_NONE, .doorbell = NONE };
	return parse_options(argc, argv, usage_text, known, &options->device);
}

/* Adds the defaults for the device, and checks what the driver will not check. */
static int complete(struct options *options, struct ring *ring)
{
	struct range *window = &options->window;
	uint64_t end;
	int ret;

	if (range_default(&ring->dev, window, RING_MAX) && options->doorbell == NONE)
		options->doorbell = 0;
	ret = range_check(&ring->dev, window, "range", &ring->bar);
	if (ret)
		return ret;
	end = window->offset + window->size;
	ring->registers_offset = window->offset ? 0 : end;
	ring->registers_size = window->offset ? window->offset : ring->bar.size - end;
	if (options->doorbell != NONE &&
	    (options->doorbell % 4 || options->doorbell < ring->registers_offset ||
	     options->doorbell - ring->registers_offset >= ring->registers_size))
		return fail(STATUS_USAGE,
			    "the doorbell must be a 32-bit register in 0x%" PRIx64 "-0x%" PRIx64,
			    ring->registers_offset, ring->registers_offset + ring->registers_size);
	return STATUS_OK;
}

/* Claims the range first: from then on its pages cannot be mapped with the wrong type. */
static int set_up(const struct options *options, struct ring *ring)
{
	const struct range *window = &options->window;
	size_t ring_size = window->size < RING_MAX ? window->size : RING_MAX;
	int ret;

	ret = device_create(&ring->dev, window->bar, VFIO_SUBREGION_ATTR_WC, window->offset,
			    window->size, &ring->window, &ring->descriptors);
	ring->count = ring_size / sizeof(struct descriptor);
	if (ret || !ring->registers_size)
		return ret;
	return device_map(&ring->dev, ring->bar.offset + ring->registers_offset,
			  ring->registers_size, &ring->registers);
}

static int run(struct options *options, struct ring *ring)
{
	struct row rows[2];
	int ret;

	ret = complete(options, ring);
	if (!ret)
		ret = set_up(options, ring);
	if (ret)
		return ret;

	write_ring(ring);
	ring_doorbell(ring, options->doorbell);
	ret = verify_ring(ring);
	if (ret)
		return ret;
	printf("%zu descriptors of %zu bytes were written and read back", ring->count,
	       sizeof(struct descriptor));
	if (options->doorbell != NONE)
		printf("; the doorbell at 0x%" PRIx64 " was rung", options->doorbell);
	printf("\n\n");

	rows[0] = (struct row) {
		.region = ring->window.index,
		.bar = options->window.bar,
		.offset = options->window.offset,
		.size = options->window.size,
		.asked = "WC",
		.effective = type_name(ring->window.effective_type),
		.map = ring->descriptors,
		.want = type_name(ring->window.effective_type),
	};
	rows[1] = (struct row) {
		.region = options->window.bar,
		.bar = options->window.bar,
		.offset = ring->registers_offset,
		.size = ring->registers_size,
		.asked = "-",
		.effective = "-",
		.map = ring->registers,
		/* Without a doorbell nothing has touched the registers, so there is no entry. */
		.want = options->doorbell != NONE ? type_name(STRICT_TYPE) : "none",
	};
	return report(rows, ring->registers_size ? 2 : 1, options->oracle);
}

int main(int argc, char **argv)
{
	struct options options;
	struct ring ring = { };
	int status;

	status = parse(argc, argv, &options);
	if (status >= 0)
		return status;
	status = device_open(&ring.dev, options.device);
	if (!status)
		status = run(&options, &ring);
	vfio_device_close(&ring.dev);
	return status;
}
