/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Stores of less than a line by consecutive instructions, for arm64, whose CPUs may gather only
 * such stores. Programs include vfio_subregion_io.h.
 */
#ifndef VFIO_SUBREGION_RUNS_H
#define VFIO_SUBREGION_RUNS_H

#include <stddef.h>
#include <stdint.h>

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

/* The runs without a head have the numbers below 64. */
#define VFIO_SUBREGION_RUN_NUMBER(head, rest)	((head) ? 56 + 8 * (head) + (rest) : (rest))

/*
 * Loads @head bytes and the @rest behind them into registers, and then stores them: of each power
 * of two in @head one word, the smallest first, then words of 8 bytes, and then of each smaller
 * power of two in @rest one word, the largest first. No run has a head and words of 8 bytes, so
 * these share registers.
 */
#define VFIO_SUBREGION_RUN(head, rest) case VFIO_SUBREGION_RUN_NUMBER(head, rest):		\
	__asm__ volatile(									\
		".if %c12 & 1\n\tldrb %w0, [%11]\n\t.endif\n\t"					\
		".if %c12 & 2\n\tldrh %w1, [%11, #(%c12 & 1)]\n\t.endif\n\t"			\
		".if %c12 & 4\n\tldr %w2, [%11, #(%c12 & 3)]\n\t.endif\n\t"			\
		".if %c13 > 7\n\tldr %x0, [%11, #0]\n\t.endif\n\t"				\
		".if %c13 > 15\n\tldr %x1, [%11, #8]\n\t.endif\n\t"				\
		".if %c13 > 23\n\tldr %x2, [%11, #16]\n\t.endif\n\t"				\
		".if %c13 > 31\n\tldr %x3, [%11, #24]\n\t.endif\n\t"				\
		".if %c13 > 39\n\tldr %x4, [%11, #32]\n\t.endif\n\t"				\
		".if %c13 > 47\n\tldr %x5, [%11, #40]\n\t.endif\n\t"				\
		".if %c13 > 55\n\tldr %x6, [%11, #48]\n\t.endif\n\t"				\
		".if %c13 & 4\n\tldr %w7, [%11, #(%c12 + (%c13 & 56))]\n\t.endif\n\t"		\
		".if %c13 & 2\n\tldrh %w8, [%11, #(%c12 + (%c13 & 60))]\n\t.endif\n\t"		\
		".if %c13 & 1\n\tldrb %w9, [%11, #(%c12 + (%c13 & 62))]\n\t.endif\n\t"		\
		".if %c12 & 1\n\tstrb %w0, [%10]\n\t.endif\n\t"					\
		".if %c12 & 2\n\tstrh %w1, [%10, #(%c12 & 1)]\n\t.endif\n\t"			\
		".if %c12 & 4\n\tstr %w2, [%10, #(%c12 & 3)]\n\t.endif\n\t"			\
		".if %c13 > 7\n\tstr %x0, [%10, #0]\n\t.endif\n\t"				\
		".if %c13 > 15\n\tstr %x1, [%10, #8]\n\t.endif\n\t"				\
		".if %c13 > 23\n\tstr %x2, [%10, #16]\n\t.endif\n\t"				\
		".if %c13 > 31\n\tstr %x3, [%10, #24]\n\t.endif\n\t"				\
		".if %c13 > 39\n\tstr %x4, [%10, #32]\n\t.endif\n\t"				\
		".if %c13 > 47\n\tstr %x5, [%10, #40]\n\t.endif\n\t"				\
		".if %c13 > 55\n\tstr %x6, [%10, #48]\n\t.endif\n\t"				\
		".if %c13 & 4\n\tstr %w7, [%10, #(%c12 + (%c13 & 56))]\n\t.endif\n\t"		\
		".if %c13 & 2\n\tstrh %w8, [%10, #(%c12 + (%c13 & 60))]\n\t.endif\n\t"		\
		".if %c13 & 1\n\tstrb %w9, [%10, #(%c12 + (%c13 & 62))]\n\t.endif"		\
		: "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e), "=&r"(f), "=&r"(g),		\
		"=&r"(h), "=&r"(i), "=&r"(j)							\
		: "r"(to), "r"(from), "i"(head), "i"(rest) : "memory");				\
	break

/*
 * Stores @head bytes and the @rest behind them without any other instruction between the stores.
 * The head ends at a multiple of the largest word of both. @rest is less than a line; if there is a
 * head and a rest, both together are less than 8.
 */
static __attribute__((noinline, unused)) void
vfio_subregion_aligned_run(volatile void *to, const void *from, size_t head, size_t rest)
{
	unsigned long a, b, c, d, e, f, g, h, i, j;

	switch (VFIO_SUBREGION_RUN_NUMBER(head, rest)) {
	VFIO_SUBREGION_RUN(0, 1);
	VFIO_SUBREGION_RUN(0, 2);
	VFIO_SUBREGION_RUN(0, 3);
	VFIO_SUBREGION_RUN(0, 4);
	VFIO_SUBREGION_RUN(0, 5);
	VFIO_SUBREGION_RUN(0, 6);
	VFIO_SUBREGION_RUN(0, 7);
	VFIO_SUBREGION_RUN(0, 8);
	VFIO_SUBREGION_RUN(0, 9);
	VFIO_SUBREGION_RUN(0, 10);
	VFIO_SUBREGION_RUN(0, 11);
	VFIO_SUBREGION_RUN(0, 12);
	VFIO_SUBREGION_RUN(0, 13);
	VFIO_SUBREGION_RUN(0, 14);
	VFIO_SUBREGION_RUN(0, 15);
	VFIO_SUBREGION_RUN(0, 16);
	VFIO_SUBREGION_RUN(0, 17);
	VFIO_SUBREGION_RUN(0, 18);
	VFIO_SUBREGION_RUN(0, 19);
	VFIO_SUBREGION_RUN(0, 20);
	VFIO_SUBREGION_RUN(0, 21);
	VFIO_SUBREGION_RUN(0, 22);
	VFIO_SUBREGION_RUN(0, 23);
	VFIO_SUBREGION_RUN(0, 24);
	VFIO_SUBREGION_RUN(0, 25);
	VFIO_SUBREGION_RUN(0, 26);
	VFIO_SUBREGION_RUN(0, 27);
	VFIO_SUBREGION_RUN(0, 28);
	VFIO_SUBREGION_RUN(0, 29);
	VFIO_SUBREGION_RUN(0, 30);
	VFIO_SUBREGION_RUN(0, 31);
	VFIO_SUBREGION_RUN(0, 32);
	VFIO_SUBREGION_RUN(0, 33);
	VFIO_SUBREGION_RUN(0, 34);
	VFIO_SUBREGION_RUN(0, 35);
	VFIO_SUBREGION_RUN(0, 36);
	VFIO_SUBREGION_RUN(0, 37);
	VFIO_SUBREGION_RUN(0, 38);
	VFIO_SUBREGION_RUN(0, 39);
	VFIO_SUBREGION_RUN(0, 40);
	VFIO_SUBREGION_RUN(0, 41);
	VFIO_SUBREGION_RUN(0, 42);
	VFIO_SUBREGION_RUN(0, 43);
	VFIO_SUBREGION_RUN(0, 44);
	VFIO_SUBREGION_RUN(0, 45);
	VFIO_SUBREGION_RUN(0, 46);
	VFIO_SUBREGION_RUN(0, 47);
	VFIO_SUBREGION_RUN(0, 48);
	VFIO_SUBREGION_RUN(0, 49);
	VFIO_SUBREGION_RUN(0, 50);
	VFIO_SUBREGION_RUN(0, 51);
	VFIO_SUBREGION_RUN(0, 52);
	VFIO_SUBREGION_RUN(0, 53);
	VFIO_SUBREGION_RUN(0, 54);
	VFIO_SUBREGION_RUN(0, 55);
	VFIO_SUBREGION_RUN(0, 56);
	VFIO_SUBREGION_RUN(0, 57);
	VFIO_SUBREGION_RUN(0, 58);
	VFIO_SUBREGION_RUN(0, 59);
	VFIO_SUBREGION_RUN(0, 60);
	VFIO_SUBREGION_RUN(0, 61);
	VFIO_SUBREGION_RUN(0, 62);
	VFIO_SUBREGION_RUN(0, 63);
	VFIO_SUBREGION_RUN(1, 0);
	VFIO_SUBREGION_RUN(1, 1);
	VFIO_SUBREGION_RUN(1, 2);
	VFIO_SUBREGION_RUN(1, 3);
	VFIO_SUBREGION_RUN(1, 4);
	VFIO_SUBREGION_RUN(1, 5);
	VFIO_SUBREGION_RUN(1, 6);
	VFIO_SUBREGION_RUN(2, 0);
	VFIO_SUBREGION_RUN(2, 1);
	VFIO_SUBREGION_RUN(2, 2);
	VFIO_SUBREGION_RUN(2, 3);
	VFIO_SUBREGION_RUN(2, 4);
	VFIO_SUBREGION_RUN(2, 5);
	VFIO_SUBREGION_RUN(3, 0);
	VFIO_SUBREGION_RUN(3, 1);
	VFIO_SUBREGION_RUN(3, 2);
	VFIO_SUBREGION_RUN(3, 3);
	VFIO_SUBREGION_RUN(3, 4);
	VFIO_SUBREGION_RUN(4, 0);
	VFIO_SUBREGION_RUN(4, 1);
	VFIO_SUBREGION_RUN(4, 2);
	VFIO_SUBREGION_RUN(4, 3);
	VFIO_SUBREGION_RUN(5, 0);
	VFIO_SUBREGION_RUN(5, 1);
	VFIO_SUBREGION_RUN(5, 2);
	VFIO_SUBREGION_RUN(6, 0);
	VFIO_SUBREGION_RUN(6, 1);
	VFIO_SUBREGION_RUN(7, 0);
	}
}

#undef VFIO_SUBREGION_RUN
#undef VFIO_SUBREGION_RUN_NUMBER

/*
 * Copies @size bytes, less than a line, by the largest aligned stores, each of one register, which
 * memory of every type accepts, also if a hypervisor emulates it.
 *
 * There is no other instruction between the stores if @to is a multiple of 8 or @size is less than
 * 8. Otherwise the bytes before the first multiple of 8 are a run of their own: a routine for each
 * alignment and size would be eight times the code.
 */
static inline void vfio_subregion_copy_aligned(volatile void *to, const void *from, size_t size)
{
	size_t head = (size_t)(-(uintptr_t)to % 8);

	if (!size)
		return;
	if (size < 8) {
		/* The words of the head that are not too long. */
		if (size < head)
			head &= size < (head & 3) ? 1 : 3;
		vfio_subregion_aligned_run(to, from, head, size - head);
		return;
	}
	if (head)
		vfio_subregion_aligned_run(to, from, head, 0);
	vfio_subregion_aligned_run((volatile char *)to + head, (const char *)from + head, 0,
				   size - head);
}

#ifdef __cplusplus
}
#endif

#endif /* __aarch64__ */

#endif /* VFIO_SUBREGION_RUNS_H */
