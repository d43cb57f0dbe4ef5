// SPDX-License-Identifier: GPL-2.0-only
/*
 * Controls: mappings whose type is known and does not depend on subregions. They show that the
 * oracle distinguishes WC from UC-, and that a mapping can ask for WC without getting it.
 */
#include "fixture.h"

FIXTURE(plain_bar) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_VARIANT(plain_bar) {
	bool stock;
};

FIXTURE_VARIANT_ADD(plain_bar, of_stock_vfio_pci) { .stock = true };
FIXTURE_VARIANT_ADD(plain_bar, of_this_driver) { .stock = false };

FIXTURE_SETUP(plain_bar)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(plain_bar)
{
	vfio_device_close(&self->dev);
}

/* contract: type.plain */
TEST_F(plain_bar, is_mapped_uncached_by_2m_entries)
{
	char *bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);

	EXPECT_STREQ(PTE_NONE, pte_type(bar));
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_2M);
	EXPECT_TOUCH(bar + self->bar.size - 4, PTE_NONCACHED, SHIFT_2M);
	EXPECT_EQ(self->bar.start, pte_phys(bar));
}

/* contract: type.plain */
TEST_F(plain_bar, is_reserved_uncached)
{
	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, self->bar.start + self->bar.size);
}

/*
 * A mapping as a driver makes it that changes only the protection of the VMA: it asks for WC while
 * the core reserves the whole BAR as UC-. The resource2_wc of sysfs is such a mapping, made by the
 * kernel's own code. A kernel with IO_STRICT_DEVMEM allows it for a BAR in use only if booted with
 * iomem=relaxed.
 */
/* contract: controls.asking */
TEST_F(plain_bar, asked_for_wc_without_segments_is_uncached)
{
	void *map;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	map = fixture_map_resource(_metadata, self->dev.bdf, "_wc", 4 * MIB, MIB);
	if (!map)
		return;
	EXPECT_TOUCH(map, PTE_NONCACHED, 0);
}

/* The positive control: the same mapping of the same bytes while a segment reserves them as WC. */
FIXTURE(segment) {
	struct vfio_device dev;
};

FIXTURE_SETUP(segment)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, MIB);
}

FIXTURE_TEARDOWN(segment)
{
	vfio_device_close(&self->dev);
}

/* contract: controls.asking */
TEST_F(segment, gives_its_own_pages_wc_entries)
{
	void *map = fixture_map_resource(_metadata, self->dev.bdf, "_wc", 4 * MIB, MIB);

	if (!map)
		return;
	EXPECT_TOUCH(map, PTE_WC, 0);
}

/* contract: controls.asking */
TEST_F(segment, does_not_make_its_neighbours_wc)
{
	void *map;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	map = fixture_map_resource(_metadata, self->dev.bdf, "_wc", 5 * MIB, MIB);
	if (!map)
		return;
	EXPECT_TOUCH(map, PTE_NONCACHED, 0);
}

FIXTURE(big_plain_bar) {
	struct vfio_device dev;
};

FIXTURE_VARIANT(big_plain_bar) {
	bool stock;
};

FIXTURE_VARIANT_ADD(big_plain_bar, of_stock_vfio_pci) { .stock = true };
FIXTURE_VARIANT_ADD(big_plain_bar, of_this_driver) { .stock = false };

FIXTURE_SETUP(big_plain_bar)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG",
		     variant->stock ? DRIVER_STOCK : vfio_driver());
}

FIXTURE_TEARDOWN(big_plain_bar)
{
	vfio_device_close(&self->dev);
}

/* contract: type.plain */
TEST_F(big_plain_bar, is_mapped_uncached_by_the_largest_entries)
{
	char *bar = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	bool stock = variant->stock && GRANULE == 4 * KIB;
	unsigned int shift = stock ? SHIFT_STOCK : SHIFT_LARGEST;

	EXPECT_TOUCH(bar, PTE_NONCACHED, shift);
	EXPECT_TOUCH(bar + 2 * GIB - 4, PTE_NONCACHED, shift);
}

/* Without VFIO: no process has opened the device, so sysfs may map it. */
FIXTURE(sysfs) {
	const char *bdf;
	struct pci_bar bar;
};

FIXTURE_SETUP(sysfs)
{
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!self->bdf)
		return;
	fixture_bind(_metadata, self->bdf, DRIVER_STOCK);
	ASSERT_EQ(0, pci_bar(self->bdf, 2, &self->bar));
}

FIXTURE_TEARDOWN(sysfs)
{
}

/* contract: controls.oracle */
TEST_F(sysfs, a_wc_mapping_of_a_free_bar_is_wc)
{
	void *map = pci_map_resource(self->bdf, 2, "_wc", 0, MIB);

	ASSERT_NE(MAP_FAILED, map) TH_LOG("resource2_wc: %s", strerror(errno));
	EXPECT_STREQ(PTE_WC, pte_type(map));
	EXPECT_EQ(shift_here(SHIFT_4K), pte_shift(map));
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start, self->bar.start + MIB);
}

/* contract: controls.oracle */
TEST_F(sysfs, a_wc_mapping_of_a_bar_held_uncached_is_uncached)
{
	void *held = pci_map_resource(self->bdf, 2, "", 0, self->bar.size), *map;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	ASSERT_NE(MAP_FAILED, held) TH_LOG("resource2: %s", strerror(errno));
	map = pci_map_resource(self->bdf, 2, "_wc", 0, MIB);
	ASSERT_NE(MAP_FAILED, map) TH_LOG("resource2_wc: %s", strerror(errno));
	EXPECT_STREQ(PTE_NONCACHED, pte_type(map));
}

/* contract: controls.oracle */
TEST_F(sysfs, an_address_without_device_memory_is_refused_by_the_oracle)
{
	struct pte_oracle pte;
	uint32_t local = 1;

	EXPECT_EQ(-EINVAL, pte_read(&local, &pte));
	EXPECT_EQ(-EFAULT, pte_read((void *)GRANULE, &pte));
}

TEST_HARNESS_MAIN
