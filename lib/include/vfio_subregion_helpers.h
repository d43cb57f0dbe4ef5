/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Helpers for programs in C or C++ that use linux/vfio_subregion.h: mappings that can have large
 * page-table entries, and, from vfio_subregion_io.h, copies, fences and queues. C99 suffices,
 * without _GNU_SOURCE; a program of 32 bits must define _FILE_OFFSET_BITS=64.
 */
#ifndef VFIO_SUBREGION_HELPERS_H
#define VFIO_SUBREGION_HELPERS_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/vfio.h>
#include <linux/vfio_subregion.h>

#include <vfio_subregion_io.h>

/* Offsets of the device file have the number of the region in their upper half. */
extern char vfio_subregion_needs_64_bit_offsets[sizeof(off_t) == 8 ? 1 : -1];

/* In strict C99, the C library hides these. */
#ifdef MAP_ANONYMOUS
#define VFIO_SUBREGION_MAP_ANONYMOUS	MAP_ANONYMOUS
#else
#define VFIO_SUBREGION_MAP_ANONYMOUS	0x20
#endif
#ifdef O_CLOEXEC
#define VFIO_SUBREGION_O_CLOEXEC	O_CLOEXEC
#else
#define VFIO_SUBREGION_O_CLOEXEC	02000000
#endif
/* Linux's limit. */
#define VFIO_SUBREGION_PATH_MAX		4096

/**
 * vfio_subregion_map_at() - maps @size bytes from @offset of a file on, with the protection @prot
 *
 * The kernel can use large entries if the lower bits of the address and @place agree: entries of
 * 2 MiB (32 MiB with pages of 16 KiB), and of 1 GiB where the kernel makes them. Since mmap() does
 * not choose such an address by itself, this reserves more address space than needed and puts the
 * mapping into the suitable part of it.
 *
 * For the file of an export, @place is the offset in the BAR of the first byte; for the device
 * file it is @offset.
 *
 * Returns MAP_FAILED and sets errno on failure; munmap() with the same @size ends the mapping.
 */
VFIO_SUBREGION_INLINE void *vfio_subregion_map_at(int file, int prot, uint64_t offset,
						  uint64_t size, uint64_t place)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	/* What a table of pages maps. */
	const size_t table = page / 8 * page;
	const size_t align = size >= 1UL << 30 ? 1UL << 30 : size >= table ? table : 1;
	/* The whole pages that mmap() maps. */
	const size_t whole = ((size_t)size + page - 1) & ~(page - 1);
	const size_t room = whole + align - 1;
	size_t skip;
	char *hole;
	void *map;

	/* This also refuses a @size that does not fit into a size_t of 32 bits. */
	if (whole < size || room < whole) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	hole = (char *)mmap(NULL, room, PROT_NONE, MAP_PRIVATE | VFIO_SUBREGION_MAP_ANONYMOUS, -1,
			    0);
	if ((void *)hole == MAP_FAILED)
		return mmap(NULL, (size_t)size, prot, MAP_SHARED, file, (off_t)offset);
	skip = ((size_t)place - (size_t)hole) & (align - 1);
	map = mmap(hole + skip, (size_t)size, prot, MAP_SHARED | MAP_FIXED, file, (off_t)offset);
	/* A limit can forbid the hole, or hole and mapping, and still permit the mapping alone. */
	if (map == MAP_FAILED) {
		munmap(hole, room);
		return mmap(NULL, (size_t)size, prot, MAP_SHARED, file, (off_t)offset);
	}
	/* @skip is whole pages, because mmap() accepts only such a @place and @offset. */
	if (skip)
		munmap(hole, skip);
	if (align - 1 > skip)
		munmap(hole + skip + whole, align - 1 - skip);
	return map;
}

/** vfio_subregion_map() - maps @size bytes of a region from @offset of the device file on */
VFIO_SUBREGION_INLINE void *vfio_subregion_map(int device, uint64_t offset, uint64_t size)
{
	return vfio_subregion_map_at(device, PROT_READ | PROT_WRITE, offset, size, offset);
}

/**
 * vfio_subregion_export() - performs VFIO_SUBREGION_EXPORT
 *
 * @open_flags: O_RDONLY or O_RDWR, and O_CLOEXEC or not
 *
 * The file can be sent to another process (SCM_RIGHTS), which needs no other right to use it.
 *
 * Returns the file descriptor, or -1 and sets errno on failure.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_export(int device, uint32_t index, uint32_t open_flags)
{
	struct vfio_subregion_export request = { 0, 0, 0, 0, 0, 0 };

	request.argsz = sizeof(request);
	request.index = index;
	request.open_flags = open_flags;
	return ioctl(device, VFIO_SUBREGION_EXPORT, &request) ? -1 : request.fd;
}

/**
 * vfio_subregion_dma_buf() - opens a part of a subregion as a dma-buf, for other devices
 *
 * @size bytes from @offset of the subregion, both multiples of the page size.
 *
 * @open_flags: O_RDONLY or O_RDWR, and O_CLOEXEC or not
 *
 * Returns the file descriptor, or -1 and sets errno on failure.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_dma_buf(int device, uint32_t index, uint64_t offset,
						 uint64_t size, uint32_t open_flags)
{
	/* struct vfio_device_feature_dma_buf with a range, which older headers lack. */
	struct {
		uint32_t argsz, feature_flags;
		uint32_t index, open_flags, flags, ranges;
		uint64_t offset, length;
	} request;

	memset(&request, 0, sizeof(request));
	request.argsz = sizeof(request);
	request.feature_flags = VFIO_DEVICE_FEATURE_GET | 11;
	request.index = index;
	request.open_flags = open_flags;
	request.ranges = 1;
	request.offset = offset;
	request.length = size;
	return ioctl(device, VFIO_DEVICE_FEATURE, &request);
}

/* Performs VFIO_SUBREGION_DESTROY. */
static inline int vfio_subregion_destroy(int device, uint32_t index)
{
	struct vfio_subregion_destroy destroy;

	memset(&destroy, 0, sizeof(destroy));
	destroy.argsz = sizeof(destroy);
	destroy.index = index;
	return ioctl(device, VFIO_SUBREGION_DESTROY, &destroy);
}

/**
 * vfio_subregion_create_map() - performs VFIO_SUBREGION_CREATE and maps the subregion
 *
 * @create has all inputs except argsz, and gets the outputs. If the subregion cannot be mapped, it
 * is destroyed again. vfio_subregion_unmap_destroy() ends both.
 *
 * Returns MAP_FAILED and sets errno on failure; vfio_subregion_busy() describes an EBUSY.
 */
VFIO_SUBREGION_INLINE void *vfio_subregion_create_map(int device,
						      struct vfio_subregion_create *create)
{
	void *map;
	int error;

	create->argsz = sizeof(*create);
	create->busy = 0;
	if (ioctl(device, VFIO_SUBREGION_CREATE, create))
		return MAP_FAILED;
	map = vfio_subregion_map(device, create->mmap_offset, create->size);
	if (map == MAP_FAILED) {
		error = errno;
		vfio_subregion_destroy(device, create->index);
		errno = error;
	}
	return map;
}

/**
 * vfio_subregion_unmap_destroy() - ends a mapping of vfio_subregion_create_map(), and its subregion
 *
 * @create is that of the call, with its outputs.
 *
 * It first flushes the stores of this thread. Other threads and processes that stored to it
 * must have called vfio_subregion_flush_stores().
 *
 * Returns 0, or -1 with the errno of VFIO_SUBREGION_DESTROY; then only the mapping has ended.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_unmap_destroy(int device,
						       const struct vfio_subregion_create *create,
						       void *map)
{
	vfio_subregion_flush_stores();
	munmap(map, (size_t)create->size);
	return vfio_subregion_destroy(device, create->index);
}

/**
 * vfio_subregion_busy() - describes the reason for EBUSY in words
 *
 * @busy is the field of this name in struct vfio_subregion_create or vfio_region_set_attr. The
 * text also says what to do. A program prints it after what has failed, such as "no subregion: ".
 * That of struct vfio_subregion_query can have several bits or none: a program passes each bit.
 */
VFIO_SUBREGION_INLINE const char *vfio_subregion_busy(uint32_t busy)
{
	if (busy & VFIO_SUBREGION_BUSY_BAR)
		return "another driver (a framebuffer's?) had the BAR at open; end it and reopen";
	if (busy & VFIO_SUBREGION_BUSY_SUBREGION)
		return "the BAR has a subregion; destroy it first";
	if (busy & VFIO_SUBREGION_BUSY_MAPPED)
		return "the BAR is mapped; unmap it first, in every process";
	if (busy & VFIO_SUBREGION_BUSY_IOEVENTFD)
		return "an ioeventfd keeps the type of a page; remove it first";
	if (busy & VFIO_SUBREGION_BUSY_STRAY)
		return "another mapping (resourceN_wc?) decides the type of a page; end it";
	if (busy & VFIO_SUBREGION_BUSY_TYPE)
		return "another mapping (resourceN?) gives a page another type; end it";
	return "it is in use, and this version of the driver does not say by what";
}

/* The interface that a mapping was made through. */
enum vfio_subregion_source {
	/* A subregion. */
	VFIO_SUBREGION_SOURCE_SUBREGION,
	/*
	 * The file resourceN_wc in sysfs. VFIO does not know this mapping, so a reset does not
	 * revoke it: the program must not access it while the device is being reset.
	 */
	VFIO_SUBREGION_SOURCE_SYSFS,
	/* The BAR's own region, as on vfio-pci. */
	VFIO_SUBREGION_SOURCE_BAR,
};

/**
 * struct vfio_subregion_mapping - a mapping of vfio_subregion_map_best()
 * @map: the first byte
 * @size: the size in bytes
 * @attribute: VFIO_SUBREGION_ATTR_*: which of the wanted attributes it has
 * @source: where it comes from
 * @index: the region: the subregion, or the BAR
 * @busy: for vfio_subregion_busy(), why the first wanted attribute was not possible, if that was
 *	EBUSY; otherwise 0
 */
struct vfio_subregion_mapping {
	void *map;
	uint64_t size;
	uint32_t attribute;
	enum vfio_subregion_source source;
	uint32_t index;
	uint32_t busy;
};

/**
 * vfio_subregion_region_info() - returns a region with its capabilities, for free()
 *
 * Returns NULL and sets errno on failure.
 */
VFIO_SUBREGION_INLINE struct vfio_region_info *vfio_subregion_region_info(int device,
									  uint32_t index)
{
	struct vfio_region_info *info = NULL, *longer;
	uint32_t size = sizeof(*info);

	for (;;) {
		longer = (struct vfio_region_info *)realloc(info, size);
		if (!longer)
			break;
		info = longer;
		memset(info, 0, sizeof(*info));
		info->argsz = size;
		info->index = index;
		if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info))
			break;
		/* If the capabilities do not fit, argsz has the size that they need. */
		if (info->argsz <= size)
			return info;
		size = info->argsz;
	}
	free(info);
	return NULL;
}

/* Returns the attribute of a BAR's own mappings, or -1 with errno if @offset is claimed. */
static inline int vfio_subregion_bar_attribute(const struct vfio_region_info *info, uint64_t offset,
					       uint64_t size)
{
	const struct vfio_region_info_cap_claims *claims;
	const struct vfio_info_cap_header *cap;
	uint32_t at, i;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return VFIO_SUBREGION_ATTR_NONCACHED;
	for (at = info->cap_offset; at; at = cap->next) {
		cap = (const struct vfio_info_cap_header *)((const char *)info + at);
		if (cap->id != VFIO_REGION_INFO_CAP_CLAIMS)
			continue;
		claims = (const struct vfio_region_info_cap_claims *)cap;
		for (i = 0; i < claims->nr_claims; i++) {
			if (claims->claims[i].offset < offset + size &&
			    offset < claims->claims[i].offset + claims->claims[i].size) {
				errno = EEXIST;
				return -1;
			}
		}
		return (int)claims->attribute;
	}
	return VFIO_SUBREGION_ATTR_NONCACHED;
}

/* Maps a part of the BAR itself, if it is strict and no subregion has claimed any of that part. */
static inline void *vfio_subregion_map_bar(int device, uint32_t bar, uint64_t offset, uint64_t size)
{
	struct vfio_region_info *info = vfio_subregion_region_info(device, bar);
	void *map = MAP_FAILED;
	int attribute, error;

	if (!info)
		return MAP_FAILED;
	errno = EINVAL;
	if (offset <= info->size && size <= info->size - offset)
		map = vfio_subregion_map(device, info->offset + offset, size);
	free(info);
	if (map == MAP_FAILED)
		return MAP_FAILED;
	/* The attribute of a BAR cannot change from now on, while it is mapped. */
	info = vfio_subregion_region_info(device, bar);
	attribute = info ? vfio_subregion_bar_attribute(info, offset, size) : -1;
	error = attribute < 0 ? errno : EBUSY;
	free(info);
	if (attribute == VFIO_SUBREGION_ATTR_NONCACHED)
		return map;
	munmap(map, (size_t)size);
	errno = error;
	return MAP_FAILED;
}

/* Maps a part of a BAR through the directory in sysfs that /proc/self/fdinfo names. */
static inline void *vfio_subregion_map_sysfs(int device, uint32_t bar, uint64_t offset,
					     uint64_t size)
{
	char info[64], line[VFIO_SUBREGION_PATH_MAX], path[VFIO_SUBREGION_PATH_MAX + 32] = "";
	void *map;
	FILE *file;
	int fd;

	snprintf(info, sizeof(info), "/proc/self/fdinfo/%d", device);
	file = fopen(info, "r");
	if (!file)
		return MAP_FAILED;
	while (!*path && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "vfio-device-syspath: ", 21))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "%s/resource%u_wc", line + 21, bar);
	}
	fclose(file);
	fd = open(path, O_RDWR | VFIO_SUBREGION_O_CLOEXEC);
	if (fd < 0)
		return MAP_FAILED;
	map = vfio_subregion_map(fd, offset, size);
	close(fd);
	return map;
}

/**
 * vfio_subregion_map_best() - maps a part of a BAR with the first possible attribute of @wanted
 *
 * A driver that prefers write combining but works without it needs no other code for vfio-pci: @got
 * says what it got, and vfio_subregion_copy() works on every type. These ways are tried:
 *
 *  - for VFIO_SUBREGION_ATTR_NONCACHED, a mapping of the BAR itself, with any driver;
 *  - for the others, a subregion;
 *  - for VFIO_SUBREGION_ATTR_WC, if the driver has no subregions, the file resourceN_wc in sysfs.
 *    Its rights must allow that, the BAR must be prefetchable, and the kernel must allow mappings
 *    of memory that a driver has (iomem=relaxed, or no CONFIG_IO_STRICT_DEVMEM). On x86 it is not
 *    tried: while VFIO has the device open, such a mapping is uncached, and the kernel does not
 *    say so.
 *
 * Returns 0, or -1 with the errno of the first attribute if none is possible.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_map_best(int device, uint32_t bar, uint64_t offset,
						  uint64_t size, const uint32_t *wanted,
						  size_t count, struct vfio_subregion_mapping *got)
{
	struct vfio_subregion_create create;
	int error = 0;
	size_t i;

	got->busy = 0;
	for (i = 0; i < count; i++) {
		got->size = size;
		got->attribute = wanted[i];
		got->index = bar;
		got->source = VFIO_SUBREGION_SOURCE_BAR;
		if (wanted[i] == VFIO_SUBREGION_ATTR_NONCACHED) {
			got->map = vfio_subregion_map_bar(device, bar, offset, size);
		} else {
			memset(&create, 0, sizeof(create));
			create.parent = bar;
			create.attribute = wanted[i];
			create.offset = offset;
			create.size = size;
			got->map = vfio_subregion_create_map(device, &create);
			got->index = create.index;
			got->source = VFIO_SUBREGION_SOURCE_SUBREGION;
			if (!i)
				got->busy = create.busy;
		}
		if (got->map != MAP_FAILED)
			return 0;
		if (!i)
			error = errno;
#if defined(__aarch64__)
		if (wanted[i] == VFIO_SUBREGION_ATTR_WC && errno == ENOTTY) {
			got->map = vfio_subregion_map_sysfs(device, bar, offset, size);
			got->index = bar;
			got->source = VFIO_SUBREGION_SOURCE_SYSFS;
			if (got->map != MAP_FAILED)
				return 0;
		}
#endif
	}
	errno = count ? error : EINVAL;
	return -1;
}

/**
 * vfio_subregion_unmap() - unmaps a result of vfio_subregion_map_best(), and ends its subregion
 *
 * It first flushes the stores of this thread. Other threads and processes that stored to it
 * must have called vfio_subregion_flush_stores().
 */
VFIO_SUBREGION_INLINE void vfio_subregion_unmap(int device,
						const struct vfio_subregion_mapping *mapping)
{
	vfio_subregion_flush_stores();
	munmap(mapping->map, (size_t)mapping->size);
	if (mapping->source == VFIO_SUBREGION_SOURCE_SUBREGION)
		vfio_subregion_destroy(device, mapping->index);
}

/**
 * struct vfio_subregion_part - a part of a BAR for vfio_subregion_map_layout()
 * @offset: where it begins
 * @size: its size in bytes
 * @wanted: the attributes that the driver can work with, the best one first
 * @count: the number of these attributes
 */
struct vfio_subregion_part {
	uint64_t offset;
	uint64_t size;
	const uint32_t *wanted;
	size_t count;
};

/**
 * vfio_subregion_map_layout() - maps @count parts of a BAR, each as vfio_subregion_map_best() does
 *
 * @got has room for @count mappings.
 *
 * Returns 0, or -1 with errno; then nothing is mapped, and the subregions of the other parts are
 * destroyed. EINVAL if two parts overlap. After EBUSY, the first of @got has the reason.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_map_layout(int device, uint32_t bar,
						    const struct vfio_subregion_part *parts,
						    size_t count,
						    struct vfio_subregion_mapping *got)
{
	const struct vfio_subregion_part *a, *b;
	uint32_t busy;
	size_t i;
	int error;

	for (a = parts; a < parts + count; a++) {
		for (b = parts; b < a; b++) {
			if (a->offset < b->offset + b->size && b->offset < a->offset + a->size) {
				errno = EINVAL;
				return -1;
			}
		}
	}
	for (i = 0; i < count; i++) {
		if (!vfio_subregion_map_best(device, bar, parts[i].offset, parts[i].size,
					     parts[i].wanted, parts[i].count, &got[i]))
			continue;
		error = errno;
		busy = got[i].busy;
		while (i--)
			vfio_subregion_unmap(device, &got[i]);
		got->busy = busy;
		errno = error;
		return -1;
	}
	return 0;
}

#endif /* VFIO_SUBREGION_HELPERS_H */
