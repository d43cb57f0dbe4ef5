/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO devices for tests: opened by lib/open, with their memory enabled; and their regions.
 *
 * Functions that return int return 0 (or the documented value) on success and a negative errno on
 * failure.
 */
#ifndef VFIO_DEVICE_H
#define VFIO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vfio.h>

#include "vfio_open.h"

/* The drivers that tests bind; SUBREGION_DRIVER in the environment overrides the first. */
#define DRIVER_SUBREGION	"subregion_vfio_pci"
#define DRIVER_STOCK		"vfio-pci"

#define KIB			1024ULL
#define MIB			(1024 * KIB)
#define GIB			(1024 * MIB)

/** vfio_driver() - the name of the driver under test */
const char *vfio_driver(void);

/**
 * driver_in_tree() - whether the driver under test was built in the kernel's tree
 *
 * That form comes with mends of the memory manager (Documentation/upstream.rst): it makes entries
 * of 1 GiB, and lets fork() copy huge ones.
 */
bool driver_in_tree(void);

/** vfio_device_open() - opens a device by its group */
int vfio_device_open(struct vfio_device *dev, const char *bdf);

/** vfio_device_open_vf() - opens a virtual function; its physical function may require @token */
int vfio_device_open_vf(struct vfio_device *dev, const char *bdf, const char *token);

/** vfio_device_open_sibling() - opens another device of the group of @opened, which is open */
int vfio_device_open_sibling(struct vfio_device *dev, const char *bdf,
			     const struct vfio_device *opened);

/** vfio_device_open_cdev() - opens a device by its character device, with iommufd for its DMA */
int vfio_device_open_cdev(struct vfio_device *dev, const char *bdf);

/** vfio_group_is_noiommu() - whether the device's group has no IOMMU, or a negative errno */
int vfio_group_is_noiommu(const char *bdf);

/** vfio_device_reset() - VFIO_DEVICE_RESET; -ENODEV if the device does not support it */
int vfio_device_reset(struct vfio_device *dev);

/** vfio_device_hot_reset() - VFIO_DEVICE_PCI_HOT_RESET of all devices of the group */
int vfio_device_hot_reset(struct vfio_device *dev);

/** vfio_num_regions() - num_regions of VFIO_DEVICE_GET_INFO */
int vfio_num_regions(struct vfio_device *dev);

/** vfio_region_info() - VFIO_DEVICE_GET_REGION_INFO without capabilities */
int vfio_region_info(struct vfio_device *dev, uint32_t index, struct vfio_region_info *info);

/** vfio_region_info_caps() - the same with capabilities; NULL on failure; the caller frees it */
struct vfio_region_info *vfio_region_info_caps(struct vfio_device *dev, uint32_t index);

/** vfio_region_cap() - the capability @id of a result of vfio_region_info_caps(), or NULL */
const void *vfio_region_cap(const struct vfio_region_info *info, uint16_t id);

/** vfio_offset() - the offset of byte @offset of region @index in the device file, or UINT64_MAX */
uint64_t vfio_offset(struct vfio_device *dev, uint32_t index, uint64_t offset);

/** vfio_set_low_power() - VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY or _EXIT */
int vfio_set_low_power(struct vfio_device *dev, bool on);

/**
 * vfio_ioeventfd() - VFIO_DEVICE_IOEVENTFD: adds an ioeventfd, which writes @width bytes of @data
 * at @offset of the device file when @eventfd is signalled; removes it if @eventfd is -1
 */
int vfio_ioeventfd(struct vfio_device *dev, uint64_t offset, uint32_t width, uint64_t data,
		   int eventfd);

/** vfio_add_ioeventfd() - the same for 4 bytes with the value 1 */
int vfio_add_ioeventfd(struct vfio_device *dev, uint64_t offset, int eventfd);

/**
 * vfio_set_irqs() - VFIO_DEVICE_SET_IRQS of vectors 0 to @count - 1 of the interrupt @index
 *
 * @flags gives the type of @data: an int or a byte for each vector, or nothing.
 */
int vfio_set_irqs(struct vfio_device *dev, uint32_t index, uint32_t flags, uint32_t count,
		  const void *data);

/** vfio_map_dma() - maps memory for DMA at @iova; type 1 containers only */
int vfio_map_dma(struct vfio_device *dev, const void *memory, uint64_t iova, uint64_t size);
int vfio_unmap_dma(struct vfio_device *dev, uint64_t iova, uint64_t size);

/** vfio_set_vf_token() - VFIO_DEVICE_FEATURE_PCI_VF_TOKEN of a physical function */
int vfio_set_vf_token(struct vfio_device *dev, const unsigned char token[16]);

/**
 * map_region() - maps @size bytes of the device file from @offset, read-write and shared
 *
 * The address is congruent to @offset modulo @align, a power of two, so that entries of that size
 * are possible. Returns MAP_FAILED and sets errno on failure.
 */
void *map_region(struct vfio_device *dev, uint64_t offset, size_t size, size_t align);

#endif /* VFIO_DEVICE_H */
