/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing to a BAR as drivers do: transfers of a given size, one after another.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What x86 gathers stores in, as long as a cache line. */
#define BUFFER		64UL

#define TRANSFER_MIN	4UL
#define TRANSFER_MAX	(64UL << 10)

/**
 * struct transfer - one kind of transfer
 * @size: how many bytes, a multiple of 4
 * @aligned: whether each begins with a buffer, or else 4 bytes behind its beginning
 * @fence: whether each is followed by a fence, or else only the last one
 */
struct transfer {
	size_t size;
	bool aligned;
	bool fence;
};

/** transfer_pitch() - how far apart the beginnings of transfers are */
size_t transfer_pitch(const struct transfer *transfer);

/** transfer_start() - where in its place a transfer begins */
static inline size_t transfer_start(const struct transfer *transfer)
{
	return transfer->aligned ? 0 : TRANSFER_MIN;
}

/**
 * transfer_batch() - writes @count transfers of the bytes at @from to @window
 *
 * They go to ascending places, and to the first one again after the last one in @length bytes. All
 * have left the CPU when it returns. Stores are of 8 bytes, and of 4 at an end that is not aligned
 * to 8, since strict memory allows no others on some architectures.
 */
void transfer_batch(const struct transfer *transfer, volatile void *window, size_t length,
		    const void *from, unsigned int count);

#endif /* TRANSFER_H */
