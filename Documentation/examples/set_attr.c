// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

int bar_set_wc(int device, uint32_t bar)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set),
		.index = bar,
		.attribute = VFIO_SUBREGION_ATTR_WC,
	};

	return ioctl(device, VFIO_REGION_SET_ATTR, &set) ? -errno : 0;
}
