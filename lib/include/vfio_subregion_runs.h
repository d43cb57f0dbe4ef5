/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Stores of less than a line by consecutive instructions, for arm64, whose CPUs may gather only
 * such stores. Programs include vfio_subregion_io.h.
 */
#ifndef VFIO_SUBREGION_RUNS_H
#define VFIO_SUBREGION_RUNS_H

#include <stddef.h>

#if defined(__aarch64__)

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Loads @n bytes into registers and then stores them: of each power of two in @n one word (two or
 * one pair of registers for 32 and 16), the largest first. The assembler leaves out the others.
 */
#define VFIO_SUBREGION_RUN(n) case n:								\
	__asm__ volatile(									\
		".if %c12 & 32\n\tldp %x0, %x1, [%11]\n\tldp %x2, %x3, [%11, #16]\n\t.endif\n\t" \
		".if %c12 & 16\n\tldp %x4, %x5, [%11, #(%c12 & 32)]\n\t.endif\n\t"		\
		".if %c12 & 8\n\tldr %x6, [%11, #(%c12 & 48)]\n\t.endif\n\t"			\
		".if %c12 & 4\n\tldr %w7, [%11, #(%c12 & 56)]\n\t.endif\n\t"			\
		".if %c12 & 2\n\tldrh %w8, [%11, #(%c12 & 60)]\n\t.endif\n\t"			\
		".if %c12 & 1\n\tldrb %w9, [%11, #(%c12 & 62)]\n\t.endif\n\t"			\
		".if %c12 & 32\n\tstp %x0, %x1, [%10]\n\tstp %x2, %x3, [%10, #16]\n\t.endif\n\t" \
		".if %c12 & 16\n\tstp %x4, %x5, [%10, #(%c12 & 32)]\n\t.endif\n\t"		\
		".if %c12 & 8\n\tstr %x6, [%10, #(%c12 & 48)]\n\t.endif\n\t"			\
		".if %c12 & 4\n\tstr %w7, [%10, #(%c12 & 56)]\n\t.endif\n\t"			\
		".if %c12 & 2\n\tstrh %w8, [%10, #(%c12 & 60)]\n\t.endif\n\t"			\
		".if %c12 & 1\n\tstrb %w9, [%10, #(%c12 & 62)]\n\t.endif"			\
		: "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e), "=&r"(f), "=&r"(g),		\
		"=&r"(h), "=&r"(i), "=&r"(j)							\
		: "r"(to), "r"(from), "i"(n) : "memory");					\
	break

/*
 * Copies @size bytes, less than a line, by stores without any other instruction between them.
 *
 * The stores are not aligned, which raises SIGBUS on memory of a Device type, unless @to and @size
 * are multiples of 8. Each byte is stored once.
 */
static __attribute__((noinline, unused)) void vfio_subregion_copy_run(volatile void *to,
								      const void *from, size_t size)
{
	unsigned long a, b, c, d, e, f, g, h, i, j;

	switch (size) {
	VFIO_SUBREGION_RUN(1);
	VFIO_SUBREGION_RUN(2);
	VFIO_SUBREGION_RUN(3);
	VFIO_SUBREGION_RUN(4);
	VFIO_SUBREGION_RUN(5);
	VFIO_SUBREGION_RUN(6);
	VFIO_SUBREGION_RUN(7);
	VFIO_SUBREGION_RUN(8);
	VFIO_SUBREGION_RUN(9);
	VFIO_SUBREGION_RUN(10);
	VFIO_SUBREGION_RUN(11);
	VFIO_SUBREGION_RUN(12);
	VFIO_SUBREGION_RUN(13);
	VFIO_SUBREGION_RUN(14);
	VFIO_SUBREGION_RUN(15);
	VFIO_SUBREGION_RUN(16);
	VFIO_SUBREGION_RUN(17);
	VFIO_SUBREGION_RUN(18);
	VFIO_SUBREGION_RUN(19);
	VFIO_SUBREGION_RUN(20);
	VFIO_SUBREGION_RUN(21);
	VFIO_SUBREGION_RUN(22);
	VFIO_SUBREGION_RUN(23);
	VFIO_SUBREGION_RUN(24);
	VFIO_SUBREGION_RUN(25);
	VFIO_SUBREGION_RUN(26);
	VFIO_SUBREGION_RUN(27);
	VFIO_SUBREGION_RUN(28);
	VFIO_SUBREGION_RUN(29);
	VFIO_SUBREGION_RUN(30);
	VFIO_SUBREGION_RUN(31);
	VFIO_SUBREGION_RUN(32);
	VFIO_SUBREGION_RUN(33);
	VFIO_SUBREGION_RUN(34);
	VFIO_SUBREGION_RUN(35);
	VFIO_SUBREGION_RUN(36);
	VFIO_SUBREGION_RUN(37);
	VFIO_SUBREGION_RUN(38);
	VFIO_SUBREGION_RUN(39);
	VFIO_SUBREGION_RUN(40);
	VFIO_SUBREGION_RUN(41);
	VFIO_SUBREGION_RUN(42);
	VFIO_SUBREGION_RUN(43);
	VFIO_SUBREGION_RUN(44);
	VFIO_SUBREGION_RUN(45);
	VFIO_SUBREGION_RUN(46);
	VFIO_SUBREGION_RUN(47);
	VFIO_SUBREGION_RUN(48);
	VFIO_SUBREGION_RUN(49);
	VFIO_SUBREGION_RUN(50);
	VFIO_SUBREGION_RUN(51);
	VFIO_SUBREGION_RUN(52);
	VFIO_SUBREGION_RUN(53);
	VFIO_SUBREGION_RUN(54);
	VFIO_SUBREGION_RUN(55);
	VFIO_SUBREGION_RUN(56);
	VFIO_SUBREGION_RUN(57);
	VFIO_SUBREGION_RUN(58);
	VFIO_SUBREGION_RUN(59);
	VFIO_SUBREGION_RUN(60);
	VFIO_SUBREGION_RUN(61);
	VFIO_SUBREGION_RUN(62);
	VFIO_SUBREGION_RUN(63);
	}
}

#undef VFIO_SUBREGION_RUN

#ifdef __cplusplus
}
#endif

#endif /* __aarch64__ */

#endif /* VFIO_SUBREGION_RUNS_H */
