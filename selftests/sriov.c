// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual functions are devices of their own, with their own subregions; opening one requires the
 * token of its physical function.
 */
#include "fixture.h"

#define VFS		2

/* The same token as text and as bytes. */
#define TOKEN		"2ab74924-c335-45f4-9b16-8569e5b08258"
#define OTHER_TOKEN	"2ab74924-c335-45f4-9b16-8569e5b08259"
static const unsigned char token[16] = {
	0x2a, 0xb7, 0x49, 0x24, 0xc3, 0x35, 0x45, 0xf4,
	0x9b, 0x16, 0x85, 0x69, 0xe5, 0xb0, 0x82, 0x58,
};

FIXTURE(vf) {
	struct vfio_device pf;
	struct vfio_device vf[VFS];
	char name[VFS][PCI_NAME_LEN];
	bool enabled;
	/*
	 * A page of each function and a page of a subregion of it; a mapping keeps the function
	 * open.
	 */
	char *bar[VFS];
	char *map[VFS];
};

#define PAGE	(4 * KIB)

FIXTURE_SETUP(vf)
{
	unsigned int i;
	int ret;

	self->pf = (struct vfio_device)VFIO_DEVICE_CLOSED;
	for (i = 0; i < VFS; i++)
		self->vf[i] = (struct vfio_device)VFIO_DEVICE_CLOSED;
	/* A BAR of a virtual function has 16 KiB. */
	if (!fixture_open(_metadata, &self->pf, "DEV_IGB", vfio_driver()) ||
	    !fixture_has_4k(_metadata))
		return;
	ASSERT_EQ(0, vfio_set_vf_token(&self->pf, token));
	ret = pci_set_vfs(self->pf.bdf, VFS);
	if (ret == -ENOENT)
		SKIP(return, "the driver was loaded without enable_sriov=1");
	ASSERT_EQ(0, ret) TH_LOG("sriov_numvfs: %s", strerror(-ret));
	self->enabled = true;
	for (i = 0; i < VFS; i++)
		ASSERT_EQ(0, pci_vf(self->pf.bdf, i, self->name[i]));
}

FIXTURE_TEARDOWN(vf)
{
	unsigned int i;

	for (i = 0; i < VFS; i++) {
		if (self->bar[i])
			munmap(self->bar[i], PAGE);
		if (self->map[i])
			munmap(self->map[i], PAGE);
		vfio_device_close(&self->vf[i]);
	}
	if (self->enabled)
		EXPECT_EQ(0, pci_set_vfs(self->pf.bdf, 0));
	vfio_device_close(&self->pf);
}

/* contract: vfio.sriov */
TEST_F(vf, is_bound_to_the_driver_of_its_physical_function)
{
	char driver[PCI_NAME_LEN];
	unsigned int i;

	for (i = 0; i < VFS; i++) {
		ASSERT_EQ(0, pci_driver(self->name[i], driver));
		EXPECT_STREQ(vfio_driver(), driver);
	}
}

/* contract: vfio.sriov */
TEST_F(vf, opens_with_the_token_and_not_without)
{
	EXPECT_EQ(-EACCES, vfio_device_open(&self->vf[0], self->name[0]));
	EXPECT_EQ(-EACCES, vfio_device_open_vf(&self->vf[0], self->name[0], OTHER_TOKEN));
	EXPECT_EQ(-EINVAL, vfio_device_open_vf(&self->vf[0], self->name[0], "no-token"));
	EXPECT_EQ(0, vfio_device_open_vf(&self->vf[0], self->name[0], TOKEN));
}

/* The registers are in the first pages of BAR 0; the bytes behind them are as good as any. */
#define CLAIM	(8 * KIB)

/* Opens a function, and maps the page to be claimed through its BAR. */
static void open_vf(struct __test_metadata *_metadata, FIXTURE_DATA(vf) * self, unsigned int i)
{
	uint64_t offset;

	ASSERT_EQ(0, vfio_device_open_vf(&self->vf[i], self->name[i], TOKEN));
	offset = vfio_offset(&self->vf[i], 0, CLAIM);
	self->bar[i] = fixture_map(_metadata, &self->vf[i], offset, PAGE, PAGE);
	EXPECT_TOUCH(self->bar[i], PTE_NONCACHED, SHIFT_4K);
}

/* Claims the page and maps it. */
static void claim(struct __test_metadata *_metadata, FIXTURE_DATA(vf) * self, unsigned int i,
		  uint32_t attribute)
{
	struct vfio_subregion_create sub;

	sub = fixture_create(_metadata, &self->vf[i], 0, attribute, CLAIM, PAGE);
	self->map[i] = fixture_map(_metadata, &self->vf[i], sub.mmap_offset, PAGE, PAGE);
}

/* contract: vfio.sriov */
TEST_F(vf, has_subregions_of_its_own)
{
	struct pci_bar where;

	open_vf(_metadata, self, 0);
	open_vf(_metadata, self, 1);
	where = fixture_bar(_metadata, &self->vf[0], 0);
	claim(_metadata, self, 0, VFIO_SUBREGION_ATTR_WC);
	EXPECT_TOUCH(self->map[0], PTE_WC, SHIFT_4K);
	EXPECT_EQ(where.start + CLAIM, pte_phys(self->map[0]));
	EXPECT_SIGBUS(self->bar[0]);
	/* The other virtual function and the physical function are not affected. */
	EXPECT_STREQ(PTE_NONCACHED, pte_type(self->bar[1]));
	EXPECT_EQ(0, subregion_count(&self->vf[1]));
	EXPECT_EQ(0, subregion_count(&self->pf));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->vf[1]));
	claim(_metadata, self, 1, VFIO_SUBREGION_ATTR_DEVICE);
	EXPECT_TOUCH(self->map[1], PTE_DEVICE, SHIFT_4K);
	EXPECT_STREQ(PTE_WC, pte_type(self->map[0]));
}

/* contract: vfio.sriov */
TEST_F(vf, a_reset_of_one_leaves_the_entries_of_the_other)
{
	unsigned int i;

	for (i = 0; i < VFS; i++) {
		open_vf(_metadata, self, i);
		claim(_metadata, self, i, VFIO_SUBREGION_ATTR_WC);
		EXPECT_TOUCH(self->map[i], PTE_WC, SHIFT_4K);
	}
	ASSERT_EQ(0, vfio_device_reset(&self->vf[0]));
	EXPECT_STREQ(PTE_NONE, pte_type(self->map[0]));
	EXPECT_STREQ(PTE_WC, pte_type(self->map[1]));
	ASSERT_EQ(0, vfio_set_memory(&self->vf[0], true));
	EXPECT_TOUCH(self->map[0], PTE_WC, SHIFT_4K);
}

/* The kernel tells the drivers of virtual functions nothing of a reset of the physical function. */
/* contract: vfio.sriov */
TEST_F(vf, keeps_its_types_over_a_reset_of_the_physical_function)
{
	unsigned int i;

	open_vf(_metadata, self, 0);
	open_vf(_metadata, self, 1);
	claim(_metadata, self, 0, VFIO_SUBREGION_ATTR_WC);
	claim(_metadata, self, 1, VFIO_SUBREGION_ATTR_DEVICE);
	EXPECT_TOUCH(self->map[0], PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map[1], PTE_DEVICE, SHIFT_4K);
	ASSERT_EQ(0, vfio_device_reset(&self->pf));
	for (i = 0; i < VFS; i++) {
		EXPECT_SIGBUS(self->bar[i]);
		EXPECT_EQ(1, subregion_count(&self->vf[i]));
		ASSERT_EQ(0, vfio_device_reset(&self->vf[i]));
		ASSERT_EQ(0, vfio_set_memory(&self->vf[i], true));
	}
	EXPECT_TOUCH(self->map[0], PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map[1], PTE_DEVICE, SHIFT_4K);
}

/* contract: vfio.sriov */
TEST_F(vf, the_whole_bar_can_be_wc)
{
	uint64_t offset;

	ASSERT_EQ(0, vfio_device_open_vf(&self->vf[0], self->name[0], TOKEN));
	fixture_set_attr(_metadata, &self->vf[0], 0, VFIO_SUBREGION_ATTR_WC);
	offset = vfio_offset(&self->vf[0], 0, CLAIM);
	self->bar[0] = fixture_map(_metadata, &self->vf[0], offset, PAGE, PAGE);
	EXPECT_TOUCH(self->bar[0], PTE_WC, SHIFT_4K);
}

/* contract: vfio.sriov */
TEST_F(vf, leaves_no_reservation_when_it_goes)
{
	struct pci_bar where;

	ASSERT_EQ(0, vfio_device_open_vf(&self->vf[0], self->name[0], TOKEN));
	where = fixture_bar(_metadata, &self->vf[0], 0);
	fixture_create(_metadata, &self->vf[0], 0, VFIO_SUBREGION_ATTR_WC, CLAIM, PAGE);
	EXPECT_MEMTYPE(MEMTYPE_WC, where.start + CLAIM, where.start + CLAIM + PAGE);
	vfio_device_close(&self->vf[0]);
	self->enabled = false;
	ASSERT_EQ(0, pci_set_vfs(self->pf.bdf, 0));
	expect_reservations(_metadata, &where, "");
}

TEST_HARNESS_MAIN
