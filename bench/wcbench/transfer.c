// SPDX-License-Identifier: GPL-2.0-only

#include <vfio_subregion_helpers.h>

#include "transfer.h"

size_t transfer_pitch(const struct transfer *transfer)
{
	return (transfer_start(transfer) + transfer->size + BUFFER - 1) / BUFFER * BUFFER;
}

void transfer_batch(const struct transfer *transfer, volatile void *window, size_t length,
		    const void *from, unsigned int count)
{
	size_t pitch = transfer_pitch(transfer), at = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		vfio_subregion_copy((volatile char *)window + at + transfer_start(transfer), from,
				    transfer->size);
		if (transfer->fence)
			vfio_subregion_order_stores();
		at += pitch;
		if (at + pitch > length)
			at = 0;
	}
	vfio_subregion_flush_stores();
}
