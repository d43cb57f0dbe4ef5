// SPDX-License-Identifier: GPL-2.0-only

#include <vfio_subregion_helpers.h>

#include "transfer.h"

size_t transfer_pitch(const struct transfer *transfer)
{
	return (transfer_start(transfer) + transfer->size + BUFFER - 1) / BUFFER * BUFFER;
}

/* The number of aligned stores of at most 8 bytes for the bytes from @at to @end. */
static size_t stores(size_t at, size_t end)
{
	size_t count = 0, step;

	for (; at < end; at += step, count++)
		for (step = 8; at % step || step > end - at;)
			step /= 2;
	return count;
}

/*
 * On x86 no two stores of the ends are in the same 8 bytes, so they are as many writes with both
 * types. That a CPU does not split a strict store of AVX or AVX-512 is an assumption.
 */
size_t transfer_writes(const struct transfer *transfer, bool combining)
{
	static const size_t line_stores[VFIO_SUBREGION_LINES] = {
		[VFIO_SUBREGION_LINE_MOVDIR64B] = 1, [VFIO_SUBREGION_LINE_AVX512] = 1,
		[VFIO_SUBREGION_LINE_AVX] = 2,	     [VFIO_SUBREGION_LINE_SSE2] = 4,
		[VFIO_SUBREGION_LINE_ST64B] = 1,     [VFIO_SUBREGION_LINE_STP] = 4,
		[VFIO_SUBREGION_LINE_WORDS] = 8,
	};
	const size_t start = transfer_start(transfer), end = start + transfer->size;
	const size_t first = (start + BUFFER - 1) / BUFFER * BUFFER, last = end / BUFFER * BUFFER;
	size_t each;

#if defined(__aarch64__)
	/* The stores to each line follow each other. */
	if (combining)
		return (end + BUFFER - 1) / BUFFER - start / BUFFER;
#endif
	if (first >= last)
		return stores(start, end);
	each = combining ? 1 : line_stores[vfio_subregion_detect_line_store()];
	return stores(start, first) + stores(last, end) + (last - first) / BUFFER * each;
}

void transfer_batch(const struct transfer *transfer, bool combining, volatile void *window,
		    size_t length, const void *from, unsigned int count)
{
	size_t pitch = transfer_pitch(transfer), at = 0;
	volatile char *to;
	unsigned int i;

	for (i = 0; i < count; i++) {
		to = (volatile char *)window + at + transfer_start(transfer);
		if (combining)
			vfio_subregion_copy_wc(to, from, transfer->size);
		else
			vfio_subregion_copy(to, from, transfer->size);
		if (transfer->fence)
			vfio_subregion_order_stores();
		at += pitch;
		if (at + pitch > length)
			at = 0;
	}
	vfio_subregion_flush_stores();
}
