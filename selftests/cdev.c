// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that is opened by its character device, with iommufd for its DMA: subregions work as
 * they do with a group.
 */
#include "ways.h"

FIXTURE(cdev) {
	struct vfio_device dev;
};

FIXTURE_SETUP(cdev)
{
	const char *bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	int ret;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!bdf)
		return;
	if (access("/dev/iommu", F_OK))
		SKIP(return, "the kernel has no iommufd");
	fixture_bind(_metadata, bdf, vfio_driver());
	ret = vfio_device_open_cdev(&self->dev, bdf);
	if (ret == -ENOENT)
		SKIP(return, "the kernel lacks CONFIG_VFIO_DEVICE_CDEV");
	ASSERT_EQ(0, ret) TH_LOG("cannot open %s: %s", bdf, strerror(-ret));
}

FIXTURE_TEARDOWN(cdev)
{
	vfio_device_close(&self->dev);
}

/* contract: lifetime.cdev */
TEST_F(cdev, the_main_path_works)
{
	expect_main_path(_metadata, &self->dev);
}

/* contract: lifetime.cdev */
TEST_F(cdev, the_last_close_leaves_nothing)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	vfio_device_close(&self->dev);
	expect_nothing_left(_metadata, self->dev.bdf);
	ASSERT_EQ(0, vfio_device_open_cdev(&self->dev, self->dev.bdf));
	EXPECT_EQ(0, subregion_count(&self->dev));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->dev));
}

/* contract: lifetime.cdev */
TEST_F(cdev, a_live_mapping_keeps_it_open)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB,
			     2 * MIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 2 * MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	vfio_device_close(&self->dev);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	munmap(map, 2 * MIB);
	expect_nothing_left(_metadata, self->dev.bdf);
}

/* contract: lifetime.cdev */
TEST_F(cdev, a_group_opened_afterwards_finds_nothing_of_it)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	vfio_device_close(&self->dev);
	if (access("/dev/vfio/vfio", F_OK))
		SKIP(return, "the kernel has no VFIO groups");
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	expect_main_path(_metadata, &self->dev);
}

TEST_HARNESS_MAIN
