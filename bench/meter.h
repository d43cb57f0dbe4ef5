/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting instructions, and saying what was counted.
 *
 * The machine runs under QEMU's -icount shift=0, where an instruction takes a nanosecond of virtual
 * time and the CPU's counter ticks once in each: a difference of two readings is the number of
 * instructions between them, interrupts included, and time that passes asleep as well. What sleeps
 * is therefore counted by the time of the thread on the CPU, which the kernel keeps by the same
 * counter.
 *
 * Whatever disturbs a count, such as the timer's tick, adds to it: of several the least is taken.
 */
#ifndef METER_H
#define METER_H

#include <stdint.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/* How often each operation is counted in a round. */
#define REPEAT	20

/* A failure that leaves nothing to measure. */
__attribute__((noreturn, format(printf, 1, 2)))
void give_up(const char *format, ...);

/** meter_settle() - checks the counter and finds out what counting costs; before all others */
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

/** meter_await_tick() - waits for the timer's next tick, so that none disturbs what comes now */
void meter_await_tick(void);

/** meter_thread() - the time that the thread was running, in nanoseconds */
uint64_t meter_thread(void);

/** meter_ticks_since(), meter_thread_since() - instructions since @begin, less those of counting */
uint64_t meter_ticks_since(uint64_t begin);
uint64_t meter_thread_since(uint64_t begin);

/** meter_faults() - how many page faults the process has had */
uint64_t meter_faults(void);

/** struct least - the smallest of what was counted */
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
 * @row: what is done
 * @subject: what it is done to: bar, or the attribute of a subregion
 * @at: the size, or how many subregions there are; 0 where there is no such thing
 */
void say(const char *row, const char *subject, uint64_t at, const char *unit, uint64_t value);

/** say_least() - the same of instructions */
void say_least(const char *row, const char *subject, uint64_t at, const struct least *least);

#endif /* METER_H */
