/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of the process that a device can reach, by a container or by an iommufd. */
#ifndef DMA_H
#define DMA_H

#include "device.h"

/** struct dma - such memory, and where the device sees it */
struct dma {
	char *memory;
	size_t size;
	uint64_t iova;
};

/**
 * dma_map() - maps @size bytes, rounded up to pages, of zeroes at the device's address @iova, until
 * the device closes
 */
int dma_map(struct vfio_device *dev, struct dma *dma, uint64_t iova, size_t size);

#endif /* DMA_H */
