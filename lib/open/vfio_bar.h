/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Why a range of a BAR cannot be a subregion. The kernel's errno is EINVAL for most reasons.
 */
#ifndef VFIO_BAR_H
#define VFIO_BAR_H

#include <stdint.h>

#include "vfio_open.h"

/**
 * vfio_check_range() - looks for a property of the device that rules out such a subregion
 *
 * @bar: the number of the BAR
 * @attribute: VFIO_SUBREGION_ATTR_*
 *
 * Returns 0 if there is none: the call can still fail because of other users of the BAR, or of the
 * machine. Otherwise describes the property in @error of the device, and returns -EINVAL, or -EPERM
 * if it is the MSI-X table.
 */
int vfio_check_range(struct vfio_device *dev, uint32_t bar, uint32_t attribute, uint64_t offset,
		     uint64_t size);

#endif /* VFIO_BAR_H */
