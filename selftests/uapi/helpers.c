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

	if (vfio_subregion_map_at(file, PROT_READ, 0, create->size, create->offset) == MAP_FAILED)
		return;
	if (map == MAP_FAILED || bar == MAP_FAILED)
		return;
	vfio_subregion_copy(map, data, size);
	vfio_subregion_fence();
	*(volatile uint32_t *)bar = 1;
	vfio_subregion_load_fence();
	vfio_subregion_flush();
	if (!vfio_subregion_map_best(device, 2, 0, 4096, wanted, 2, &got))
		vfio_subregion_unmap(device, &got);
	if (!vfio_subregion_map_layout(device, 2, &part, 1, &got))
		vfio_subregion_unmap(device, &got);
}
