// SPDX-License-Identifier: GPL-2.0-only
/*
 * profiled DEVICE: does each operation once between two marks, so that bench/profile counts the
 * executed instructions by function. Each operation is done a few times before, so that first-time
 * costs do not count.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "meter.h"
#include "subregion.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX
#define PAGE	(4 * KIB)
#define TIMES	5
#define MANY	1000
/*
 * The offsets of the subregions, with a free page between any two, and of a free range for one
 * more.
 */
#define SUBREGION_AT(n)	(4 * MIB + 2 * (n) * PAGE)
#define FREE_AT(n)	(SUBREGION_AT(n) + PAGE)

#define MARK_BEGIN	1
#define MARK_END	0

/* The state that the operations use. */
static struct {
	struct vfio_device dev;
	struct vfio_device_info info;
	struct vfio_region_info region;
	struct vfio_subregion_create sub;
	/* The file that is read, written and mapped: that of the device, or of an export. */
	int fd;
	int event;
	uint64_t offset;
	size_t size;
	char *room;
	uint32_t value;
	int failed;
} state;

/**
 * struct operation - an operation that is measured
 * @prepare: called before each time
 * @perform: the operation, between the marks the last time
 * @undo: called after each time
 */
struct operation {
	const char *name;
	void (*prepare)(void);
	void (*perform)(void);
	void (*undo)(void);
};

/* An instruction without effect, which contains a number. */
static inline __attribute__((always_inline)) void mark(int number)
{
#if defined(__x86_64__)
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80, %c0, 0x42, 0x4e, 0x45" :: "i" (number)
			 : "memory");
#elif defined(__aarch64__)
	__asm__ volatile("movz xzr, %0" :: "i" (0x4e40 + number) : "memory");
#else
#error "bench/profile knows no mark for this architecture"
#endif
}

static void nothing(void)
{
}

static void get_info(void)
{
	state.failed |= ioctl(state.dev.fd, VFIO_DEVICE_GET_INFO, &state.info);
}

static void reset_region(void)
{
	state.region.argsz = sizeof(state.region);
}

static void get_region_info(void)
{
	state.failed |= ioctl(state.dev.fd, VFIO_DEVICE_GET_REGION_INFO, &state.region);
}

static void read_4(void)
{
	state.failed |= pread(state.fd, &state.value, sizeof(state.value), state.offset) !=
			sizeof(state.value);
}

static void write_4(void)
{
	state.failed |= pwrite(state.fd, &state.value, sizeof(state.value), state.offset) !=
			sizeof(state.value);
}

static void map(void)
{
	state.failed |= mmap(state.room, state.size, PROT_READ, MAP_SHARED | MAP_FIXED,
			     state.fd, state.offset) == MAP_FAILED;
}

static void touch(void)
{
	(void)*(volatile char *)state.room;
}

static void unmap(void)
{
	munmap(state.room, state.size);
}

static void add_ioeventfd(void)
{
	state.failed |= vfio_ioeventfd(&state.dev, state.offset, 4, 1, state.event);
}

static void remove_ioeventfd(void)
{
	state.failed |= vfio_ioeventfd(&state.dev, state.offset, 4, 1, -1);
}

static void signal_event(void)
{
	static const uint64_t one = 1;

	state.failed |= write(state.event, &one, sizeof(one)) != sizeof(one);
}

static void create(void)
{
	state.failed |= subregion_create(&state.dev, &state.sub);
}

static void destroy(void)
{
	state.failed |= subregion_destroy(&state.dev, state.sub.index);
}

static void prepare_create(void)
{
	state.sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, FREE_AT(5), PAGE);
}

static void prepare_destroy(void)
{
	prepare_create();
	create();
}

static const struct operation on_bar[] = {
	{ "GET_INFO", nothing, get_info, nothing },
	{ "GET_REGION_INFO", reset_region, get_region_info, nothing },
	{ "read_4", nothing, read_4, nothing },
	{ "write_4", nothing, write_4, nothing },
	{ "mmap_4K", nothing, map, unmap },
	{ "fault_4K", map, touch, unmap },
	{ "munmap_4K", map, unmap, nothing },
	{ "add_ioeventfd", nothing, add_ioeventfd, remove_ioeventfd },
	{ "signal_ioeventfd", add_ioeventfd, signal_event, remove_ioeventfd },
};

static const struct operation by_huge_entry[] = {
	{ "fault_2M", map, touch, unmap },
};

static const struct operation on_subregion[] = {
	{ "GET_REGION_INFO_WC", reset_region, get_region_info, nothing },
	{ "read_4_WC", nothing, read_4, nothing },
	{ "mmap_4K_WC", nothing, map, unmap },
	{ "fault_4K_WC", map, touch, unmap },
	{ "munmap_4K_WC", map, unmap, nothing },
};

/* In the BAR that has a subregion elsewhere. */
static const struct operation beside[] = {
	{ "read_4_beside", nothing, read_4, nothing },
	{ "fault_4K_beside", map, touch, unmap },
};

static const struct operation on_export[] = {
	{ "read_4_export", nothing, read_4, nothing },
	{ "mmap_4K_export", nothing, map, unmap },
	{ "fault_4K_export", map, touch, unmap },
	{ "munmap_4K_export", map, unmap, nothing },
};

static const struct operation on_subregion_by_huge_entry[] = {
	{ "fault_2M_WC", map, touch, unmap },
};

static const struct operation with_10[] = {
	{ "CREATE_with_10", prepare_create, create, destroy },
	{ "DESTROY_with_10", prepare_destroy, destroy, nothing },
};

static const struct operation with_many[] = {
	{ "CREATE_with_1000", prepare_create, create, destroy },
	{ "DESTROY_with_1000", prepare_destroy, destroy, nothing },
};

static void measure(const struct operation *operation)
{
	unsigned int i;

	for (i = 1; i < TIMES; i++) {
		operation->prepare();
		operation->perform();
		operation->undo();
	}
	operation->prepare();
	mark(MARK_BEGIN);
	operation->perform();
	mark(MARK_END);
	operation->undo();
	if (state.failed)
		give_up("%s", operation->name);
	printf("operation %s\n", operation->name);
}

/* Measures the operations with @size bytes from @offset of the device file. */
static void measure_all(const struct operation *operations, unsigned int count, uint64_t offset,
			size_t size)
{
	unsigned int i;

	state.offset = offset;
	state.size = size;
	for (i = 0; i < count; i++)
		measure(&operations[i]);
}

/* Makes subregions until there are @count. */
static void create_up_to(unsigned int count)
{
	static unsigned int made;

	for (; made < count && !state.failed; made++) {
		state.sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, SUBREGION_AT(made), PAGE);
		create();
	}
}

static void measure_export(void)
{
	int fd = subregion_export(&state.dev, state.sub.index, O_RDWR);

	if (fd < 0)
		give_up("no export: %s", strerror(-fd));
	state.fd = fd;
	measure_all(on_export, ARRAY_SIZE(on_export), 0, PAGE);
	state.fd = state.dev.fd;
	close(fd);
}

static void measure_subregions(void)
{
	create_up_to(10);
	state.region.index = state.sub.index;
	measure_all(on_subregion, ARRAY_SIZE(on_subregion), state.sub.mmap_offset, PAGE);
	measure_all(beside, ARRAY_SIZE(beside), vfio_offset(&state.dev, BAR2, FREE_AT(0)), PAGE);
	measure_export();
	measure_all(with_10, ARRAY_SIZE(with_10), 0, PAGE);
	state.sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 64 * MIB, 2 * MIB);
	create();
	measure_all(on_subregion_by_huge_entry, ARRAY_SIZE(on_subregion_by_huge_entry),
		    state.sub.mmap_offset, 2 * MIB);
	create_up_to(MANY);
	measure_all(with_many, ARRAY_SIZE(with_many), 0, PAGE);
}

int main(int argc, char **argv)
{
	struct vfio_subregion_query query;
	uint64_t bar;

	if (argc != 2) {
		fputs("Usage: profiled DEVICE\n", stderr);
		return 2;
	}
	if (vfio_device_open(&state.dev, argv[1]))
		give_up("cannot open %s", argv[1]);
	bar = vfio_offset(&state.dev, BAR2, 0);
	state.fd = state.dev.fd;
	state.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	state.info.argsz = sizeof(state.info);
	state.region.index = BAR2;
	state.room = map_region(&state.dev, bar, GIB, GIB);
	if (state.room == MAP_FAILED)
		give_up("no room for mappings");
	munmap(state.room, GIB);
	measure_all(on_bar, ARRAY_SIZE(on_bar), bar, PAGE);
	measure_all(by_huge_entry, ARRAY_SIZE(by_huge_entry), bar, 2 * MIB);
	if (!subregion_query(&state.dev, BAR2, &query))
		measure_subregions();
	vfio_device_close(&state.dev);
	return 0;
}
