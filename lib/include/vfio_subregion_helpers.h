/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What a program in C or C++ needs beside linux/vfio_subregion.h to use a subregion: a mapping
 * that can have large page-table entries, a copy by ascending stores, and the fences. Needs
 * _GNU_SOURCE, and in 32-bit programs _FILE_OFFSET_BITS=64.
 */
#ifndef VFIO_SUBREGION_HELPERS_H
#define VFIO_SUBREGION_HELPERS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/vfio_subregion.h>

/* Of the device file; smaller ones would lose the BAR's number. */
extern char vfio_subregion_needs_64_bit_offsets[sizeof(off_t) == 8 ? 1 : -1];

/**
 * vfio_subregion_map_at() - maps @size bytes from @offset of a file on, with the protection @prot
 *
 * The kernel can use large entries where the address and @place agree in the lower bits: of 2 MiB
 * now, of 1 GiB when its memory management can split them. The address that mmap() picks by itself
 * need not, so a hole with room for one that does is taken first and the mapping put into it.
 *
 * For the file of an export, @place is the offset in the BAR of the first byte; for the device
 * file it is @offset.
 *
 * Returns MAP_FAILED and sets errno on failure; munmap() with the same @size ends the mapping.
 */
static inline void *vfio_subregion_map_at(int file, int prot, uint64_t offset, uint64_t size,
					  uint64_t place)
{
	const size_t align = size >= 1UL << 30 ? 1UL << 30 : size >= 2UL << 20 ? 2UL << 20 : 1;
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	/* What mmap() makes of it, and munmap() must be told. */
	const size_t whole = ((size_t)size + page - 1) & ~(page - 1);
	const size_t room = whole + align - 1;
	size_t skip;
	char *hole;
	void *map;
	int error;

	/* Also where size_t has 32 bits and @size does not fit. */
	if (whole < size || room < whole) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	hole = (char *)mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if ((void *)hole == MAP_FAILED)
		return MAP_FAILED;
	skip = ((size_t)place - (size_t)hole) & (align - 1);
	map = mmap(hole + skip, (size_t)size, prot, MAP_SHARED | MAP_FIXED, file, (off_t)offset);
	if (map == MAP_FAILED) {
		error = errno;
		munmap(hole, room);
		errno = error;
		return MAP_FAILED;
	}
	/* @place and @offset begin a page, or mmap() would have failed: @skip is whole pages. */
	if (skip)
		munmap(hole, skip);
	if (align - 1 > skip)
		munmap(hole + skip + whole, align - 1 - skip);
	return map;
}

/** vfio_subregion_map() - maps @size bytes of a region from @offset of the device file on */
static inline void *vfio_subregion_map(int device, uint64_t offset, uint64_t size)
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
static inline int vfio_subregion_export(int device, uint32_t index, uint32_t open_flags)
{
	struct vfio_subregion_export request = { 0, 0, 0, 0, 0, 0 };

	request.argsz = sizeof(request);
	request.index = index;
	request.open_flags = open_flags;
	return ioctl(device, VFIO_SUBREGION_EXPORT, &request) ? -1 : request.fd;
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

/**
 * vfio_subregion_copy() - copies @size bytes to write-combining memory by ascending stores
 *
 * Of 8 bytes where @to is aligned, of single bytes before and behind, each of them once: what fills
 * a whole buffer of the CPU leaves as one burst. memcpy() promises none of that, and a compiler may
 * take it apart.
 */
static inline void vfio_subregion_copy(volatile void *to, const void *from, size_t size)
{
	const unsigned char *source = (const unsigned char *)from;
	volatile unsigned char *bytes = (volatile unsigned char *)to;
	volatile uint64_t *words;
	uint64_t word;

	for (; size && (uintptr_t)bytes % sizeof(word); size--)
		*bytes++ = *source++;
	words = (volatile uint64_t *)(volatile void *)bytes;
	for (; size >= sizeof(word); size -= sizeof(word), source += sizeof(word)) {
		memcpy(&word, source, sizeof(word));
		*words++ = word;
	}
	bytes = (volatile unsigned char *)words;
	for (; size; size--)
		*bytes++ = *source++;
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

/**
 * vfio_subregion_load_fence() - orders loads of ordinary memory before it before any load after it
 *
 * For what is read after a flag that the device set in memory by DMA.
 */
static inline void vfio_subregion_load_fence(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshld" ::: "memory");
#else
	/* x86 orders such loads by itself; the compiler has to be told. */
	__asm__ volatile("" ::: "memory");
#endif
}

#endif /* VFIO_SUBREGION_HELPERS_H */
