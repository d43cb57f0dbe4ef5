// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_GET_INFO and VFIO_DEVICE_GET_REGION_INFO report subregions.
 */
#include "fixture.h"

#define CLAIM		(1 * MIB)
#define CLAIM_SIZE	(64 * KIB)

FIXTURE(info) {
	struct vfio_device dev;
	int regions;
};

FIXTURE_SETUP(info)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->regions = vfio_num_regions(&self->dev);
	ASSERT_LE(VFIO_PCI_NUM_REGIONS, self->regions);
}

FIXTURE_TEARDOWN(info)
{
	vfio_device_close(&self->dev);
}

static struct vfio_subregion_create claim(struct __test_metadata *_metadata,
					  struct vfio_device *dev, unsigned int number)
{
	return fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC,
			      CLAIM + 2 * number * CLAIM_SIZE, CLAIM_SIZE);
}

/* contract: info.num-regions */
TEST_F(info, num_regions_grows_with_each_subregion)
{
	EXPECT_EQ(self->regions, claim(_metadata, &self->dev, 0).index);
	EXPECT_EQ(self->regions + 1, vfio_num_regions(&self->dev));
	EXPECT_EQ(self->regions + 1, claim(_metadata, &self->dev, 1).index);
	EXPECT_EQ(self->regions + 2, vfio_num_regions(&self->dev));
}

/* contract: info.region */
TEST_F(info, a_subregion_is_an_ordinary_region)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, 0);
	struct vfio_region_info info;
	uint32_t flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			 VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;

	ASSERT_EQ(0, vfio_region_info(&self->dev, sub.index, &info));
	EXPECT_EQ(sub.mmap_offset, info.offset);
	EXPECT_EQ(CLAIM_SIZE, info.size);
	EXPECT_EQ(flags, info.flags);
}

/* contract: info.argsz */
TEST_F(info, a_short_argsz_gives_the_size_that_is_needed_and_no_capability)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, 0);
	struct vfio_region_info info;

	ASSERT_EQ(0, vfio_region_info(&self->dev, sub.index, &info));
	EXPECT_EQ(0, info.cap_offset);
	EXPECT_LE(sizeof(info) + sizeof(struct vfio_region_info_cap_subregion), info.argsz);
}

/* contract: info.argsz */
TEST_F(info, an_argsz_below_the_structure_is_einval)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, 0);
	struct vfio_region_info info = { .argsz = sizeof(info) - 1, .index = sub.index };

	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	EXPECT_EQ(EINVAL, errno);
}

/* contract: info.capability */
TEST_F(info, the_capability_of_a_subregion_repeats_the_request)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, 1);
	const struct vfio_region_info_cap_subregion *cap;
	struct vfio_region_info *info;

	info = vfio_region_info_caps(&self->dev, sub.index);
	ASSERT_NE(NULL, info);
	cap = vfio_region_cap(info, VFIO_REGION_INFO_CAP_SUBREGION);
	ASSERT_NE(NULL, cap);
	EXPECT_EQ(1, cap->header.version);
	EXPECT_EQ(BAR2, cap->parent);
	EXPECT_EQ(VFIO_SUBREGION_ATTR_WC, cap->attribute);
	EXPECT_EQ(TYPE_WC, cap->effective_type);
	EXPECT_EQ(0, cap->reserved);
	EXPECT_EQ(CLAIM + 2 * CLAIM_SIZE, cap->offset);
	free(info);
}

/* contract: info.claims */
TEST_F(info, the_bar_lists_its_claims_by_offset)
{
	const struct vfio_region_info_cap_claims *cap;
	struct vfio_subregion_create second, first;
	struct vfio_region_info *info;

	second = claim(_metadata, &self->dev, 1);
	first = claim(_metadata, &self->dev, 0);
	info = vfio_region_info_caps(&self->dev, BAR2);
	ASSERT_NE(NULL, info);
	cap = vfio_region_cap(info, VFIO_REGION_INFO_CAP_CLAIMS);
	ASSERT_NE(NULL, cap);
	EXPECT_EQ(1, cap->header.version);
	EXPECT_EQ(0, cap->reserved);
	EXPECT_EQ(VFIO_SUBREGION_ATTR_NONCACHED, cap->attribute);
	EXPECT_EQ(TYPE_NONCACHED, cap->effective_type);
	ASSERT_EQ(2, cap->nr_claims);
	EXPECT_EQ(first.index, cap->claims[0].index);
	EXPECT_EQ(CLAIM, cap->claims[0].offset);
	EXPECT_EQ(CLAIM_SIZE, cap->claims[0].size);
	EXPECT_EQ(second.index, cap->claims[1].index);
	EXPECT_EQ(CLAIM + 2 * CLAIM_SIZE, cap->claims[1].offset);
	EXPECT_EQ(CLAIM_SIZE, cap->claims[1].size);
	EXPECT_EQ(0, cap->claims[0].reserved);
	EXPECT_EQ(0, cap->claims[1].reserved);
	free(info);
}

/* contract: info.bar */
TEST_F(info, a_bar_without_claims_is_described_as_by_vfio_pci)
{
	struct vfio_region_info info;

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		  VFIO_REGION_INFO_FLAG_MMAP, info.flags);
	EXPECT_EQ(sizeof(info), info.argsz);
}

/* contract: info.bar */
TEST_F(info, the_size_and_the_offset_of_a_bar_do_not_change)
{
	struct vfio_region_info before, after;

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &before));
	claim(_metadata, &self->dev, 0);
	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &after));
	EXPECT_EQ(before.size, after.size);
	EXPECT_EQ(before.offset, after.offset);
}

/* contract: info.region */
TEST_F(info, an_index_that_no_region_has_is_einval)
{
	struct vfio_region_info info;
	uint32_t unknown[] = { self->regions + 1, 10000, 0x80000000, UINT32_MAX };
	unsigned int i;

	claim(_metadata, &self->dev, 0);
	for (i = 0; i < ARRAY_SIZE(unknown); i++)
		EXPECT_EQ(-EINVAL, vfio_region_info(&self->dev, unknown[i], &info));
}

TEST_HARNESS_MAIN
