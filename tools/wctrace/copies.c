// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts, by the plugin wctrace, the PCIe writes that copies to write-combining memory become, and
 * prints them as a table for Documentation/performance.rst.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfio_subregion_helpers.h>

#include "vfio_open.h"
#include "wctrace.h"

#define WINDOW_OFFSET	(1ULL << 20)
#define WINDOW_SIZE	(1ULL << 20)
#define LARGEST		65536
#define LINE		64
#define COPIES		3

static char source[LARGEST + LINE] __attribute__((aligned(LINE)));

static void copy_helpers(volatile char *to, const char *from, size_t size)
{
	vfio_subregion_copy(to, from, size);
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

static const struct {
	const char *name;
	void (*copy)(volatile char *to, const char *from, size_t size);
} copies[COPIES] = {
	{ "vfio_subregion_copy()", copy_helpers },
	{ "memcpy() of glibc", copy_memcpy },
	{ "loop over bytes", copy_loop },
};

static uint64_t writes(unsigned int which, volatile char *to, size_t size)
{
	wctrace(WCTRACE_CLEAR, 0, 0);
	copies[which].copy(to, source, size);
	vfio_subregion_order_stores();
	if (wctrace(WCTRACE_COUNT, WCTRACE_BYTES, 0) < size) {
		fputs("wctrace_copies: error: stores were not seen\n", stderr);
		exit(1);
	}
	return wctrace(WCTRACE_COUNT, WCTRACE_WRITES, 0);
}

static void print_size(volatile char *window, size_t size)
{
	uint64_t aligned[COPIES], sum[COPIES] = { 0 };
	size_t offset, step = size > 4096 ? 8 : 1, steps = LINE / step;
	unsigned int i;

	for (i = 0; i < COPIES; i++) {
		aligned[i] = writes(i, window, size);
		for (offset = 0; offset < LINE; offset += step)
			sum[i] += writes(i, window + offset, size);
	}
	printf("   * - %zu\n", size);
	for (i = 0; i < COPIES; i++)
		printf("     - %" PRIu64 "\n     - %" PRIu64 ".%" PRIu64 "\n", aligned[i],
		       sum[i] / steps, sum[i] * 10 / steps % 10);
}

int main(int argc, char **argv)
{
	struct vfio_subregion_create create = {
		.parent = VFIO_PCI_BAR2_REGION_INDEX,
		.attribute = VFIO_SUBREGION_ATTR_WC,
		.offset = WINDOW_OFFSET,
		.size = WINDOW_SIZE,
	};
	struct vfio_device dev = VFIO_DEVICE_CLOSED;
	volatile char *window;
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
	/* A fault in the middle of a line would break it. */
	memset(source, 1, sizeof(source));
	for (i = 0; i < WINDOW_SIZE; i += 4096)
		window[i] = 0;

	printf(".. list-table::\n   :header-rows: 1\n\n   * - bytes\n");
	for (i = 0; i < COPIES; i++)
		printf("     - %s, aligned\n     - mean\n", copies[i].name);
	for (size = 1; size <= LARGEST; size *= size < 64 ? 8 : 4) {
		print_size(window, size);
		fflush(stdout);
	}
	return 0;
}
