/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes to a BAR as drivers do: transfers of a given size, one after another.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unit in which x86 gathers stores, the size of a cache line. */
#define BUFFER		64UL

#define TRANSFER_MIN	4UL
#define TRANSFER_MAX	(64UL << 10)

/**
 * struct transfer - one kind of transfer
 * @size: the number of bytes, a multiple of 4
 * @aligned: whether each starts at the start of a buffer, or 4 bytes later
 * @fence: whether a fence follows each transfer, or only the last one
 */
struct transfer {
	size_t size;
	bool aligned;
	bool fence;
};

/** transfer_pitch() - the distance between the starts of two transfers */
size_t transfer_pitch(const struct transfer *transfer);

/** transfer_start() - the offset of a transfer from its buffer's start */
static inline size_t transfer_start(const struct transfer *transfer)
{
	return transfer->aligned ? 0 : TRANSFER_MIN;
}

/**
 * transfer_writes() - the PCIe writes of one transfer, in the model of Documentation/wctrace.rst
 *
 * @combining: through write-combining memory, where each whole line is one write, and on arm64
 *             each line that is touched; otherwise each store is one
 */
size_t transfer_writes(const struct transfer *transfer, bool combining);

/** transfer_link_bytes() - the bytes on the link of @writes writes of one transfer */
static inline size_t transfer_link_bytes(const struct transfer *transfer, size_t writes)
{
	/* Header, framing, sequence number and LCRC of a write. */
	return transfer->size + 24 * writes;
}

/**
 * transfer_batch() - writes @count transfers of the bytes at @from to @window
 *
 * The offsets ascend, and return to the first one after @length bytes. All stores have left the CPU
 * when the function returns. vfio_subregion_copy_wc() makes them if @window is write-combining
 * memory, which @combining tells, and vfio_subregion_copy() otherwise.
 */
void transfer_batch(const struct transfer *transfer, bool combining, volatile void *window,
		    size_t length, const void *from, unsigned int count);

#endif /* TRANSFER_H */
