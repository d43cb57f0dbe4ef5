// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uses every function of the helpers once, in C and in C++. The header comes first, because it must
 * not depend on others.
 */
#include <vfio_subregion_helpers.h>

void use(int device, struct vfio_subregion_create *create, const void *data, size_t size);

void use(int device, struct vfio_subregion_create *create, const void *data, size_t size)
{
	void *map = vfio_subregion_create_map(device, create);
	void *bar = vfio_subregion_map(device, 0, 4096);
	int file = vfio_subregion_export(device, create->index, 0);
	const uint32_t wanted[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	const struct vfio_subregion_part part = { 0, 4096, wanted, 2 };
	struct vfio_subregion_mapping got;
	struct vfio_subregion_queue queue;

	if (vfio_subregion_map_at(file, PROT_READ, 0, create->size, create->offset) == MAP_FAILED)
		return;
	if (map == MAP_FAILED || bar == MAP_FAILED) {
		write(2, vfio_subregion_busy(create->busy), 1);
		return;
	}
	if (vfio_subregion_detect_line_store() == VFIO_SUBREGION_LINE_WORDS &&
	    vfio_subregion_use_line_store(VFIO_SUBREGION_LINE_ST64B))
		return;
	vfio_subregion_copy(map, data, size);
	vfio_subregion_copy_wc(map, data, size);
	vfio_subregion_copy_by(vfio_subregion_routine(VFIO_SUBREGION_LINE_WORDS), map, data, size);
	vfio_subregion_write_line(map, data);
	vfio_subregion_order_stores();
	vfio_subregion_write8(bar, vfio_subregion_read8(bar));
	vfio_subregion_write16(bar, vfio_subregion_read16(bar));
	vfio_subregion_write32(bar, vfio_subregion_read32(bar));
	vfio_subregion_write64(bar, vfio_subregion_read64(bar));
	vfio_subregion_order_loads();
	if (!vfio_subregion_queue_init(&queue, map, 64, 16, bar) &&
	    !vfio_subregion_queue_use_line_store(&queue, VFIO_SUBREGION_LINE_WORDS)) {
		vfio_subregion_queue_push(&queue, data);
		vfio_subregion_queue_submit(&queue, 1);
		vfio_subregion_queue_submit64(&queue, 1);
		vfio_subregion_queue_release(&queue);
	}
	vfio_subregion_flush_stores();
	if (!vfio_subregion_map_best(device, 2, 0, 4096, wanted, 2, &got))
		vfio_subregion_unmap(device, &got);
	if (!vfio_subregion_map_layout(device, 2, &part, 1, &got))
		vfio_subregion_unmap(device, &got);
	if (got.busy || vfio_subregion_unmap_destroy(device, create, map))
		write(2, vfio_subregion_busy(got.busy), 1);
}
