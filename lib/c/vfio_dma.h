/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Memory of the process that is mapped for DMA, by a container or an iommufd. */
#ifndef VFIO_DMA_H
#define VFIO_DMA_H

#include <stddef.h>
#include <stdint.h>

#include "vfio_open.h"

/**
 * vfio_dma_attach() - gives a device with an iommufd its address space, once
 *
 * Some machines translate the messages of interrupts as well. Returns 0 or a negative errno.
 */
int vfio_dma_attach(struct vfio_device *dev);

/**
 * vfio_dma_map() - maps whole pages for the device, at its address @iova
 *
 * A device with an iommufd is attached to its address space first.
 *
 * Returns 0, or a negative errno after it has described the failure in @error of the device.
 */
int vfio_dma_map(struct vfio_device *dev, void *memory, size_t size, uint64_t iova);

/** vfio_dma_unmap() - ends a mapping of vfio_dma_map(); fails as that does */
int vfio_dma_unmap(struct vfio_device *dev, uint64_t iova, size_t size);

#endif /* VFIO_DMA_H */
