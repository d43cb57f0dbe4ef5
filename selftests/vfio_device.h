/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VFIO device opened through a container (type 1 IOMMU) and its group, and its regions.
 *
 * Functions that return int give 0 (or what they say) on success and a negative errno on failure.
 */
#ifndef VFIO_DEVICE_H
#define VFIO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vfio.h>
#include <linux/vfio_subregion.h>

/* The drivers that tests bind; SUBREGION_DRIVER in the environment overrides the first. */
#define DRIVER_SUBREGION	"subregion_vfio_pci"
#define DRIVER_STOCK		"vfio-pci"

#define KIB			1024ULL
#define MIB			(1024 * KIB)
#define GIB			(1024 * MIB)

/** struct vfio_device - an open device; all descriptors are -1 when it is closed */
struct vfio_device {
	char bdf[32];
	int container;
	int group;
	int fd;
};

#define VFIO_DEVICE_CLOSED	{ .container = -1, .group = -1, .fd = -1 }

/** vfio_driver() - the name of the driver under test */
const char *vfio_driver(void);

int vfio_device_open(struct vfio_device *dev, const char *bdf);
void vfio_device_close(struct vfio_device *dev);

/** vfio_device_reset() - VFIO_DEVICE_RESET; -ENODEV when the device cannot be reset this way */
int vfio_device_reset(struct vfio_device *dev);

/** vfio_device_hot_reset() - VFIO_DEVICE_PCI_HOT_RESET of a device alone on its bus */
int vfio_device_hot_reset(struct vfio_device *dev);

/** vfio_num_regions() - num_regions of VFIO_DEVICE_GET_INFO */
int vfio_num_regions(struct vfio_device *dev);

/** vfio_region_info() - VFIO_DEVICE_GET_REGION_INFO without capabilities */
int vfio_region_info(struct vfio_device *dev, uint32_t index, struct vfio_region_info *info);

/** vfio_region_info_caps() - the same with capabilities; NULL on failure, the caller frees it */
struct vfio_region_info *vfio_region_info_caps(struct vfio_device *dev, uint32_t index);

/** vfio_region_cap() - the capability @id in what vfio_region_info_caps() gave, or NULL */
const void *vfio_region_cap(const struct vfio_region_info *info, uint16_t id);

/** vfio_offset() - where byte @offset of region @index is in the device file, or UINT64_MAX */
uint64_t vfio_offset(struct vfio_device *dev, uint32_t index, uint64_t offset);

/** vfio_read16() - reads a register of configuration space; its value or a negative errno */
int vfio_read16(struct vfio_device *dev, unsigned int reg);
int vfio_write16(struct vfio_device *dev, unsigned int reg, uint16_t value);

/** vfio_set_memory() - sets or clears Memory Space Enable in the command register */
int vfio_set_memory(struct vfio_device *dev, bool on);

/** vfio_set_power() - writes power state @state (0 to 3) to the PM capability */
int vfio_set_power(struct vfio_device *dev, unsigned int state);

/** vfio_config_flr() - a function-level reset through the PCI Express capability */
int vfio_config_flr(struct vfio_device *dev);

/** vfio_set_low_power() - VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY or _EXIT */
int vfio_set_low_power(struct vfio_device *dev, bool on);

/** vfio_add_ioeventfd() - an ioeventfd at @offset of the device file, 4 bytes wide */
int vfio_add_ioeventfd(struct vfio_device *dev, uint64_t offset, int eventfd);

/** subregion_init() - a valid request; what else a test wants is changed in it afterwards */
struct vfio_subregion_create subregion_init(uint32_t bar, uint32_t attribute, uint64_t offset,
					    uint64_t size);

/** subregion_create() - VFIO_SUBREGION_CREATE; outputs are in @create */
int subregion_create(struct vfio_device *dev, struct vfio_subregion_create *create);

/**
 * map_region() - maps @size bytes of the device file from @offset on, read-write and shared
 *
 * The address is congruent to @offset modulo @align, a power of two, so that entries of that size
 * are possible. Returns MAP_FAILED and sets errno on failure.
 */
void *map_region(struct vfio_device *dev, uint64_t offset, size_t size, size_t align);

#endif /* VFIO_DEVICE_H */
