// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

bool wc_supported(int device, uint32_t bar)
{
	struct vfio_subregion_query query = {
		.argsz = sizeof(query),
		.index = bar,
	};

	/* Another driver answers ENOTTY; the BAR then has ordinary mappings only. */
	if (ioctl(device, VFIO_SUBREGION_QUERY, &query))
		return false;
	return query.attributes & (1U << VFIO_SUBREGION_ATTR_WC) && query.count < query.limit;
}
