// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

#include <vfio_subregion_helpers.h>

int open_dma_buf(int device, const struct vfio_subregion_create *window)
{
	return vfio_subregion_dma_buf(device, window->index, 0, window->size, O_RDWR | O_CLOEXEC);
}
