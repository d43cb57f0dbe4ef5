// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dma.h"
#include "vfio_dma.h"

int dma_map(struct vfio_device *dev, struct dma *dma, uint64_t iova, size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE);

	*dma = (struct dma) { .size = (size + page - 1) / page * page, .iova = iova };
	dma->memory = mmap(NULL, dma->size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (dma->memory == MAP_FAILED)
		return fail(STATUS_SYSTEM, "no memory for DMA: %s", strerror(errno));
	if (vfio_dma_map(dev, dma->memory, dma->size, iova))
		return fail(STATUS_SYSTEM, "%s", dev->error);
	return STATUS_OK;
}
