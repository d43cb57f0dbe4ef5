/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of wcbench, and its operations.
 */
#ifndef WCBENCH_H
#define WCBENCH_H

#include <stddef.h>
#include <stdint.h>

#include "device.h"
#include "emulator.h"
#include "transfer.h"

/**
 * struct bench - an open device, and the range of a BAR to write
 *
 * The last page of the range stays plain. The other pages are the test range, which has the BAR's
 * own type while it is not claimed.
 */
struct bench {
	struct vfio_device dev;
	const char *name;
	enum machine machine;
	char reason[96];
	uint32_t bar;
	uint64_t offset;
	uint64_t bar_offset;
	size_t length;
	volatile char *plain;
	/* Of the test range, while it is claimed. */
	struct vfio_subregion_create created;
	volatile char *wc;
};

/** bench_claim() - makes the test range write-combining */
int bench_claim(struct bench *bench);

/** bench_release() - returns it to the BAR */
int bench_release(struct bench *bench);

/**
 * bench_verify() - reads back the data of all kinds of transfers, with both types
 *
 * Then another thread must find each descriptor complete when it sees the flag that was written
 * after the fence.
 */
int bench_verify(struct bench *bench);

/**
 * bench_measure() - times all kinds of transfers with both types and prints a table
 *
 * @plot: a file to write, from which gnuplot draws the same figures; or NULL
 *
 * On an emulator it does everything, but prints no figures and writes no file.
 */
int bench_measure(struct bench *bench, const char *plot);

#endif /* WCBENCH_H */
