// SPDX-License-Identifier: GPL-2.0-only

#include <string.h>

#include <vfio_subregion_helpers.h>

#include "transfer.h"

size_t transfer_pitch(const struct transfer *transfer)
{
	return (transfer_start(transfer) + transfer->size + BUFFER - 1) / BUFFER * BUFFER;
}

/*
 * memcpy() may use stores of any size and order, and may repeat some; and the byte stores of
 * vfio_subregion_copy() at the ends would make strict memory slower than drivers do.
 */
static void copy(volatile char *to, const char *from, size_t size)
{
	uint32_t word;
	uint64_t pair;

	if ((uintptr_t)to % sizeof(pair) && size >= sizeof(word)) {
		memcpy(&word, from, sizeof(word));
		*(volatile uint32_t *)to = word;
		to += sizeof(word);
		from += sizeof(word);
		size -= sizeof(word);
	}
	for (; size >= sizeof(pair); size -= sizeof(pair)) {
		memcpy(&pair, from, sizeof(pair));
		*(volatile uint64_t *)to = pair;
		to += sizeof(pair);
		from += sizeof(pair);
	}
	if (size) {
		memcpy(&word, from, sizeof(word));
		*(volatile uint32_t *)to = word;
	}
}

void transfer_batch(const struct transfer *transfer, volatile void *window, size_t length,
		    const void *from, unsigned int count)
{
	size_t pitch = transfer_pitch(transfer), at = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		copy((volatile char *)window + at + transfer_start(transfer), from,
		     transfer->size);
		if (transfer->fence)
			vfio_subregion_fence();
		at += pitch;
		if (at + pitch > length)
			at = 0;
	}
	vfio_subregion_flush();
}
