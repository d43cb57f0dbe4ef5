// SPDX-License-Identifier: GPL-2.0-only OR MIT

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "iommufd.h"
#include "vfio_dma.h"

/* The inode number of the user namespace in which the system was booted (USER_NS_INIT_INO). */
#define FIRST_USER_NAMESPACE	0xeffffffd

int vfio_dma_attach(struct vfio_device *dev)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };

	if (dev->iommufd < 0 || dev->ioas)
		return 0;
	if (ioctl(dev->iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return -errno;
	attach.pt_id = alloc.out_ioas_id;
	/* An address space that no device uses ends with the iommufd. */
	if (ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return -errno;
	dev->ioas = alloc.out_ioas_id;
	return 0;
}

static int map_iommufd(struct vfio_device *dev, void *memory, size_t size, uint64_t iova)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.user_va = (uintptr_t)memory,
		.length = size,
		.iova = iova,
	};
	int ret = vfio_dma_attach(dev);

	if (ret)
		return ret;
	map.ioas_id = dev->ioas;
	return ioctl(dev->iommufd, IOMMU_IOAS_MAP, &map) ? -errno : 0;
}

static int map_container(struct vfio_device *dev, void *memory, size_t size, uint64_t iova)
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

/* Whether this process may lock as much memory as it likes. */
static bool locks_without_limit(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct stat status;

	/* Rights in another user namespace, as root's in a user's container, do not count. */
	if (!stat("/proc/self/ns/user", &status) && status.st_ino != FIRST_USER_NAMESPACE)
		return false;
	return !syscall(SYS_capget, &header, data) &&
	       (data[0].effective & CAP_TO_MASK(CAP_IPC_LOCK));
}

int vfio_dma_map(struct vfio_device *dev, void *memory, size_t size, uint64_t iova)
{
	struct rlimit limit;
	int ret;

	ret = dev->container < 0 ? map_iommufd(dev, memory, size, iova) :
				   map_container(dev, memory, size, iova);
	if (ret == -ENOMEM && !locks_without_limit() && !getrlimit(RLIMIT_MEMLOCK, &limit) &&
	    limit.rlim_cur != RLIM_INFINITY)
		snprintf(dev->error, sizeof(dev->error),
			 "memory cannot be mapped for DMA: %s: %zu more bytes must be locked, and the process may lock %llu in all; raise this limit (ulimit -l, or LimitMEMLOCK= of systemd)",
			 strerror(-ret), size, (unsigned long long)limit.rlim_cur);
	else if (ret)
		snprintf(dev->error, sizeof(dev->error), "memory cannot be mapped for DMA: %s",
			 strerror(-ret));
	return ret;
}

static int unmap_iommufd(struct vfio_device *dev, uint64_t iova, size_t size)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = dev->ioas,
		.iova = iova,
		.length = size,
	};

	return ioctl(dev->iommufd, IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}

/* VFIO succeeds even if nothing was mapped, and returns the number of bytes that were. */
static int unmap_container(struct vfio_device *dev, uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	if (ioctl(dev->container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -errno;
	return unmap.size == size ? 0 : -ENOENT;
}

int vfio_dma_unmap(struct vfio_device *dev, uint64_t iova, size_t size)
{
	int ret = dev->container < 0 ? unmap_iommufd(dev, iova, size) :
				       unmap_container(dev, iova, size);

	if (ret)
		snprintf(dev->error, sizeof(dev->error),
			 "the mapping for DMA at %#llx cannot be ended: %s; give the address and size that it was made with",
			 (unsigned long long)iova, strerror(-ret));
	return ret;
}
