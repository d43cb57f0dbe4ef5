// SPDX-License-Identifier: GPL-2.0-only

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "meter.h"

/* The number of rounds of the loop that shows whether instructions are counted. */
#define STEPS	10000UL

static uint64_t ticks_cost, thread_cost;

void give_up(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("cannot measure: ");
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	exit(1);
}

uint64_t meter_thread(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

void meter_await_tick(void)
{
	struct timespec begin, now;

	/* This clock does not advance between ticks. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &begin);
	do
		clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	while (now.tv_nsec == begin.tv_nsec);
}

static uint64_t less(uint64_t value, uint64_t cost)
{
	return value > cost ? value - cost : 0;
}

uint64_t meter_ticks_since(uint64_t begin)
{
	return less(meter_ticks() - begin, ticks_cost);
}

uint64_t meter_thread_since(uint64_t begin)
{
	return less(meter_thread() - begin, thread_cost);
}

/* A loop of two instructions. */
static void step(unsigned long times)
{
#if defined(__x86_64__)
	__asm__ volatile("1: dec %0; jnz 1b" : "+r" (times) :: "cc");
#else
	__asm__ volatile("1: subs %0, %0, #1; b.ne 1b" : "+r" (times) :: "cc");
#endif
}

/* Without -icount, the counter or the CPU has another speed. */
static void check_counter(void)
{
	struct least least = { };
	unsigned int i;
	uint64_t begin;

	for (i = 0; i < 10; i++) {
		begin = meter_ticks();
		step(STEPS);
		least_add(&least, meter_ticks_since(begin));
	}
	if (least.value < 2 * STEPS || least.value > 2 * STEPS + 10)
		give_up("the counter shows %" PRIu64 " for %lu instructions", least.value,
			2 * STEPS);
}

void meter_settle(void)
{
	struct least ticks = { }, thread = { };
	unsigned int i;

	for (i = 0; i < 100; i++) {
		least_add(&ticks, meter_ticks_since(meter_ticks()));
		least_add(&thread, meter_thread_since(meter_thread()));
	}
	ticks_cost = ticks.value;
	thread_cost = thread.value;
	check_counter();
}

uint64_t meter_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

void say(const char *row, const char *subject, uint64_t at, const char *unit, uint64_t value)
{
	printf("figure %s %s %" PRIu64 " %s %" PRIu64 "\n", row, subject, at, unit, value);
}

void say_least(const char *row, const char *subject, uint64_t at, const struct least *least)
{
	if (!least->count)
		give_up("%s of %s was never counted", row, subject);
	say(row, subject, at, "instructions", least->value);
}
