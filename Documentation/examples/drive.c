// SPDX-License-Identifier: GPL-2.0-only
#include "examples.h"

#include <vfio_subregion_device.h>

int drive(const char *address, void *memory, size_t size, int eventfd)
{
	struct vfio_subregion_device *device = vfio_subregion_open(address);
	int ret = -1;

	if (!device)
		return -1;
	if (!vfio_subregion_enable(device) &&
	    !vfio_subregion_dma_map(device, memory, size, 1ULL << 32) &&
	    !vfio_subregion_irq_enable(device, VFIO_PCI_MSIX_IRQ_INDEX, &eventfd, 1))
		ret = run(vfio_subregion_fd(device), eventfd);
	/* This ends the interrupts and the mapping for DMA too. */
	vfio_subregion_close(device);
	return ret;
}
