// SPDX-License-Identifier: GPL-2.0-only

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "evidence.h"
#include "meter.h"
#include "measurements.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX

const uint64_t map_sizes[MAP_SIZES] = { 4 * KIB, 2 * MIB, 64 * MIB, GIB, 4 * GIB };

static void say_entries(const char *subject, const char *map, uint64_t size)
{
	struct pte_count count;
	int ret;

	ret = pte_count(map, size, &count);
	if (ret)
		give_up("the entries of a mapping cannot be counted: %s", strerror(-ret));
	say("map", subject, size, "entries_4K", count.of_4k);
	say("map", subject, size, "entries_2M", count.of_2m);
	say("map", subject, size, "entries_1G", count.of_1g);
}

/*
 * Returns an address for a mapping of this size and alignment, with room for the largest entries.
 */
static char *find_room(uint64_t offset, uint64_t size)
{
	char *room = mmap(NULL, size + GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		give_up("no room for a mapping");
	munmap(room, size + GIB);
	return room + ((offset - (uintptr_t)room) & (GIB - 1));
}

void measure_map(int fd, const char *subject, uint64_t offset, uint64_t size)
{
	struct least mapping = { }, first = { }, second = { }, unmapping = { };
	char *map, *room = find_room(offset, size);
	unsigned int i, times = size > 64 * MIB ? 5 : REPEAT;
	uint64_t begin, faults = 0, before;

	for (i = 0; i < times; i++) {
		begin = meter_ticks();
		map = mmap(room, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset);
		least_add(&mapping, meter_ticks_since(begin));
		if (map == MAP_FAILED)
			give_up("mmap: %s", strerror(errno));

		if (size >= 64 * MIB)
			meter_await_tick();
		before = meter_faults();
		begin = meter_ticks();
		touch_pages(map, size);
		least_add(&first, meter_ticks_since(begin));
		faults = meter_faults() - before;

		/* The second pass has no page faults: it measures the cost of the loop. */
		if (size >= 64 * MIB)
			meter_await_tick();
		begin = meter_ticks();
		touch_pages(map, size);
		least_add(&second, meter_ticks_since(begin));

		if (!i)
			say_entries(subject, map, size);
		begin = meter_ticks();
		munmap(map, size);
		least_add(&unmapping, meter_ticks_since(begin));
	}
	say("map", subject, size, "faults", faults);
	say_least("mmap", subject, size, &mapping);
	first.value -= second.value;
	say_least("first_touch", subject, size, &first);
	say_least("munmap", subject, size, &unmapping);
}

static void measure_subregion(struct vfio_device *dev, const struct subregion_attribute *attribute,
			      uint64_t size)
{
	struct vfio_subregion_create sub;
	int ret;

	sub = subregion_init(BAR2, attribute->number, 0, size);
	ret = subregion_create(dev, &sub);
	if (ret)
		give_up("no %s subregion: %s", attribute->name, strerror(-ret));
	measure_map(dev->fd, attribute->name, sub.mmap_offset, size);
	if (subregion_destroy(dev, sub.index))
		give_up("a subregion cannot be destroyed");
}

void measure_maps(struct vfio_device *dev)
{
	unsigned int i, attribute;

	/* The BAR first, before it has ever had a subregion. */
	for (i = 0; i < MAP_SIZES; i++)
		measure_map(dev->fd, "bar", vfio_offset(dev, BAR2, 0), map_sizes[i]);
	if (!has_subregions(dev))
		return;
	for (i = 0; i < MAP_SIZES; i++)
		for (attribute = 0; attribute < SUBREGION_ATTRIBUTES; attribute++)
			measure_subregion(dev, &subregion_attributes[attribute], map_sizes[i]);
}
