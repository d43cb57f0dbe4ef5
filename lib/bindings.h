/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What ./generate gives to bindgen. Numbers of ioctls are function-like macros, which bindgen skips. */
#include <linux/vfio_subregion.h>

static const __u32 VFIO_SUBREGION_CREATE_NR = _IOC_NR(VFIO_SUBREGION_CREATE);
static const __u32 VFIO_SUBREGION_DESTROY_NR = _IOC_NR(VFIO_SUBREGION_DESTROY);
static const __u32 VFIO_SUBREGION_QUERY_NR = _IOC_NR(VFIO_SUBREGION_QUERY);
static const __u32 VFIO_REGION_SET_ATTR_NR = _IOC_NR(VFIO_REGION_SET_ATTR);
static const __u32 VFIO_SUBREGION_EXPORT_NR = _IOC_NR(VFIO_SUBREGION_EXPORT);
static const __u32 VFIO_DEVICE_GET_INFO_NR = _IOC_NR(VFIO_DEVICE_GET_INFO);
static const __u32 VFIO_DEVICE_FEATURE_NR = _IOC_NR(VFIO_DEVICE_FEATURE);
static const __u32 VFIO_DEVICE_GET_REGION_INFO_NR = _IOC_NR(VFIO_DEVICE_GET_REGION_INFO);
