// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfds beside subregions. An ioeventfd writes through the kernel's mapping of a BAR, and
 * write-combining subregions replace this mapping. A BAR with write combining therefore cannot have
 * ioeventfds, and a BAR gets its first write-combining subregion only while the device has no
 * ioeventfd on any BAR.
 */
#include <sys/eventfd.h>

#include "refusal.h"

FIXTURE(ioeventfd) {
	struct vfio_device dev;
	struct pci_bar bar;
	int eventfd;
};

FIXTURE_SETUP(ioeventfd)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(ioeventfd)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* The ioeventfd at byte @at of BAR 2 writes to the device: its bytes change. */
static void expect_write(struct __test_metadata *_metadata, struct vfio_device *dev, int eventfd,
			 uint64_t at)
{
	uint64_t offset = vfio_offset(dev, BAR2, at), one = 1;
	uint32_t value = 0xffffffff, tries;

	ASSERT_EQ(4, pwrite(dev->fd, &value, 4, offset));
	ASSERT_EQ(sizeof(one), write(eventfd, &one, sizeof(one)));
	for (tries = 0; tries < 1000 && value != 1; tries++) {
		usleep(1000);
		ASSERT_EQ(4, pread(dev->fd, &value, 4, offset));
	}
	EXPECT_EQ(1, value) TH_LOG("the ioeventfd did not write");
}

/* An ioeventfd can be made there, writes, and can be removed. */
static void expect_ioeventfd(struct __test_metadata *_metadata, struct vfio_device *dev,
			     int eventfd, uint64_t at)
{
	uint64_t offset = vfio_offset(dev, BAR2, at);

	ASSERT_EQ(0, vfio_add_ioeventfd(dev, offset, eventfd));
	expect_write(_metadata, dev, eventfd, at);
	EXPECT_EQ(0, vfio_add_ioeventfd(dev, offset, -1));
}

/* contract: vfio.ioeventfd-refused */
TEST_F(ioeventfd, wc_while_an_ioeventfd_exists_is_ebusy)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 0);
	struct vfio_subregion_create create;

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	/* A subregion with the type of the BAR needs no segments. */
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, MIB);
	/* The teardown shows that WC is possible once the ioeventfd is gone. */
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

/* contract: vfio.ioeventfd-wc */
TEST_F(ioeventfd, an_ioeventfd_on_a_bar_with_wc_is_ebusy)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 0);
	struct vfio_subregion_create sub;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_EQ(-EBUSY, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	EXPECT_EQ(-EBUSY, vfio_add_ioeventfd(&self->dev, at + MIB, self->eventfd));
	EXPECT_GT(0, vfio_add_ioeventfd(&self->dev, sub.mmap_offset, self->eventfd));
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, an_ioeventfd_on_another_bar_is_as_on_vfio_pci)
{
	uint64_t at = vfio_offset(&self->dev, 0, 0);

	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, it_writes_through_a_claim_of_the_type_that_the_bar_has)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, MIB);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED, 2 * MIB, MIB);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_GUEST_ANY, 3 * MIB, MIB);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, 0);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, MIB);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, 2 * MIB);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, 3 * MIB);
}

/* contract: vfio.ioeventfd-wc */
TEST_F(ioeventfd, it_works_again_when_the_last_wc_subregion_is_gone)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 0);
	struct vfio_subregion_create first, last;

	first = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	last = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, MIB);
	EXPECT_EQ(-EBUSY, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	fixture_destroy(_metadata, &self->dev, first.index);
	EXPECT_EQ(-EBUSY, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	fixture_destroy(_metadata, &self->dev, last.index);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, 0);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, MIB);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, 4 * MIB);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, it_survives_the_end_of_a_claim_that_was_none_of_its_business)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, MIB);
	struct vfio_subregion_create sub;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, MIB);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	fixture_destroy(_metadata, &self->dev, sub.index);
	expect_write(_metadata, &self->dev, self->eventfd, MIB);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

/* contract: vfio.ioeventfd-refused */
TEST_F(ioeventfd, a_wc_that_failed_for_it_leaves_it_working)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 0);
	struct vfio_subregion_create create;

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, 0);
}

/* An ioeventfd on one BAR and write combining in another: BAR 0 is one page, BAR 2 is memory. */
FIXTURE(other_bar) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t page;
	int eventfd;
};

FIXTURE_SETUP(other_bar)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->page = vfio_offset(&self->dev, 0, 0);
}

FIXTURE_TEARDOWN(other_bar)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* contract: vfio.ioeventfd-refused */
TEST_F(other_bar, an_ioeventfd_there_makes_the_first_wc_ebusy)
{
	struct vfio_subregion_create create;

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, self->eventfd));
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, -1));
}

/* contract: vfio.ioeventfd-beside */
TEST_F(other_bar, wc_there_is_no_obstacle_to_an_ioeventfd)
{
	fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0, 4 * KIB);
	expect_ioeventfd(_metadata, &self->dev, self->eventfd, MIB);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(other_bar, an_ioeventfd_there_is_no_obstacle_to_more_wc)
{
	struct vfio_subregion_create first, more;
	char *map;

	first = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, self->eventfd));
	more = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, MIB);
	map = fixture_map(_metadata, &self->dev, more.mmap_offset, MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start + 4 * MIB, self->bar.start + 5 * MIB);
	/* The two can be removed in either order. */
	fixture_destroy(_metadata, &self->dev, first.index);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, -1));
}

/* contract: vfio.ioeventfd-refused */
TEST_F(other_bar, an_ioeventfd_there_makes_wc_ebusy_again_after_the_last_one)
{
	struct vfio_subregion_create sub, create;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, self->eventfd));
	fixture_destroy(_metadata, &self->dev, sub.index);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, -1));
}

/* contract: vfio.ioeventfd-beside */
TEST_F(other_bar, an_ioeventfd_there_lets_a_wc_bar_keep_or_lose_its_attribute)
{
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, self->eventfd));
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, -1));
}

/* BAR 0 is four pages with the MSI-X table on the third, BAR 2 is memory. */
FIXTURE(beside_registers) {
	struct vfio_device dev;
	int eventfd;
};

FIXTURE_SETUP(beside_registers)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	fixture_open(_metadata, &self->dev, "DEV_NVME", vfio_driver());
}

FIXTURE_TEARDOWN(beside_registers)
{
	vfio_device_close(&self->dev);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(beside_registers, an_ioeventfd_works_on_while_another_bar_gets_more_wc)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, MIB);
	struct vfio_subregion_create first, more;

	first = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0x1000, 4 * KIB);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	more = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0x3000, 4 * KIB);
	expect_write(_metadata, &self->dev, self->eventfd, MIB);
	fixture_destroy(_metadata, &self->dev, first.index);
	expect_write(_metadata, &self->dev, self->eventfd, MIB);
	/* Now the core maps BAR 0 again. */
	fixture_destroy(_metadata, &self->dev, more.index);
	expect_write(_metadata, &self->dev, self->eventfd, MIB);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

TEST_HARNESS_MAIN
