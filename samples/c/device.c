// SPDX-License-Identifier: GPL-2.0

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vfio_subregion_helpers.h>

#include "device.h"

#define PATH_LEN	512

int fail(int status, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

/* A device file of its own needs no group, but an iommufd to be bound to. */
static int open_cdev(struct device *dev, const char *path)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };

	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return fail(STATUS_SYSTEM, "%s: %s", path, strerror(errno));
	dev->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dev->iommufd < 0)
		return fail(STATUS_SYSTEM, "/dev/iommu: %s", strerror(errno));
	bind.iommufd = dev->iommufd;
	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return fail(STATUS_SYSTEM, "%s cannot be bound to an iommufd: %s", path,
			    strerror(errno));
	/*
	 * A driver that does DMA goes on with IOMMU_IOAS_ALLOC and VFIO_DEVICE_ATTACH_IOMMUFD_PT.
	 * BARs can be used without.
	 */
	return STATUS_OK;
}

/* The last component of what the link @name of the device points to. */
static int link_target(const char *bdf, const char *name, char target[PATH_LEN])
{
	char path[PATH_LEN], *last;
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	len = readlink(path, target, PATH_LEN - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	if (last)
		memmove(target, last + 1, strlen(last));
	return 0;
}

/* Finds the group's file; one without an IOMMU has another name and takes another IOMMU type. */
static int open_group_file(struct device *dev, const char *bdf, unsigned long *iommu_type)
{
	char group[PATH_LEN], driver[PATH_LEN], path[PATH_LEN + 32];

	if (link_target(bdf, "iommu_group", group))
		return fail(STATUS_SYSTEM,
			    "%s is in no IOMMU group: is it there, and is an IOMMU enabled?", bdf);
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	dev->group = open(path, O_RDWR | O_CLOEXEC);
	if (dev->group < 0 && errno == ENOENT) {
		*iommu_type = VFIO_NOIOMMU_IOMMU;
		snprintf(path, sizeof(path), "/dev/vfio/noiommu-%s", group);
		dev->group = open(path, O_RDWR | O_CLOEXEC);
	}
	if (dev->group >= 0)
		return STATUS_OK;
	if (errno != ENOENT)
		return fail(STATUS_SYSTEM, "%s: %s", path, strerror(errno));
	if (link_target(bdf, "driver", driver))
		snprintf(driver, sizeof(driver), "none");
	return fail(STATUS_SYSTEM,
		    "%s has no VFIO group: bind it to subregion_vfio_pci (its driver is now: %s)",
		    bdf, driver);
}

static int open_group(struct device *dev, const char *bdf)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	unsigned long iommu_type = VFIO_TYPE1v2_IOMMU;
	int ret;

	ret = open_group_file(dev, bdf, &iommu_type);
	if (ret)
		return ret;
	if (ioctl(dev->group, VFIO_GROUP_GET_STATUS, &status))
		return fail(STATUS_SYSTEM, "VFIO_GROUP_GET_STATUS: %s", strerror(errno));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return fail(STATUS_SYSTEM,
			    "%s shares its IOMMU group with a device of another driver", bdf);
	dev->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (dev->container < 0)
		return fail(STATUS_SYSTEM, "/dev/vfio/vfio: %s", strerror(errno));
	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container) ||
	    ioctl(dev->container, VFIO_SET_IOMMU, iommu_type))
		return fail(STATUS_SYSTEM, "the IOMMU group of %s cannot be used: %s", bdf,
			    strerror(errno));
	dev->fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (dev->fd < 0)
		return fail(STATUS_SYSTEM, "%s cannot be opened: %s", bdf, strerror(errno));
	return STATUS_OK;
}

/* Writes the path of the character device that the kernel made for @bdf, if it made one. */
static int find_cdev(const char *bdf, char path[PATH_LEN])
{
	char dir_path[PATH_LEN];
	struct dirent *entry;
	int found = 0;
	DIR *dir;

	if (access("/dev/iommu", F_OK))
		return 0;
	snprintf(dir_path, sizeof(dir_path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	dir = opendir(dir_path);
	if (!dir)
		return 0;
	while (!found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vfio", 4))
			continue;
		snprintf(path, PATH_LEN, "/dev/vfio/devices/%s", entry->d_name);
		found = !access(path, F_OK);
	}
	closedir(dir);
	return found;
}

int device_open(struct device *dev, const char *name)
{
	char path[PATH_LEN], bdf[32];

	*dev = (struct device) { .fd = -1, .group = -1, .container = -1, .iommufd = -1 };
	if (name[0] == '/')
		return open_cdev(dev, name);
	/* 01:00.0 is short for 0000:01:00.0. */
	snprintf(bdf, sizeof(bdf), "%s%s", strlen(name) == 7 ? "0000:" : "", name);
	if (find_cdev(bdf, path))
		return open_cdev(dev, path);
	return open_group(dev, bdf);
}

void device_close(struct device *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	if (dev->group >= 0)
		close(dev->group);
	if (dev->container >= 0)
		close(dev->container);
	if (dev->iommufd >= 0)
		close(dev->iommufd);
}

int device_region(struct device *dev, uint32_t index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info) { .argsz = sizeof(*info), .index = index };
	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info))
		return fail(STATUS_SYSTEM, "there is no region %u: %s", index, strerror(errno));
	return STATUS_OK;
}

static uint32_t config_read(struct device *dev, uint64_t offset)
{
	struct vfio_region_info config;
	uint32_t value;

	if (device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config) ||
	    pread(dev->fd, &value, sizeof(value), config.offset + offset) != sizeof(value))
		return 0;
	return value;
}

uint32_t device_id(struct device *dev)
{
	return config_read(dev, PCI_VENDOR_ID);
}

uint32_t device_class(struct device *dev)
{
	return config_read(dev, PCI_CLASS_REVISION) >> 8;
}

int device_create(struct device *dev, uint32_t bar, uint32_t attribute, uint64_t offset,
		  uint64_t size, struct vfio_subregion_create *created, void **map)
{
	*created = (struct vfio_subregion_create) {
		.parent = bar,
		.attribute = attribute,
		.offset = offset,
		.size = size,
	};
	*map = vfio_subregion_create_map(dev->fd, created);
	if (*map != MAP_FAILED)
		return STATUS_OK;
	switch (errno) {
	case ENOTTY:
		return fail(STATUS_NO_SUBREGIONS,
			    "this device's driver has no subregions (ENOTTY): bind it to %s",
			    "subregion_vfio_pci");
	case EEXIST:
		return fail(STATUS_REFUSED, "the range overlaps region %u", created->index);
	case EINVAL:
		return fail(STATUS_REFUSED,
			    "BAR %u has no such range: it must be whole pages of a memory BAR",
			    bar);
	case EOPNOTSUPP:
		return fail(STATUS_REFUSED, "this machine cannot give that type");
	case EPERM:
		return fail(STATUS_REFUSED,
			    "the MSI-X table is in the range, and must stay strict");
	case EBUSY:
		return fail(STATUS_REFUSED,
			    "the memory is held with another type, or the device has an ioeventfd");
	default:
		return fail(STATUS_REFUSED, "the subregion or its mapping: %s", strerror(errno));
	}
}

int device_enable(struct device *dev)
{
	struct vfio_region_info config;
	uint64_t at;
	uint16_t command;

	if (device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config))
		return STATUS_SYSTEM;
	at = config.offset + PCI_COMMAND;
	if (pread(dev->fd, &command, sizeof(command), at) != sizeof(command))
		return fail(STATUS_SYSTEM, "the command register cannot be read");
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(dev->fd, &command, sizeof(command), at) != sizeof(command))
		return fail(STATUS_SYSTEM, "the command register cannot be written");
	return STATUS_OK;
}

int device_poll(const char *what, bool (*done)(void *data), void *data)
{
	time_t begin = time(NULL);

	while (!done(data)) {
		if (time(NULL) - begin > 5)
			return fail(STATUS_DATA, "%s did not happen within 5 seconds", what);
		sched_yield();
	}
	return STATUS_OK;
}

int device_map(struct device *dev, uint64_t offset, size_t size, void **map)
{
	*map = vfio_subregion_map(dev->fd, offset, size);
	if (*map == MAP_FAILED)
		return fail(STATUS_SYSTEM, "mmap of %#zx bytes: %s", size, strerror(errno));
	return STATUS_OK;
}
