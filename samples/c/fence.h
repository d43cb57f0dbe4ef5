/* SPDX-License-Identifier: GPL-2.0 */
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
#ifndef FENCE_H
#define FENCE_H

/** wc_fence() - all stores to WC memory before it reach the device before any store after it */
static inline void wc_fence(void)
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

/** wc_flush() - the same, and pushes the stores out although no store follows */
static inline void wc_flush(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dsb st" ::: "memory");
#else
	wc_fence();
#endif
}

#endif /* FENCE_H */
