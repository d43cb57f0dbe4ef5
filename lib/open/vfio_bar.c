// SPDX-License-Identifier: GPL-2.0-only OR MIT

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio_subregion.h>

#include "vfio_bar.h"

#define PATH_LEN	512
#define BARS		6
/* More than the number of capabilities that fit into configuration space. */
#define CAPABILITIES	48

/* Flags of the kernel's linux/ioport.h, which sysfs shows. */
#define IORESOURCE_IO		0x00000100
#define IORESOURCE_MEM_64	0x00100000
#define IORESOURCE_UNSET	0x20000000

/* A line of the file `resource` in sysfs. */
struct resource {
	unsigned long long start, end, flags;
};

/* The BARs of a device, and its address. */
struct bars {
	char name[PCI_NAME_LEN];
	struct resource bar[BARS];
};

/* Finds the directory in sysfs of a device that was opened by its file. */
static bool find_directory(const struct vfio_device *dev, char path[PATH_LEN])
{
	char line[PATH_LEN];
	FILE *file;

	path[0] = '\0';
	if (dev->bdf[0]) {
		snprintf(path, PATH_LEN, PCI_BUS "/devices/%.31s", dev->bdf);
		return true;
	}
	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", dev->fd);
	file = fopen(line, "r");
	if (!file)
		return false;
	while (!path[0] && fgets(line, sizeof(line), file))
		sscanf(line, "vfio-device-syspath: %511s", path);
	fclose(file);
	return path[0];
}

static bool read_bars(const struct vfio_device *dev, struct bars *bars)
{
	char path[PATH_LEN], file_name[PATH_LEN + 16];
	struct resource *bar;
	bool read = true;
	FILE *file;

	if (!find_directory(dev, path))
		return false;
	snprintf(bars->name, sizeof(bars->name), "%.63s", strrchr(path, '/') + 1);
	snprintf(file_name, sizeof(file_name), "%s/resource", path);
	file = fopen(file_name, "r");
	if (!file)
		return false;
	for (bar = bars->bar; read && bar < bars->bar + BARS; bar++)
		read = fscanf(file, "%llx %llx %llx", &bar->start, &bar->end, &bar->flags) == 3;
	fclose(file);
	return read;
}

/* Reads the region @index; its size is 0 if there is none. */
static struct vfio_region_info region(const struct vfio_device *dev, uint32_t index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		info = (struct vfio_region_info) { };
	return info;
}

static uint32_t read_config(const struct vfio_device *dev, uint32_t at, size_t size)
{
	struct vfio_region_info config = region(dev, VFIO_PCI_CONFIG_REGION_INDEX);
	uint32_t value = 0;

	if (pread(dev->fd, &value, size, (off_t)(config.offset + at)) != (ssize_t)size)
		return 0;
	return value;
}

/* Finds the pages of BAR @bar that have the MSI-X table, which are [@start, @end). */
static bool find_table(const struct vfio_device *dev, uint32_t bar, uint64_t page,
		       uint64_t *start, uint64_t *end)
{
	uint32_t at = read_config(dev, PCI_CAPABILITY_LIST, 1) & ~3U, table, count, i;

	for (i = 0; at && i < CAPABILITIES; i++) {
		if (read_config(dev, at + PCI_CAP_LIST_ID, 1) != PCI_CAP_ID_MSIX) {
			at = read_config(dev, at + PCI_CAP_LIST_NEXT, 1) & ~3U;
			continue;
		}
		table = read_config(dev, at + PCI_MSIX_TABLE, 4);
		count = (read_config(dev, at + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
		*start = (table & PCI_MSIX_TABLE_OFFSET) & -page;
		*end = ((table & PCI_MSIX_TABLE_OFFSET) + count * PCI_MSIX_ENTRY_SIZE + page - 1) &
		       -page;
		return (table & PCI_MSIX_TABLE_BIR) == bar;
	}
	return false;
}

/* Looks at the BAR as a whole. */
static int check_bar(struct vfio_device *dev, const struct bars *bars, uint32_t bar, uint64_t page)
{
	bool mapped = region(dev, bar).flags & VFIO_REGION_INFO_FLAG_MMAP;
	const struct resource *resource = &bars->bar[bar];
	unsigned long long size = resource->end - resource->start + 1;

	if (!resource->flags && bar && bars->bar[bar - 1].flags & IORESOURCE_MEM_64)
		return vfio_failed(dev, EINVAL,
				   "BAR %u of %s is the upper half of BAR %u, which has 64 bits; name BAR %u",
				   bar, bars->name, bar - 1, bar - 1);
	if (!resource->flags)
		return vfio_failed(dev, EINVAL,
				   "%s has no BAR %u; lspci -vv -s %s lists its BARs (\"Region\")",
				   bars->name, bar, bars->name);
	if (resource->flags & IORESOURCE_IO)
		return vfio_failed(dev, EINVAL,
				   "BAR %u of %s has I/O ports, which cannot be mapped; name a memory BAR",
				   bar, bars->name);
	if (resource->flags & IORESOURCE_UNSET)
		return vfio_failed(dev, EINVAL,
				   "BAR %u of %s has no address: neither the firmware nor the kernel found room for it; try pci=realloc on the kernel's command line",
				   bar, bars->name);
	if (size < page)
		return vfio_failed(dev, EINVAL,
				   "BAR %u of %s has %#llx bytes, and a subregion is whole pages of %#llx bytes; %s",
				   bar, bars->name, size, (unsigned long long)page,
				   mapped ? "map the BAR itself, which is strict" :
					    "access it by pread() and pwrite()");
	if (!mapped)
		return vfio_failed(dev, EINVAL,
				   "VFIO does not map BAR %u of %s; access it by pread() and pwrite()",
				   bar, bars->name);
	return 0;
}

/* Looks at the range of a BAR that can be mapped. */
static int check_part(struct vfio_device *dev, const struct bars *bars, uint32_t bar, uint64_t page,
		      uint64_t offset, uint64_t size)
{
	const struct resource *resource = &bars->bar[bar];
	unsigned long long whole = resource->end - resource->start + 1;

	if (!size || offset % page || size % page)
		return vfio_failed(dev, EINVAL,
				   "%#llx bytes at %#llx of BAR %u of %s are no whole pages, of %#llx bytes each; change the range",
				   (unsigned long long)size, (unsigned long long)offset, bar,
				   bars->name, (unsigned long long)page);
	if (offset >= whole || size > whole - offset)
		return vfio_failed(dev, EINVAL,
				   "%#llx bytes at %#llx end beyond BAR %u of %s, which has %#llx bytes; change the range",
				   (unsigned long long)size, (unsigned long long)offset, bar,
				   bars->name, whole);
	return 0;
}

/* Looks whether the range, which exists, shares a page with the MSI-X table. */
static int check_table(struct vfio_device *dev, const struct bars *bars, uint32_t bar,
		       uint64_t page, uint64_t offset, uint64_t size)
{
	const struct resource *resource = &bars->bar[bar];
	uint64_t start, end;

	if (!find_table(dev, bar, page, &start, &end) || offset >= end || start >= offset + size)
		return 0;
	if (!start && end > resource->end - resource->start)
		return vfio_failed(dev, EPERM,
				   "every page of BAR %u of %s has a part of the MSI-X table, which must stay strict; name another BAR",
				   bar, bars->name);
	return vfio_failed(dev, EPERM,
			   "the pages %#llx-%#llx of BAR %u of %s have the MSI-X table, which must stay strict; leave them out",
			   (unsigned long long)start, (unsigned long long)end - 1, bar, bars->name);
}

int vfio_check_range(struct vfio_device *dev, uint32_t bar, uint32_t attribute, uint64_t offset,
		     uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct bars bars;
	int ret;

	if (bar >= BARS)
		return vfio_failed(dev, EINVAL,
				   "there is no BAR %u: BARs have the numbers 0 to 5; name one of these",
				   bar);
	if (!read_bars(dev, &bars)) {
		if (region(dev, bar).flags & VFIO_REGION_INFO_FLAG_MMAP)
			return 0;
		return vfio_failed(dev, EINVAL,
				   "BAR %u cannot be mapped, and sysfs is not there to say why; name another BAR",
				   bar);
	}
	ret = check_bar(dev, &bars, bar, page);
	if (!ret)
		ret = check_part(dev, &bars, bar, page, offset, size);
	if (!ret && attribute == VFIO_SUBREGION_ATTR_WC)
		ret = check_table(dev, &bars, bar, page, offset, size);
	return ret;
}
