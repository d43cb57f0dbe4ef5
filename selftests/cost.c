// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of a mapping, as far as it can be counted exactly: page faults, and page-table entries
 * by size. The kernel memory that a subregion uses. No test depends on a number of instructions.
 */
#define PAGES_OF_4K
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/wait.h>

#include "fixture.h"

/* The cost of the first access to every page of a mapping. */
struct cost {
	uint64_t faults;
	struct pte_count entries;
};

static uint64_t faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/*
 * Writes to the area that the kernel writes when it moves the thread to another CPU, so that this
 * does not fault later. After a fork it could otherwise fault at any time.
 */
static void touch_rseq(void)
{
	struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	*(volatile char *)&area->rseq_cs = 0;
}

/* Touches every page of a mapping that has no entries. */
static struct cost count_touch(struct __test_metadata *_metadata, const char *map, uint64_t size)
{
	char warm[] = "pages of the program itself must not be counted";
	struct cost cost = { };
	uint64_t before;

	touch_pages(warm, sizeof(warm));
	touch_rseq();
	faults();
	before = faults();
	touch_pages(map, size);
	cost.faults = faults() - before;
	ASSERT_EQ(0, pte_count(map, size, &cost.entries));
	return cost;
}

/* The cost for a new mapping. */
static struct cost count(struct __test_metadata *_metadata, struct vfio_device *dev,
			 uint64_t offset, uint64_t size)
{
	char *map = fixture_map(_metadata, dev, offset, size, GIB);
	struct cost cost = count_touch(_metadata, map, size);

	munmap(map, size);
	return cost;
}

static void expect_same(struct __test_metadata *_metadata, struct cost want, struct cost cost,
			const char *of)
{
	EXPECT_EQ(want.faults, cost.faults) TH_LOG("faults of %s", of);
	EXPECT_EQ(want.entries.of_4k, cost.entries.of_4k) TH_LOG("entries of 4 KiB of %s", of);
	EXPECT_EQ(want.entries.of_2m, cost.entries.of_2m) TH_LOG("entries of 2 MiB of %s", of);
	EXPECT_EQ(want.entries.of_1g, cost.entries.of_1g) TH_LOG("entries of 1 GiB of %s", of);
}

FIXTURE(cost) {
	struct vfio_device dev;
	struct cost stock;
};

FIXTURE_VARIANT(cost) {
	uint64_t offset;
	uint64_t size;
	/* The number of the largest entries that fit, of 4 KiB, 2 MiB or 1 GiB. */
	uint64_t entries;
};

FIXTURE_VARIANT_ADD(cost, of_4k) { 0, 4 * KIB, 1 };
FIXTURE_VARIANT_ADD(cost, of_2m) { 0, 2 * MIB, 1 };
FIXTURE_VARIANT_ADD(cost, of_64m) { 0, 64 * MIB, 32 };
FIXTURE_VARIANT_ADD(cost, of_1g) { GIB, GIB, 1 };
/* Starts and ends inside ranges that could have large entries. */
FIXTURE_VARIANT_ADD(cost, of_4m_with_ragged_ends) { 2 * MIB - 12 * KIB, 4 * MIB + 20 * KIB, 2 };

/* The big device only where needed: the debug kernel takes seconds to map 2 GiB at each open. */
static const char *device_with(uint64_t size)
{
	return size <= 16 * MIB ? "DEV_IVSHMEM" : "DEV_IVSHMEM_BIG";
}

FIXTURE_SETUP(cost)
{
	const char *device = device_with(variant->offset + variant->size);

	if (!fixture_open(_metadata, &self->dev, device, DRIVER_STOCK))
		return;
	self->stock = count(_metadata, &self->dev,
			    vfio_offset(&self->dev, BAR2, variant->offset), variant->size);
	vfio_device_close(&self->dev);
	fixture_open(_metadata, &self->dev, device, vfio_driver());
}

FIXTURE_TEARDOWN(cost)
{
	vfio_device_close(&self->dev);
}

/* Without this check, both counts could be equal and too high. */
/* contract: controls.cost */
TEST_F_TIMEOUT(cost, vfio_pci_takes_a_fault_for_each_entry_and_the_largest_entries, 600)
{
	struct pte_count *stock = &self->stock.entries;
	uint64_t large = stock->of_4k, entries = variant->entries;

	if (shift_here(SHIFT_2M) == SHIFT_4K) {
		EXPECT_EQ(variant->size / (4 * KIB), stock->of_4k);
		EXPECT_EQ(self->stock.faults, stock->of_4k);
		return;
	}
	if (variant->size >= 2 * MIB)
		large = stock->of_2m;
	if (variant->size >= GIB && SHIFT_STOCK == SHIFT_1G)
		large = stock->of_1g;
	else if (variant->size >= GIB)
		entries *= GIB / (2 * MIB);
	EXPECT_EQ(entries, large);
	EXPECT_EQ(self->stock.faults, stock->of_4k + stock->of_2m + stock->of_1g);
}

/*
 * Two drivers with different entries: outside the kernel's tree this one makes 512 of 2 MiB where
 * vfio-pci makes one of 1 GiB.
 */
static struct cost with_our_entries(struct cost stock)
{
	uint64_t instead = GIB / (2 * MIB);

	if (shift_here(SHIFT_LARGEST) == SHIFT_1G)
		return stock;
	stock.faults += (instead - 1) * stock.entries.of_1g;
	stock.entries.of_2m += instead * stock.entries.of_1g;
	stock.entries.of_1g = 0;
	return stock;
}

/* contract: cost.faults */
TEST_F_TIMEOUT(cost, a_bar_takes_the_faults_and_entries_of_vfio_pci_or_of_2m, 600)
{
	struct cost cost = count(_metadata, &self->dev,
				 vfio_offset(&self->dev, BAR2, variant->offset), variant->size);

	expect_same(_metadata, with_our_entries(self->stock), cost, "the BAR");
}

/* contract: cost.faults */
TEST_F_TIMEOUT(cost, a_subregion_takes_the_faults_and_entries_of_vfio_pci_or_of_2m, 600)
{
	const struct subregion_attribute *attribute;
	struct vfio_subregion_create sub;
	unsigned int i;

	for (i = 0; i < SUBREGION_ATTRIBUTES; i++) {
		attribute = &subregion_attributes[i];
		sub = fixture_create(_metadata, &self->dev, BAR2, attribute->number,
				     variant->offset, variant->size);
		expect_same(_metadata, with_our_entries(self->stock),
			    count(_metadata, &self->dev, sub.mmap_offset, variant->size),
			    attribute->name);
		fixture_destroy(_metadata, &self->dev, sub.index);
	}
}

/* contract: cost.faults */
TEST_F_TIMEOUT(cost, a_reset_makes_a_mapping_take_the_same_again, 600)
{
	struct vfio_subregion_create sub;
	struct cost before;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, variant->offset,
			     variant->size);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, variant->size, GIB);
	before = count_touch(_metadata, map, variant->size);
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	expect_same(_metadata, before, count_touch(_metadata, map, variant->size), "WC");
}

/* The small entries lie beside the range that a large one could map, so they stay. */
/* contract: cost.fork */
TEST_F_TIMEOUT(cost, a_fork_makes_a_mapping_take_its_large_entries_again, 600)
{
	char *map = fixture_map(_metadata, &self->dev,
				vfio_offset(&self->dev, BAR2, variant->offset), variant->size, GIB);
	struct cost before = count_touch(_metadata, map, variant->size), again;
	pid_t child;

	if (driver_in_tree())
		SKIP(return, "fork() copies the entries of this driver");
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(0);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	again = count_touch(_metadata, map, variant->size);
	EXPECT_EQ(before.entries.of_2m, again.faults);
	again.faults = before.faults;
	expect_same(_metadata, before, again, "the BAR after a fork");
}

/* Enough subregions that other allocations of the kernel make no difference. */
#define SUBREGIONS	4000
/* A page between any two subregions stays free, so that each has a segment of its own. */
#define STRIDE		(8 * KIB)
/* Limits for the memory of one subregion. It needs more than the lower: its offset has 8 bytes. */
#define BYTES_MOST	256
#define BYTES_LEAST	8
/*
 * The object that x86 allocates for each range with a recorded type, whether mapped or only
 * reserved.
 */
#define BYTES_RANGE	64

/* A file that holds one number for a slab cache. */
static uint64_t cache_number(const char *name)
{
	char path[96], text[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/slab/kmalloc-64/%s", name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return strtoull(text, NULL, 10);
}

/*
 * The memory that the kernel has allocated for itself by kmalloc(), of any size, and by vmalloc().
 */
static uint64_t allocated(struct __test_metadata *_metadata)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t value, sum = 0;
	char line[128];

	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %" SCNu64, &value) == 1 ||
		    sscanf(line, "VmallocUsed: %" SCNu64, &value) == 1)
			sum += value * KIB;
	fclose(file);
	return sum;
}

FIXTURE(memory) {
	struct vfio_device dev;
};

FIXTURE_VARIANT(memory) {
	uint32_t attribute;
	/* The number of ranges whose type x86 records: the subregion, and the gap below it. */
	unsigned int ranges;
};

FIXTURE_VARIANT_ADD(memory, noncached) { VFIO_SUBREGION_ATTR_NONCACHED, 0 };
FIXTURE_VARIANT_ADD(memory, wc) { VFIO_SUBREGION_ATTR_WC, 2 };

FIXTURE_SETUP(memory)
{
	if (cache_number("slab_size") != cache_number("object_size"))
		SKIP(return, "this kernel adds debug bytes to each slab object");
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver());
}

FIXTURE_TEARDOWN(memory)
{
	vfio_device_close(&self->dev);
}

/* contract: cost.memory */
TEST_F(memory, a_subregion_takes_at_most_256_bytes_beside_its_ranges)
{
	uint64_t before, each, ranges = 0;
	unsigned int i;

	before = allocated(_metadata);
	for (i = 0; i < SUBREGIONS; i++)
		fixture_create(_metadata, &self->dev, BAR2, variant->attribute, i * STRIDE,
			       4 * KIB);
	each = (allocated(_metadata) - before) / SUBREGIONS;
	if (memtype_tracked())
		ranges = variant->ranges * BYTES_RANGE;
	EXPECT_GE(ranges + BYTES_MOST, each);
	EXPECT_LE(ranges + BYTES_LEAST, each);
}

TEST_HARNESS_MAIN
