/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Memory of the process that is mapped for DMA, by a container or an iommufd. */
#ifndef VFIO_DMA_H
#define VFIO_DMA_H

#include <stddef.h>
#include <stdint.h>

#include "vfio_open.h"

/**
 * vfio_dma_map() - maps whole pages for the device, at its address @iova
 *
 * The first call for a device with an iommufd makes an address space and attaches the device.
 *
 * Returns 0, or a negative errno after it has described the failure in @error of the device.
 */
int vfio_dma_map(struct vfio_device *dev, void *memory, size_t size, uint64_t iova);

/** vfio_dma_unmap() - ends a mapping of vfio_dma_map(); fails as that does */
int vfio_dma_unmap(struct vfio_device *dev, uint64_t iova, size_t size);

#endif /* VFIO_DMA_H */
