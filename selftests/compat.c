// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit program on a 64-bit kernel sees the same structures, the same results and the same
 * memory types.
 */
#include "fixture.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(1 * MIB)

_Static_assert(sizeof(void *) == 4, "this program is built with -m32");

/* contract: args.compat */
FIXTURE(compat) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
};

FIXTURE_SETUP(compat)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
				   CLAIM_SIZE);
}

FIXTURE_TEARDOWN(compat)
{
	vfio_device_close(&self->dev);
}

TEST_F(compat, create_fills_in_all_outputs)
{
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, self->sub.index);
	EXPECT_EQ(TYPE_WC, self->sub.effective_type);
	EXPECT_LT(vfio_offset(&self->dev, BAR2, 0), self->sub.mmap_offset);
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start + CLAIM, self->bar.start + CLAIM + CLAIM_SIZE);
}

TEST_F(compat, region_info_repeats_them)
{
	const struct vfio_region_info_cap_subregion *cap;
	struct vfio_region_info *info;

	info = vfio_region_info_caps(&self->dev, self->sub.index);
	ASSERT_NE(NULL, info);
	EXPECT_EQ(CLAIM_SIZE, info->size);
	EXPECT_EQ(self->sub.mmap_offset, info->offset);
	cap = vfio_region_cap(info, VFIO_REGION_INFO_CAP_SUBREGION);
	ASSERT_NE(NULL, cap);
	EXPECT_EQ(CLAIM, cap->offset);
	EXPECT_EQ(BAR2, cap->parent);
	free(info);
}

TEST_F(compat, the_offset_can_be_mapped_and_read)
{
	uint32_t *map, value = 0;

	map = (void *)fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE,
				  2 * MIB);
	ASSERT_EQ(0, touch_write(map, 0xc0ffee));
	EXPECT_STREQ(PTE_WC, pte_type(map));
	__sync_synchronize();
	ASSERT_EQ(4, pread(self->dev.fd, &value, 4, vfio_offset(&self->dev, BAR2, CLAIM)));
	EXPECT_EQ(0xc0ffee, value);
}

TEST_F(compat, errors_are_the_same)
{
	struct vfio_subregion_create create = self->sub;

	EXPECT_EQ(-EEXIST, subregion_create(&self->dev, &create));
	EXPECT_EQ(self->sub.index, create.index);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, -4 * KIB, 8 * KIB);
	EXPECT_EQ(-EOVERFLOW, subregion_create(&self->dev, &create));
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	create.argsz--;
	EXPECT_EQ(-EINVAL, subregion_create(&self->dev, &create));
}

TEST_F(compat, destroy_works_and_its_errors_are_the_same)
{
	struct vfio_subregion_destroy destroy = { .argsz = 15, .index = self->sub.index };
	char *map;

	map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_SUBREGION_DESTROY, &destroy));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-ENOENT, subregion_destroy(&self->dev, BAR2));
	EXPECT_EQ(-ENOENT, subregion_destroy(&self->dev, UINT32_MAX));
	EXPECT_EQ(0, subregion_destroy(&self->dev, self->sub.index));
	EXPECT_EQ(-ENOENT, subregion_destroy(&self->dev, self->sub.index));
	EXPECT_SIGBUS(map);
}

/* contract: export.bytes */
TEST_F(compat, an_export_works)
{
	int fd = fixture_export(_metadata, &self->dev, self->sub.index, O_RDWR);
	char *map = fixture_map_export(_metadata, fd, PROT_READ | PROT_WRITE, CLAIM_SIZE);
	uint32_t value = 0;

	ASSERT_EQ(0, touch_write((uint32_t *)map, 0xc0ffee));
	EXPECT_STREQ(PTE_WC, pte_type(map));
	ASSERT_EQ(4, pread(fd, &value, 4, 0));
	EXPECT_EQ(0xc0ffee, value);
	EXPECT_EQ(-EINVAL, subregion_export(&self->dev, self->sub.index, O_WRONLY));
}

TEST_F(compat, query_fills_in_all_outputs)
{
	struct vfio_subregion_query query;

	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(ATTR_ALL, query.attributes);
	EXPECT_EQ(GRANULE, query.granule);
	EXPECT_EQ(SUBREGION_LIMIT, query.limit);
	EXPECT_EQ(1, query.count);
	ASSERT_EQ(0, subregion_query(&self->dev, self->sub.index, &query));
	EXPECT_EQ(ATTR_BIT(VFIO_SUBREGION_ATTR_WC), query.attributes);
	EXPECT_EQ(-EINVAL, subregion_query(&self->dev, self->sub.index + 1, &query));
}

TEST_F(compat, set_attr_works_and_its_errors_are_the_same)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = BAR2, .attribute = VFIO_SUBREGION_ATTR_WC,
	};
	char *map;

	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_REGION_SET_ATTR, &set));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(VFIO_SUBREGION_BUSY_SUBREGION, set.busy);
	ASSERT_EQ(0, subregion_destroy(&self->dev, self->sub.index));
	ASSERT_EQ(0, ioctl(self->dev.fd, VFIO_REGION_SET_ATTR, &set));
	EXPECT_EQ(TYPE_WC, set.effective_type);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, 0);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE));
	set.flags = 1;
	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_REGION_SET_ATTR, &set));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(compat, the_bar_lists_its_claims)
{
	char *claims = subregion_claims(&self->dev), text[128];

	snprintf(text, sizeof(text), "BAR 2: 1 claims, attribute 0, type %u\n"
		 "  region 9: 0x100000 from 0x400000\n", TYPE_NONCACHED);
	EXPECT_STREQ(text, claims);
	free(claims);
}

TEST_HARNESS_MAIN
