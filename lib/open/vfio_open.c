// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "iommufd.h"
#include "vfio_open.h"

#define PATH_LEN	320

/* Describes a failure in the device; returns -@error. */
__attribute__((format(printf, 3, 4)))
static int failed(struct vfio_device *dev, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(dev->error, sizeof(dev->error), format, args);
	va_end(args);
	return -error;
}

/* Initializes the device. @text may be its own address field. */
static int set_address(struct vfio_device *dev, const char *text)
{
	char bdf[PCI_ADDRESS_LEN] = "";
	int ret = pci_address(bdf, text);

	if (ret) {
		*dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
		return failed(dev, -ret, "'%.64s' is no PCI address", text);
	}
	*dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	memcpy(dev->bdf, bdf, sizeof(bdf));
	return 0;
}

static int finish(struct vfio_device *dev, int ret)
{
	if (ret)
		vfio_device_close(dev);
	return ret;
}

/* Opens the file of the group. Without an IOMMU it has another name, and another IOMMU type. */
static int open_group_file(struct vfio_device *dev, unsigned long *iommu_type)
{
	char group[PCI_NAME_LEN], driver[PCI_NAME_LEN], path[PATH_LEN];
	int ret = pci_link(dev->bdf, "iommu_group", group);

	if (ret || !group[0])
		return failed(dev, ret ? -ret : ENODEV,
			      "%s is in no IOMMU group: is it there, and is an IOMMU enabled?",
			      dev->bdf);
	*iommu_type = VFIO_TYPE1v2_IOMMU;
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	dev->group = open(path, O_RDWR | O_CLOEXEC);
	if (dev->group < 0 && errno == ENOENT) {
		*iommu_type = VFIO_NOIOMMU_IOMMU;
		snprintf(path, sizeof(path), "/dev/vfio/noiommu-%s", group);
		dev->group = open(path, O_RDWR | O_CLOEXEC);
	}
	if (dev->group >= 0)
		return 0;
	if (errno != ENOENT)
		return failed(dev, errno, "%s: %s%s", path, strerror(errno),
			      errno == EACCES ? "; give this file to the user (chown)" : "");
	ret = pci_link(dev->bdf, "driver", driver);
	return failed(dev, ENOENT,
		      "%s has no VFIO group: bind it to subregion_vfio_pci (its driver is now: %s)",
		      dev->bdf, ret || !driver[0] ? "none" : driver);
}

static int open_group(struct vfio_device *dev)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	unsigned long iommu_type;
	int ret;

	ret = open_group_file(dev, &iommu_type);
	if (ret)
		return ret;
	if (ioctl(dev->group, VFIO_GROUP_GET_STATUS, &status))
		return failed(dev, errno, "VFIO_GROUP_GET_STATUS: %s", strerror(errno));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return failed(dev, EPERM,
			      "%s shares its IOMMU group with a device of another driver",
			      dev->bdf);
	dev->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (dev->container < 0)
		return failed(dev, errno, "/dev/vfio/vfio: %s", strerror(errno));
	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container) ||
	    ioctl(dev->container, VFIO_SET_IOMMU, iommu_type))
		return failed(dev, errno, "the IOMMU group of %s cannot be used: %s", dev->bdf,
			      strerror(errno));
	return 0;
}

static int get_device(struct vfio_device *dev, const char *options)
{
	char name[128];

	snprintf(name, sizeof(name), "%s%s%s", dev->bdf, options ? " " : "",
		 options ? options : "");
	dev->fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, name);
	if (dev->fd < 0)
		return failed(dev, errno, "%s cannot be opened: %s", dev->bdf, strerror(errno));
	return 0;
}

int vfio_open_group(struct vfio_device *dev, const char *address, const char *options)
{
	int ret = set_address(dev, address);

	if (!ret)
		ret = open_group(dev);
	if (!ret)
		ret = get_device(dev, options);
	return finish(dev, ret);
}

int vfio_open_beside(struct vfio_device *dev, const char *address,
		     const struct vfio_device *other)
{
	int ret = set_address(dev, address);

	if (ret)
		return ret;
	dev->container = dup(other->container);
	dev->group = dup(other->group);
	if (dev->container < 0 || dev->group < 0)
		ret = failed(dev, errno, "the group of %s: %s", other->bdf, strerror(errno));
	else
		ret = get_device(dev, NULL);
	return finish(dev, ret);
}

/* A device's own file needs no group, but must be bound to an iommufd. */
static int open_path(struct vfio_device *dev, const char *path)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };

	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return failed(dev, errno, "%s: %s", path, strerror(errno));
	dev->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dev->iommufd < 0)
		return failed(dev, errno, "/dev/iommu: %s", strerror(errno));
	bind.iommufd = dev->iommufd;
	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return failed(dev, errno, "%s cannot be bound to an iommufd: %s", path,
			      strerror(errno));
	/*
	 * A driver that does DMA goes on with IOMMU_IOAS_ALLOC and VFIO_DEVICE_ATTACH_IOMMUFD_PT.
	 * BARs can be used without.
	 */
	return 0;
}

int vfio_open_file(struct vfio_device *dev, const char *name)
{
	char path[PATH_LEN];
	int ret;

	if (name[0] == '/') {
		*dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
		return finish(dev, open_path(dev, name));
	}
	ret = set_address(dev, name);
	if (ret)
		return ret;
	ret = pci_vfio_file(dev->bdf, path, sizeof(path));
	if (ret)
		return failed(dev, -ret, "the kernel gives %s no file of its own: %s", dev->bdf,
			      strerror(-ret));
	return finish(dev, open_path(dev, path));
}

int vfio_open(struct vfio_device *dev, const char *name)
{
	char bdf[PCI_ADDRESS_LEN], path[PATH_LEN];

	if (name[0] == '/' ||
	    (!access("/dev/iommu", F_OK) && !pci_address(bdf, name) &&
	     !pci_vfio_file(bdf, path, sizeof(path))))
		return vfio_open_file(dev, name);
	return vfio_open_group(dev, name, NULL);
}

void vfio_device_close(struct vfio_device *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	if (dev->group >= 0)
		close(dev->group);
	if (dev->container >= 0)
		close(dev->container);
	if (dev->iommufd >= 0)
		close(dev->iommufd);
	dev->fd = -1;
	dev->group = -1;
	dev->container = -1;
	dev->iommufd = -1;
}
