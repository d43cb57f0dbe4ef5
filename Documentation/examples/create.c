// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

void *wc_create(int device, uint32_t bar, uint64_t offset, uint64_t size, uint32_t *index)
{
	struct vfio_subregion_create create = {
		.argsz = sizeof(create),
		.parent = bar,
		.attribute = VFIO_SUBREGION_ATTR_WC,
		.offset = offset,
		.size = size,
	};

	/* After success the type is write-combining; no further check is needed. */
	if (ioctl(device, VFIO_SUBREGION_CREATE, &create))
		return MAP_FAILED;
	*index = create.index;
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, device, create.mmap_offset);
}
