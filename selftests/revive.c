// SPDX-License-Identifier: GPL-2.0-only
/*
 * After VFIO_SUBREGION_DESTROY, by attribute and size of entry: mappings of the subregion stay dead
 * whatever happens to its range, and mappings of the BAR get the range back.
 */
#define PAGES_OF_4K
#include "fixture.h"

FIXTURE(revive) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
	/* A mapping of the whole BAR, older than the subregion; and one of the whole subregion. */
	char *bar_map;
	char *map;
};

FIXTURE_VARIANT(revive) {
	const char *device;
	uint32_t attribute;
	const char *pte;
	uint64_t start;
	uint64_t size;
	/* The size of the entries of the subregion, and of those of a new mapping of the BAR. */
	unsigned int shift;
	unsigned int bar_shift;
};

FIXTURE_VARIANT_ADD(revive, noncached) {
	"DEV_IVSHMEM", VFIO_SUBREGION_ATTR_NONCACHED, PTE_NONCACHED, 4 * MIB, 2 * MIB, SHIFT_2M,
	SHIFT_2M
};

FIXTURE_VARIANT_ADD(revive, device) {
	"DEV_IVSHMEM", VFIO_SUBREGION_ATTR_DEVICE, PTE_DEVICE, 4 * MIB, 2 * MIB, SHIFT_2M,
	SHIFT_2M
};

FIXTURE_VARIANT_ADD(revive, guest_any) {
	"DEV_IVSHMEM", VFIO_SUBREGION_ATTR_GUEST_ANY, PTE_DEVICE, 4 * MIB, 2 * MIB, SHIFT_2M,
	SHIFT_2M
};

FIXTURE_VARIANT_ADD(revive, wc_by_4k_entries) {
	"DEV_IVSHMEM", VFIO_SUBREGION_ATTR_WC, PTE_WC, 5 * MIB, 8 * KIB, SHIFT_4K, SHIFT_2M
};

FIXTURE_VARIANT_ADD(revive, wc_by_2m_entries) {
	"DEV_IVSHMEM", VFIO_SUBREGION_ATTR_WC, PTE_WC, 4 * MIB, 4 * MIB, SHIFT_2M, SHIFT_2M
};

FIXTURE_VARIANT_ADD(revive, wc_of_1g) {
	"DEV_IVSHMEM_BIG", VFIO_SUBREGION_ATTR_WC, PTE_WC, GIB, GIB, SHIFT_LARGEST, SHIFT_LARGEST
};

FIXTURE_SETUP(revive)
{
	if (!fixture_open(_metadata, &self->dev, variant->device, vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->bar_map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	EXPECT_TOUCH(self->bar_map + variant->start, PTE_NONCACHED, variant->bar_shift);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, variant->attribute, variant->start,
				   variant->size);
	self->map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, variant->size, GIB);
	EXPECT_TOUCH(self->map, variant->pte, variant->shift);
	EXPECT_TOUCH(self->map + variant->size - 4, variant->pte, variant->shift);
}

FIXTURE_TEARDOWN(revive)
{
	vfio_device_close(&self->dev);
}

#define EXPECT_DEAD() do { \
	EXPECT_SIGBUS(self->map); \
	EXPECT_SIGBUS(self->map + variant->size - 4); \
} while (0)

/* contract: destroy.unmaps */
TEST_F(revive, destroy_leaves_no_live_entry)
{
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	EXPECT_STREQ(PTE_NONE, pte_type(self->map));
	EXPECT_STREQ(PTE_NONE, pte_type(self->map + variant->size - 4));
	EXPECT_DEAD();
	EXPECT_DEAD();
}

/* contract: destroy.range-returns */
TEST_F(revive, a_bar_mapping_made_before_has_the_range_again)
{
	char *at = self->bar_map + variant->start;

	EXPECT_SIGBUS(at);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	EXPECT_TOUCH(at, PTE_NONCACHED, 0);
	EXPECT_TOUCH(at + variant->size - 4, PTE_NONCACHED, 0);
	EXPECT_EQ(self->bar.start + variant->start, pte_phys(at));
	EXPECT_DEAD();
}

/* contract: destroy.range-returns */
TEST_F(revive, a_bar_mapping_made_meanwhile_has_the_range_too)
{
	char *bar_map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB), *at;

	at = bar_map + variant->start;
	EXPECT_SIGBUS(at);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	EXPECT_TOUCH(at, PTE_NONCACHED, 0);
	EXPECT_TOUCH(at + variant->size - 4, PTE_NONCACHED, 0);
}

/* contract: destroy.range-returns */
TEST_F(revive, a_bar_mapping_made_afterwards_has_large_entries_as_before)
{
	char *bar_map;

	fixture_destroy(_metadata, &self->dev, self->sub.index);
	bar_map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	EXPECT_TOUCH(bar_map + variant->start, PTE_NONCACHED, variant->bar_shift);
	EXPECT_TOUCH(bar_map + variant->start + variant->size - 4, PTE_NONCACHED,
		     variant->bar_shift);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, self->bar.start + self->bar.size);
}

/* The range is claimed again, with each attribute in turn. */
/* contract: destroy.dead */
TEST_F(revive, a_claim_of_the_range_anew_does_not_revive_it)
{
	struct vfio_subregion_create anew;
	uint32_t attribute;
	char *map;

	fixture_destroy(_metadata, &self->dev, self->sub.index);
	for (attribute = 0; attribute < 4; attribute++) {
		anew = fixture_create(_metadata, &self->dev, BAR2, attribute, variant->start,
				      variant->size);
		EXPECT_NE(self->sub.index, anew.index);
		EXPECT_NE(self->sub.mmap_offset, anew.mmap_offset);
		map = fixture_map(_metadata, &self->dev, anew.mmap_offset, variant->size, GIB);
		EXPECT_TOUCH(map, attribute_pte(attribute), variant->shift);
		EXPECT_DEAD();
		EXPECT_SIGBUS(self->bar_map + variant->start);
		fixture_destroy(_metadata, &self->dev, anew.index);
		EXPECT_SIGBUS(map);
		EXPECT_DEAD();
	}
	EXPECT_TOUCH(self->bar_map + variant->start, PTE_NONCACHED, 0);
}

/* contract: destroy.dead */
TEST_F(revive, a_whole_bar_that_becomes_wc_does_not_revive_it)
{
	char *bar_map;

	fixture_destroy(_metadata, &self->dev, self->sub.index);
	munmap(self->bar_map, self->bar.size);
	munmap(self->map, variant->size / 2);
	self->map += variant->size / 2;
	/* The dead mapping maps nothing of the BAR. */
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	bar_map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	EXPECT_TOUCH(bar_map + variant->start, PTE_WC, variant->bar_shift);
	EXPECT_SIGBUS(self->map);
	EXPECT_SIGBUS(self->map + variant->size / 2 - 4);
}

TEST_HARNESS_MAIN
