// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

bool bar_is_claimed(int device, uint32_t bar, uint64_t offset)
{
	const struct vfio_region_info_cap_claims *cap = NULL;
	struct vfio_region_info *info = region_info(device, bar);
	bool claimed = false;
	uint32_t i;

	if (info)
		cap = region_cap(info, VFIO_REGION_INFO_CAP_CLAIMS);
	for (i = 0; cap && i < cap->nr_claims; i++)
		claimed |= offset - cap->claims[i].offset < cap->claims[i].size;
	free(info);
	return claimed;
}
