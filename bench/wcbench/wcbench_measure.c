// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"
#include "wcbench.h"

/* Strict and write-combining in turn, so that changes over time affect both. */
#define ROUNDS		5
#define SAMPLES		20
/*
 * The amount of data that is timed at once, so that the clock and the read at the end do not
 * matter.
 */
#define BATCH_BYTES	(256UL << 10)
#define BATCH_MAX	4096UL

enum { STRICT, COMBINED, TYPES };

#define SIZES		15
#define KINDS		(4 * SIZES)

/* The times of one transfer, in nanoseconds. */
struct times {
	double sample[ROUNDS * SAMPLES];
	unsigned int count;
};

struct results {
	struct transfer transfer[KINDS];
	struct times times[TYPES][KINDS];
};

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Returns the value with @part quarters of all samples below it; sorts them. */
static double quartile(struct times *times, unsigned int part)
{
	qsort(times->sample, times->count, sizeof(times->sample[0]), by_value);
	return times->sample[(times->count - 1) * part / 4];
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC_RAW, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

/*
 * Times one batch. Stores to a device are posted: the CPU continues while they are on their way.
 * The measurement therefore ends with a read, which the device answers after all of them.
 */
static void time_batch(const struct transfer *transfer, bool combining, volatile char *window,
		       size_t length, struct times *times)
{
	static char from[TRANSFER_MAX];
	unsigned long count = BATCH_BYTES / transfer->size;
	double begin;

	if (count > BATCH_MAX)
		count = BATCH_MAX;
	begin = now();
	transfer_batch(transfer, combining, window, length, from, count);
	(void)*(volatile uint32_t *)window;
	times->sample[times->count++] = (now() - begin) / count;
}

static void measure_type(struct results *results, unsigned int type, volatile char *window,
			 size_t length, unsigned int samples)
{
	unsigned int kind, i;

	for (kind = 0; kind < KINDS; kind++)
		for (i = 0; i < samples; i++)
			time_batch(&results->transfer[kind], type == COMBINED, window, length,
				   &results->times[type][kind]);
}

static int measure(struct bench *bench, struct results *results)
{
	bool real = bench->machine != MACHINE_EMULATED;
	unsigned int round;
	int ret = STATUS_OK;

	for (round = 0; !ret && round < (real ? ROUNDS : 1); round++) {
		measure_type(results, STRICT, bench->plain, bench->length, real ? SAMPLES : 1);
		ret = bench_claim(bench);
		if (ret)
			break;
		measure_type(results, COMBINED, bench->wc, bench->length, real ? SAMPLES : 1);
		ret = bench_release(bench);
	}
	return ret;
}

/* Pins the thread to its current CPU. */
static void stay_here(void)
{
	cpu_set_t cpus;
	int cpu = sched_getcpu();

	CPU_ZERO(&cpus);
	if (cpu >= 0) {
		CPU_SET(cpu, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
	}
}

static void print_times(struct times *times, size_t size, bool shown)
{
	double median = quartile(times, 2);

	if (shown)
		printf("  %10.1f %10.1f %10.1f %8.0f", median, quartile(times, 1),
		       quartile(times, 3), size / median * 1e3);
	else
		printf("  %10s %10s %10s %8s", "-", "-", "-", "-");
}

static void print_table(struct bench *bench, struct results *results)
{
	bool shown = bench->machine != MACHINE_EMULATED;
	unsigned int kind;

	puts("The writes, and the ratio of their bytes on the link, are what a model expects.\n");
	printf("%46s  %-41s  %-41s\n", "", "the BAR", "WC subregion");
	printf("%6s %-7s %8s %6s %6s %-8s", "bytes", "aligned", "writes", "WC", "ratio", "fence");
	printf("  %10s %10s %10s %8s", "median ns", "quarter", "3 quarters", "MB/s");
	printf("  %10s %10s %10s %8s  %s\n", "median ns", "quarter", "3 quarters", "MB/s", "ratio");
	for (kind = 0; kind < KINDS; kind++) {
		struct transfer *transfer = &results->transfer[kind];
		struct times *strict = &results->times[STRICT][kind];
		struct times *combined = &results->times[COMBINED][kind];

		size_t writes = transfer_writes(transfer, false);
		size_t gathered = transfer_writes(transfer, true);

		printf("%6zu %-7s %8zu %6zu %6.1f %-8s", transfer->size,
		       transfer->aligned ? "yes" : "no", writes, gathered,
		       (double)transfer_link_bytes(transfer, writes) /
			       transfer_link_bytes(transfer, gathered),
		       transfer->fence ? "each" : "last");
		print_times(strict, transfer->size, shown);
		print_times(combined, transfer->size, shown);
		if (shown)
			printf("  %.1f\n", quartile(strict, 2) / quartile(combined, 2));
		else
			puts("  -");
	}
	if (!shown)
		puts("\nno figures: all of this ran on an emulator");
}

/* One curve: bytes, the median, and the ends of the middle half, in megabytes per second. */
static void write_curve(FILE *file, struct results *results, unsigned int type, bool aligned,
			bool fence)
{
	unsigned int kind;

	for (kind = 0; kind < KINDS; kind++) {
		struct transfer *transfer = &results->transfer[kind];
		struct times *times = &results->times[type][kind];

		if (transfer->aligned == aligned && transfer->fence == fence)
			fprintf(file, "%zu %.3f %.3f %.3f\n", transfer->size,
				transfer->size / quartile(times, 2) * 1e3,
				transfer->size / quartile(times, 3) * 1e3,
				transfer->size / quartile(times, 1) * 1e3);
	}
}

#define CURVES	4

static const struct {
	const char *name;
	bool aligned;
	bool fence;
} curves[CURVES] = {
	{ "aligned", true, false },
	{ "aligned, a fence after each", true, true },
	{ "not aligned", false, false },
	{ "not aligned, a fence after each", false, true },
};

static int write_plot(struct bench *bench, struct results *results, const char *path)
{
	static const char *const types[TYPES] = { "BAR", "WC" };
	static const char *const colours[TYPES] = { "#d1501c", "#0b6fb8" };
	unsigned int type, i;
	FILE *file;

	file = fopen(path, "we");
	if (!file)
		return fail(STATUS_SYSTEM, "%s: %s", path, strerror(errno));
	for (type = 0; type < TYPES; type++)
		for (i = 0; i < CURVES; i++) {
			fprintf(file, "$%s%u << EOD\n", types[type], i);
			write_curve(file, results, type, curves[i].aligned, curves[i].fence);
			fputs("EOD\n", file);
		}
	fprintf(file,
		"set terminal svg size 900,600 font 'DejaVu Sans,14' background '#ffffff'\n"
		"set output '%s.svg'\n"
		"set title 'Stores to BAR %u of %s%s'\n"
		"set xlabel 'bytes of a transfer'\nset ylabel 'MB/s: median and middle half'\n"
		"set logscale x 2\nset logscale y 10\nset grid lc rgb '#dddddd'\n"
		"set key outside below center maxrows 4\nplot ",
		path, bench->bar, bench->name,
		bench->machine == MACHINE_VIRTUAL ? ", in a virtual machine" : "");
	for (type = 0; type < TYPES; type++)
		for (i = 0; i < CURVES; i++)
			fprintf(file,
				"%s$%s%u using 1:2:3:4 with yerrorlines pt %u dt %u lc rgb '%s' title '%s, %s'",
				type || i ? ", \\\n\t" : "", types[type], i, 4 + i, 1 + i,
				colours[type], types[type], curves[i].name);
	fputc('\n', file);
	if (fclose(file))
		return fail(STATUS_SYSTEM, "%s: %s", path, strerror(errno));
	printf("\n'gnuplot %s' draws %s.svg\n", path, path);
	return STATUS_OK;
}

int bench_measure(struct bench *bench, const char *plot)
{
	static struct results results;
	unsigned int kind;
	int ret;

	for (kind = 0; kind < KINDS; kind++)
		results.transfer[kind] = (struct transfer) {
			.size = TRANSFER_MIN << kind % SIZES,
			.aligned = kind / SIZES < 2,
			.fence = kind / SIZES % 2,
		};
	stay_here();
	ret = measure(bench, &results);
	if (ret)
		return ret;
	printf("stores to %s, BAR %u, %zu bytes from %#zx; the subregion is %s\n\n", bench->name,
	       bench->bar, bench->length, (size_t)bench->offset,
	       type_name(bench->created.effective_type));
	print_table(bench, &results);
	if (plot && bench->machine != MACHINE_EMULATED)
		ret = write_plot(bench, &results, plot);
	return ret;
}
