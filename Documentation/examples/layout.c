// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

#include <vfio_subregion_helpers.h>

int send_by_queue(int device, uint32_t bar, const uint64_t descriptor[8])
{
	static const uint32_t strict[] = { VFIO_SUBREGION_ATTR_NONCACHED };
	static const uint32_t best[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	const struct vfio_subregion_part parts[] = {
		{ .offset = 0, .size = 1 << 20, .wanted = strict, .count = 1 },
		{ .offset = 1 << 20, .size = 1 << 20, .wanted = best, .count = 2 },
	};
	struct vfio_subregion_mapping got[2];
	struct vfio_subregion_queue queue;

	if (vfio_subregion_map_layout(device, bar, parts, 2, got))
		return -errno;
	/* Slots of 64 bytes in the second part, and a doorbell at the start of the first. */
	if (!vfio_subregion_queue_init(&queue, got[1].map, 64, 1024, got[0].map)) {
		vfio_subregion_queue_push(&queue, descriptor);
		vfio_subregion_queue_submit(&queue, 1);
		vfio_subregion_queue_release(&queue);
	}
	vfio_subregion_unmap(device, &got[1]);
	vfio_subregion_unmap(device, &got[0]);
	return 0;
}
