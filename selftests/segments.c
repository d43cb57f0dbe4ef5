// SPDX-License-Identifier: GPL-2.0-only
/*
 * A BAR with several write-combining subregions: the gaps keep their type through all changes,
 * read() and write() reach every byte, and the kernel maps only as much as they need.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* One subregion in each MiB except the first and the last, so that the gaps differ in length. */
#define PARTS		14
#define PART_AT(n)	((uint64_t)((n) + 1) * MIB + (n) * 2 * GRANULE)
#define PART_SIZE	(64 * KIB)

/* One transfer covers the end of a gap, the whole subregion, and the start of the next gap. */
#define BEFORE		(32 * KIB + 4)
#define CHUNK		(PART_SIZE + 64 * KIB)

FIXTURE(segments) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t window;
	uint32_t index[PARTS];
};

FIXTURE_SETUP(segments)
{
	unsigned int n;

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
	ASSERT_LE(PART_AT(PARTS), self->bar.size);
	/* From both ends to the middle, so that gaps are divided on both sides. */
	for (n = 0; n < PARTS; n++) {
		unsigned int part = n % 2 ? PARTS - 1 - n / 2 : n / 2;

		self->index[part] = fixture_create(_metadata, &self->dev, BAR2,
						   VFIO_SUBREGION_ATTR_WC, PART_AT(part),
						   PART_SIZE).index;
	}
}

FIXTURE_TEARDOWN(segments)
{
	vfio_device_close(&self->dev);
}

/* All bytes between the existing subregions are reserved as UC-, and the subregions as WC. */
static void expect_reserved(struct __test_metadata *_metadata, FIXTURE_DATA(segments) * self)
{
	uint64_t start = self->bar.start;
	unsigned int n;

	for (n = 0; n < PARTS; n++) {
		uint64_t part = self->bar.start + PART_AT(n);

		if (!self->index[n])
			continue;
		EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, start, part);
		EXPECT_MEMTYPE(MEMTYPE_WC, part, part + PART_SIZE);
		start = part + PART_SIZE;
	}
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, start, self->bar.start + self->bar.size);
}

/* contract: type.segments */
TEST_F(segments, are_reserved_with_their_types_whatever_comes_and_goes)
{
	unsigned int n;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	expect_reserved(_metadata, self);
	/* 5 and 14 have no common factor, so the loop reaches every subregion. */
	for (n = 0; n < PARTS; n++) {
		unsigned int part = n * 5 % PARTS;

		fixture_destroy(_metadata, &self->dev, self->index[part]);
		self->index[part] = 0;
		expect_reserved(_metadata, self);
	}
}

/* contract: type.segments */
TEST_F(segments, leave_no_gap_that_another_mapping_could_make_wc)
{
	uint64_t gap = PART_AT(3) + PART_SIZE;
	void *map;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	fixture_destroy(_metadata, &self->dev, self->index[4]);
	map = fixture_map_resource(_metadata, self->dev.bdf, "_wc", gap, PART_AT(5) - gap);
	if (!map)
		return;
	EXPECT_TOUCH(map, PTE_NONCACHED, 0);
	EXPECT_TOUCH((char *)map + PART_AT(4) - gap, PTE_NONCACHED, 0);
}

/* sysfs can map a range while it is write-combining, and keep it write-combining. */
/* contract: type.segments */
TEST_F(segments, stay_strict_beside_pages_that_another_mapping_keeps_wc)
{
	const uint64_t kept = PART_AT(4), strict = kept + PART_SIZE;
	struct vfio_subregion_create sub;
	char *map, *alien, *other;
	unsigned int n;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED, strict,
			     PART_SIZE);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, PART_SIZE, 0);
	alien = fixture_map_resource(_metadata, self->dev.bdf, "_wc", kept, PART_SIZE);
	if (!alien)
		return;
	EXPECT_TOUCH(alien, PTE_WC, 0);

	/* After the last subregion, the core would map the BAR again. */
	for (n = 0; n < PARTS; n++)
		fixture_destroy(_metadata, &self->dev, self->index[(n + 5) % PARTS]);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, self->bar.start + kept);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start + strict,
		       self->bar.start + self->bar.size);
	EXPECT_TOUCH(map, PTE_NONCACHED, 0);
	other = pci_map_resource(self->dev.bdf, 2, "_wc", strict, PART_SIZE);
	ASSERT_NE(MAP_FAILED, other) TH_LOG("resource2_wc: %s", strerror(errno));
	EXPECT_TOUCH(other, PTE_NONCACHED, 0);
	munmap(other, PART_SIZE);
	sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_NONCACHED, kept - GRANULE, 2 * GRANULE);
	EXPECT_EQ(-EBUSY, subregion_create(&self->dev, &sub));

	munmap(alien, PART_SIZE);
	EXPECT_EQ(0, subregion_create(&self->dev, &sub));
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, self->bar.start + self->bar.size);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, sub.size, 0);
	EXPECT_TOUCH(map + GRANULE, PTE_NONCACHED, 0);
}

/* The expected value of byte @at of the chunk of subregion @n. */
static unsigned char pattern(unsigned int n, unsigned int at)
{
	return n * 37 + at * 5 + (at >> 8) * 11;
}

/* contract: read-write.bar */
TEST_F(segments, are_all_reached_by_read_and_write)
{
	static unsigned char chunk[CHUNK];
	unsigned int n, at, round, wrong;
	uint64_t offset;

	for (n = 0; n < PARTS; n++) {
		offset = self->window + PART_AT(n) - BEFORE;
		for (at = 0; at < CHUNK; at++)
			chunk[at] = pattern(n, at);
		ASSERT_EQ(CHUNK, pwrite(self->dev.fd, chunk, CHUNK, offset));
	}
	/* The second time, the kernel mappings of the first subregions have long been removed. */
	for (round = 0; round < 2; round++) {
		for (n = 0; n < PARTS; n++) {
			offset = self->window + PART_AT(n) - BEFORE;
			memset(chunk, 0, CHUNK);
			ASSERT_EQ(CHUNK, pread(self->dev.fd, chunk, CHUNK, offset));
			for (at = wrong = 0; at < CHUNK; at++)
				wrong += chunk[at] != pattern(n, at);
			EXPECT_EQ(0, wrong) TH_LOG("part %u", n);
		}
	}
}

/* contract: read-write.bar */
TEST_F(segments, show_the_same_bytes_by_read_as_by_mapping)
{
	uint64_t value, written;
	unsigned int n;
	char *bar, *map;

	bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	for (n = 0; n < PARTS; n++) {
		struct vfio_region_info info;

		ASSERT_EQ(0, vfio_region_info(&self->dev, self->index[n], &info));
		map = fixture_map(_metadata, &self->dev, info.offset, PART_SIZE, 2 * MIB);
		written = 0x1234567800000000 + n;
		*(volatile uint64_t *)(map + PART_SIZE - 8) = written;
		*(volatile uint64_t *)(bar + PART_AT(n) + PART_SIZE) = ~written;
		__sync_synchronize();
		ASSERT_EQ(8, pread(self->dev.fd, &value, 8,
				   self->window + PART_AT(n) + PART_SIZE - 8));
		EXPECT_EQ(written, value);
		ASSERT_EQ(8, pread(self->dev.fd, &value, 8,
				   self->window + PART_AT(n) + PART_SIZE));
		EXPECT_EQ(~written, value);
		munmap(map, PART_SIZE);
	}
}

/* The number of bytes in the kernel's address space that map @bar. */
static uint64_t kernel_mappings(struct __test_metadata *_metadata, const struct pci_bar *bar)
{
	FILE *list = fopen("/proc/vmallocinfo", "re");
	uint64_t size, phys, sum = 0;
	const char *where;
	char line[512];

	ASSERT_NE(NULL, list) TH_LOG("/proc/vmallocinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), list)) {
		where = strstr(line, "phys=");
		if (where && sscanf(where, "phys=%" SCNx64, &phys) == 1 && phys >= bar->start &&
		    phys - bar->start < bar->size && sscanf(line, "%*s %" SCNu64, &size) == 1)
			sum += size;
	}
	fclose(list);
	return sum;
}

FIXTURE(big_segments) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(big_segments)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	ASSERT_LE(2 * GIB, self->bar.size);
}

FIXTURE_TEARDOWN(big_segments)
{
	vfio_device_close(&self->dev);
}

/* Sizes in that list include a guard page; freed mappings can remain for a while. */
/* contract: read-write.kernel-mapping */
TEST_F(big_segments, have_kernel_mappings_only_of_ranges_that_read_accesses)
{
	uint64_t at = GIB / 2 + GRANULE, sum;
	struct vfio_subregion_create sub;
	unsigned int n;
	uint32_t value;

	EXPECT_LE(self->bar.size, kernel_mappings(_metadata, &self->bar));
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, at, GIB);
	EXPECT_EQ(0, kernel_mappings(_metadata, &self->bar));
	ASSERT_EQ(4, pread(self->dev.fd, &value, 4, sub.mmap_offset + GIB / 2));
	sum = kernel_mappings(_metadata, &self->bar);
	EXPECT_LT(0, sum);
	EXPECT_GE(2 * MIB + GRANULE, sum);
	for (n = 0; n < 32; n++)
		ASSERT_EQ(4, pread(self->dev.fd, &value, 4,
				   vfio_offset(&self->dev, BAR2, n * 48 * MIB)));
	EXPECT_GE(8 * (2 * MIB + GRANULE), kernel_mappings(_metadata, &self->bar));
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_LE(self->bar.size, kernel_mappings(_metadata, &self->bar));
}

TEST_HARNESS_MAIN
