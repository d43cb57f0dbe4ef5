// SPDX-License-Identifier: GPL-2.0
/*
 * VFIO_SUBREGION_CREATE: what depends on the state of the device and of the machine, and ioctls
 * that are not there. One error a test, all other input is valid.
 */
#include <sys/eventfd.h>

#include "refusal.h"

FIXTURE(state) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(state)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(state)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

TEST_F(state, wc_while_an_ioeventfd_exists_is_ebusy)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 0);
	struct vfio_subregion_create create;
	int fd = eventfd(0, 0);

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, fd));
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	/* Nothing needs segments when the type is the BAR's own. */
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, MIB);
	/* The teardown shows that WC can be had once it is gone. */
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

TEST_F(state, an_ioeventfd_on_a_bar_with_wc_is_ebusy)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 0);
	struct vfio_subregion_create sub;
	int fd = eventfd(0, 0);

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_EQ(-EBUSY, vfio_add_ioeventfd(&self->dev, at, fd));
	EXPECT_EQ(-EBUSY, vfio_add_ioeventfd(&self->dev, at + MIB, fd));
	EXPECT_GT(0, vfio_add_ioeventfd(&self->dev, sub.mmap_offset, fd));
}

TEST_F(state, an_ioeventfd_on_another_bar_is_as_on_vfio_pci)
{
	uint64_t at = vfio_offset(&self->dev, 0, 0);
	int fd = eventfd(0, 0);

	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, fd));
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

/* More of the unbuilt ioctls' input than they need, so that no check of it comes first. */
static int errno_of(int fd, unsigned long request)
{
	uint32_t buffer[64] = { sizeof(struct vfio_subregion_query) };

	return ioctl(fd, request, buffer) ? errno : 0;
}

TEST_F(state, an_ioctl_that_is_not_built_is_enotty)
{
	unsigned int number;

	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, VFIO_SUBREGION_DESTROY));
	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, VFIO_SUBREGION_QUERY));
	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, VFIO_REGION_SET_ATTR));
	for (number = 4; number < 256; number++)
		EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IO(VFIO_SUBREGION_IOC, number)));
}

/* The number alone is not the ioctl: with a direction and a size it is another one. */
TEST_F(state, an_ioctl_with_a_direction_is_enotty)
{
	EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IOWR(VFIO_SUBREGION_IOC, 0,
						       struct vfio_subregion_create)));
}

FIXTURE(alien) {
	struct vfio_device dev;
	const char *bdf;
	struct pci_bar bar;
	void *map;
};

FIXTURE_VARIANT(alien) {
	const char *suffix;
	const char *memtype;
	uint32_t same;
	uint32_t other;
};

/* A mapping by sysfs that was made before VFIO had the BAR holds a part of it as UC-... */
FIXTURE_VARIANT_ADD(alien, uncached) {
	"", MEMTYPE_UC_MINUS, VFIO_SUBREGION_ATTR_DEVICE, VFIO_SUBREGION_ATTR_WC
};

/* ... or as WC. */
FIXTURE_VARIANT_ADD(alien, write_combining) {
	"_wc", MEMTYPE_WC, VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_DEVICE
};

FIXTURE_SETUP(alien)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!self->bdf)
		return;
	fixture_bind(_metadata, self->bdf, vfio_driver());
	ASSERT_EQ(0, pci_bar(self->bdf, 2, &self->bar));
	self->map = pci_map_resource(self->bdf, 2, variant->suffix, 4 * MIB, MIB);
	ASSERT_NE(MAP_FAILED, self->map) TH_LOG("resource2%s: %s", variant->suffix,
						strerror(errno));
	ASSERT_STREQ(variant->memtype, memtype(self->bar.start + 4 * MIB,
					       self->bar.start + 5 * MIB));
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
}

FIXTURE_TEARDOWN(alien)
{
	vfio_device_close(&self->dev);
}

TEST_F(alien, mapping_of_another_type_makes_it_ebusy)
{
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, variant->other, 4 * MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	create = subregion_init(BAR2, variant->other, 3 * MIB, 2 * MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
}

TEST_F(alien, mapping_that_is_gone_is_no_obstacle)
{
	struct vfio_subregion_create create = subregion_init(BAR2, variant->other, 4 * MIB, MIB);
	const char *want = variant->other == VFIO_SUBREGION_ATTR_WC ? PTE_WC : PTE_UC_MINUS;
	char *map;

	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	vfio_device_close(&self->dev);
	munmap(self->map, MIB);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	ASSERT_EQ(0, subregion_create(&self->dev, &create));
	map = fixture_map(_metadata, &self->dev, create.mmap_offset, MIB, 2 * MIB);
	EXPECT_TOUCH(map, want, SHIFT_4K);
}

FIXTURE(nvme) {
	struct vfio_device dev;
	struct pci_bar bar;
};

/* BAR 0 of QEMU's NVMe controller is 16 KiB with the MSI-X table at 0x2000. */
FIXTURE_SETUP(nvme)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_NVME", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, 0);
	ASSERT_LE(16 * KIB, self->bar.size);
}

FIXTURE_TEARDOWN(nvme)
{
	vfio_device_close(&self->dev);
}

TEST_F(nvme, wc_over_the_msix_table_is_eperm)
{
	struct vfio_subregion_create create;

	create = subregion_init(0, VFIO_SUBREGION_ATTR_WC, 0x2000, 4 * KIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EPERM);
	create = subregion_init(0, VFIO_SUBREGION_ATTR_WC, 0x1000, 12 * KIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EPERM);
}

TEST_F(nvme, device_over_the_msix_table_is_accepted)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_DEVICE, 0x2000, 4 * KIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 4 * KIB, 4 * KIB);
	EXPECT_TOUCH(map, PTE_UC_MINUS, SHIFT_4K);
}

TEST_F(nvme, wc_beside_the_msix_table_is_accepted)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0x1000, 4 * KIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 4 * KIB, 4 * KIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
}

FIXTURE(limit) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(limit)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(limit)
{
	vfio_device_close(&self->dev);
}

#define LIMIT	16384

TEST_F_TIMEOUT(limit, one_subregion_more_than_the_limit_is_enospc, 120)
{
	struct vfio_subregion_create create;
	struct vfio_region_info info;
	unsigned int i;

	for (i = 0; i < LIMIT; i++)
		fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE,
			       i * 8 * KIB, 4 * KIB);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, GIB, 4 * KIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, ENOSPC);
	/* An overlap is found before the limit. */
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, 8 * KIB, 4 * KIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EEXIST);
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS + LIMIT, vfio_num_regions(&self->dev));
	ASSERT_EQ(0, vfio_region_info(&self->dev, VFIO_PCI_NUM_REGIONS + LIMIT - 1, &info));
	EXPECT_EQ(4 * KIB, info.size);
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->dev));
}

/* The probe: on a driver without subregions the ioctls do not exist. */
FIXTURE(stock) {
	struct vfio_device dev;
};

FIXTURE_SETUP(stock)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", DRIVER_STOCK);
}

FIXTURE_TEARDOWN(stock)
{
	vfio_device_close(&self->dev);
}

TEST_F(stock, vfio_pci_answers_enotty)
{
	struct vfio_subregion_create create;
	unsigned int number;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_EQ(-ENOTTY, subregion_create(&self->dev, &create));
	for (number = 0; number < 256; number++)
		EXPECT_EQ(ENOTTY, errno_of(self->dev.fd, _IO(VFIO_SUBREGION_IOC, number)));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->dev));
}

TEST_HARNESS_MAIN
