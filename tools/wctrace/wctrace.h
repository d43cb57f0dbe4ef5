/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a program in a guest speaks to the plugin wctrace: by an instruction that does nothing, whose
 * operands are in registers. Without the plugin every answer is 0.
 */
#ifndef WCTRACE_H
#define WCTRACE_H

#include <stdint.h>

enum wctrace_operation {
	/* 1 if there is a plugin, 2 if it traces. */
	WCTRACE_STATE,
	/* Adds a range of physical addresses, and begins a trace if there is none. */
	WCTRACE_START,
	/* Ends the trace, and writes the report. */
	WCTRACE_STOP,
	/* Sets all counts to zero and empties the buffers of the model. */
	WCTRACE_CLEAR,
	/* The count that the first operand names. */
	WCTRACE_COUNT,
	/* 1 if the plugin finds what the oracle has written to the second, a struct pte_oracle. */
	WCTRACE_CHECK,
	/* The load address of the traced program. */
	WCTRACE_BASE,
};

/* The counters of WCTRACE_COUNT: PCIe writes, bytes, lines, fences, strict stores and stores. */
enum wctrace_count {
	WCTRACE_WRITES,
	WCTRACE_BYTES,
	WCTRACE_LINK_BYTES,
	WCTRACE_FULL_LINES,
	WCTRACE_BROKEN_LINES,
	WCTRACE_FENCES,
	WCTRACE_IDLE_FENCES,
	WCTRACE_UNFENCED_DOORBELLS,
	WCTRACE_OVERTAKING_DOORBELLS,
	WCTRACE_STORES,
	/* Writes by reason. */
	WCTRACE_BY_FULL = 16,
	WCTRACE_BY_TYPE,
	WCTRACE_BY_FENCE,
	WCTRACE_BY_HINT,
	WCTRACE_BY_LINE,
	WCTRACE_BY_GAP,
	WCTRACE_BY_BETWEEN,
	WCTRACE_BY_LOCKED,
	WCTRACE_BY_RELEASE,
	WCTRACE_BY_SERIALIZING,
	WCTRACE_BY_PORT,
	WCTRACE_BY_STRICT,
	WCTRACE_BY_LOAD,
	WCTRACE_BY_INTERRUPT,
	WCTRACE_BY_TRAP,
	WCTRACE_BY_END,
};

static inline uint64_t wctrace(enum wctrace_operation operation, uint64_t first, uint64_t second)
{
#if defined(__x86_64__)
	uint64_t answer = 0;

	/* nopl 0x52544357(%rax) */
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 0x57, 0x43, 0x54, 0x52"
			 : "+a"(answer)
			 : "D"((uint64_t)operation), "S"(first), "d"(second)
			 : "memory");
	return answer;
#elif defined(__aarch64__)
	register uint64_t x0 __asm__("x0") = operation;
	register uint64_t x1 __asm__("x1") = first;
	register uint64_t x2 __asm__("x2") = second;
	register uint64_t x3 __asm__("x3") = 0;

	__asm__ volatile("movz xzr, #0x5743" : "+r"(x3) : "r"(x0), "r"(x1), "r"(x2) : "memory");
	return x3;
#else
	(void)operation;
	(void)first;
	(void)second;
	return 0;
#endif
}

#endif /* WCTRACE_H */
