// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_SUBREGION_CREATE: the parent and the range. Each test has one error; all other input is
 * valid.
 */
#include "refusal.h"

FIXTURE(range) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create create;
};

FIXTURE_SETUP(range)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
}

FIXTURE_TEARDOWN(range)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* Asks for a range of BAR 2; the call must fail. */
#define EXPECT_RANGE(offset_, size_, error) do { \
	self->create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, (offset_), (size_)); \
	expect_refused(_metadata, &self->dev, &self->bar, &self->create, (error)); \
} while (0)

/* contract: create.size-zero */
TEST_F(range, a_size_of_zero_is_einval)
{
	EXPECT_RANGE(MIB, 0, EINVAL);
	EXPECT_RANGE(0, 0, EINVAL);
	EXPECT_RANGE(self->bar.size, 0, EINVAL);
}

/* contract: create.alignment */
TEST_F(range, an_unaligned_offset_is_einval)
{
	unsigned int bit;

	for (bit = 0; bit < 12; bit++)
		EXPECT_RANGE(MIB + (1ULL << bit), MIB, EINVAL);
}

/* contract: create.alignment */
TEST_F(range, an_unaligned_size_is_einval)
{
	unsigned int bit;

	for (bit = 0; bit < 12; bit++)
		EXPECT_RANGE(MIB, MIB + (1ULL << bit), EINVAL);
	EXPECT_RANGE(MIB, 1, EINVAL);
}

/* contract: create.wrap */
TEST_F(range, a_range_that_wraps_is_eoverflow)
{
	EXPECT_RANGE(-GRANULE, 2 * GRANULE, EOVERFLOW);
	EXPECT_RANGE(GRANULE, -GRANULE, EOVERFLOW);
	EXPECT_RANGE(1ULL << 63, 1ULL << 63, EOVERFLOW);
	EXPECT_RANGE(-GRANULE, -GRANULE, EOVERFLOW);
}

/* contract: create.outside */
TEST_F(range, a_range_that_leaves_the_bar_is_einval)
{
	uint64_t size = self->bar.size;

	EXPECT_RANGE(size, GRANULE, EINVAL);
	EXPECT_RANGE(size - GRANULE, 2 * GRANULE, EINVAL);
	EXPECT_RANGE(0, size + GRANULE, EINVAL);
	EXPECT_RANGE(1ULL << 39, GRANULE, EINVAL);
	EXPECT_RANGE(1ULL << 40, GRANULE, EINVAL);
	EXPECT_RANGE(1ULL << 62, GRANULE, EINVAL);
	EXPECT_RANGE(-2 * GRANULE, GRANULE, EINVAL);
}

/* contract: create.parent */
TEST_F(range, a_parent_that_is_not_a_bar_is_einval)
{
	const uint32_t parents[] = {
		VFIO_PCI_ROM_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_VGA_REGION_INDEX,
		VFIO_PCI_NUM_REGIONS, 100, 0x80000002, UINT32_MAX,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(parents); i++) {
		self->create.parent = parents[i];
		self->create.offset = 0;
		self->create.size = GRANULE;
		expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
	}
}

/* contract: create.parent */
TEST_F(range, a_subregion_as_parent_is_einval)
{
	struct vfio_subregion_create first;

	first = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	self->create.parent = first.index;
	self->create.offset = 0;
	self->create.size = GRANULE;
	expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
}

/* contract: create.parent */
TEST_F(range, an_empty_bar_is_einval)
{
	const uint32_t empty[] = { 1, 3, 4, 5 };
	struct vfio_region_info info;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(empty); i++) {
		ASSERT_EQ(0, vfio_region_info(&self->dev, empty[i], &info));
		ASSERT_EQ(0, info.size);
		self->create = subregion_init(empty[i], VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
		expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
	}
}

/* BAR 0 of ivshmem has 256 bytes: a page of it would include bytes behind the BAR. */
/* contract: create.parent */
TEST_F(range, a_bar_below_a_page_is_einval)
{
	struct pci_bar small = fixture_bar(_metadata, &self->dev, 0);

	ASSERT_GT(GRANULE, small.size);
	self->create = subregion_init(0, VFIO_SUBREGION_ATTR_DEVICE, 0, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
}

/* Asks for a range that overlaps @owner; the call must fail. */
#define EXPECT_OVERLAP(offset_, size_, owner) do { \
	EXPECT_RANGE((offset_), (size_), EEXIST); \
	EXPECT_EQ((owner).index, self->create.index); \
} while (0)

/* contract: create.overlap */
TEST_F(range, an_overlap_is_eexist_and_names_the_subregion)
{
	struct vfio_subregion_create low, high;

	high = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 8 * MIB,
			      MIB);
	low = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, MIB);
	/* The same range, one within, one around, one across the start, one across the end. */
	EXPECT_OVERLAP(4 * MIB, MIB, low);
	EXPECT_OVERLAP(4 * MIB + 2 * GRANULE, GRANULE, low);
	EXPECT_OVERLAP(3 * MIB, 3 * MIB, low);
	EXPECT_OVERLAP(4 * MIB - GRANULE, 2 * GRANULE, low);
	EXPECT_OVERLAP(5 * MIB - GRANULE, 2 * GRANULE, low);
	EXPECT_OVERLAP(8 * MIB, MIB, high);
	EXPECT_OVERLAP(8 * MIB - GRANULE, 2 * GRANULE, high);
	/*
	 * If several overlap, the one with the lowest offset is reported, whatever the order of
	 * creation.
	 */
	EXPECT_OVERLAP(4 * MIB, 8 * MIB, low);
	EXPECT_OVERLAP(0, 9 * MIB, low);
	EXPECT_OVERLAP(5 * MIB, 8 * MIB, high);
}

/* contract: create.touching */
TEST_F(range, touching_is_not_overlapping)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, MIB);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 5 * MIB, GRANULE);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 4 * MIB - GRANULE,
		       GRANULE);
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS + 3, vfio_num_regions(&self->dev));
}

/* contract: create.whole */
TEST_F(range, the_first_and_the_last_page_of_a_bar_are_accepted)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC,
		       self->bar.size - SPARE_SIZE - GRANULE, GRANULE);
}

/* The order of the checks: if there are two errors, the call reports the earlier one. */
/* contract: create.earlier-error */
TEST_F(range, of_two_errors_the_earlier_one_is_reported)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	/*
	 * Alignment is checked before the wrap, the wrap before the size, the size before overlaps.
	 */
	EXPECT_RANGE(-GRANULE, 2 * GRANULE + 1, EINVAL);
	EXPECT_RANGE(MIB, -GRANULE, EOVERFLOW);
	EXPECT_RANGE(MIB, self->bar.size, EINVAL);
	/* Flags are checked before overlaps. */
	self->create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	self->create.flags = ~VFIO_SUBREGION_CREATE_SHARED;
	expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
	/* The parent is checked before the wrap. */
	self->create = subregion_init(VFIO_PCI_ROM_REGION_INDEX, VFIO_SUBREGION_ATTR_WC, -GRANULE,
				      2 * GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &self->create, EINVAL);
}

FIXTURE(testdev) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(testdev)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(testdev)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* contract: create.parent */
TEST_F(testdev, an_io_bar_is_einval)
{
	struct vfio_subregion_create create;
	struct pci_bar ports = fixture_bar(_metadata, &self->dev, 1);

	ASSERT_NE(0, ports.flags & 0x100) TH_LOG("BAR 1 should be an I/O BAR");
	create = subregion_init(1, VFIO_SUBREGION_ATTR_DEVICE, 0, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EINVAL);
}

/* contract: create.whole */
TEST_F(testdev, a_bar_of_one_page_can_be_claimed_whole)
{
	struct vfio_subregion_create sub;
	struct pci_bar page = fixture_bar(_metadata, &self->dev, 0);
	char *map;

	if (!fixture_has_4k(_metadata))
		return;
	ASSERT_EQ(GRANULE, page.size);
	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, GRANULE, GRANULE);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
}

TEST_HARNESS_MAIN
