// SPDX-License-Identifier: GPL-2.0-only
/*
 * The granule is the page of the kernel, which has 16 KiB on some kernels for arm64. The devices
 * have BARs of less than such a page, and an MSI-X table beside other registers in one.
 */
#include "refusal.h"

FIXTURE(granule) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(granule)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(granule)
{
	vfio_device_close(&self->dev);
}

/* contract: query.exact */
TEST_F(granule, a_query_says_the_size_of_a_page)
{
	struct vfio_subregion_query query;

	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(GRANULE, query.granule);
}

/* contract: create.alignment */
TEST_F(granule, half_a_page_is_einval)
{
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, GRANULE / 2, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EINVAL);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, GRANULE, GRANULE / 2);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EINVAL);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, GRANULE, GRANULE);
}

/* contract: type.entry type.neighbours */
TEST_F(granule, one_page_has_every_type_between_its_neighbours)
{
	struct vfio_subregion_create create;
	uint64_t page = GRANULE;
	uint32_t attribute;
	char *bar, *map;

	bar = fixture_map_bar(_metadata, &self->dev, BAR2, page);
	for (attribute = 0; attribute < SUBREGION_ATTRIBUTES; attribute++) {
		create = fixture_create(_metadata, &self->dev, BAR2, attribute, page, page);
		map = fixture_map(_metadata, &self->dev, create.mmap_offset, page, page);
		EXPECT_TOUCH(map, attribute_pte(attribute), 0);
		EXPECT_TOUCH(bar, PTE_NONCACHED, 0);
		EXPECT_SIGBUS(bar + page);
		EXPECT_TOUCH(bar + 2 * page, PTE_NONCACHED, 0);
		fixture_destroy(_metadata, &self->dev, create.index);
		EXPECT_SIGBUS(map);
		EXPECT_TOUCH(bar + page, PTE_NONCACHED, 0);
	}
}

/* BAR 0 of QEMU's NVMe controller has 16 KiB, with the MSI-X table in the third page of 4 KiB. */
/* contract: create.msix query.exact */
TEST_F(granule, wc_is_eperm_on_the_page_with_the_msix_table_only)
{
	struct vfio_subregion_create create;
	struct vfio_subregion_query query;
	struct vfio_device nvme;
	bool possible = false;
	struct pci_bar bar;
	uint64_t at;

	if (!fixture_open(_metadata, &nvme, "DEV_NVME", vfio_driver()))
		return;
	bar = fixture_bar(_metadata, &nvme, 0);
	ASSERT_EQ(0, subregion_query(&nvme, 0, &query));
	for (at = 0; at + GRANULE <= bar.size; at += GRANULE) {
		create = subregion_init(0, VFIO_SUBREGION_ATTR_WC, at, GRANULE);
		if (0x2000 / GRANULE == at / GRANULE) {
			expect_refused(_metadata, &nvme, &bar, &create, EPERM);
		} else {
			EXPECT_EQ(0, subregion_create(&nvme, &create));
			possible = true;
		}
	}
	EXPECT_EQ(possible, !!(query.attributes & ATTR_BIT(VFIO_SUBREGION_ATTR_WC)));
	vfio_device_close(&nvme);
}

TEST_HARNESS_MAIN
