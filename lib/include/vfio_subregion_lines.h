/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Loads and stores of device memory by words, and stores by lines of 64 bytes. Programs include
 * vfio_subregion_io.h.
 */
#ifndef VFIO_SUBREGION_LINES_H
#define VFIO_SUBREGION_LINES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vfio_subregion_runs.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#elif !defined(__i386__)
#error "this architecture is not supported"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The library libvfio-subregion defines this, to have the functions out of line too. */
#ifndef VFIO_SUBREGION_INLINE
#define VFIO_SUBREGION_INLINE	static inline
#endif

/* Each word is accessed by one instruction. For a volatile access the compiler would choose it. */
#if defined(__aarch64__)
#define VFIO_SUBREGION_WORD(bits, load, store, width)						\
VFIO_SUBREGION_INLINE uint##bits##_t vfio_subregion_read##bits(const volatile void *from)	\
{												\
	uint##bits##_t value;									\
												\
	__asm__ volatile(load " %" width "0, [%1]" : "=r"(value) : "r"(from) : "memory");	\
	return value;										\
}												\
												\
VFIO_SUBREGION_INLINE void vfio_subregion_write##bits(volatile void *to, uint##bits##_t value)	\
{												\
	__asm__ volatile(store " %" width "0, [%1]" : : "r"(value), "r"(to) : "memory");	\
}

VFIO_SUBREGION_WORD(8, "ldrb", "strb", "w")
VFIO_SUBREGION_WORD(16, "ldrh", "strh", "w")
VFIO_SUBREGION_WORD(32, "ldr", "str", "w")
VFIO_SUBREGION_WORD(64, "ldr", "str", "x")
#else
#define VFIO_SUBREGION_WORD(bits, mov, reg)							\
VFIO_SUBREGION_INLINE uint##bits##_t vfio_subregion_read##bits(const volatile void *from)	\
{												\
	uint##bits##_t value;									\
												\
	__asm__ volatile(mov " %1, %0" : "=" reg(value) :					\
			 "m"(*(const volatile uint##bits##_t *)from) : "memory");		\
	return value;										\
}												\
												\
VFIO_SUBREGION_INLINE void vfio_subregion_write##bits(volatile void *to, uint##bits##_t value)	\
{												\
	__asm__ volatile(mov " %1, %0" : "=m"(*(volatile uint##bits##_t *)to) :			\
			 reg(value) : "memory");						\
}

VFIO_SUBREGION_WORD(8, "movb", "q")
VFIO_SUBREGION_WORD(16, "movw", "r")
VFIO_SUBREGION_WORD(32, "movl", "r")
#if defined(__x86_64__)
VFIO_SUBREGION_WORD(64, "movq", "r")
#else
/* Two accesses, of the lower half first, since there are no registers of 64 bits. */
static inline uint64_t vfio_subregion_read64(const volatile void *from)
{
	const uint32_t low = vfio_subregion_read32(from);

	return low | (uint64_t)vfio_subregion_read32((const volatile char *)from + 4) << 32;
}

static inline void vfio_subregion_write64(volatile void *to, uint64_t value)
{
	vfio_subregion_write32(to, (uint32_t)value);
	vfio_subregion_write32((volatile char *)to + 4, (uint32_t)(value >> 32));
}
#endif
#endif
#undef VFIO_SUBREGION_WORD

/*
 * Copies by lines
 *
 * A line of 64 bytes leaves the CPU as one burst if nothing comes between its stores. Each routine
 * loads a whole line into registers and then stores it by consecutive instructions.
 */
#define VFIO_SUBREGION_LINE	64U

/* How a line is stored, the best way of each architecture first. */
enum vfio_subregion_line_store {
	/*
	 * x86-64: one store that the CPU does not split. It keeps no order to other stores, to
	 * memory of any type.
	 */
	VFIO_SUBREGION_LINE_MOVDIR64B,
	/* x86-64: one store of AVX-512F; two; four. */
	VFIO_SUBREGION_LINE_AVX512,
	VFIO_SUBREGION_LINE_AVX,
	VFIO_SUBREGION_LINE_SSE2,
	/*
	 * arm64: one store that the CPU does not split. It is not chosen automatically, because
	 * the memory must accept it too (else it raises SIGBUS), not only the CPU (HWCAP3_LS64).
	 */
	VFIO_SUBREGION_LINE_ST64B,
	/* arm64: four stores of two registers, and the hint DGH, which ends the gathering. */
	VFIO_SUBREGION_LINE_STP,
	/* Eight stores of 8 bytes; on arm64 with the hint DGH. */
	VFIO_SUBREGION_LINE_WORDS,
	VFIO_SUBREGION_LINES,
};

/* Copies @count lines; @to is aligned to a line. */
typedef void (*vfio_subregion_copy_lines)(volatile void *to, const void *from, size_t count);

/* Copies @count words of 8 bytes in ascending order; @to is aligned to a word. */
static inline void vfio_subregion_copy_words(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;
	uint64_t word;

	for (; count; count--, target += sizeof(word), source += sizeof(word)) {
		memcpy(&word, source, sizeof(word));
		vfio_subregion_write64(target, word);
	}
}

#if defined(__x86_64__)

static inline void vfio_subregion_lines_movdir64b(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;

	/* movdir64b (%rsi), %rdi, which assemblers know since binutils 2.31. */
	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x3e"
				 : : "D"(target), "S"(source) : "memory");
}

/* Ends the use of the upper halves of vector registers; until then, SSE code would be slow. */
static inline void vfio_subregion_end_vectors(void)
{
	__asm__ volatile("vzeroupper" : : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			 "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			 "xmm14", "xmm15");
}

static inline void vfio_subregion_lines_avx512(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;

	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile("vmovdqu64 (%1), %%zmm0\n\t"
				 "vmovdqa64 %%zmm0, (%0)"
				 : : "r"(target), "r"(source) : "memory", "xmm0");
	vfio_subregion_end_vectors();
}

static inline void vfio_subregion_lines_avx(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;

	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile("vmovdqu (%1), %%ymm0\n\t"
				 "vmovdqu 32(%1), %%ymm1\n\t"
				 "vmovdqa %%ymm0, (%0)\n\t"
				 "vmovdqa %%ymm1, 32(%0)"
				 : : "r"(target), "r"(source) : "memory", "xmm0", "xmm1");
	vfio_subregion_end_vectors();
}

static inline void vfio_subregion_lines_sse2(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;

	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile("movdqu (%1), %%xmm0\n\t"
				 "movdqu 16(%1), %%xmm1\n\t"
				 "movdqu 32(%1), %%xmm2\n\t"
				 "movdqu 48(%1), %%xmm3\n\t"
				 "movdqa %%xmm0, (%0)\n\t"
				 "movdqa %%xmm1, 16(%0)\n\t"
				 "movdqa %%xmm2, 32(%0)\n\t"
				 "movdqa %%xmm3, 48(%0)"
				 : : "r"(target), "r"(source)
				 : "memory", "xmm0", "xmm1", "xmm2", "xmm3");
}

static inline void vfio_subregion_lines_words(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;
	uint64_t a, b, c, d, e, f, g, h;

	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile("movq (%9), %0\n\t"
				 "movq 8(%9), %1\n\t"
				 "movq 16(%9), %2\n\t"
				 "movq 24(%9), %3\n\t"
				 "movq 32(%9), %4\n\t"
				 "movq 40(%9), %5\n\t"
				 "movq 48(%9), %6\n\t"
				 "movq 56(%9), %7\n\t"
				 "movq %0, (%8)\n\t"
				 "movq %1, 8(%8)\n\t"
				 "movq %2, 16(%8)\n\t"
				 "movq %3, 24(%8)\n\t"
				 "movq %4, 32(%8)\n\t"
				 "movq %5, 40(%8)\n\t"
				 "movq %6, 48(%8)\n\t"
				 "movq %7, 56(%8)"
				 : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e), "=&r"(f),
				   "=&r"(g), "=&r"(h)
				 : "r"(target), "r"(source) : "memory");
}

/** vfio_subregion_routine() - returns the routine for @way, or NULL if this CPU has none */
VFIO_SUBREGION_INLINE vfio_subregion_copy_lines
vfio_subregion_routine(enum vfio_subregion_line_store way)
{
	unsigned int eax, ebx, ecx, edx;

	__builtin_cpu_init();
	switch (way) {
	case VFIO_SUBREGION_LINE_MOVDIR64B:
		/* It needs no support of the kernel. */
		return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ecx & 1U << 28 ?
			       vfio_subregion_lines_movdir64b : NULL;
	case VFIO_SUBREGION_LINE_AVX512:
		return __builtin_cpu_supports("avx512f") ? vfio_subregion_lines_avx512 : NULL;
	case VFIO_SUBREGION_LINE_AVX:
		return __builtin_cpu_supports("avx") ? vfio_subregion_lines_avx : NULL;
	case VFIO_SUBREGION_LINE_SSE2:
		return vfio_subregion_lines_sse2;
	case VFIO_SUBREGION_LINE_WORDS:
		return vfio_subregion_lines_words;
	default:
		return NULL;
	}
}

#elif defined(__aarch64__)

static inline void vfio_subregion_lines_stp(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;
	uint64_t a, b, c, d, e, f, g, h;

	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile("ldp %0, %1, [%9]\n\t"
				 "ldp %2, %3, [%9, #16]\n\t"
				 "ldp %4, %5, [%9, #32]\n\t"
				 "ldp %6, %7, [%9, #48]\n\t"
				 "stp %0, %1, [%8]\n\t"
				 "stp %2, %3, [%8, #16]\n\t"
				 "stp %4, %5, [%8, #32]\n\t"
				 "stp %6, %7, [%8, #48]\n\t"
				 "hint #6"
				 : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e), "=&r"(f),
				   "=&r"(g), "=&r"(h)
				 : "r"(target), "r"(source) : "memory");
}

static inline void vfio_subregion_lines_words(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;
	uint64_t a, b, c, d, e, f, g, h;

	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile("ldp %0, %1, [%9]\n\t"
				 "ldp %2, %3, [%9, #16]\n\t"
				 "ldp %4, %5, [%9, #32]\n\t"
				 "ldp %6, %7, [%9, #48]\n\t"
				 "str %0, [%8]\n\t"
				 "str %1, [%8, #8]\n\t"
				 "str %2, [%8, #16]\n\t"
				 "str %3, [%8, #24]\n\t"
				 "str %4, [%8, #32]\n\t"
				 "str %5, [%8, #40]\n\t"
				 "str %6, [%8, #48]\n\t"
				 "str %7, [%8, #56]\n\t"
				 "hint #6"
				 : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e), "=&r"(f),
				   "=&r"(g), "=&r"(h)
				 : "r"(target), "r"(source) : "memory");
}

static inline void vfio_subregion_lines_st64b(volatile void *to, const void *from, size_t count)
{
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;

	/* st64b x0, [x8], which assemblers accept only with the extension LS64 enabled. */
	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)
		__asm__ volatile("mov x8, %0\n\t"
				 "ldp x0, x1, [%1]\n\t"
				 "ldp x2, x3, [%1, #16]\n\t"
				 "ldp x4, x5, [%1, #32]\n\t"
				 "ldp x6, x7, [%1, #48]\n\t"
				 ".inst 0xf83f9100"
				 : : "r"(target), "r"(source)
				 : "memory", "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8");
}

/*
 * Copies @size bytes so that the stores to each line follow each other: whole lines by @lines, and
 * the bytes before and behind them as runs. It is not inlined, so that callers have only the common
 * path.
 */
static __attribute__((noinline, unused)) void
vfio_subregion_copy_runs(vfio_subregion_copy_lines lines, volatile void *to, const void *from,
			 size_t size)
{
	const size_t ahead = (size_t)(-(uintptr_t)to % VFIO_SUBREGION_LINE);
	const size_t head = ahead < size ? ahead : size;
	const size_t count = (size - head) / VFIO_SUBREGION_LINE;
	const size_t behind = head + count * VFIO_SUBREGION_LINE;
	const char *source = (const char *)from;
	volatile char *target = (volatile char *)to;

	if (head)
		vfio_subregion_copy_run(target, source, head);
	if (count)
		lines(target + head, source + head, count);
	if (behind < size)
		vfio_subregion_copy_run(target + behind, source + behind, size - behind);
}

/* Copies the @count words of a slot that is not a line; @to is aligned to a word. */
static inline void vfio_subregion_copy_slot(volatile void *to, const void *from, size_t count)
{
	vfio_subregion_copy_runs(vfio_subregion_lines_stp, to, from, count * sizeof(uint64_t));
}

/** vfio_subregion_routine() - returns the routine for @way, or NULL if this CPU has none */
VFIO_SUBREGION_INLINE vfio_subregion_copy_lines
vfio_subregion_routine(enum vfio_subregion_line_store way)
{
	switch (way) {
	case VFIO_SUBREGION_LINE_ST64B:
		/* AT_HWCAP3 and HWCAP3_LS64, which older headers lack. */
		return getauxval(29) & 1UL << 3 ? vfio_subregion_lines_st64b : NULL;
	case VFIO_SUBREGION_LINE_STP:
		return vfio_subregion_lines_stp;
	case VFIO_SUBREGION_LINE_WORDS:
		return vfio_subregion_lines_words;
	default:
		return NULL;
	}
}

#else

/* On x86 of 32 bits a word is two stores. */
static inline void vfio_subregion_lines_words(volatile void *to, const void *from, size_t count)
{
	vfio_subregion_copy_words(to, from, count * VFIO_SUBREGION_LINE / sizeof(uint64_t));
}

static inline vfio_subregion_copy_lines vfio_subregion_routine(enum vfio_subregion_line_store way)
{
	return way == VFIO_SUBREGION_LINE_WORDS ? vfio_subregion_lines_words : NULL;
}

#endif

#if !defined(__aarch64__)
/* Copies the @count words of a slot that is not a line; @to is aligned to a word. */
static inline void vfio_subregion_copy_slot(volatile void *to, const void *from, size_t count)
{
	vfio_subregion_copy_words(to, from, count);
}
#endif

/*
 * The routine in use; NULL until it is chosen. A program has one, and each shared object that hides
 * its symbols (-fvisibility=hidden) has another.
 */
extern vfio_subregion_copy_lines vfio_subregion_lines_in_use;
__attribute__((weak)) vfio_subregion_copy_lines vfio_subregion_lines_in_use;

/*
 * Whether VFIO_SUBREGION_LINE_WORDS was chosen. The address of the routine in use does not show
 * this, because each object file has its own functions.
 */
extern int vfio_subregion_only_words;
__attribute__((weak)) int vfio_subregion_only_words;

/**
 * vfio_subregion_use_line_store() - chooses how this program stores lines
 *
 * A program calls this only if it needs another way than the automatic choice, for example
 * VFIO_SUBREGION_LINE_ST64B if its device accepts such stores. It does so before it makes queues,
 * because existing queues keep their way. After VFIO_SUBREGION_LINE_WORDS, no copy and no queue
 * stores more than 8 bytes at once. vfio_subregion_copy_by() chooses for one copy, and
 * vfio_subregion_queue_use_line_store() for one queue.
 *
 * Returns 0, or -1 with errno EOPNOTSUPP if this CPU does not support @way.
 */
VFIO_SUBREGION_INLINE int vfio_subregion_use_line_store(enum vfio_subregion_line_store way)
{
	const vfio_subregion_copy_lines routine = vfio_subregion_routine(way);

	if (!routine) {
		errno = EOPNOTSUPP;
		return -1;
	}
	__atomic_store_n(&vfio_subregion_only_words, way == VFIO_SUBREGION_LINE_WORDS,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&vfio_subregion_lines_in_use, routine, __ATOMIC_RELAXED);
	return 0;
}

/**
 * vfio_subregion_detect_line_store() - returns the best way that this CPU has for any device
 *
 * This is the automatic choice, whatever vfio_subregion_use_line_store() has chosen.
 */
VFIO_SUBREGION_INLINE enum vfio_subregion_line_store vfio_subregion_detect_line_store(void)
{
	int way;

	for (way = 0; way < VFIO_SUBREGION_LINE_WORDS; way++)
		if (way != VFIO_SUBREGION_LINE_ST64B &&
		    vfio_subregion_routine((enum vfio_subregion_line_store)way))
			break;
	return (enum vfio_subregion_line_store)way;
}

#if defined(__aarch64__)
/* Returns the routine in use, which on arm64 is the same for every CPU until another is chosen. */
static inline vfio_subregion_copy_lines vfio_subregion_lines(void)
{
	const vfio_subregion_copy_lines routine =
		__atomic_load_n(&vfio_subregion_lines_in_use, __ATOMIC_RELAXED);

	return routine ? routine : vfio_subregion_lines_stp;
}
#else
/* Chooses the routine. It is not inlined, so that callers have only the common path. */
static __attribute__((noinline, unused)) vfio_subregion_copy_lines vfio_subregion_choose_lines(void)
{
	const vfio_subregion_copy_lines routine =
		vfio_subregion_routine(vfio_subregion_detect_line_store());

	__atomic_store_n(&vfio_subregion_lines_in_use, routine, __ATOMIC_RELAXED);
	return routine;
}

/* Returns the routine in use, which the first call chooses. */
static inline vfio_subregion_copy_lines vfio_subregion_lines(void)
{
	const vfio_subregion_copy_lines routine =
		__atomic_load_n(&vfio_subregion_lines_in_use, __ATOMIC_RELAXED);

	return routine ? routine : vfio_subregion_choose_lines();
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* VFIO_SUBREGION_LINES_H */
