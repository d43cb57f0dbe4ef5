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

/* The routines of one way: for lines, and for a single one, which does not look at @count. */
struct vfio_subregion_routines {
	vfio_subregion_copy_lines lines;
	vfio_subregion_copy_lines line;
	/* Of enum vfio_subregion_line_store; VFIO_SUBREGION_LINES if none was chosen yet. */
	int way;
};

/* Defines both routines of a way, which store a line by vfio_subregion_store_*(). */
#define VFIO_SUBREGION_ROUTINES(name, end)							\
static inline void vfio_subregion_lines_##name(volatile void *to, const void *from, size_t count) \
{												\
	const char *source = (const char *)from;						\
	volatile char *target = (volatile char *)to;						\
												\
	for (; count; count--, target += VFIO_SUBREGION_LINE, source += VFIO_SUBREGION_LINE)	\
		vfio_subregion_store_##name(target, source);					\
	end;											\
}												\
												\
static inline void vfio_subregion_line_##name(volatile void *to, const void *from, size_t count) \
{												\
	(void)count;										\
	vfio_subregion_store_##name(to, from);							\
	end;											\
}

/* Makes them the routines at @found, and is true. */
#define VFIO_SUBREGION_FOUND(name)								\
	(found->lines = vfio_subregion_lines_##name, found->line = vfio_subregion_line_##name, 1)

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

static inline void vfio_subregion_store_movdir64b(volatile void *to, const void *from)
{
	/* movdir64b (%rsi), %rdi, which assemblers know since binutils 2.31. */
	__asm__ volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x3e"
			 : : "D"(to), "S"(from) : "memory");
}

VFIO_SUBREGION_ROUTINES(movdir64b, (void)0)

/* Ends the use of the upper halves of vector registers; until then, SSE code would be slow. */
static inline void vfio_subregion_end_vectors(void)
{
	__asm__ volatile("vzeroupper" : : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			 "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			 "xmm14", "xmm15");
}

static inline void vfio_subregion_store_avx512(volatile void *to, const void *from)
{
	__asm__ volatile("vmovdqu64 (%1), %%zmm0\n\t"
			 "vmovdqa64 %%zmm0, (%0)"
			 : : "r"(to), "r"(from) : "memory", "xmm0");
}

VFIO_SUBREGION_ROUTINES(avx512, vfio_subregion_end_vectors())

static inline void vfio_subregion_store_avx(volatile void *to, const void *from)
{
	__asm__ volatile("vmovdqu (%1), %%ymm0\n\t"
			 "vmovdqu 32(%1), %%ymm1\n\t"
			 "vmovdqa %%ymm0, (%0)\n\t"
			 "vmovdqa %%ymm1, 32(%0)"
			 : : "r"(to), "r"(from) : "memory", "xmm0", "xmm1");
}

VFIO_SUBREGION_ROUTINES(avx, vfio_subregion_end_vectors())

static inline void vfio_subregion_store_sse2(volatile void *to, const void *from)
{
	__asm__ volatile("movdqu (%1), %%xmm0\n\t"
			 "movdqu 16(%1), %%xmm1\n\t"
			 "movdqu 32(%1), %%xmm2\n\t"
			 "movdqu 48(%1), %%xmm3\n\t"
			 "movdqa %%xmm0, (%0)\n\t"
			 "movdqa %%xmm1, 16(%0)\n\t"
			 "movdqa %%xmm2, 32(%0)\n\t"
			 "movdqa %%xmm3, 48(%0)"
			 : : "r"(to), "r"(from)
			 : "memory", "xmm0", "xmm1", "xmm2", "xmm3");
}

VFIO_SUBREGION_ROUTINES(sse2, (void)0)

static inline void vfio_subregion_store_words(volatile void *to, const void *from)
{
	uint64_t a, b, c, d, e, f, g, h;

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
			 : "r"(to), "r"(from) : "memory");
}

VFIO_SUBREGION_ROUTINES(words, (void)0)

/* Finds the routines of @way; returns whether this CPU has it. */
static inline int vfio_subregion_find(enum vfio_subregion_line_store way,
				      struct vfio_subregion_routines *found)
{
	unsigned int eax, ebx, ecx, edx;

	__builtin_cpu_init();
	switch (way) {
	case VFIO_SUBREGION_LINE_MOVDIR64B:
		/* It needs no support of the kernel. */
		return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ecx & 1U << 28 &&
		       VFIO_SUBREGION_FOUND(movdir64b);
	case VFIO_SUBREGION_LINE_AVX512:
		return __builtin_cpu_supports("avx512f") && VFIO_SUBREGION_FOUND(avx512);
	case VFIO_SUBREGION_LINE_AVX:
		return __builtin_cpu_supports("avx") && VFIO_SUBREGION_FOUND(avx);
	case VFIO_SUBREGION_LINE_SSE2:
		return VFIO_SUBREGION_FOUND(sse2);
	case VFIO_SUBREGION_LINE_WORDS:
		return VFIO_SUBREGION_FOUND(words);
	default:
		return 0;
	}
}

#elif defined(__aarch64__)

/* Loads a line into x2 to x9, stores these by @stores, and ends gathering (DGH). */
#define VFIO_SUBREGION_STORE(name, stores)						\
static inline void vfio_subregion_store_##name(volatile void *to, const void *from)	\
{											\
	__asm__ volatile("ldp x2, x3, [%1]\n\t"					\
			 "ldp x4, x5, [%1, #16]\n\t"					\
			 "ldp x6, x7, [%1, #32]\n\t"					\
			 "ldp x8, x9, [%1, #48]\n\t"					\
			 stores								\
			 "hint #6"							\
			 : : "r"(to), "r"(from)						\
			 : "memory", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9");	\
}											\
VFIO_SUBREGION_ROUTINES(name, (void)0)

VFIO_SUBREGION_STORE(stp,
		     "stp x2, x3, [%0]\n\t"
		     "stp x4, x5, [%0, #16]\n\t"
		     "stp x6, x7, [%0, #32]\n\t"
		     "stp x8, x9, [%0, #48]\n\t")

VFIO_SUBREGION_STORE(words,
		     "str x2, [%0]\n\t"
		     "str x3, [%0, #8]\n\t"
		     "str x4, [%0, #16]\n\t"
		     "str x5, [%0, #24]\n\t"
		     "str x6, [%0, #32]\n\t"
		     "str x7, [%0, #40]\n\t"
		     "str x8, [%0, #48]\n\t"
		     "str x9, [%0, #56]\n\t")

#undef VFIO_SUBREGION_STORE

static inline void vfio_subregion_store_st64b(volatile void *to, const void *from)
{
	/* st64b x0, [x8], which assemblers accept only with the extension LS64 enabled. */
	__asm__ volatile("mov x8, %0\n\t"
			 "ldp x0, x1, [%1]\n\t"
			 "ldp x2, x3, [%1, #16]\n\t"
			 "ldp x4, x5, [%1, #32]\n\t"
			 "ldp x6, x7, [%1, #48]\n\t"
			 ".inst 0xf83f9100"
			 : : "r"(to), "r"(from)
			 : "memory", "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8");
}

VFIO_SUBREGION_ROUTINES(st64b, (void)0)

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

/* Finds the routines of @way; returns whether this CPU has it. */
static inline int vfio_subregion_find(enum vfio_subregion_line_store way,
				      struct vfio_subregion_routines *found)
{
	switch (way) {
	case VFIO_SUBREGION_LINE_ST64B:
		/* AT_HWCAP3 and HWCAP3_LS64, which older headers lack. */
		return getauxval(29) & 1UL << 3 && VFIO_SUBREGION_FOUND(st64b);
	case VFIO_SUBREGION_LINE_STP:
		return VFIO_SUBREGION_FOUND(stp);
	case VFIO_SUBREGION_LINE_WORDS:
		return VFIO_SUBREGION_FOUND(words);
	default:
		return 0;
	}
}

#else

/* On x86 of 32 bits a word is two stores. */
static inline void vfio_subregion_store_words(volatile void *to, const void *from)
{
	vfio_subregion_copy_words(to, from, VFIO_SUBREGION_LINE / sizeof(uint64_t));
}

VFIO_SUBREGION_ROUTINES(words, (void)0)

/* Finds the routines of @way; returns whether this CPU has it. */
static inline int vfio_subregion_find(enum vfio_subregion_line_store way,
				      struct vfio_subregion_routines *found)
{
	return way == VFIO_SUBREGION_LINE_WORDS && VFIO_SUBREGION_FOUND(words);
}

#endif
#undef VFIO_SUBREGION_FOUND
#undef VFIO_SUBREGION_ROUTINES

/** vfio_subregion_routine() - returns the routine for @way, or NULL if this CPU has none */
VFIO_SUBREGION_INLINE vfio_subregion_copy_lines
vfio_subregion_routine(enum vfio_subregion_line_store way)
{
	struct vfio_subregion_routines found;

	return vfio_subregion_find(way, &found) ? found.lines : NULL;
}

#if !defined(__aarch64__)
/* Copies the @count words of a slot that is not a line; @to is aligned to a word. */
static inline void vfio_subregion_copy_slot(volatile void *to, const void *from, size_t count)
{
	vfio_subregion_copy_words(to, from, count);
}
#endif

#if defined(__aarch64__)
/* Every CPU has STP. NULL means the same, by stores that are inlined in the caller. */
#define VFIO_SUBREGION_AT_FIRST	{ vfio_subregion_lines_stp, NULL, VFIO_SUBREGION_LINE_STP }
#else
/* These choose the routines and call them. */
static void vfio_subregion_first_lines(volatile void *to, const void *from, size_t count);
static void vfio_subregion_first_line(volatile void *to, const void *from, size_t count);

#define VFIO_SUBREGION_AT_FIRST	\
	{ vfio_subregion_first_lines, vfio_subregion_first_line, VFIO_SUBREGION_LINES }
#endif

/*
 * The routines in use. A program has one such variable, and each shared object that hides its
 * symbols (-fvisibility=hidden) has another.
 */
extern struct vfio_subregion_routines vfio_subregion_in_use;
__attribute__((weak)) struct vfio_subregion_routines vfio_subregion_in_use =
	VFIO_SUBREGION_AT_FIRST;

#undef VFIO_SUBREGION_AT_FIRST
#define VFIO_SUBREGION_IN_USE(member)	\
	__atomic_load_n(&vfio_subregion_in_use.member, __ATOMIC_RELAXED)

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
	struct vfio_subregion_routines found;

	if (!vfio_subregion_find(way, &found)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	__atomic_store_n(&vfio_subregion_in_use.lines, found.lines, __ATOMIC_RELAXED);
	__atomic_store_n(&vfio_subregion_in_use.line, found.line, __ATOMIC_RELAXED);
	/* Whoever sees that there is a choice sees the routines too. */
	__atomic_store_n(&vfio_subregion_in_use.way, (int)way, __ATOMIC_RELEASE);
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

/* Returns the routines in use, for a queue to keep. */
static inline struct vfio_subregion_routines vfio_subregion_chosen(void)
{
	struct vfio_subregion_routines chosen;

	if (__atomic_load_n(&vfio_subregion_in_use.way, __ATOMIC_ACQUIRE) == VFIO_SUBREGION_LINES)
		vfio_subregion_use_line_store(vfio_subregion_detect_line_store());
	chosen.lines = VFIO_SUBREGION_IN_USE(lines);
	chosen.line = VFIO_SUBREGION_IN_USE(line);
	chosen.way = VFIO_SUBREGION_IN_USE(way);
#if defined(__aarch64__)
	if (!chosen.line)
		chosen.line = vfio_subregion_line_stp;
#endif
	return chosen;
}

#if !defined(__aarch64__)
static void vfio_subregion_first_lines(volatile void *to, const void *from, size_t count)
{
	vfio_subregion_chosen().lines(to, from, count);
}

static void vfio_subregion_first_line(volatile void *to, const void *from, size_t count)
{
	vfio_subregion_chosen().line(to, from, count);
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* VFIO_SUBREGION_LINES_H */
