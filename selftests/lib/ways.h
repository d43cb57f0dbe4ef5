/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The main path once, on a device that was opened in another way than by a container with a type 1
 * IOMMU: subregions do not depend on it.
 */
#ifndef WAYS_H
#define WAYS_H

#include "fixture.h"

/** expect_main_path() - creates, maps, revokes, destroys, and gives a BAR an attribute */
static inline void expect_main_path(struct __test_metadata *_metadata, struct vfio_device *dev)
{
	struct pci_bar bar = fixture_bar(_metadata, dev, BAR2);
	struct vfio_subregion_create sub;
	struct vfio_subregion_query query;
	char *map, *bar_map;

	ASSERT_EQ(0, subregion_query(dev, BAR2, &query));
	EXPECT_EQ(ATTR_ALL, query.attributes);
	bar_map = fixture_map_bar(_metadata, dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(bar_map + 4 * MIB, PTE_NONCACHED, SHIFT_2M);
	sub = fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 4 * MIB);
	map = fixture_map(_metadata, dev, sub.mmap_offset, 4 * MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_EQ(bar.start + 4 * MIB, pte_phys(map));
	EXPECT_SIGBUS(bar_map + 4 * MIB);
	ASSERT_EQ(0, vfio_set_memory(dev, false));
	EXPECT_SIGBUS(map);
	ASSERT_EQ(0, vfio_set_memory(dev, true));
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	ASSERT_EQ(0, vfio_device_reset(dev));
	ASSERT_EQ(0, vfio_set_memory(dev, true));
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	fixture_destroy(_metadata, dev, sub.index);
	EXPECT_SIGBUS(map);
	EXPECT_TOUCH(bar_map + 4 * MIB, PTE_NONCACHED, SHIFT_2M);
	munmap(bar_map, bar.size);
	fixture_set_attr(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	bar_map = fixture_map_bar(_metadata, dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(bar_map, PTE_WC, SHIFT_2M);
	munmap(bar_map, bar.size);
	munmap(map, 4 * MIB);
}

/** expect_nothing_left() - no memory type of the device's BAR is reserved after the close */
static inline void expect_nothing_left(struct __test_metadata *_metadata, const char *bdf)
{
	struct pci_bar bar;

	ASSERT_EQ(0, pci_bar(bdf, BAR2, &bar));
	expect_reservations(_metadata, &bar, "");
}

#endif /* WAYS_H */
