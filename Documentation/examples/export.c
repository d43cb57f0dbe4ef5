// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

int export_subregion(int device, uint32_t index)
{
	struct vfio_subregion_export request = {
		.argsz = sizeof(request),
		.index = index,
		.open_flags = O_RDWR | O_CLOEXEC,
	};

	return ioctl(device, VFIO_SUBREGION_EXPORT, &request) ? -1 : request.fd;
}
