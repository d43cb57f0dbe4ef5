// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VFIO program that knows nothing of write combining, for the test of vfio-wc:
 *
 *	wc_client [again] DEVICE BAR [DEVICE BAR]...
 *
 * It opens each device, maps the BAR, and prints the type that the page tables have for it. With
 * `again` it does all of this a second time in the same process.
 *
 *	wc_client ignoring DEVICE
 *
 * It binds the device's own file to an iommufd, ignores the result, and prints whether it has the
 * device.
 *
 *	wc_client capable FILE
 *
 * It gives the file a capability, as setcap does.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/capability.h>

#include "iommufd.h"
#include "pte_oracle.h"
#include "vfio_open.h"

static void show(int oracle, const char *address, unsigned int bar)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };
	struct vfio_device dev;
	struct pte_oracle pte = {};
	volatile uint32_t *map;

	if (vfio_open(&dev, address))
		errx(EXIT_FAILURE, "%s", dev.error);
	if (ioctl(dev.fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		err(EXIT_FAILURE, "the region");
	map = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, dev.fd, info.offset);
	if (map == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");
	(void)map[0];
	pte.address = (uintptr_t)map;
	if (ioctl(oracle, PTE_ORACLE_READ, &pte))
		err(EXIT_FAILURE, "the oracle");
	printf("BAR %u of %s by its %s: %s\n", bar, dev.bdf, dev.iommufd < 0 ? "group" : "file",
	       pte.name);
	munmap((void *)map, info.size);
	vfio_device_close(&dev);
}

static void ignore(const char *address)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	char path[64];
	int fd;

	if (pci_vfio_file(address, path, sizeof(path)))
		errx(EXIT_FAILURE, "%s has no file of its own", address);
	fd = open(path, O_RDWR);
	bind.iommufd = open("/dev/iommu", O_RDWR);
	if (fd < 0 || bind.iommufd < 0)
		err(EXIT_FAILURE, "%s and /dev/iommu", path);
	if (ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		warn("binding");
	puts(ioctl(fd, VFIO_DEVICE_GET_INFO, &info) ? "it has no device" : "it has the device");
}

static void make_capable(const char *path)
{
	struct vfs_cap_data data = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1 << CAP_IPC_LOCK,
	};

	if (setxattr(path, "security.capability", &data, XATTR_CAPS_SZ_2, 0))
		err(EXIT_FAILURE, "%s", path);
}

int main(int argc, char **argv)
{
	int oracle = open(PTE_ORACLE_DEVICE, O_RDWR), times = 1, at = 1;

	setlinebuf(stdout);
	if (argc == 3 && !strcmp(argv[1], "capable")) {
		make_capable(argv[2]);
		return EXIT_SUCCESS;
	}
	if (argc == 3 && !strcmp(argv[1], "ignoring")) {
		ignore(argv[2]);
		return EXIT_SUCCESS;
	}
	if (oracle < 0)
		err(EXIT_FAILURE, PTE_ORACLE_DEVICE);
	if (argc > 1 && !strcmp(argv[1], "again")) {
		times++;
		at++;
	}
	while (times--)
		for (int i = at; i + 1 < argc; i += 2)
			show(oracle, argv[i], atoi(argv[i + 1]));
	return EXIT_SUCCESS;
}
