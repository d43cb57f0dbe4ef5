// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

int open_device(const char *address, const char *group)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int file = open(group, O_RDWR | O_CLOEXEC);
	int device = -1;

	if (container >= 0 && file >= 0 &&
	    !ioctl(file, VFIO_GROUP_SET_CONTAINER, &container) &&
	    !ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		device = ioctl(file, VFIO_GROUP_GET_DEVICE_FD, address);
	/* The device keeps both open. */
	close(file);
	close(container);
	return device;
}
