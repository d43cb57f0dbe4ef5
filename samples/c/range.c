// SPDX-License-Identifier: GPL-2.0-only

#include <inttypes.h>

#include "range.h"

/* BAR 2 of this device is plain memory, so it can be overwritten. */
#define IVSHMEM		0x11101af4

bool range_default(struct vfio_device *dev, struct range *range, uint64_t size)
{
	if (device_id(dev) != IVSHMEM || range->bar != NONE || range->offset != NONE ||
	    range->size != NONE)
		return false;
	*range = (struct range) {
		.bar = VFIO_PCI_BAR2_REGION_INDEX,
		.offset = 1 << 20,
		.size = size,
	};
	return true;
}

int range_check(struct vfio_device *dev, const struct range *range, const char *what,
		struct vfio_region_info *info)
{
	uint64_t end;
	int ret;

	if (range->bar == NONE || range->offset == NONE || range->size == NONE)
		return fail(STATUS_USAGE,
			    "this device has no default %s: give --bar, --offset and --size", what);
	if (range->bar > VFIO_PCI_BAR5_REGION_INDEX)
		return fail(STATUS_USAGE, "a device has BARs 0 to 5, and no BAR %" PRIu64,
			    range->bar);
	ret = device_region(dev, range->bar, info);
	if (ret)
		return ret;
	if (__builtin_add_overflow(range->offset, range->size, &end) || !range->size ||
	    end > info->size)
		return fail(STATUS_USAGE,
			    "the %s does not fit BAR %" PRIu64 ", which has %#" PRIx64 " bytes",
			    what, range->bar, (uint64_t)info->size);
	return STATUS_OK;
}
