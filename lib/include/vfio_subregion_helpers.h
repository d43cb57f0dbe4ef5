/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What a program in C or C++ needs beside linux/vfio_subregion.h to use a subregion: a mapping that
 * can have large page-table entries, and the fences. Needs _GNU_SOURCE, and in 32-bit programs
 * _FILE_OFFSET_BITS=64.
 */
#ifndef VFIO_SUBREGION_HELPERS_H
#define VFIO_SUBREGION_HELPERS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/vfio_subregion.h>

/**
 * vfio_subregion_map() - maps @size bytes of a region from @offset of the device file on
 *
 * The kernel can use entries of 2 MiB or 1 GiB where address and offset agree in the lower bits. The
 * address that mmap() picks by itself need not, so a hole with room for one that does is taken first
 * and the mapping put into it.
 *
 * Returns MAP_FAILED and sets errno on failure.
 */
static inline void *vfio_subregion_map(int device, uint64_t offset, size_t size)
{
	const size_t align = size >= 1UL << 30 ? 1UL << 30 : size >= 2UL << 20 ? 2UL << 20 : 1;
	const size_t room = size + align - 1;
	size_t skip;
	char *hole;
	void *map;
	int error;

	if (room < size) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	hole = (char *)mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if ((void *)hole == MAP_FAILED)
		return MAP_FAILED;
	skip = ((size_t)offset - (size_t)hole) & (align - 1);
	map = mmap(hole + skip, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device,
		   offset);
	if (map == MAP_FAILED) {
		error = errno;
		munmap(hole, room);
		errno = error;
		return MAP_FAILED;
	}
	/* @size is whole pages, or mmap() would have failed, and so is what is left. */
	if (skip)
		munmap(hole, skip);
	if (align - 1 > skip)
		munmap(hole + skip + size, align - 1 - skip);
	return map;
}

/**
 * vfio_subregion_create_map() - performs VFIO_SUBREGION_CREATE and maps the subregion
 *
 * @create has the inputs but for argsz; its outputs are there afterwards. When the subregion cannot
 * be mapped it is destroyed again.
 *
 * Returns MAP_FAILED and sets errno on failure.
 */
static inline void *vfio_subregion_create_map(int device, struct vfio_subregion_create *create)
{
	struct vfio_subregion_destroy destroy = { 0, 0, 0, 0 };
	void *map;
	int error;

	create->argsz = sizeof(*create);
	if (ioctl(device, VFIO_SUBREGION_CREATE, create))
		return MAP_FAILED;
	map = vfio_subregion_map(device, create->mmap_offset, create->size);
	if (map == MAP_FAILED) {
		error = errno;
		destroy.argsz = sizeof(destroy);
		destroy.index = create->index;
		ioctl(device, VFIO_SUBREGION_DESTROY, &destroy);
		errno = error;
	}
	return map;
}

/*
 * Ordering of stores to write-combining memory.
 *
 * Stores through a WC mapping wait in the CPU's buffers, in any order, until a buffer is full, is
 * needed for something else or is told to empty. Within one ring that is what makes it fast; at
 * two points it has to be ended:
 *
 *  - Before a doorbell. The doorbell is a store to a register through a strict mapping, and tells
 *    the device to read the descriptors. Nothing orders it after stores of another memory type, so
 *    that the device could be told of descriptors that are still in the CPU. A doorbell that lies
 *    in the WC window itself needs the fence just as well, and a second one to push it out.
 *
 *  - Before data has to be there at a certain time, for example as "low latency" queues do that
 *    write the descriptor itself to the device and ring no doorbell.
 *
 * Between descriptors no fence is needed, and each one costs: fence a batch, not an entry.
 */

/** vfio_subregion_fence() - orders stores to WC memory before it before any store after it */
static inline void vfio_subregion_fence(void)
{
#if defined(__x86_64__) || defined(__i386__)
	/* Empties the WC buffers; what follows waits for them. */
	__asm__ volatile("sfence" ::: "memory");
#elif defined(__aarch64__)
	/*
	 * Normal-NC before Device, as seen by the device: the outer shareable domain. This orders;
	 * "dsb st" would also wait, and is for the second of the cases above.
	 */
	__asm__ volatile("dmb oshst" ::: "memory");
#else
#error "no store fence is known for this architecture"
#endif
}

/** vfio_subregion_flush() - the same, and pushes the stores out although no store follows */
static inline void vfio_subregion_flush(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dsb st" ::: "memory");
#else
	vfio_subregion_fence();
#endif
}

#endif /* VFIO_SUBREGION_HELPERS_H */
