// SPDX-License-Identifier: GPL-2.0-only OR MIT

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iommufd.h"
#include "vfio_open.h"

#define PATH_LEN	320

int vfio_failed(struct vfio_device *dev, int error, const char *format, ...)
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
		return vfio_failed(dev, -ret, "'%.64s' is no PCI address", text);
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

/* Finds a process that has the file open; 0 if none is visible. */
static long user_of(const char *path)
{
	char target[PATH_LEN];
	long found = 0;
	glob_t files;

	if (glob("/proc/[0-9]*/fd/*", GLOB_NOSORT, NULL, &files))
		return 0;
	for (size_t i = 0; !found && i < files.gl_pathc; i++) {
		ssize_t length = readlink(files.gl_pathv[i], target, sizeof(target) - 1);

		target[length < 0 ? 0 : length] = '\0';
		if (!strcmp(target, path))
			found = atol(files.gl_pathv[i] + strlen("/proc/"));
	}
	globfree(&files);
	return found;
}

/*
 * Finds a process that has the file of the group open, or a device's own file in the group, which
 * also prevents the group from being opened. Sets @file to the file that is open.
 */
static long user_of_group(const struct vfio_device *dev, const char *group, char file[PATH_LEN])
{
	char pattern[PATH_LEN];
	glob_t devices;
	long user;

	snprintf(file, PATH_LEN, "%s", group);
	user = user_of(file);
	snprintf(pattern, sizeof(pattern),
		 PCI_BUS "/devices/%.31s/iommu_group/devices/*/vfio-dev/vfio*", dev->bdf);
	if (user || glob(pattern, 0, NULL, &devices))
		return user;
	for (size_t i = 0; !user && i < devices.gl_pathc; i++) {
		snprintf(file, PATH_LEN, "/dev/vfio/devices/%s",
			 strrchr(devices.gl_pathv[i], '/') + 1);
		user = user_of(file);
	}
	globfree(&devices);
	return user;
}

/* Describes the @error of a file that exists. */
static int file_failed(struct vfio_device *dev, const char *path, int error)
{
	char file[PATH_LEN];
	struct stat status;
	long user;

	if (error == EACCES && !stat(path, &status))
		return vfio_failed(dev, error,
				   "%s: %s: it belongs to user %u and group %u with mode %03o; chown it to your user",
				   path, strerror(error), status.st_uid, status.st_gid,
				   status.st_mode & 0777);
	if (error == EPERM && strstr(path, "/noiommu-"))
		return vfio_failed(dev, error,
				   "%s: %s: a device without an IOMMU needs CAP_SYS_RAWIO; run this as root",
				   path, strerror(error));
	if (error == EPERM)
		return vfio_failed(dev, error,
				   "%s: %s: a container must be given that file (--device)", path,
				   strerror(error));
	if (error != EBUSY)
		return vfio_failed(dev, error, "%s: %s", path, strerror(error));
	user = user_of_group(dev, path, file);
	if (user)
		return vfio_failed(dev, error, "%s: %s: process %ld has %s open; end that process",
				   path, strerror(error), user, file);
	return vfio_failed(dev, error,
			   "%s: %s: another program has a device of that group open, perhaps another user's or in a container; end it",
			   path, strerror(error));
}

/* Describes why there is no file of the group, which is empty if the device has none. */
static int no_file(struct vfio_device *dev, const char *group)
{
	char driver[PCI_NAME_LEN], path[PATH_LEN];

	snprintf(path, sizeof(path), PCI_BUS "/devices/%.31s", dev->bdf);
	if (access(path, F_OK))
		return vfio_failed(dev, ENODEV,
				   "there is no PCI device %s; lspci -D lists those of this machine",
				   dev->bdf);
	if (!group[0])
		return vfio_failed(dev, ENODEV,
				   "%s is in no IOMMU group: this machine has no IOMMU, or it is off; enable it in the firmware (VT-d, AMD-Vi, SMMU), and on Intel also by intel_iommu=on on the kernel's command line",
				   dev->bdf);
	snprintf(path, sizeof(path), PCI_BUS "/devices/%.31s/vfio-dev", dev->bdf);
	if (!access(path, F_OK))
		return vfio_failed(dev, ENOENT,
				   "VFIO has %s, but /dev/vfio/%s does not exist: a container must be given that file (--device)",
				   dev->bdf, group);
	if (access(PCI_BUS "/drivers/subregion_vfio_pci", F_OK) &&
	    access(PCI_BUS "/drivers/vfio-pci", F_OK))
		return vfio_failed(dev, ENOENT,
				   "VFIO does not have %s: no VFIO driver is loaded; modprobe subregion_vfio_pci, then bind the device to it",
				   dev->bdf);
	if (pci_link(dev->bdf, "driver", driver))
		driver[0] = '\0';
	return vfio_failed(dev, ENOENT,
			   "VFIO does not have %s: %s%s; bind it to subregion_vfio_pci",
			   dev->bdf, driver[0] ? "its driver is " : "it has no driver", driver);
}

/*
 * Describes why the group is not viable: names the devices in it, of any bus, whose drivers do DMA
 * by themselves. VFIO's drivers do not, and neither do pcieport and pci-stub.
 */
static int not_viable(struct vfio_device *dev)
{
	char path[PATH_LEN], users[256] = "", driver[PCI_NAME_LEN];
	size_t length = 0;
	glob_t drivers;

	snprintf(path, sizeof(path), PCI_BUS "/devices/%.31s/iommu_group/devices/*/driver",
		 dev->bdf);
	if (glob(path, 0, NULL, &drivers))
		drivers.gl_pathc = 0;
	for (size_t i = 0; i < drivers.gl_pathc && length < sizeof(users); i++) {
		char *device = drivers.gl_pathv[i], *name;

		*strrchr(device, '/') = '\0';
		name = strrchr(device, '/') + 1;
		snprintf(path, sizeof(path), "%s/vfio-dev", device);
		if (!access(path, F_OK))
			continue;
		snprintf(path, sizeof(path), "iommu_group/devices/%s/driver", name);
		if (pci_link(dev->bdf, path, driver) || !strcmp(driver, "pcieport") ||
		    !strcmp(driver, "pci-stub"))
			continue;
		length += snprintf(users + length, sizeof(users) - length, "%s%s (%s)",
				   length ? ", " : "", name, driver);
	}
	if (drivers.gl_pathc)
		globfree(&drivers);
	return vfio_failed(dev, EPERM,
			   "the IOMMU group of %s is in use outside of VFIO, by %s; bind all of its devices to subregion_vfio_pci",
			   dev->bdf, users[0] ? users : "a driver that sysfs does not show");
}

/* Opens the file of the group. Without an IOMMU it has another name, and another IOMMU type. */
static int open_group_file(struct vfio_device *dev, unsigned long *iommu_type)
{
	char group[PCI_NAME_LEN], path[PATH_LEN];

	if (pci_link(dev->bdf, "iommu_group", group) || !group[0])
		return no_file(dev, "");
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
	return errno == ENOENT ? no_file(dev, group) : file_failed(dev, path, errno);
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
		return vfio_failed(dev, errno, "VFIO_GROUP_GET_STATUS: %s", strerror(errno));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return not_viable(dev);
	dev->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (dev->container < 0 && errno == ENOENT)
		return vfio_failed(dev, errno,
				   "/dev/vfio/vfio does not exist: modprobe vfio; a container must be given that file (--device)");
	if (dev->container < 0)
		return file_failed(dev, "/dev/vfio/vfio", errno);
	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container) ||
	    ioctl(dev->container, VFIO_SET_IOMMU, iommu_type))
		return vfio_failed(dev, errno, "the IOMMU group of %s cannot be used: %s%s",
				   dev->bdf, strerror(errno),
				   errno == ENODEV ? "; modprobe vfio_iommu_type1" : "");
	return 0;
}

static int get_device(struct vfio_device *dev, const char *options)
{
	char name[128];

	snprintf(name, sizeof(name), "%s%s%s", dev->bdf, options ? " " : "",
		 options ? options : "");
	dev->fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, name);
	if (dev->fd < 0)
		return vfio_failed(dev, errno, "%s cannot be opened: %s", dev->bdf,
				   strerror(errno));
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
		ret = vfio_failed(dev, errno, "the group of %s: %s", other->bdf, strerror(errno));
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
		return file_failed(dev, path, errno);
	dev->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dev->iommufd < 0)
		return file_failed(dev, "/dev/iommu", errno);
	bind.iommufd = dev->iommufd;
	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return vfio_failed(dev, errno, "%s cannot be bound to an iommufd: %s", path,
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
		return vfio_failed(dev, -ret, "the kernel gives %s no file of its own: %s",
				   dev->bdf, strerror(-ret));
	return finish(dev, open_path(dev, path));
}

/* Whether the caller may use the file of the device's group. */
static bool may_use_group(const char *bdf)
{
	char group[PCI_NAME_LEN], path[PATH_LEN];

	if (pci_link(bdf, "iommu_group", group) || !group[0])
		return false;
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	return !access(path, R_OK | W_OK);
}

/* Whether the caller may use the device's own file, and an iommufd. */
static bool may_use_file(const char *bdf)
{
	char path[PATH_LEN];

	return !pci_vfio_file(bdf, path, sizeof(path)) && !access(path, R_OK | W_OK) &&
	       !access("/dev/iommu", R_OK | W_OK);
}

int vfio_open(struct vfio_device *dev, const char *name)
{
	char bdf[PCI_ADDRESS_LEN];

	if (name[0] == '/' ||
	    (!pci_address(bdf, name) && !may_use_group(bdf) && may_use_file(bdf)))
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
	dev->ioas = 0;
}
