// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "dma.h"
#include "iommufd.h"

/* A device that was opened by its own file needs an address space for DMA first. */
static int map_iommufd(struct vfio_device *dev, struct dma *dma)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.user_va = (uintptr_t)dma->memory,
		.length = dma->size,
		.iova = dma->iova,
	};

	if (ioctl(dev->iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return -errno;
	attach.pt_id = alloc.out_ioas_id;
	map.ioas_id = alloc.out_ioas_id;
	if (ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) ||
	    ioctl(dev->iommufd, IOMMU_IOAS_MAP, &map))
		return -errno;
	return 0;
}

static int map_container(struct vfio_device *dev, struct dma *dma)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)dma->memory,
		.iova = dma->iova,
		.size = dma->size,
	};

	return ioctl(dev->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

/* Whether this process may lock as much memory as it likes. */
static bool locks_without_limit(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return !syscall(SYS_capget, &header, data) &&
	       (data[0].effective & CAP_TO_MASK(CAP_IPC_LOCK));
}

int dma_map(struct vfio_device *dev, struct dma *dma, uint64_t iova, size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct rlimit limit;
	int ret;

	*dma = (struct dma) { .size = (size + page - 1) / page * page, .iova = iova };
	dma->memory = mmap(NULL, dma->size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (dma->memory == MAP_FAILED)
		return fail(STATUS_SYSTEM, "no memory for DMA: %s", strerror(errno));
	ret = dev->container < 0 ? map_iommufd(dev, dma) : map_container(dev, dma);
	if (ret == -ENOMEM && !locks_without_limit() && !getrlimit(RLIMIT_MEMLOCK, &limit) &&
	    limit.rlim_cur != RLIM_INFINITY)
		return fail(STATUS_SYSTEM,
			    "memory cannot be mapped for DMA: %s: %zu more bytes must be locked, and the process may lock %llu in all; raise this limit (ulimit -l, or LimitMEMLOCK= of systemd)",
			    strerror(-ret), dma->size, (unsigned long long)limit.rlim_cur);
	if (ret)
		return fail(STATUS_SYSTEM, "memory cannot be mapped for DMA: %s", strerror(-ret));
	return STATUS_OK;
}
