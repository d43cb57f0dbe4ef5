// SPDX-License-Identifier: GPL-2.0

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "pci_sysfs.h"
#include "vfio_device.h"

const char *vfio_driver(void)
{
	const char *name = getenv("SUBREGION_DRIVER");

	return name && *name ? name : DRIVER_SUBREGION;
}

static int open_group(struct vfio_device *dev)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[64];
	int number;

	number = pci_iommu_group(dev->bdf);
	if (number < 0)
		return number;
	dev->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (dev->container < 0)
		return -errno;
	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	dev->group = open(path, O_RDWR | O_CLOEXEC);
	if (dev->group < 0)
		return -errno;
	if (ioctl(dev->group, VFIO_GROUP_GET_STATUS, &status))
		return -errno;
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -EPERM;
	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container))
		return -errno;
	if (ioctl(dev->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;
	return 0;
}

int vfio_device_open(struct vfio_device *dev, const char *bdf)
{
	int ret;

	dev->container = -1;
	dev->group = -1;
	dev->fd = -1;
	/* A device that is opened again gives its own name. */
	if (bdf != dev->bdf)
		snprintf(dev->bdf, sizeof(dev->bdf), "%s", bdf);
	ret = open_group(dev);
	if (!ret) {
		dev->fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, dev->bdf);
		if (dev->fd < 0)
			ret = -errno;
	}
	if (!ret)
		ret = vfio_set_memory(dev, true);
	if (ret)
		vfio_device_close(dev);
	return ret;
}

void vfio_device_close(struct vfio_device *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	if (dev->group >= 0)
		close(dev->group);
	if (dev->container >= 0)
		close(dev->container);
	dev->fd = -1;
	dev->group = -1;
	dev->container = -1;
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

int vfio_read16(struct vfio_device *dev, unsigned int reg)
{
	uint64_t offset = vfio_offset(dev, VFIO_PCI_CONFIG_REGION_INDEX, reg);
	uint16_t value;
	ssize_t done;

	done = pread(dev->fd, &value, sizeof(value), offset);
	if (done < 0)
		return -errno;
	return done == sizeof(value) ? value : -EIO;
}

int vfio_write16(struct vfio_device *dev, unsigned int reg, uint16_t value)
{
	uint64_t offset = vfio_offset(dev, VFIO_PCI_CONFIG_REGION_INDEX, reg);
	ssize_t done;

	done = pwrite(dev->fd, &value, sizeof(value), offset);
	if (done < 0)
		return -errno;
	return done == sizeof(value) ? 0 : -EIO;
}

int vfio_set_memory(struct vfio_device *dev, bool on)
{
	int command = vfio_read16(dev, PCI_COMMAND);

	if (command < 0)
		return command;
	command &= ~PCI_COMMAND_MEMORY;
	return vfio_write16(dev, PCI_COMMAND, command | (on ? PCI_COMMAND_MEMORY : 0));
}

/* Where a capability of configuration space is, or a negative errno. */
static int find_capability(struct vfio_device *dev, unsigned int id)
{
	int at, header, left = 48;

	at = vfio_read16(dev, PCI_CAPABILITY_LIST);
	for (; at >= 0 && (at & 0xfc) && left--; at = header >> 8) {
		header = vfio_read16(dev, at & 0xfc);
		if (header < 0)
			return header;
		if ((header & 0xff) == (int)id)
			return at & 0xfc;
	}
	return at < 0 ? at : -ENOENT;
}

/* Changes the bits of @mask in the register @reg of the capability @id to @value. */
static int change16(struct vfio_device *dev, unsigned int id, unsigned int reg, uint16_t mask,
		    uint16_t value)
{
	int at, old;

	at = find_capability(dev, id);
	if (at < 0)
		return at;
	old = vfio_read16(dev, at + reg);
	if (old < 0)
		return old;
	return vfio_write16(dev, at + reg, (old & ~mask) | value);
}

int vfio_set_power(struct vfio_device *dev, unsigned int state)
{
	return change16(dev, PCI_CAP_ID_PM, PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, state);
}

int vfio_config_flr(struct vfio_device *dev)
{
	return change16(dev, PCI_CAP_ID_EXP, PCI_EXP_DEVCTL, 0, PCI_EXP_DEVCTL_BCR_FLR);
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

int vfio_add_ioeventfd(struct vfio_device *dev, uint64_t offset, int eventfd)
{
	struct vfio_device_ioeventfd request = {
		.argsz = sizeof(request),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = offset,
		.data = 1,
		.fd = eventfd,
	};

	return ioctl(dev->fd, VFIO_DEVICE_IOEVENTFD, &request) ? -errno : 0;
}

struct vfio_subregion_create subregion_init(uint32_t bar, uint32_t attribute, uint64_t offset,
					    uint64_t size)
{
	return (struct vfio_subregion_create) {
		.argsz = sizeof(struct vfio_subregion_create),
		.parent = bar,
		.attribute = attribute,
		.offset = offset,
		.size = size,
	};
}

int subregion_create(struct vfio_device *dev, struct vfio_subregion_create *create)
{
	return ioctl(dev->fd, VFIO_SUBREGION_CREATE, create) ? -errno : 0;
}

void *map_region(struct vfio_device *dev, uint64_t offset, size_t size, size_t align)
{
	uintptr_t hole, address;
	void *map;

	/* Finds a hole that holds an aligned range; only a racing mmap() could take it. */
	map = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return map;
	hole = (uintptr_t)map;
	address = hole + ((offset - hole) & (align - 1));
	munmap(map, size + align);
	return mmap((void *)address, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, dev->fd, offset);
}
