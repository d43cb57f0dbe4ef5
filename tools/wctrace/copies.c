// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts, by the plugin wctrace, the PCIe writes that copies to a device become. Prints a line for
 * each memory type, routine and size: the writes and the bytes on the link of a copy to the start
 * of a line, and ten times the mean of the writes at all alignments. rig/writes makes tables.
 *
 * It fails if any routine makes fewer writes to write-combining memory than
 * vfio_subregion_copy_wc() does, and if a routine of others makes fewer than vfio_subregion_copy()
 * does by stores that memory of any type accepts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfio_subregion_helpers.h>

#include "crate_copies.h"
#include "others.h"
#include "vfio_open.h"
#include "wctrace.h"

#define WINDOW_OFFSET	(1ULL << 20)
#define WINDOW_SIZE	(1ULL << 20)
#define STRICT_OFFSET	(2ULL << 20)
#define STRICT_SIZE	65536
#define LARGEST		65536
#define LINE		64
#define COPIES		7

static char source[LARGEST] __attribute__((aligned(LINE)));
static volatile char *window;
static struct vfio_subregion_mapping strict;
static struct crate_copies crate;

static void copy_wc(volatile char *to, const char *from, size_t size)
{
	vfio_subregion_copy_wc(to, from, size);
}

static void copy_any(volatile char *to, const char *from, size_t size)
{
	vfio_subregion_copy(to, from, size);
}

/* To the same offset of memory of the same type, which the process with the crate has mapped. */
static void copy_crate(volatile char *to, const char *from, size_t size)
{
	bool is_strict = to >= (volatile char *)strict.map &&
			 to < (volatile char *)strict.map + STRICT_SIZE;
	size_t offset = to - (is_strict ? (volatile char *)strict.map : window);

	(void)from;
	if (crate_copies_copy(&crate, is_strict, offset, size)) {
		fputs("wctrace_copies: error: the process of the crate has ended\n", stderr);
		exit(1);
	}
}

static void copy_memcpy(volatile char *to, const char *from, size_t size)
{
	/* The function of the C library, not one of the compiler's. */
	void *(*volatile copy)(void *, const void *, size_t) = memcpy;

	copy((void *)to, from, size);
}

static void copy_loop(volatile char *to, const char *from, size_t size)
{
	size_t at;

	for (at = 0; at < size; at++)
		to[at] = from[at];
}

/*
 * The first OURS are not from others. All are compared with WC, and those of others also with ANY.
 */
#define WC	0
#define ANY	2
#define OURS	3

static const struct routine {
	const char *name;
	void (*copy)(volatile char *to, const char *from, size_t size);
	/* The size and the target must be multiples of these. */
	size_t unit;
	size_t alignment;
	/* Its stores are aligned where the target is; others raise SIGBUS on Device memory. */
	bool aligned;
} routines[COPIES] = {
	{ "vfio_subregion_copy_wc()", copy_wc, 1, 1, false },
	{ "copy() of the crate", copy_crate, 1, 1, true },
	{ "vfio_subregion_copy()", copy_any, 1, 1, true },
	{ "memcpy() of glibc", copy_memcpy, 1, 1, false },
	{ "loop over bytes", copy_loop, 1, 1, true },
	{ "rte_memcpy() of DPDK", copy_dpdk, 1, 1, false },
	{ "mmio_memcpy_x64() of rdma-core", copy_rdma, LINE, 8, true },
};

#if defined(__aarch64__)
#define ANY_ADDRESS	false
#else
#define ANY_ADDRESS	true
#endif

static uint64_t writes_once(const struct routine *routine, volatile char *to, size_t size)
{
	wctrace(WCTRACE_CLEAR, 0, 0);
	routine->copy(to, source, size);
	vfio_subregion_order_stores();
	if (wctrace(WCTRACE_COUNT, WCTRACE_BYTES, 0) < size) {
		fputs("wctrace_copies: error: stores were not seen\n", stderr);
		exit(1);
	}
	return wctrace(WCTRACE_COUNT, WCTRACE_WRITES, 0);
}

/* If another program runs in the middle, it breaks a line, so the count must be the same twice. */
static uint64_t writes(const struct routine *routine, volatile char *to, size_t size)
{
	uint64_t before, now = writes_once(routine, to, size);

	do {
		before = now;
		now = writes_once(routine, to, size);
	} while (now != before);
	return now;
}

/*
 * Whether memory of any type may accept the stores of a copy. On arm64 it does not accept words
 * that are not aligned, and memcpy() and others store words that are as large as the copy allows.
 */
static bool any_accepts(const struct routine *routine, size_t size, size_t offset)
{
	return ANY_ADDRESS || routine->aligned || offset % 8 == 0 || size < 8;
}

/* Says so if @now, the writes of the routine, are fewer than @ours, those of routines[number]. */
static int is_fewer(const struct routine *routine, size_t size, size_t offset, uint64_t now,
		    size_t number, uint64_t ours)
{
	if (now >= ours)
		return 0;
	fprintf(stderr, "wctrace_copies: error: %zu bytes at %zu are %" PRIu64
		" writes by %s, and %" PRIu64 " by %s\n", size, offset, now, routine->name,
		ours, routines[number].name);
	return 1;
}

/* Counts copies of @size bytes to write-combining memory; returns how often another was better. */
static int count_combined(size_t size)
{
	uint64_t first, link, sum, ours[OURS][LINE] = { { 0 } }, now;
	const struct routine *routine;
	size_t offset, number;
	int worse = 0;

	for (routine = routines; routine < routines + COPIES; routine++) {
		if (size % routine->unit)
			continue;
		first = writes(routine, window, size);
		link = wctrace(WCTRACE_COUNT, WCTRACE_LINK_BYTES, 0);
		for (sum = offset = 0; offset < LINE; offset += routine->alignment) {
			now = writes(routine, window + offset, size);
			sum += now;
			number = routine - routines;
			if (number < OURS)
				ours[number][offset] = now;
			worse += is_fewer(routine, size, offset, now, WC, ours[WC][offset]);
			if (number >= OURS && any_accepts(routine, size, offset))
				worse += is_fewer(routine, size, offset, now, ANY,
						  ours[ANY][offset]);
		}
		printf("copies\tWC\t%s\t%zu\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n",
		       routine->name, size, first, link, sum * 10 * routine->alignment / LINE);
	}
	return worse;
}

static void count_strict(size_t size)
{
	const struct routine *routine;
	uint64_t first;

	for (routine = routines + 1; routine < routines + COPIES; routine++) {
		if (size % routine->unit || (!ANY_ADDRESS && !routine->aligned))
			continue;
		first = writes(routine, strict.map, size);
		printf("copies\tstrict\t%s\t%zu\t%" PRIu64 "\t%" PRIu64 "\n", routine->name, size,
		       first, wctrace(WCTRACE_COUNT, WCTRACE_LINK_BYTES, 0));
	}
}

int main(int argc, char **argv)
{
	struct vfio_subregion_create create = {
		.parent = VFIO_PCI_BAR2_REGION_INDEX,
		.attribute = VFIO_SUBREGION_ATTR_WC,
		.offset = WINDOW_OFFSET,
		.size = WINDOW_SIZE,
	};
	const uint32_t noncached = VFIO_SUBREGION_ATTR_NONCACHED;
	struct vfio_device dev = VFIO_DEVICE_CLOSED;
	int worse = 0;
	size_t size, i;

	if (argc != 2) {
		fputs("Usage: wctrace_run DEVICE wctrace_copies DEVICE\n", stderr);
		return 2;
	}
	if (wctrace(WCTRACE_STATE, 0, 0) != 2) {
		fputs("wctrace_copies: error: nothing is traced: use wctrace_run\n", stderr);
		return 1;
	}
	if (vfio_open(&dev, argv[1])) {
		fprintf(stderr, "wctrace_copies: error: %s: %s\n", argv[1], dev.error);
		return 1;
	}
	window = vfio_subregion_create_map(dev.fd, &create);
	if ((void *)window == MAP_FAILED) {
		perror("wctrace_copies: error: no write-combining memory");
		return 1;
	}
	if (vfio_subregion_map_best(dev.fd, create.parent, STRICT_OFFSET, STRICT_SIZE, &noncached,
				    1, &strict)) {
		perror("wctrace_copies: error: no strict memory");
		return 1;
	}
	if (crate_copies_start(&crate, dev.fd)) {
		fputs("wctrace_copies: error: the crate cannot copy\n", stderr);
		return 1;
	}
	/* A fault in the middle of a line would break it. */
	memset(source, 1, sizeof(source));
	for (i = 0; i < WINDOW_SIZE; i += 4096)
		window[i] = 0;
	for (i = 0; i < STRICT_SIZE; i += 4096)
		((volatile char *)strict.map)[i] = 0;

	for (size = 1; size <= LARGEST; size *= 2) {
		worse += count_combined(size);
		count_strict(size);
		fflush(stdout);
	}
	/* If the size is not a power of two, the ends take several stores. */
	for (size = 3; size < 4 * LINE; size += 2)
		worse += count_combined(size);
	return crate_copies_end(&crate) || worse;
}
