// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VFIO program that knows nothing of write combining, for the test of vfio-wc. WHAT is the number
 * of a BAR, or BAR+OFFSET for its page at this offset.
 *
 *	wc_client [again] DEVICE WHAT [DEVICE WHAT]...
 *
 * opens each device, maps the BAR, and prints the type that the page tables have for it, or for the
 * page. With `again` it does all of this a second time in the same process.
 *
 *	wc_client pieces DEVICE BAR OFFSET SIZE
 *
 * maps a part of the BAR to a fixed address, changes the mapping page by page, and prints the types
 * of all its pages after each change.
 *
 *	wc_client lends DEVICE PROGRAM [ARGUMENT]...
 *	wc_client uses DEVICE PROGRAM [ARGUMENT]...
 *	wc_client given BAR OFFSET SIZE
 *
 * `lends` opens the device and becomes PROGRAM, which gets the device's file as descriptor GIVEN.
 * `uses` maps BAR 2 while PROGRAM runs. `given` maps a part of the BAR of descriptor GIVEN
 * through a copy of this descriptor, and prints the types.
 *
 *	wc_client mute OTHER DEVICE WHAT
 *
 * opens OTHER under the number of stderr first, and prints the first four bytes of its BAR 0 last.
 *
 *	wc_client ignoring DEVICE
 *
 * binds the device's own file to an iommufd, ignores the result, and prints whether it has the
 * device.
 *
 *	wc_client capable FILE
 *
 * gives the file a capability, as setcap does.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/capability.h>

#include "iommufd.h"
#include "pte_oracle.h"
#include "vfio_open.h"

#define GIVEN	99

static int oracle;

/* Opens the device by its own file, if the kernel has iommufd, or by its group. */
static void open_device(struct vfio_device *dev, const char *address)
{
	if (access("/dev/iommu", F_OK) ? vfio_open_group(dev, address, NULL) :
					 vfio_open_file(dev, address))
		errx(EXIT_FAILURE, "%s", dev->error);
}

/* Maps @size bytes of the BAR from @offset on, or all of them, and sets @size, if it is zero. */
static char *map_bar(int device, unsigned int bar, uint64_t offset, size_t *size, void *address)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };
	char *map;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		err(EXIT_FAILURE, "the region");
	if (!*size)
		*size = info.size;
	map = mmap(address, *size, PROT_READ | PROT_WRITE, MAP_SHARED | (address ? MAP_FIXED : 0),
		   device, info.offset + offset);
	if (map == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");
	return map;
}

static const char *type_at(struct pte_oracle *pte, const volatile char *map)
{
	(void)*map;
	pte->address = (uintptr_t)map;
	if (ioctl(oracle, PTE_ORACLE_READ, pte))
		err(EXIT_FAILURE, "the oracle");
	return pte->name;
}

static void show(const char *address, const char *what)
{
	struct pte_oracle pte = {};
	struct vfio_device dev;
	char *at, *map;
	unsigned int bar = strtoul(what, &at, 0);
	uint64_t offset = strtoull(at, NULL, 0);
	size_t size = 0;

	open_device(&dev, address);
	map = map_bar(dev.fd, bar, 0, &size, NULL);
	printf("BAR %s of %s by its %s: %s\n", what, dev.bdf, dev.iommufd < 0 ? "group" : "file",
	       type_at(&pte, map + offset));
	munmap(map, size);
	vfio_device_close(&dev);
}

/* Prints the types of the pages from @map on, by name of each run: "TYPE PAGES, TYPE PAGES". */
static void show_runs(const char *when, const char *map, size_t size)
{
	struct pte_oracle pte[2] = {};
	size_t page = sysconf(_SC_PAGESIZE), run = 0;

	printf("%s:", when);
	for (size_t at = 0; at < size; at += page, run++) {
		if (!strcmp(type_at(&pte[1], map + at), pte[0].name))
			continue;
		if (at)
			printf(" %zu,", run);
		printf(" %s", pte[1].name);
		pte[0] = pte[1];
		run = 0;
	}
	printf(" %zu\n", run);
}

static void show_pieces(const char *address, unsigned int bar, uint64_t offset, size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *room = mmap(NULL, 4 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *moved = room + 2 * size, *map;
	struct vfio_device dev;

	open_device(&dev, address);
	map = map_bar(dev.fd, bar, offset, &size, room);
	show_runs("fixed", map, size);
	if (!fork()) {
		show_runs("child", map, size);
		exit(EXIT_SUCCESS);
	}
	wait(NULL);
	for (size_t at = 0; at < size; at += page)
		if (mremap(map + at, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, moved + at) ==
		    MAP_FAILED)
			err(EXIT_FAILURE, "mremap");
	show_runs("moved", moved, size);
	for (size_t at = 0; at < size; at += 2 * page)
		if (munmap(moved + at, page))
			err(EXIT_FAILURE, "munmap");
	for (size_t at = 0, part = page - 1; at < size; at += 2 * page)
		map_bar(dev.fd, bar, offset + at, &part, moved + at);
	show_runs("mended", moved, size);
	if (mprotect(moved, size, PROT_READ))
		err(EXIT_FAILURE, "mprotect");
	show_runs("protected", moved, size);
}

static void lend(const char *address, bool also_uses, char **program)
{
	struct vfio_device dev;

	open_device(&dev, address);
	if (dup2(dev.fd, GIVEN) < 0)
		err(EXIT_FAILURE, "dup2");
	if (also_uses) {
		size_t size = 0;
		int status;

		map_bar(dev.fd, 2, 0, &size, NULL);
		if (fork()) {
			wait(&status);
			exit(WEXITSTATUS(status));
		}
	}
	execv(program[0], program);
	err(EXIT_FAILURE, "%s", program[0]);
}

static void mute(const char *other, char **arguments)
{
	struct vfio_region_info info = { .argsz = sizeof(info) };
	struct vfio_device dev;
	uint32_t value;

	open_device(&dev, other);
	if (dup2(dev.fd, STDERR_FILENO) < 0)
		err(EXIT_FAILURE, "dup2");
	show(arguments[0], arguments[1]);
	if (ioctl(dev.fd, VFIO_DEVICE_GET_REGION_INFO, &info) ||
	    pread(dev.fd, &value, sizeof(value), info.offset) != sizeof(value))
		_exit(EXIT_FAILURE);
	printf("BAR 0 of %s begins with %#x\n", dev.bdf, value);
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
	const char *mode = argc > 1 ? argv[1] : "";
	bool again = !strcmp(mode, "again");

	oracle = open(PTE_ORACLE_DEVICE, O_RDWR | O_CLOEXEC);
	setlinebuf(stdout);
	if (argc == 3 && !strcmp(mode, "capable")) {
		make_capable(argv[2]);
		return EXIT_SUCCESS;
	}
	if (argc == 3 && !strcmp(mode, "ignoring")) {
		ignore(argv[2]);
		return EXIT_SUCCESS;
	}
	if (oracle < 0)
		err(EXIT_FAILURE, PTE_ORACLE_DEVICE);
	if (argc > 3 && (!strcmp(mode, "lends") || !strcmp(mode, "uses")))
		lend(argv[2], !strcmp(mode, "uses"), argv + 3);
	if (argc == 5 && !strcmp(mode, "mute")) {
		mute(argv[2], argv + 3);
		return EXIT_SUCCESS;
	}
	if (argc == 6 && !strcmp(mode, "pieces")) {
		show_pieces(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 0),
			    strtoull(argv[5], NULL, 0));
		return EXIT_SUCCESS;
	}
	if (argc == 5 && !strcmp(mode, "given")) {
		size_t size = strtoull(argv[4], NULL, 0);
		char *map = map_bar(dup(GIVEN), atoi(argv[2]), strtoull(argv[3], NULL, 0), &size,
				    NULL);

		show_runs("given", map, size);
		return EXIT_SUCCESS;
	}
	for (int times = again ? 2 : 1; times; times--)
		for (int i = again ? 2 : 1; i + 1 < argc; i += 2)
			show(argv[i], argv[i + 1]);
	return EXIT_SUCCESS;
}
