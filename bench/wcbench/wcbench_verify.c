// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vfio_subregion_helpers.h>

#include "wcbench.h"

/* The number of transfers of each kind before they are read back. */
#define BATCH		8U
/* The number of descriptors for the other thread. */
#define DESCRIPTORS	2000U
#define WORDS		(BUFFER / sizeof(uint64_t))
/* The value of bytes that must not change. */
#define UNTOUCHED	0x5a

/* One mapping of the test range, and the offset of the same bytes in the device file. */
struct view {
	const char *name;
	volatile char *map;
	uint64_t offset;
	bool combining;
};

static void fill_window(const struct view *view, size_t length)
{
	volatile uint64_t *word = (volatile uint64_t *)view->map;
	size_t i;

	for (i = 0; i < length / sizeof(*word); i++)
		word[i] = UNTOUCHED * 0x0101010101010101ULL;
	vfio_subregion_flush_stores();
}

static void load_window(const struct view *view, uint64_t *words, size_t length)
{
	const volatile uint64_t *word = (const volatile uint64_t *)view->map;
	size_t i;

	for (i = 0; i < length / sizeof(*word); i++)
		words[i] = word[i];
}

/* Whether the mapping and read() return @want for the test range. */
static int compare(struct bench *bench, const struct view *view, const struct transfer *transfer,
		   const char *want, size_t length)
{
	static uint64_t words[(BATCH + 1) * TRANSFER_MAX / sizeof(uint64_t)];
	const char *way = "its mapping";

	load_window(view, words, length);
	if (!memcmp(words, want, length)) {
		way = "read()";
		if (pread(bench->dev.fd, words, length, view->offset) != (ssize_t)length)
			return fail(STATUS_SYSTEM, "read of the %s: %s", view->name,
				    strerror(errno));
		if (!memcmp(words, want, length))
			return STATUS_OK;
	}
	return fail(STATUS_DATA, "transfers of %zu bytes through the %s read back wrong by %s",
		    transfer->size, view->name, way);
}

static int verify_transfer(struct bench *bench, const struct view *view,
			   const struct transfer *transfer, unsigned int *verified)
{
	static char want[(BATCH + 1) * TRANSFER_MAX], from[TRANSFER_MAX];
	size_t pitch = transfer_pitch(transfer), length, i;
	unsigned int count = bench->length / pitch < BATCH ? bench->length / pitch : BATCH;

	length = count * pitch;
	for (i = 0; i < transfer->size; i++)
		from[i] = (i * 7 + *verified) ^ i >> 8;
	memset(want, UNTOUCHED, length);
	for (i = 0; i < count; i++)
		memcpy(want + i * pitch + transfer_start(transfer), from, transfer->size);
	fill_window(view, length);
	transfer_batch(transfer, view->combining, view->map, bench->length, from, count);
	*verified += count;
	return compare(bench, view, transfer, want, length);
}

static int verify_view(struct bench *bench, const struct view *view, unsigned int *verified)
{
	struct transfer transfer;
	size_t size;
	int kind, ret;

	for (size = TRANSFER_MIN; size <= TRANSFER_MAX; size *= 2)
		for (kind = 0; kind < 4; kind++) {
			transfer = (struct transfer) { size, kind & 1, kind & 2 };
			ret = verify_transfer(bench, view, &transfer, verified);
			if (ret)
				return ret;
		}
	return STATUS_OK;
}

/* The state that the two threads share besides the device. */
struct handover {
	struct bench *bench;
	volatile uint32_t *flag;
	atomic_uint seen;
	atomic_uint wrong;
};

static uint64_t descriptor_word(uint32_t number, unsigned int word)
{
	return (uint64_t)number << 32 | (number * 31 + word);
}

static volatile uint64_t *descriptor_at(struct bench *bench, uint32_t number)
{
	size_t at = (number * BUFFER) % (bench->length / BUFFER * BUFFER);

	return (volatile uint64_t *)(bench->wc + at);
}

/* Waits for the flag of each descriptor, whose words must all be there then. */
static void *receive(void *argument)
{
	struct handover *handover = argument;
	volatile uint64_t *descriptor;
	unsigned int number, word;

	for (number = 1; number <= DESCRIPTORS; number++) {
		while (*handover->flag != number)
			sched_yield();
		descriptor = descriptor_at(handover->bench, number);
		for (word = 0; word < WORDS; word++)
			handover->wrong += descriptor[word] != descriptor_word(number, word);
		handover->seen = number;
	}
	return NULL;
}

static int verify_order(struct bench *bench)
{
	struct handover handover = {
		.bench = bench,
		.flag = (volatile uint32_t *)(bench->plain + bench->length),
	};
	volatile uint64_t *descriptor;
	unsigned int number, word;
	pthread_t receiver;

	*handover.flag = 0;
	if (pthread_create(&receiver, NULL, receive, &handover))
		return fail(STATUS_SYSTEM, "no thread can be made");
	for (number = 1; number <= DESCRIPTORS; number++) {
		descriptor = descriptor_at(bench, number);
		for (word = 0; word < WORDS; word++)
			descriptor[word] = descriptor_word(number, word);
		vfio_subregion_order_stores();
		*handover.flag = number;
		while (handover.seen != number)
			sched_yield();
	}
	pthread_join(receiver, NULL);
	if (handover.wrong)
		return fail(STATUS_DATA, "%u words were missing when the flag announced them",
			    handover.wrong);
	return STATUS_OK;
}

int bench_verify(struct bench *bench)
{
	struct view view = { "BAR", bench->plain, bench->bar_offset + bench->offset, false };
	unsigned int strict = 0, combined = 0;
	int ret;

	ret = verify_view(bench, &view, &strict);
	if (!ret)
		ret = bench_claim(bench);
	if (ret)
		return ret;
	view = (struct view) { "WC subregion", bench->wc, bench->created.mmap_offset, true };
	ret = verify_view(bench, &view, &combined);
	if (!ret)
		ret = verify_order(bench);
	if (ret)
		return ret;
	printf("%u transfers through the BAR and %u through the subregion read back as written\n",
	       strict, combined);
	printf("%u descriptors were in place when the flag told of them\n", DESCRIPTORS);
	return bench_release(bench);
}
