/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Opening of a VFIO device, by its group or by its own file.
 *
 * All programs in C use this: the samples, the tests, bench, tools, upstream/faults and the
 * library in lib/c. Functions return 0 on success. On failure they return a negative errno,
 * describe the failure in @error of the device, and leave nothing open.
 */
#ifndef VFIO_OPEN_H
#define VFIO_OPEN_H

#include <linux/vfio.h>

#include "pci.h"

/**
 * struct vfio_device - an open device; descriptors that it does not use are -1
 * @bdf: its PCI address; empty if it was opened by the path of its file
 * @fd: the device
 * @group: its IOMMU group
 * @container: the container that its group is in
 * @iommufd: the iommufd that it is bound to, if it was opened by its own file
 * @ioas: the address space in the iommufd for its DMA; 0 if there is none yet
 * @error: what failed, why, and what to do
 */
struct vfio_device {
	char bdf[PCI_ADDRESS_LEN];
	int fd;
	int group;
	int container;
	int iommufd;
	__u32 ioas;
	char error[640];
};

#define VFIO_DEVICE_CLOSED	{ .fd = -1, .group = -1, .container = -1, .iommufd = -1 }

/** vfio_failed() - describes a failure in @error of the device, for lib/open; returns -@error */
__attribute__((format(printf, 3, 4)))
int vfio_failed(struct vfio_device *dev, int error, const char *format, ...);

/**
 * vfio_open() - opens a device by its group, or by its own file
 *
 * @name: its PCI address, or the path of its own file
 *
 * An address is opened by the group. If the kernel has no groups, or the caller may not use the
 * file of this one, it is opened by the device's own file with an iommufd, if the caller may use
 * both. The crate has the same order.
 */
int vfio_open(struct vfio_device *dev, const char *name);

/**
 * vfio_open_group() - opens a device by its group, in a container of its own
 *
 * The name of its file shows whether the group has an IOMMU.
 *
 * @address: its PCI address
 * @options: further text for VFIO_GROUP_GET_DEVICE_FD, for example "vf_token=...", or NULL
 */
int vfio_open_group(struct vfio_device *dev, const char *address, const char *options);

/** vfio_open_beside() - opens another device of the group of @other, which is open */
int vfio_open_beside(struct vfio_device *dev, const char *address,
		     const struct vfio_device *other);

/**
 * vfio_open_file() - opens a device by its own file, with iommufd for its DMA
 *
 * @name: its PCI address, or the path of that file
 *
 * Returns -ENOENT if the kernel has no such file.
 */
int vfio_open_file(struct vfio_device *dev, const char *name);

/** vfio_device_close() - closes all descriptors of a device */
void vfio_device_close(struct vfio_device *dev);

#endif /* VFIO_OPEN_H */
