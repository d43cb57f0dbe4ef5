// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pci_sysfs.h"
#include "vfio_config.h"
#include "vfio_device.h"

const char *vfio_driver(void)
{
	const char *name = getenv("SUBREGION_DRIVER");

	return name && *name ? name : DRIVER_SUBREGION;
}

bool driver_in_tree(void)
{
	char path[96], taint[32] = "";
	FILE *file;
	char *at;

	snprintf(path, sizeof(path), "/sys/module/%s/taint", vfio_driver());
	for (at = path; *at; at++)
		if (*at == '-')
			*at = '_';
	/* There is no such file for a driver that is built in. */
	file = fopen(path, "re");
	if (file) {
		if (!fgets(taint, sizeof(taint), file))
			taint[0] = '\0';
		fclose(file);
	}
	return !strchr(taint, 'O');
}

int vfio_group_is_noiommu(const char *bdf)
{
	char path[64];
	int number;

	number = pci_iommu_group(bdf);
	if (number < 0)
		return number;
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", number);
	return !access(path, F_OK);
}

/* Enables the memory of an open device. */
static int finish_open(struct vfio_device *dev, int ret)
{
	if (ret)
		return ret;
	ret = vfio_set_memory(dev, true);
	if (ret)
		vfio_device_close(dev);
	return ret;
}

int vfio_device_open(struct vfio_device *dev, const char *bdf)
{
	return finish_open(dev, vfio_open_group(dev, bdf, NULL));
}

int vfio_device_open_vf(struct vfio_device *dev, const char *bdf, const char *token)
{
	char options[64];

	snprintf(options, sizeof(options), "vf_token=%s", token);
	return finish_open(dev, vfio_open_group(dev, bdf, options));
}

int vfio_device_open_sibling(struct vfio_device *dev, const char *bdf,
			     const struct vfio_device *opened)
{
	return finish_open(dev, vfio_open_beside(dev, bdf, opened));
}

int vfio_device_open_cdev(struct vfio_device *dev, const char *bdf)
{
	return finish_open(dev, vfio_open_file(dev, bdf));
}

static int device_info(struct vfio_device *dev, struct vfio_device_info *info)
{
	*info = (struct vfio_device_info) { .argsz = sizeof(*info) };
	return ioctl(dev->fd, VFIO_DEVICE_GET_INFO, info) ? -errno : 0;
}

int vfio_device_reset(struct vfio_device *dev)
{
	struct vfio_device_info info;
	int ret;

	ret = device_info(dev, &info);
	if (ret)
		return ret;
	if (!(info.flags & VFIO_DEVICE_FLAGS_RESET))
		return -ENODEV;
	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

int vfio_device_hot_reset(struct vfio_device *dev)
{
	struct {
		struct vfio_pci_hot_reset header;
		__s32 group;
	} reset = {
		.header = { .argsz = sizeof(reset), .count = 1 },
		.group = dev->group,
	};

	return ioctl(dev->fd, VFIO_DEVICE_PCI_HOT_RESET, &reset) ? -errno : 0;
}

int vfio_num_regions(struct vfio_device *dev)
{
	struct vfio_device_info info;
	int ret;

	ret = device_info(dev, &info);
	return ret ? ret : (int)info.num_regions;
}

int vfio_region_info(struct vfio_device *dev, uint32_t index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info) { .argsz = sizeof(*info), .index = index };
	return ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

struct vfio_region_info *vfio_region_info_caps(struct vfio_device *dev, uint32_t index)
{
	struct vfio_region_info short_info, *info;

	if (vfio_region_info(dev, index, &short_info))
		return NULL;
	info = calloc(1, short_info.argsz);
	if (!info)
		return NULL;
	info->argsz = short_info.argsz;
	info->index = index;
	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info)) {
		free(info);
		return NULL;
	}
	return info;
}

const void *vfio_region_cap(const struct vfio_region_info *info, uint16_t id)
{
	uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;
	const struct vfio_info_cap_header *header;

	while (at) {
		if (at < sizeof(*info) || at > info->argsz - sizeof(*header))
			return NULL;
		header = (const void *)((const char *)info + at);
		if (header->id == id)
			return header;
		at = header->next;
	}
	return NULL;
}

uint64_t vfio_offset(struct vfio_device *dev, uint32_t index, uint64_t offset)
{
	struct vfio_region_info info;

	return vfio_region_info(dev, index, &info) ? UINT64_MAX : info.offset + offset;
}

int vfio_set_low_power(struct vfio_device *dev, bool on)
{
	struct vfio_device_feature feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_SET |
			 (on ? VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY :
			       VFIO_DEVICE_FEATURE_LOW_POWER_EXIT),
	};

	return ioctl(dev->fd, VFIO_DEVICE_FEATURE, &feature) ? -errno : 0;
}

int vfio_ioeventfd(struct vfio_device *dev, uint64_t offset, uint32_t width, uint64_t data,
		   int eventfd)
{
	/* The flags for a width have its value. */
	struct vfio_device_ioeventfd request = {
		.argsz = sizeof(request),
		.flags = width,
		.offset = offset,
		.data = data,
		.fd = eventfd,
	};

	return ioctl(dev->fd, VFIO_DEVICE_IOEVENTFD, &request) ? -errno : 0;
}

int vfio_add_ioeventfd(struct vfio_device *dev, uint64_t offset, int eventfd)
{
	return vfio_ioeventfd(dev, offset, 4, 1, eventfd);
}

int vfio_set_irqs(struct vfio_device *dev, uint32_t index, uint32_t flags, uint32_t count,
		  const void *data)
{
	size_t size = flags & VFIO_IRQ_SET_DATA_EVENTFD ? count * sizeof(__s32) :
		      flags & VFIO_IRQ_SET_DATA_BOOL ? count : 0;
	char buffer[sizeof(struct vfio_irq_set) + 256] = {};
	struct vfio_irq_set *set = (void *)buffer;

	set->argsz = sizeof(*set) + size;
	set->flags = flags;
	set->index = index;
	set->count = count;
	if (size)
		memcpy(set->data, data, size);
	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
}

int vfio_map_dma(struct vfio_device *dev, const void *memory, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return ioctl(dev->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

int vfio_unmap_dma(struct vfio_device *dev, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return ioctl(dev->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

int vfio_set_vf_token(struct vfio_device *dev, const unsigned char token[16])
{
	char buffer[sizeof(struct vfio_device_feature) + 16] = {};
	struct vfio_device_feature *feature = (void *)buffer;

	feature->argsz = sizeof(buffer);
	feature->flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;
	memcpy(feature->data, token, 16);
	return ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature) ? -errno : 0;
}

void *map_region(struct vfio_device *dev, uint64_t offset, size_t size, size_t align)
{
	uintptr_t hole, address;
	void *map;

	/* Finds a hole that can hold an aligned range; only a concurrent mmap() could take it. */
	map = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return map;
	hole = (uintptr_t)map;
	address = hole + ((offset - hole) & (align - 1));
	munmap(map, size + align);
	return mmap((void *)address, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, dev->fd, offset);
}
