// SPDX-License-Identifier: GPL-2.0-only
/*
 * profiled DEVICE: does each operation once between two marks, so that bench/profile counts the
 * executed instructions by function. Each operation is done a few times before, so that first-time
 * costs do not count.
 */
#include <stdio.h>
#include <string.h>
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
#define PLACE(n)	(4 * MIB + 2 * (n) * PAGE)
#define BETWEEN(n)	(PLACE(n) + PAGE)

#define MARK_BEGIN	1
#define MARK_END	0

/* The state that the steps use. */
static struct {
	struct vfio_device dev;
	struct vfio_device_info info;
	struct vfio_region_info region;
	struct vfio_subregion_create sub;
	uint64_t offset;
	size_t size;
	char *room;
	uint32_t value;
	int failed;
} on;

/**
 * struct step - one measured operation
 * @before: the preparation, each time
 * @what: the operation, between the marks the last time
 * @after: undoes the operation
 */
struct step {
	const char *name;
	void (*before)(void);
	void (*what)(void);
	void (*after)(void);
};

/* An instruction of x86 without effect, which contains a number. */
static inline __attribute__((always_inline)) void mark(int number)
{
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80, %c0, 0x42, 0x4e, 0x45" :: "i" (number)
			 : "memory");
}

static void nothing(void)
{
}

static void get_info(void)
{
	on.failed |= ioctl(on.dev.fd, VFIO_DEVICE_GET_INFO, &on.info);
}

static void reset_region(void)
{
	on.region.argsz = sizeof(on.region);
}

static void get_region_info(void)
{
	on.failed |= ioctl(on.dev.fd, VFIO_DEVICE_GET_REGION_INFO, &on.region);
}

static void read_4(void)
{
	on.failed |= pread(on.dev.fd, &on.value, sizeof(on.value), on.offset) != sizeof(on.value);
}

static void write_4(void)
{
	on.failed |= pwrite(on.dev.fd, &on.value, sizeof(on.value), on.offset) != sizeof(on.value);
}

static void map(void)
{
	on.failed |= mmap(on.room, on.size, PROT_READ, MAP_SHARED | MAP_FIXED, on.dev.fd,
			  on.offset) == MAP_FAILED;
}

static void touch(void)
{
	(void)*(volatile char *)on.room;
}

static void unmap(void)
{
	munmap(on.room, on.size);
}

static void create(void)
{
	on.failed |= subregion_create(&on.dev, &on.sub);
}

static void destroy(void)
{
	on.failed |= subregion_destroy(&on.dev, on.sub.index);
}

static void prepare_create(void)
{
	on.sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, BETWEEN(5), PAGE);
}

static void prepare_destroy(void)
{
	prepare_create();
	create();
}

static const struct step of_bar[] = {
	{ "GET_INFO", nothing, get_info, nothing },
	{ "GET_REGION_INFO", reset_region, get_region_info, nothing },
	{ "read_4", nothing, read_4, nothing },
	{ "write_4", nothing, write_4, nothing },
	{ "mmap_4K", nothing, map, unmap },
	{ "fault_4K", map, touch, unmap },
	{ "munmap_4K", map, unmap, nothing },
};

static const struct step of_large[] = {
	{ "fault_2M", map, touch, unmap },
};

static const struct step of_subregion[] = {
	{ "GET_REGION_INFO_WC", reset_region, get_region_info, nothing },
	{ "read_4_WC", nothing, read_4, nothing },
	{ "mmap_4K_WC", nothing, map, unmap },
	{ "fault_4K_WC", map, touch, unmap },
};

static const struct step of_large_subregion[] = {
	{ "fault_2M_WC", map, touch, unmap },
};

static const struct step with_10[] = {
	{ "CREATE_with_10", prepare_create, create, destroy },
	{ "DESTROY_with_10", prepare_destroy, destroy, nothing },
};

static const struct step with_many[] = {
	{ "CREATE_with_1000", prepare_create, create, destroy },
	{ "DESTROY_with_1000", prepare_destroy, destroy, nothing },
};

static void take(const struct step *step)
{
	unsigned int i;

	for (i = 1; i < TIMES; i++) {
		step->before();
		step->what();
		step->after();
	}
	step->before();
	mark(MARK_BEGIN);
	step->what();
	mark(MARK_END);
	step->after();
	if (on.failed)
		give_up("%s", step->name);
	printf("step %s\n", step->name);
}

/* Does the steps with @size bytes from @offset of the device file. */
static void take_all(const struct step *steps, unsigned int count, uint64_t offset, size_t size)
{
	unsigned int i;

	on.offset = offset;
	on.size = size;
	for (i = 0; i < count; i++)
		take(&steps[i]);
}

/* Makes subregions until there are @count. */
static void create_up_to(unsigned int count)
{
	static unsigned int made;

	for (; made < count && !on.failed; made++) {
		on.sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, PLACE(made), PAGE);
		create();
	}
}

static void step_through_subregions(void)
{
	create_up_to(10);
	on.region.index = on.sub.index;
	take_all(of_subregion, ARRAY_SIZE(of_subregion), on.sub.mmap_offset, PAGE);
	take_all(with_10, ARRAY_SIZE(with_10), 0, PAGE);
	on.sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 64 * MIB, 2 * MIB);
	create();
	take_all(of_large_subregion, ARRAY_SIZE(of_large_subregion), on.sub.mmap_offset, 2 * MIB);
	create_up_to(MANY);
	take_all(with_many, ARRAY_SIZE(with_many), 0, PAGE);
}

int main(int argc, char **argv)
{
	struct vfio_subregion_query query;
	uint64_t bar;

	if (argc != 2) {
		fputs("Usage: profiled DEVICE\n", stderr);
		return 2;
	}
	if (vfio_device_open(&on.dev, argv[1]))
		give_up("cannot open %s", argv[1]);
	bar = vfio_offset(&on.dev, BAR2, 0);
	on.info.argsz = sizeof(on.info);
	on.region.index = BAR2;
	on.room = map_region(&on.dev, bar, GIB, GIB);
	if (on.room == MAP_FAILED)
		give_up("no room for mappings");
	munmap(on.room, GIB);
	take_all(of_bar, ARRAY_SIZE(of_bar), bar, PAGE);
	take_all(of_large, ARRAY_SIZE(of_large), bar, 2 * MIB);
	if (!subregion_query(&on.dev, BAR2, &query))
		step_through_subregions();
	vfio_device_close(&on.dev);
	return 0;
}
