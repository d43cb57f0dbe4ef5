/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Accesses to mapped device memory for programs in C and C++: fences, copies, the producer of a
 * ring, and, from vfio_subregion_lines.h, loads and stores of words. All functions take pointers,
 * so in the unit tests of a driver ordinary memory can take the place of a device's: an array that
 * is aligned to 64 will do.
 *
 * The Rust crate has the same under the same names.
 */
#ifndef VFIO_SUBREGION_IO_H
#define VFIO_SUBREGION_IO_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vfio_subregion_lines.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Fences
 *
 * Stores through a write-combining mapping wait in buffers of the CPU, in any order, until a buffer
 * is full, is needed for something else, or is told to empty. Within a batch of descriptors that
 * is what makes them fast, so they need no fence between them. On an x86 CPU with MOVDIR64B the
 * same is true of lines that are copied to memory of any type. A driver needs a fence at five
 * moments:
 *
 *  1. Between descriptors and their doorbell: vfio_subregion_order_stores(). Nothing else orders
 *     the store to a strict register behind stores to write-combining memory, or behind copied
 *     lines.
 *  2. Between a doorbell and the next store to a slot that is used again:
 *     vfio_subregion_order_stores(). Without it the device may find the new descriptor where the
 *     doorbell announced the old one.
 *  3. Before a lock that protects the queue is released: vfio_subregion_flush_stores(). Unlocking
 *     does not order write-combining stores, not even on x86. The same fence comes before a reset,
 *     before VFIO_SUBREGION_DESTROY, and after stores that no doorbell follows.
 *  4. Between the load of a flag that the device sets in memory and the loads of what the flag
 *     announces: vfio_subregion_order_loads().
 *  5. Before a store to a slot that the device acts on without a doorbell (it looks for a valid
 *     bit, or takes the slot itself as the doorbell), if the slot announces other stores, to a
 *     buffer in memory for example: vfio_subregion_order_stores().
 *
 * struct vfio_subregion_queue issues fences 1 and 2, and vfio_subregion_queue_release() issues
 * fence 3. The driver issues fences 4 and 5 itself.
 */

/** vfio_subregion_order_stores() - every store before it reaches the device before any after it */
VFIO_SUBREGION_INLINE void vfio_subregion_order_stores(void)
{
#if defined(__aarch64__)
	/* The device is an observer in the outer shareable domain. */
	__asm__ volatile("dmb oshst" ::: "memory");
#else
	/* Empties the write-combining buffers; later stores wait for that. */
	__asm__ volatile("sfence" ::: "memory");
#endif
}

/** vfio_subregion_flush_stores() - also pushes stores out of the CPU although no store follows */
VFIO_SUBREGION_INLINE void vfio_subregion_flush_stores(void)
{
#if defined(__aarch64__)
	/* Completes when the stores have; dmb would order them and leave them in a buffer. */
	__asm__ volatile("dsb st" ::: "memory");
#else
	vfio_subregion_order_stores();
#endif
}

/**
 * vfio_subregion_order_loads() - orders loads of ordinary memory, to which the device writes by DMA
 *
 * Every load before it is done before any load after it. Loads of write-combining memory are not
 * ordered by it on x86.
 */
VFIO_SUBREGION_INLINE void vfio_subregion_order_loads(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshld" ::: "memory");
#else
	/* x86 orders these loads, so only the compiler has to. */
	__asm__ volatile("" ::: "memory");
#endif
}

/** vfio_subregion_write_line() - writes 64 bytes as one block; @to is a multiple of 64 */
VFIO_SUBREGION_INLINE void vfio_subregion_write_line(volatile void *to, const void *from)
{
	const vfio_subregion_copy_lines line = VFIO_SUBREGION_IN_USE(line);

#if defined(__aarch64__)
	if (!line) {
		vfio_subregion_store_stp(to, from);
		return;
	}
#endif
	line(to, from, 1);
}

/* Copies less than a line, by the largest aligned stores. */
static inline void vfio_subregion_copy_end(volatile char *to, const char *from, size_t size)
{
#if defined(__aarch64__)
	vfio_subregion_copy_aligned(to, from, size);
#else
	size_t step;

	for (; size; size -= step, to += step, from += step) {
		uint64_t word64;
		uint32_t word32;
		uint16_t word16;

		if (size >= 8 && (uintptr_t)to % 8 == 0) {
			step = 8;
			memcpy(&word64, from, step);
			vfio_subregion_write64(to, word64);
		} else if (size >= 4 && (uintptr_t)to % 4 == 0) {
			step = 4;
			memcpy(&word32, from, step);
			vfio_subregion_write32(to, word32);
		} else if (size >= 2 && (uintptr_t)to % 2 == 0) {
			step = 2;
			memcpy(&word16, from, step);
			vfio_subregion_write16(to, word16);
		} else {
			step = 1;
			vfio_subregion_write8(to, (uint8_t)*from);
		}
	}
#endif
}

/*
 * Copies whole lines by @lines, and the bytes before and behind them. It is not inlined, so that
 * callers have only the common path.
 */
static __attribute__((noinline, unused)) void
vfio_subregion_copy_parts(vfio_subregion_copy_lines lines, volatile void *to, const void *from,
			  size_t size)
{
	const size_t ahead = (size_t)(-(uintptr_t)to % VFIO_SUBREGION_LINE);
	const size_t head = ahead < size ? ahead : size;
	const size_t count = (size - head) / VFIO_SUBREGION_LINE;
	const size_t behind = head + count * VFIO_SUBREGION_LINE;
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;

	vfio_subregion_copy_end(target, source, head);
	if (count)
		lines(target + head, source + head, count);
	vfio_subregion_copy_end(target + behind, source + behind, size - behind);
}

/* Whether a copy consists of lines, with nothing before and behind them. */
static inline int vfio_subregion_is_lines(const volatile void *to, size_t size)
{
	return ((uintptr_t)to | size) % VFIO_SUBREGION_LINE == 0;
}

/**
 * vfio_subregion_copy_by() - copies @size bytes to device memory, and its whole lines by @lines
 *
 * @lines is a result of vfio_subregion_routine(). vfio_subregion_lines_words, which every CPU has,
 * is for strict memory whose stores are to arrive in ascending order without a fence, and for
 * memory that a hypervisor emulates: it may not know longer stores.
 */
VFIO_SUBREGION_INLINE void vfio_subregion_copy_by(vfio_subregion_copy_lines lines,
						  volatile void *to, const void *from, size_t size)
{
	if (vfio_subregion_is_lines(to, size))
		lines(to, from, size / VFIO_SUBREGION_LINE);
	else
		vfio_subregion_copy_parts(lines, to, from, size);
}

/**
 * vfio_subregion_copy() - copies @size bytes to device memory
 *
 * Whole lines are stored as by vfio_subregion_write_line(), and the bytes before and behind them by
 * the largest aligned stores, each byte once. memcpy() promises none of that. The mapping may have
 * any type; on strict memory each store is a transfer of its own. The stores have no order before
 * the next fence: this function does not know the type, and on an x86 CPU with MOVDIR64B lines have
 * none on strict memory either. vfio_subregion_copy_by() can keep the order there. For
 * write-combining memory vfio_subregion_copy_wc() is better.
 */
VFIO_SUBREGION_INLINE void vfio_subregion_copy(volatile void *to, const void *from, size_t size)
{
	/* If the compiler sees that it is one line, no routine for several is needed. */
	if (__builtin_constant_p(size) && size == VFIO_SUBREGION_LINE &&
	    vfio_subregion_is_lines(to, size))
		vfio_subregion_write_line(to, from);
	else
		vfio_subregion_copy_by(VFIO_SUBREGION_IN_USE(lines), to, from, size);
}

/**
 * vfio_subregion_copy_wc() - copies @size bytes to write-combining memory
 *
 * As vfio_subregion_copy(), with as few PCIe writes as the lines that are touched allow. It differs
 * on arm64, where stores gather only if they follow each other: the bytes before and behind whole
 * lines are stored by consecutive instructions also if they do not begin at a multiple of 8. Such
 * stores are not aligned, and raise SIGBUS on memory of other types, and on memory that is
 * write-combining in the page tables of a guest but that its hypervisor makes strict;
 * vfio_subregion_copy() works there. After
 * vfio_subregion_use_line_store(VFIO_SUBREGION_LINE_WORDS) both functions do the same.
 */
VFIO_SUBREGION_INLINE void vfio_subregion_copy_wc(volatile void *to, const void *from, size_t size)
{
#if defined(__aarch64__)
	if (!vfio_subregion_is_lines(to, size) &&
	    VFIO_SUBREGION_IN_USE(way) != VFIO_SUBREGION_LINE_WORDS) {
		vfio_subregion_copy_runs(VFIO_SUBREGION_IN_USE(lines), to, from, size);
		return;
	}
#endif
	vfio_subregion_copy(to, from, size);
}

/**
 * struct vfio_subregion_queue - the producer of a ring of descriptors
 *
 * It writes descriptors in order, rings the doorbell, and issues the fences between them. It does
 * not know which descriptors the device has consumed: the driver must not push to a slot in use.
 * The members are for reading.
 */
struct vfio_subregion_queue {
	/* The slots, the bytes of each, and their number. */
	volatile char *slots;
	size_t size;
	size_t count;
	/* The slot that the next push writes. */
	size_t next;
	volatile void *doorbell;
	/* The routine that copies a slot of @units units. */
	vfio_subregion_copy_lines copy;
	size_t units;
	/* Whether the doorbell was rung and no fence has followed. */
	int rung;
};

/**
 * vfio_subregion_queue_init() - prepares a queue of @count slots of @size bytes
 *
 * Slots of whole lines that begin at one are written by lines.
 *
 * Returns 0, or -1 with errno EINVAL if @slots or @size is not a multiple of 8, or if @size or
 * @count is 0.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_queue_init(struct vfio_subregion_queue *queue,
						    volatile void *slots, size_t size, size_t count,
						    volatile void *doorbell)
{
	const struct vfio_subregion_routines chosen = vfio_subregion_chosen();
	const int lines = vfio_subregion_is_lines(slots, size);

	if (((uintptr_t)slots | size) % sizeof(uint64_t) || !size || !count) {
		errno = EINVAL;
		return -1;
	}
	queue->slots = (volatile char *)slots;
	queue->size = size;
	queue->count = count;
	queue->next = 0;
	queue->doorbell = doorbell;
	if (lines)
		queue->copy = size == VFIO_SUBREGION_LINE ? chosen.line : chosen.lines;
	else if (chosen.way == VFIO_SUBREGION_LINE_WORDS)
		queue->copy = vfio_subregion_copy_words;
	else
		queue->copy = vfio_subregion_copy_slot;
	queue->units = size / (lines ? VFIO_SUBREGION_LINE : sizeof(uint64_t));
	queue->rung = 0;
	return 0;
}

/**
 * vfio_subregion_queue_use_line_store() - chooses how this queue stores lines
 *
 * As vfio_subregion_use_line_store(), for one queue. If its slots are not lines, they are stored by
 * words of 8 bytes for VFIO_SUBREGION_LINE_WORDS, and otherwise as if no way were chosen.
 *
 * Returns 0, or -1 with errno EOPNOTSUPP if this CPU does not support @way.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_queue_use_line_store(struct vfio_subregion_queue *queue,
							      enum vfio_subregion_line_store way)
{
	struct vfio_subregion_routines found;

	if (!vfio_subregion_find(way, &found)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (queue->units * VFIO_SUBREGION_LINE == queue->size)
		queue->copy = queue->units == 1 ? found.line : found.lines;
	else
		queue->copy = way == VFIO_SUBREGION_LINE_WORDS ? vfio_subregion_copy_words :
								 vfio_subregion_copy_slot;
	return 0;
}

/**
 * vfio_subregion_queue_push() - writes a descriptor to the next slot; the first follows the last
 *
 * The first push after a doorbell is ordered behind it.
 */
VFIO_SUBREGION_INLINE void vfio_subregion_queue_push(struct vfio_subregion_queue *queue,
						     const void *entry)
{
	volatile char *const slot = queue->slots + queue->next * queue->size;

	if (queue->rung) {
		vfio_subregion_order_stores();
		queue->rung = 0;
	}
	/* Before the store, so that nothing has to be kept across the call of the routine. */
	if (++queue->next == queue->count)
		queue->next = 0;
	queue->copy(slot, entry, queue->units);
}

/** vfio_subregion_queue_submit() - writes @value to the doorbell after all that was pushed */
VFIO_SUBREGION_INLINE void vfio_subregion_queue_submit(struct vfio_subregion_queue *queue,
						       uint32_t value)
{
	vfio_subregion_order_stores();
	vfio_subregion_write32(queue->doorbell, value);
	queue->rung = 1;
}

/** vfio_subregion_queue_submit64() - the same for a doorbell of 64 bits */
VFIO_SUBREGION_INLINE void vfio_subregion_queue_submit64(struct vfio_subregion_queue *queue,
							 uint64_t value)
{
	vfio_subregion_order_stores();
	vfio_subregion_write64(queue->doorbell, value);
	queue->rung = 1;
}

/**
 * vfio_subregion_queue_release() - makes all stores leave the CPU
 *
 * Call this before you release a lock that protects the queue.
 */
VFIO_SUBREGION_INLINE void vfio_subregion_queue_release(struct vfio_subregion_queue *queue)
{
	vfio_subregion_flush_stores();
	queue->rung = 0;
}

#ifdef __cplusplus
}
#endif

#endif /* VFIO_SUBREGION_IO_H */
