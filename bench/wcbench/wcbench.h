/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What wcbench works on, and what it does with that.
 */
#ifndef WCBENCH_H
#define WCBENCH_H

#include <stddef.h>
#include <stdint.h>

#include "device.h"
#include "emulator.h"
#include "transfer.h"

/**
 * struct bench - an open device and the range of a BAR that is written to
 *
 * The last page of the range stays plain; the others are the window, which is mapped with the BAR's
 * own type as long as it is not claimed.
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
	/* Of the window, while it is claimed. */
	struct vfio_subregion_create created;
	volatile char *wc;
};

/** bench_claim() - makes the window write-combining */
int bench_claim(struct bench *bench);

/** bench_release() - gives it back to the BAR */
int bench_release(struct bench *bench);

/**
 * bench_verify() - reads back what all kinds of transfers write, by both types
 *
 * Then another thread has to find each descriptor complete as soon as it sees a flag that was
 * written after the fence.
 */
int bench_verify(struct bench *bench);

/**
 * bench_measure() - times all kinds of transfers by both types and prints a table
 *
 * @plot: a file to be made, which gnuplot draws the same from; or NULL
 *
 * On an emulator everything is done, but no figure is shown and no file is made.
 */
int bench_measure(struct bench *bench, const char *plot);

#endif /* WCBENCH_H */
