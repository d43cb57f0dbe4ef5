// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

#include <vfio_subregion_helpers.h>

int send_packet(int device, uint32_t bar, volatile uint32_t *doorbell, const uint64_t packet[8])
{
	struct vfio_subregion_create create = {
		.parent = bar,
		.attribute = VFIO_SUBREGION_ATTR_WC,
		.offset = 1 << 20,
		.size = 1 << 20,
	};
	void *data = vfio_subregion_create_map(device, &create);

	if (data == MAP_FAILED)
		return -errno;
	/* Ascending stores without gaps fill a buffer, which leaves the CPU as one burst. */
	vfio_subregion_copy(data, packet, 8 * sizeof(*packet));
	vfio_subregion_order_stores();
	*doorbell = 1;
	/* It waits for stores that are still in the CPU. */
	return vfio_subregion_unmap_destroy(device, &create, data) ? -errno : 0;
}
