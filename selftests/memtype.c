// SPDX-License-Identifier: GPL-2.0-only
/*
 * The type asked for is the type in the page tables: for every attribute, by every size of entry.
 */
#include "fixture.h"

/* Most tests claim 1 MiB at 4 MiB of a BAR of 16 MiB, so that there are bytes on both sides. */
#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(1 * MIB)

FIXTURE(attribute) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
};

FIXTURE_VARIANT(attribute) {
	uint32_t attribute;
	uint32_t effective_type;
	const char *pte;
	const char *memtype;
};

FIXTURE_VARIANT_ADD(attribute, noncached) {
	.attribute = VFIO_SUBREGION_ATTR_NONCACHED,
	.effective_type = TYPE_NONCACHED,
	.pte = PTE_NONCACHED,
	.memtype = MEMTYPE_UC_MINUS,
};

FIXTURE_VARIANT_ADD(attribute, device) {
	.attribute = VFIO_SUBREGION_ATTR_DEVICE,
	.effective_type = TYPE_DEVICE,
	.pte = PTE_DEVICE,
	.memtype = MEMTYPE_UC_MINUS,
};

FIXTURE_VARIANT_ADD(attribute, wc) {
	.attribute = VFIO_SUBREGION_ATTR_WC,
	.effective_type = TYPE_WC,
	.pte = PTE_WC,
	.memtype = MEMTYPE_WC,
};

FIXTURE_VARIANT_ADD(attribute, guest_any) {
	.attribute = VFIO_SUBREGION_ATTR_GUEST_ANY,
	.effective_type = TYPE_DEVICE,
	.pte = PTE_DEVICE,
	.memtype = MEMTYPE_UC_MINUS,
};

FIXTURE_SETUP(attribute)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, variant->attribute, CLAIM,
				   CLAIM_SIZE);
}

FIXTURE_TEARDOWN(attribute)
{
	vfio_device_close(&self->dev);
}

/* contract: type.entry */
TEST_F(attribute, the_live_entry_has_the_type_asked_for)
{
	char *map;

	EXPECT_EQ(variant->effective_type, self->sub.effective_type);
	map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map, variant->pte, SHIFT_4K);
	EXPECT_TOUCH(map + CLAIM_SIZE / 2, variant->pte, SHIFT_4K);
	EXPECT_TOUCH(map + CLAIM_SIZE - 4, variant->pte, SHIFT_4K);
}

/* contract: type.bytes */
TEST_F(attribute, the_live_entry_points_at_the_claimed_bytes)
{
	char *map;

	map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map + 2 * GRANULE, variant->pte, SHIFT_4K);
	EXPECT_EQ(self->bar.start + CLAIM + 2 * GRANULE, pte_phys(map + 2 * GRANULE));
}

/* contract: type.bytes */
TEST_F(attribute, a_mapping_of_a_part_begins_at_its_offset)
{
	char *map;

	map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset + 64 * KIB, GRANULE,
			  2 * MIB);
	EXPECT_TOUCH(map, variant->pte, SHIFT_4K);
	EXPECT_EQ(self->bar.start + CLAIM + 64 * KIB, pte_phys(map));
}

/* contract: type.kernel-list */
TEST_F(attribute, pat_memtype_list_agrees)
{
	uint64_t start = self->bar.start + CLAIM, end = start + CLAIM_SIZE;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	EXPECT_MEMTYPE(variant->memtype, start, end);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, start);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, end, self->bar.start + self->bar.size);
}

/* contract: type.neighbours */
TEST_F(attribute, the_rest_of_the_bar_stays_uncached)
{
	char *map, *bar;

	map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map, variant->pte, 0);
	bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_2M);
	EXPECT_TOUCH(bar + CLAIM - 4, PTE_NONCACHED, 0);
	EXPECT_TOUCH(bar + CLAIM + CLAIM_SIZE, PTE_NONCACHED, 0);
	EXPECT_TOUCH(bar + self->bar.size - 4, PTE_NONCACHED, SHIFT_2M);
}

/* contract: type.bytes */
TEST_F(attribute, data_written_through_the_mapping_reads_back_everywhere)
{
	uint64_t in_bar = vfio_offset(&self->dev, BAR2, CLAIM);
	uint32_t *map, by_bar[64], by_subregion[64], first = fixture_pattern();
	unsigned int i;

	map = (void *)fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE,
				  2 * MIB);
	for (i = 0; i < 64; i++)
		map[i] = first + i;
	__sync_synchronize();
	for (i = 0; i < 64; i++)
		EXPECT_EQ(first + i, ((volatile uint32_t *)map)[i]);
	ASSERT_EQ(sizeof(by_bar), pread(self->dev.fd, by_bar, sizeof(by_bar), in_bar));
	ASSERT_EQ(sizeof(by_subregion), pread(self->dev.fd, by_subregion, sizeof(by_subregion),
					      self->sub.mmap_offset));
	EXPECT_EQ(0, memcmp(by_bar, map, sizeof(by_bar)));
	EXPECT_EQ(0, memcmp(by_subregion, map, sizeof(by_subregion)));
}

FIXTURE(wc_entry) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(wc_entry)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(wc_entry)
{
	vfio_device_close(&self->dev);
}

/* contract: type.entry */
TEST_F(wc_entry, an_aligned_range_is_mapped_by_2m_entries)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 4 * MIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 4 * MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(map + 4 * MIB - 4, PTE_WC, SHIFT_2M);
	EXPECT_EQ(self->bar.start + 8 * MIB - 4, pte_phys(map + 4 * MIB - 4));
}

/* contract: type.entry */
TEST_F(wc_entry, the_ends_of_an_unaligned_range_are_mapped_by_4k_entries)
{
	struct vfio_subregion_create sub;
	char *map;

	/* From 3 MiB to 9 MiB + 4 KiB: 1 MiB, two 2M entries, then 1 MiB and a page. */
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 3 * MIB,
			     6 * MIB + GRANULE);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 6 * MIB + GRANULE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(map + MIB - 4, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(map + MIB, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(map + 5 * MIB - 4, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(map + 5 * MIB, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(map + 6 * MIB, PTE_WC, SHIFT_4K);
	EXPECT_EQ(self->bar.start + 9 * MIB, pte_phys(map + 6 * MIB));
}

/* contract: type.entry */
TEST_F(wc_entry, an_address_that_is_not_congruent_gets_4k_entries)
{
	struct vfio_subregion_create sub;
	char *map, *moved;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 4 * MIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 4 * MIB, 2 * MIB);
	munmap(map, 4 * MIB);
	moved = mmap(map + GRANULE, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     self->dev.fd, sub.mmap_offset);
	ASSERT_NE(MAP_FAILED, moved);
	EXPECT_TOUCH(moved, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(moved + 2 * MIB - 4, PTE_WC, SHIFT_4K);
	EXPECT_EQ(self->bar.start + 6 * MIB - 4, pte_phys(moved + 2 * MIB - 4));
}

/* contract: type.neighbours */
TEST_F(wc_entry, neighbours_of_different_types_keep_theirs)
{
	struct vfio_subregion_create wc, device, wc2;
	char *map, *map_device, *map2;

	wc = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 2 * MIB, 2 * MIB);
	device = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 4 * MIB,
				2 * MIB);
	wc2 = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 6 * MIB, 2 * MIB);
	map = fixture_map(_metadata, &self->dev, wc.mmap_offset, 2 * MIB, 2 * MIB);
	map_device = fixture_map(_metadata, &self->dev, device.mmap_offset, 2 * MIB, 2 * MIB);
	map2 = fixture_map(_metadata, &self->dev, wc2.mmap_offset, 2 * MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(map_device, PTE_DEVICE, SHIFT_2M);
	EXPECT_TOUCH(map2, PTE_WC, SHIFT_2M);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start + 4 * MIB, self->bar.start + 6 * MIB);
}

/* contract: create.whole */
TEST_F(wc_entry, a_whole_bar_can_be_claimed)
{
	struct vfio_subregion_create sub;
	uint64_t size = self->bar.size;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, size);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, size, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(map + size - 4, PTE_WC, SHIFT_2M);
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start, self->bar.start + size);
}

FIXTURE(big_bar) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(big_bar)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	ASSERT_LE(2 * GIB, self->bar.size);
}

FIXTURE_TEARDOWN(big_bar)
{
	vfio_device_close(&self->dev);
}

/* contract: type.entry */
TEST_F(big_bar, an_aligned_wc_range_of_1g_is_mapped_by_the_largest_entries)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, GIB, GIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, GIB, GIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_LARGEST);
	EXPECT_TOUCH(map + GIB - 4, PTE_WC, SHIFT_LARGEST);
	EXPECT_EQ(self->bar.start + 2 * GIB - 4, pte_phys(map + GIB - 4));
}

/* contract: type.neighbours */
TEST_F(big_bar, the_unclaimed_gib_of_the_bar_is_mapped_by_the_largest_entries)
{
	char *bar;

	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, GIB, GRANULE);
	bar = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_LARGEST);
	EXPECT_TOUCH(bar + GIB - 4, PTE_NONCACHED, SHIFT_LARGEST);
	EXPECT_SIGBUS(bar + GIB);
	EXPECT_TOUCH(bar + GIB + GRANULE, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(bar + GIB + 2 * MIB, PTE_NONCACHED, SHIFT_2M);
}

TEST_HARNESS_MAIN
