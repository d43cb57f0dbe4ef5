/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of the process that is mapped for DMA, by a container or an iommufd. */
#ifndef DMA_H
#define DMA_H

#include "device.h"

/** struct dma - memory for DMA, and its address for the device */
struct dma {
	char *memory;
	size_t size;
	uint64_t iova;
};

/**
 * dma_map() - maps @size bytes of zeroes, rounded up to pages, at the device's address @iova
 *
 * The mapping ends when the device is closed.
 */
int dma_map(struct vfio_device *dev, struct dma *dma, uint64_t iova, size_t size);

#endif /* DMA_H */
