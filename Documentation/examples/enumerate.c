// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

struct vfio_region_info *region_info(int device, uint32_t index)
{
	struct vfio_region_info *info = NULL, *longer;
	uint32_t size = sizeof(*info);

	for (;;) {
		longer = realloc(info, size);
		if (!longer)
			break;
		info = longer;
		*info = (struct vfio_region_info) { .argsz = size, .index = index };
		if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info))
			break;
		/* If the capabilities do not fit, argsz has the size that they need. */
		if (info->argsz <= size)
			return info;
		size = info->argsz;
	}
	free(info);
	return NULL;
}

const void *region_cap(const struct vfio_region_info *info, uint16_t id)
{
	const struct vfio_info_cap_header *cap;
	uint32_t at;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return NULL;
	for (at = info->cap_offset; at; at = cap->next) {
		cap = (const void *)((const char *)info + at);
		if (cap->id == id)
			return cap;
	}
	return NULL;
}

int each_subregion(int device, void (*found)(uint32_t index, const struct vfio_region_info *info,
					     const struct vfio_region_info_cap_subregion *sub))
{
	struct vfio_device_info all = { .argsz = sizeof(all) };
	const struct vfio_region_info_cap_subregion *sub;
	struct vfio_region_info *info;
	uint32_t index;

	if (ioctl(device, VFIO_DEVICE_GET_INFO, &all))
		return -errno;
	for (index = VFIO_PCI_NUM_REGIONS; index < all.num_regions; index++) {
		info = region_info(device, index);
		if (!info)
			return -errno;
		/* Other regions and destroyed subregions do not have this capability. */
		sub = region_cap(info, VFIO_REGION_INFO_CAP_SUBREGION);
		if (sub)
			found(index, info, sub);
		free(info);
	}
	return 0;
}
