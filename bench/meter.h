/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts instructions and prints the counts.
 *
 * The machine runs under QEMU's -icount shift=0, where an instruction takes a nanosecond of virtual
 * time and the CPU's counter ticks once in each: the difference of two readings is the number of
 * instructions between them, including interrupts, and including time asleep. Operations that sleep
 * are therefore counted by the thread's CPU time, which the kernel measures with the same counter.
 *
 * Disturbances, such as the timer tick, only add to a count, so the smallest of several counts is
 * used.
 */
#ifndef METER_H
#define METER_H

#include <stdint.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/* The number of counts of each operation in a round. */
#define REPEAT	20

/* A failure that makes measurements impossible. */
__attribute__((noreturn, format(printf, 1, 2)))
void give_up(const char *format, ...);

/** meter_settle() - checks the counter and measures the cost of counting; call it first */
void meter_settle(void);

/** meter_ticks() - the CPU's counter */
static inline uint64_t meter_ticks(void)
{
#if defined(__x86_64__)
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a" (low), "=d" (high) :: "memory");
	return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("isb; mrs %0, cntvct_el0; isb" : "=r" (ticks) :: "memory");
	return ticks;
#else
#error "no counter is known for this architecture"
#endif
}

/** meter_await_tick() - waits for the next timer tick, so that none disturbs the next count */
void meter_await_tick(void);

/** meter_thread() - the CPU time of the thread in nanoseconds */
uint64_t meter_thread(void);

/**
 * meter_ticks_since(), meter_thread_since() - instructions since @begin, without those of counting
 */
uint64_t meter_ticks_since(uint64_t begin);
uint64_t meter_thread_since(uint64_t begin);

/** meter_faults() - the number of page faults of the process */
uint64_t meter_faults(void);

/** struct least - the smallest of several counts */
struct least {
	uint64_t value;
	unsigned int count;
};

static inline void least_add(struct least *least, uint64_t value)
{
	if (!least->count++ || value < least->value)
		least->value = value;
}

/**
 * say() - prints one figure as a line of words: figure ROW SUBJECT AT UNIT VALUE
 *
 * @row: the operation
 * @subject: the object of the operation: bar, or the attribute of a subregion
 * @at: the size, or the number of subregions; 0 if there is none
 */
void say(const char *row, const char *subject, uint64_t at, const char *unit, uint64_t value);

/** say_least() - the same for instructions */
void say_least(const char *row, const char *subject, uint64_t at, const struct least *least);

#endif /* METER_H */
