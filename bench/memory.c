// SPDX-License-Identifier: GPL-2.0-only

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "meter.h"
#include "measurements.h"

#define BAR2	VFIO_PCI_BAR2_REGION_INDEX

static uint64_t of_meminfo(const char *field)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128], name[64];
	uint64_t value, found = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63[^:]: %" SCNu64, name, &value) == 2 && !strcmp(name, field))
			found = value * KIB;
	if (file)
		fclose(file);
	return found;
}

static void read_ioremap(struct memory *memory)
{
	FILE *file = fopen("/proc/vmallocinfo", "re");
	char line[512];
	uint64_t size;

	if (!file)
		give_up("no vmallocinfo");
	while (fgets(line, sizeof(line), file))
		if (strstr(line, " ioremap") && sscanf(line, "%*s %" SCNu64, &size) == 1) {
			memory->mapped += size;
			memory->areas++;
		}
	fclose(file);
}

struct memory memory_now(void)
{
	struct memory memory = {
		.slab = of_meminfo("SUnreclaim"),
		.vmalloc = of_meminfo("VmallocUsed"),
		.tables = of_meminfo("PageTables"),
	};

	read_ioremap(&memory);
	return memory;
}

/* The difference is zero if something else was freed in between. */
static uint64_t grown(uint64_t after, uint64_t before)
{
	return after > before ? after - before : 0;
}

void say_memory(const char *row, const char *subject, uint64_t at,
		const struct memory *before, uint64_t each)
{
	struct memory after = memory_now();

	/* The kernel counts whole pages, so a few objects do not show. */
	if (each > 1)
		say(row, subject, at, "bytes_slab", grown(after.slab, before->slab) / each);
	say(row, subject, at, "bytes_vmalloc", grown(after.vmalloc, before->vmalloc) / each);
	say(row, subject, at, "bytes_page_tables", grown(after.tables, before->tables) / each);
	say(row, subject, at, "bytes_ioremapped", grown(after.mapped, before->mapped) / each);
	say(row, subject, at, "ioremap_areas", grown(after.areas, before->areas));
}

static void open_device(struct vfio_device *dev, const char *bdf)
{
	int ret = vfio_device_open(dev, bdf);

	if (ret)
		give_up("cannot open %s: %s", bdf, strerror(-ret));
}

/* The memory of an open device, with a subregion of @size bytes if that is not 0. */
static void measure_window(const char *bdf, uint64_t size)
{
	struct vfio_subregion_create sub;
	struct vfio_device dev;
	struct memory before;
	int ret;

	before = memory_now();
	open_device(&dev, bdf);
	if (size) {
		sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 0, size);
		ret = subregion_create(&dev, &sub);
		if (ret)
			give_up("no subregion of %#llx bytes: %s", (unsigned long long)size,
				strerror(-ret));
	}
	say_memory(size ? "memory_of_window" : "memory_of_open", size ? "WC" : "device", size,
		   &before, 1);
	vfio_device_close(&dev);
}

void measure_memory(const char *bdf)
{
	static const uint64_t windows[] = { 0, 2 * MIB, GIB, 4 * GIB };
	struct vfio_device dev;
	bool subregions;
	unsigned int i;

	open_device(&dev, bdf);
	subregions = has_subregions(&dev);
	vfio_device_close(&dev);
	for (i = 0; i < ARRAY_SIZE(windows); i++)
		if (!windows[i] || subregions)
			measure_window(bdf, windows[i]);
}
