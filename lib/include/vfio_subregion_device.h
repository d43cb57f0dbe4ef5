/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A VFIO device for drivers in C or C++: opening, configuration space, memory for DMA, interrupts.
 *
 * Unlike the other headers, this one needs the library libvfio-subregion (pkg-config
 * libvfio-subregion). Functions that return an int return 0, or -1 and set errno. After a failure,
 * vfio_subregion_error() says what failed, why, and what to do.
 */
#ifndef VFIO_SUBREGION_DEVICE_H
#define VFIO_SUBREGION_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfio_subregion_device - an open device
 *
 * Only one thread at a time may call a function for it. Its file is free for all threads.
 */
struct vfio_subregion_device;

/**
 * vfio_subregion_open() - opens a device by its group, or by its own file
 *
 * @name: its PCI address, such as 0000:01:00.0, or the path of its own file
 *
 * An address is opened by the group. If the kernel has no groups, or the caller may not use the
 * file of this one, it is opened by the device's own file with an iommufd, if the caller may use
 * both.
 *
 * Returns NULL and sets errno on failure.
 */
struct vfio_subregion_device *vfio_subregion_open(const char *name);

/**
 * vfio_subregion_open_group() - opens a device by its group, also one without an IOMMU
 *
 * @address: its PCI address
 * @options: further text for VFIO_GROUP_GET_DEVICE_FD, such as "vf_token=...", or NULL
 *
 * Returns NULL and sets errno on failure.
 */
struct vfio_subregion_device *vfio_subregion_open_group(const char *address, const char *options);

/**
 * vfio_subregion_open_file() - opens a device by its own file, with an iommufd for its DMA
 *
 * @name: its PCI address, or the path of that file
 *
 * Returns NULL and sets errno on failure.
 */
struct vfio_subregion_device *vfio_subregion_open_file(const char *name);

/** vfio_subregion_close() - closes a device, which ends its mappings for DMA; NULL is allowed */
void vfio_subregion_close(struct vfio_subregion_device *device);

/** vfio_subregion_fd() - returns the device file, for ioctls and for vfio_subregion_helpers.h */
int vfio_subregion_fd(const struct vfio_subregion_device *device);

/** vfio_subregion_error() - describes the last failure in this thread of a function here */
const char *vfio_subregion_error(void);

/**
 * vfio_subregion_check_range() - looks why a subregion of a BAR cannot be created
 *
 * A program calls it after VFIO_SUBREGION_CREATE, or a function of vfio_subregion_helpers.h, has
 * failed with EINVAL or EPERM. The reasons are those of the device: there is no such BAR, or it is
 * the upper half of another, has I/O ports, no address or less than a page; the range is not whole
 * pages within the BAR, or has the MSI-X table.
 *
 * @bar: the number of the BAR
 * @attribute: VFIO_SUBREGION_ATTR_*
 *
 * Returns 0 if none of them applies.
 */
int vfio_subregion_check_range(struct vfio_subregion_device *device, uint32_t bar,
			       uint32_t attribute, uint64_t offset, uint64_t size);

/**
 * vfio_subregion_config_read() - reads @size bytes of configuration space
 *
 * They have the byte order of PCI, which is little-endian.
 */
int vfio_subregion_config_read(struct vfio_subregion_device *device, uint32_t offset, void *data,
			       size_t size);

/** vfio_subregion_config_write() - writes @size bytes of configuration space */
int vfio_subregion_config_write(struct vfio_subregion_device *device, uint32_t offset,
				const void *data, size_t size);

/**
 * vfio_subregion_enable() - enables accesses to the memory of the device, and its DMA
 *
 * After VFIO has opened a device, its memory can be accessed, and its DMA is disabled. MSI and
 * MSI-X are writes by the device, so they need this call too.
 */
int vfio_subregion_enable(struct vfio_subregion_device *device);

/**
 * vfio_subregion_dma_map() - maps memory of the process for the device
 *
 * @memory: whole pages, at a multiple of the page size
 * @iova: the device's address for them, a multiple of the page size
 *
 * The kernel locks the memory. The mapping ends by vfio_subregion_dma_unmap(), or when the device
 * is closed. A device without an IOMMU has no mappings (ENOTTY).
 */
int vfio_subregion_dma_map(struct vfio_subregion_device *device, void *memory, size_t size,
			   uint64_t iova);

/** vfio_subregion_dma_unmap() - ends a mapping, which has exactly this @iova and @size */
int vfio_subregion_dma_unmap(struct vfio_subregion_device *device, uint64_t iova, size_t size);

/**
 * vfio_subregion_irq_enable() - has interrupts signal eventfds
 *
 * @index: VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX or VFIO_PCI_MSIX_IRQ_INDEX
 * @eventfds: an eventfd for each vector from 0 on; -1 for a vector that signals none
 * @count: the number of eventfds, at most the number that VFIO_DEVICE_GET_IRQ_INFO reports
 *
 * A program waits for an eventfd by poll(), epoll or read(). INTx is masked when it has been
 * signalled, until vfio_subregion_irq_unmask(). A device with an iommufd is attached to an address
 * space first, as by vfio_subregion_dma_map().
 */
int vfio_subregion_irq_enable(struct vfio_subregion_device *device, uint32_t index,
			      const int *eventfds, uint32_t count);

/** vfio_subregion_irq_unmask() - lets INTx signal again, after the device no longer raises it */
int vfio_subregion_irq_unmask(struct vfio_subregion_device *device);

/** vfio_subregion_irq_disable() - ends all vectors of vfio_subregion_irq_enable() */
int vfio_subregion_irq_disable(struct vfio_subregion_device *device, uint32_t index);

#ifdef __cplusplus
}
#endif

#endif /* VFIO_SUBREGION_DEVICE_H */
