// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfds as with vfio-pci: the same errors, limits and effects. Every test runs with vfio-pci,
 * the control, with this driver, and with this driver and write combining in the BAR.
 */
#include "refusal.h"
#include "signal_event.h"

FIXTURE(ioeventfd_stock) {
	struct vfio_device dev;
	uint64_t window;
	int eventfd;
};

FIXTURE_VARIANT(ioeventfd_stock) {
	bool stock;
	bool wc;
};

FIXTURE_VARIANT_ADD(ioeventfd_stock, of_stock_vfio_pci) { .stock = true };
FIXTURE_VARIANT_ADD(ioeventfd_stock, of_this_driver) { };
FIXTURE_VARIANT_ADD(ioeventfd_stock, of_a_bar_with_wc) { .wc = true };

FIXTURE_SETUP(ioeventfd_stock)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	self->window = vfio_offset(&self->dev, BAR2, 0);
	if (variant->wc)
		fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
}

FIXTURE_TEARDOWN(ioeventfd_stock)
{
	vfio_device_close(&self->dev);
}

/* One wrong field each, in a request that is valid otherwise. */
/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, each_wrong_field_has_its_error)
{
	const uint64_t bar = 1ULL << 40, size = fixture_bar(_metadata, &self->dev, BAR2).size;
	const struct {
		const char *what;
		struct vfio_device_ioeventfd request;
		int error;
	} wrong[] = {
		{ "argsz", { 27, 4, self->window, 0, self->eventfd, 0 }, EINVAL },
		{ "no width", { 32, 0, self->window, 0, self->eventfd, 0 }, EINVAL },
		{ "two widths", { 32, 3, self->window, 0, self->eventfd, 0 }, EINVAL },
		{ "another flag", { 32, 0x14, self->window, 0, self->eventfd, 0 }, EINVAL },
		{ "a negative eventfd", { 32, 4, self->window, 0, -2, 0 }, EINVAL },
		{ "the BAR's end", { 32, 4, self->window + size, 0, self->eventfd, 0 }, EINVAL },
		{ "beyond it", { 32, 8, self->window + size - 4, 0, self->eventfd, 0 }, EINVAL },
		{ "no such BAR", { 32, 4, 4 * bar, 0, self->eventfd, 0 }, EINVAL },
		{ "the ROM", { 32, 4, 6 * bar, 0, self->eventfd, 0 }, EINVAL },
		{ "configuration space", { 32, 4, 7 * bar, 0, self->eventfd, 0 }, EINVAL },
		{ "no region", { 32, 4, UINT64_MAX - 7, 0, self->eventfd, 0 }, EINVAL },
		{ "not open", { 32, 4, self->window, 0, 1000, 0 }, EBADF },
		{ "not an eventfd", { 32, 4, self->window, 0, self->dev.fd, 0 }, EINVAL },
		{ "not there", { 32, 4, self->window, 0, -1, 0 }, ENODEV },
	};
	struct vfio_device_ioeventfd request;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		request = wrong[i].request;
		EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, &request))
			TH_LOG("%s", wrong[i].what);
		EXPECT_EQ(wrong[i].error, errno) TH_LOG("%s: %s", wrong[i].what, strerror(errno));
	}
	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, NULL));
	EXPECT_EQ(EFAULT, errno);
	/* Nothing was made, and a valid request works. */
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	expect_write(_metadata, &self->dev, self->eventfd, 0);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + size - 4, self->eventfd));
}

/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, the_field_behind_the_eventfd_is_not_read)
{
	char *pages = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	struct vfio_device_ioeventfd request = { 28, 4, self->window, 1, self->eventfd, 0 };
	unsigned int size;
	char *cut;

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(pages + GRANULE, GRANULE, PROT_NONE));
	for (size = 0; size <= 28; size += 4) {
		cut = pages + GRANULE - size;
		memcpy(cut, &request, size);
		EXPECT_EQ(size < 28 ? -1 : 0, ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, cut));
		if (size < 28)
			EXPECT_EQ(EFAULT, errno) TH_LOG("%u bytes", size);
	}
	expect_write(_metadata, &self->dev, self->eventfd, 0);
}

/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, only_one_exists_for_a_write)
{
	int other = eventfd(0, EFD_CLOEXEC);

	ASSERT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 4, 1, self->eventfd));
	EXPECT_EQ(-EEXIST, vfio_ioeventfd(&self->dev, self->window, 4, 1, self->eventfd));
	EXPECT_EQ(-EEXIST, vfio_ioeventfd(&self->dev, self->window, 4, 1, other));
	EXPECT_EQ(-ENODEV, vfio_ioeventfd(&self->dev, self->window, 4, 2, -1));
	EXPECT_EQ(-ENODEV, vfio_ioeventfd(&self->dev, self->window, 2, 1, -1));
	EXPECT_EQ(-ENODEV, vfio_ioeventfd(&self->dev, self->window + 4, 4, 1, -1));
	/* With one difference it is another write. The value counts as a whole. */
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 4, 2, other));
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 2, 1, other));
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 4, 1 | 1ULL << 32, other));
	expect_write(_metadata, &self->dev, self->eventfd, 0);
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 4, 1, -1));
	EXPECT_EQ(-ENODEV, vfio_ioeventfd(&self->dev, self->window, 4, 1, -1));
	close(other);
}

/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, there_are_at_most_1000)
{
	uint64_t data;

	for (data = 0; data < 1000; data++)
		ASSERT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 4, data, self->eventfd));
	EXPECT_EQ(-ENOSPC, vfio_ioeventfd(&self->dev, self->window, 4, data, self->eventfd));
	EXPECT_EQ(-EEXIST, vfio_ioeventfd(&self->dev, self->window, 4, 0, self->eventfd));
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 4, 500, -1));
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, self->window, 4, data, self->eventfd));
}

/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, a_signal_before_it_exists_is_not_lost)
{
	uint64_t value = 0;

	ASSERT_EQ(8, pwrite(self->dev.fd, &value, 8, self->window));
	signal_event(_metadata, self->eventfd);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	EXPECT_EQ(1, wait_for_value(_metadata, &self->dev, 0, 1));
}

/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, it_remains_until_it_is_removed_when_the_eventfd_is_closed)
{
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	close(self->eventfd);
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	EXPECT_EQ(-EEXIST, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, -1));
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	expect_write(_metadata, &self->dev, self->eventfd, 0);
	/* The last close finds one without an eventfd. */
	close(self->eventfd);
}

/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, it_writes_nothing_while_memory_is_off_and_again_after_a_reset)
{
	uint64_t value = 0;

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window, self->eventfd));
	expect_write(_metadata, &self->dev, self->eventfd, 0);
	ASSERT_EQ(8, pwrite(self->dev.fd, &value, 8, self->window));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
	signal_event(_metadata, self->eventfd);
	usleep(20000);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	EXPECT_EQ(0, wait_for_value(_metadata, &self->dev, 0, 0));
	expect_write(_metadata, &self->dev, self->eventfd, 0);
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	expect_write(_metadata, &self->dev, self->eventfd, 0);
}

/* One with the MSI-X table (at 0x2000), one of I/O ports, and one that is less than a page. */
/* contract: vfio.ioeventfd-stock */
TEST_F(ioeventfd_stock, other_kinds_of_bars_have_them_too)
{
	uint64_t registers, ports;

	vfio_device_close(&self->dev);
	if (!fixture_has_4k(_metadata) ||
	    !fixture_open(_metadata, &self->dev, "DEV_NVME",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	registers = vfio_offset(&self->dev, 0, 0);
	if (variant->wc)
		fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0x1000, 4 * KIB);
	EXPECT_EQ(-EINVAL, vfio_add_ioeventfd(&self->dev, registers + 0x2000, self->eventfd));
	EXPECT_EQ(-EINVAL, vfio_add_ioeventfd(&self->dev, registers + 0x2000, -1));
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, registers + 0x1ffc, self->eventfd));
	vfio_device_close(&self->dev);
	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	ports = vfio_offset(&self->dev, 1, 0);
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, ports, 1, 0, self->eventfd));
	signal_event(_metadata, self->eventfd);
	EXPECT_EQ(-EEXIST, vfio_ioeventfd(&self->dev, ports, 1, 0, self->eventfd));
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, ports, 1, 0, -1));
	vfio_device_close(&self->dev);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, vfio_offset(&self->dev, 0, 0), self->eventfd));
	signal_event(_metadata, self->eventfd);
}

TEST_HARNESS_MAIN
