// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

int wc_destroy(int device, void *data, uint64_t size, uint32_t index)
{
	struct vfio_subregion_destroy destroy = {
		.argsz = sizeof(destroy),
		.index = index,
	};

	/* In this order no thread can access the mapping after DESTROY and get SIGBUS. */
	munmap(data, size);
	return ioctl(device, VFIO_SUBREGION_DESTROY, &destroy) ? -errno : 0;
}
