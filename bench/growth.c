// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "meter.h"
#include "measurements.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX
#define PAGE	(4 * KIB)
/* A page between any two subregions stays free. */
#define STRIDE	(2 * PAGE)
#define MOST	10000
/*
 * The first subregion is here and the next ones on both sides, so that the measured one is in the
 * middle.
 */
#define MIDDLE	(MOST / 2)
#define MAPPED	1000
/* The maximum number of instructions for making them: some minutes on an emulator. */
#define BUDGET	20000000000ULL

static const unsigned int counts[] = { 1, 10, 100, 1000, MOST };

static struct vfio_subregion_create create_with(struct vfio_device *dev, uint32_t attribute,
						uint64_t offset)
{
	struct vfio_subregion_create sub;
	int ret;

	sub = subregion_init(BAR2, attribute, offset, PAGE);
	ret = subregion_create(dev, &sub);
	if (ret)
		give_up("no subregion at %#llx: %s", (unsigned long long)offset, strerror(-ret));
	return sub;
}

static struct vfio_subregion_create create_at(struct vfio_device *dev, uint64_t offset)
{
	return create_with(dev, VFIO_SUBREGION_ATTR_WC, offset);
}

static void destroy(struct vfio_device *dev, uint32_t index)
{
	int ret = subregion_destroy(dev, index);

	if (ret)
		give_up("region %u cannot be destroyed: %s", index, strerror(-ret));
}

/* Maps a page and touches it. */
static void measure_page(struct vfio_device *dev, uint64_t offset, const char *subject,
			 unsigned int count)
{
	struct least mapping = { }, touching = { };
	unsigned int i;
	uint64_t begin;
	char *map;

	for (i = 0; i < REPEAT; i++) {
		begin = meter_ticks();
		map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, offset);
		least_add(&mapping, meter_ticks_since(begin));
		if (map == MAP_FAILED)
			give_up("mmap: %s", strerror(errno));
		begin = meter_ticks();
		(void)*(volatile char *)map;
		least_add(&touching, meter_ticks_since(begin));
		munmap(map, PAGE);
	}
	say_least("page_mmap", subject, count, &mapping);
	say_least("page_fault", subject, count, &touching);
}

static void measure_create(struct vfio_device *dev, uint64_t offset, unsigned int count)
{
	struct least creating = { }, destroying = { };
	struct vfio_subregion_create sub;
	unsigned int i;
	uint64_t begin;

	for (i = 0; i < REPEAT; i++) {
		begin = meter_ticks();
		sub = create_at(dev, offset);
		least_add(&creating, meter_ticks_since(begin));
		begin = meter_ticks();
		destroy(dev, sub.index);
		least_add(&destroying, meter_ticks_since(begin));
	}
	say_least("CREATE", "WC", count, &creating);
	say_least("DESTROY", "WC", count, &destroying);
}

static void measure_info(struct vfio_device *dev, uint32_t index, unsigned int count)
{
	struct vfio_region_info region = { .argsz = sizeof(region), .index = index };
	struct least least = { };
	unsigned int i;
	uint64_t begin;

	for (i = 0; i < REPEAT; i++) {
		region.argsz = sizeof(region);
		begin = meter_ticks();
		if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &region))
			give_up("no info of region %u", index);
		least_add(&least, meter_ticks_since(begin));
	}
	say_least("GET_REGION_INFO", "WC", count, &least);
}

static void measure_read(struct vfio_device *dev, uint64_t offset, const char *subject,
			 unsigned int count)
{
	struct least least = { };
	uint32_t value;
	uint64_t begin;
	unsigned int i;

	for (i = 0; i < REPEAT; i++) {
		begin = meter_ticks();
		if (pread(dev->fd, &value, sizeof(value), offset) != sizeof(value))
			give_up("a subregion cannot be read");
		least_add(&least, meter_ticks_since(begin));
	}
	say_least("page_read", subject, count, &least);
}

/* Returns 0, 1, -1, 2, -2, ... from the middle. */
static uint64_t place(unsigned int i)
{
	return (i % 2 ? MIDDLE + (i + 1) / 2 : MIDDLE - i / 2) * STRIDE;
}

/*
 * Makes subregions until there are @count; returns false, with @made of them, if that takes too
 * long.
 */
static bool make_up_to(struct vfio_device *dev, struct vfio_subregion_create *subs,
		       unsigned int *made, unsigned int count)
{
	static uint64_t spent;
	uint64_t begin;

	for (; *made < count; (*made)++) {
		begin = meter_ticks();
		subs[*made] = create_at(dev, place(*made));
		spent += meter_ticks_since(begin);
		if (spent > BUDGET)
			return false;
	}
	return true;
}

void measure_strict_memory(struct vfio_device *dev)
{
	static uint32_t indices[MOST];
	struct memory before = memory_now();
	unsigned int i;

	for (i = 0; i < MOST; i++)
		indices[i] = create_with(dev, VFIO_SUBREGION_ATTR_NONCACHED, i * STRIDE).index;
	say_memory("memory_of_each", "NONCACHED", MOST, &before, MOST);
	for (i = 0; i < MOST; i++)
		destroy(dev, indices[i]);
}

/* Operations that do not depend on subregions and that vfio-pci has as well. */
static void measure_bar(struct vfio_device *dev, uint64_t offset, unsigned int count)
{
	measure_page(dev, offset, "bar", count);
	measure_read(dev, offset, "bar", count);
}

void measure_growth(struct vfio_device *dev)
{
	static struct vfio_subregion_create subs[MOST];
	uint64_t bar = vfio_offset(dev, BAR2, 0);
	uint64_t gap = MIDDLE * STRIDE + PAGE;
	struct memory before;
	unsigned int i, made = 0;

	measure_bar(dev, bar + gap, 0);
	if (!has_subregions(dev))
		return;
	before = memory_now();
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		if (!make_up_to(dev, subs, &made, counts[i])) {
			say("gave_up", "WC", counts[i], "subregions", made);
			break;
		}
		if (made == MOST)
			say_memory("memory_of_each", "WC", made, &before, made);
		measure_create(dev, gap, made);
		measure_info(dev, subs[0].index, made);
		measure_page(dev, subs[0].mmap_offset, "WC", made);
		measure_read(dev, subs[0].mmap_offset, "WC", made);
		measure_bar(dev, bar + gap, made);
	}
	while (made)
		destroy(dev, subs[--made].index);
}

/* Maps a page, of a subregion of its own or of the BAR. */
static char *map_page(struct vfio_device *dev, uint64_t offset, struct vfio_subregion_create *sub)
{
	uint64_t at = vfio_offset(dev, BAR2, offset);
	char *map;

	if (sub) {
		*sub = create_at(dev, offset);
		at = sub->mmap_offset;
	}
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, dev->fd, at);
	if (map == MAP_FAILED)
		give_up("mmap: %s", strerror(errno));
	return map;
}

void measure_reset(struct vfio_device *dev, bool subregions)
{
	static struct vfio_subregion_create subs[MAPPED];
	struct least least = { };
	char *maps[MAPPED];
	unsigned int i, round;
	uint64_t begin;
	int ret;

	for (i = 0; i < MAPPED; i++)
		maps[i] = map_page(dev, i * STRIDE, subregions ? &subs[i] : NULL);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < MAPPED; i++)
			(void)*(volatile char *)maps[i];
		begin = meter_thread();
		ret = vfio_device_reset(dev);
		least_add(&least, meter_thread_since(begin));
		if (ret)
			give_up("no reset: %s", strerror(-ret));
	}
	say_least("reset", subregions ? "WC" : "bar", MAPPED, &least);
	for (i = 0; i < MAPPED; i++) {
		munmap(maps[i], PAGE);
		if (subregions)
			destroy(dev, subs[i].index);
	}
}
