// SPDX-License-Identifier: GPL-2.0-only
/*
 * Subregions exist from the first open of the device to its last close: nothing remains afterwards,
 * and nothing is lost before.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(4 * MIB)
#define CYCLES		100

FIXTURE(lifecycle) {
	struct vfio_device dev;
	const char *bdf;
	struct pci_bar bar;
	char *closed;
};

FIXTURE_SETUP(lifecycle)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!self->bdf)
		return;
	fixture_bind(_metadata, self->bdf, vfio_driver());
	ASSERT_EQ(0, pci_bar(self->bdf, BAR2, &self->bar));
	self->closed = memtype_lines(self->bar.start, self->bar.start + self->bar.size);
	ASSERT_NE(NULL, self->closed);
	ASSERT_STREQ("", self->closed);
}

FIXTURE_TEARDOWN(lifecycle)
{
	vfio_device_close(&self->dev);
	free(self->closed);
}

/* Opens the device, creates a WC subregion and maps it. */
static char *open_and_map(struct __test_metadata *_metadata, struct vfio_device *dev,
			  const char *bdf)
{
	struct vfio_subregion_create sub;

	ASSERT_EQ(0, vfio_device_open(dev, bdf));
	sub = fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM, CLAIM_SIZE);
	return fixture_map(_metadata, dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
}

/* contract: lifetime.close */
TEST_F(lifecycle, a_hundred_cycles_leave_no_reservation)
{
	unsigned int i;
	char *map;

	for (i = 0; i < CYCLES; i++) {
		map = open_and_map(_metadata, &self->dev, self->bdf);
		ASSERT_EQ(0, touch_write((uint32_t *)map, i));
		ASSERT_STREQ(PTE_WC, pte_type(map)) TH_LOG("in cycle %u", i);
		ASSERT_EQ(0, munmap(map, CLAIM_SIZE));
		vfio_device_close(&self->dev);
		expect_reservations(_metadata, &self->bar, "");
		if (_metadata->exit_code)
			break;
	}
}

/* contract: lifetime.close */
TEST_F(lifecycle, the_next_open_is_like_the_first)
{
	char *map = open_and_map(_metadata, &self->dev, self->bdf), *bar;
	struct vfio_region_info info;

	EXPECT_EQ(VFIO_PCI_NUM_REGIONS + 1, vfio_num_regions(&self->dev));
	munmap(map, CLAIM_SIZE);
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->dev));
	EXPECT_EQ(-EINVAL, vfio_region_info(&self->dev, VFIO_PCI_NUM_REGIONS, &info));
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, self->bar.start + self->bar.size);
	bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_2M);
	EXPECT_TOUCH(bar + CLAIM, PTE_NONCACHED, SHIFT_2M);
}

/* contract: lifetime.close */
TEST_F(lifecycle, the_next_open_on_vfio_pci_finds_the_bar_uncached)
{
	char *map = open_and_map(_metadata, &self->dev, self->bdf), *bar;

	munmap(map, CLAIM_SIZE);
	vfio_device_close(&self->dev);
	fixture_bind(_metadata, self->bdf, DRIVER_STOCK);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(bar + CLAIM, PTE_NONCACHED, SHIFT_2M);
}

/* contract: lifetime.keeps-open */
TEST_F(lifecycle, a_live_mapping_keeps_the_device_open)
{
	char *map = open_and_map(_metadata, &self->dev, self->bdf);
	uint64_t start = self->bar.start + CLAIM;

	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	vfio_device_close(&self->dev);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(map + 2 * MIB, PTE_WC, SHIFT_2M);
	EXPECT_MEMTYPE(MEMTYPE_WC, start, start + CLAIM_SIZE);
	EXPECT_EQ(0, munmap(map, CLAIM_SIZE));
	expect_reservations(_metadata, &self->bar, "");
}

/* contract: lifetime.keeps-open */
TEST_F(lifecycle, the_last_of_two_processes_closes)
{
	char *map = open_and_map(_metadata, &self->dev, self->bdf);
	int go[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(go));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		vfio_device_close(&self->dev);
		close(go[1]);
		(void)!read(go[0], &byte, 1);
		EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
		_exit(0);
	}
	vfio_device_close(&self->dev);
	munmap(map, CLAIM_SIZE);
	close(go[1]);
	fixture_join(_metadata, child);
	expect_reservations(_metadata, &self->bar, "");
}

/* contract: lifetime.unbind */
TEST_F(lifecycle, the_device_can_be_unbound_and_bound_again)
{
	char *map = open_and_map(_metadata, &self->dev, self->bdf);

	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	munmap(map, CLAIM_SIZE);
	vfio_device_close(&self->dev);
	ASSERT_EQ(0, pci_unbind(self->bdf));
	expect_reservations(_metadata, &self->bar, "");
	fixture_bind(_metadata, self->bdf, vfio_driver());
	map = open_and_map(_metadata, &self->dev, self->bdf);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
}

/* contract: lifetime.unbind */
TEST_F(lifecycle, unbinding_waits_for_a_live_mapping)
{
	char *map = open_and_map(_metadata, &self->dev, self->bdf);
	int status;
	pid_t child;

	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		vfio_device_close(&self->dev);
		munmap(map, CLAIM_SIZE);
		_exit(pci_unbind(self->bdf) ? 1 : 0);
	}
	vfio_device_close(&self->dev);
	usleep(300 * 1000);
	EXPECT_EQ(0, waitpid(child, &status, WNOHANG)) TH_LOG("the unbind did not wait");
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	munmap(map, CLAIM_SIZE);
	fixture_join(_metadata, child);
	expect_reservations(_metadata, &self->bar, "");
	fixture_bind(_metadata, self->bdf, vfio_driver());
}

/* contract: lifetime.keeps-open */
TEST_F(lifecycle, the_module_cannot_be_unloaded_while_the_device_is_open)
{
	char *map = open_and_map(_metadata, &self->dev, self->bdf);
	const char *module = vfio_driver();

	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	EXPECT_EQ(-1, syscall(SYS_delete_module, module, O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	/* Nor while only a mapping remains. */
	vfio_device_close(&self->dev);
	EXPECT_EQ(-1, syscall(SYS_delete_module, module, O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_TOUCH(map + 2 * MIB, PTE_WC, SHIFT_2M);
	munmap(map, CLAIM_SIZE);
	expect_reservations(_metadata, &self->bar, "");
}

/*
 * Mappings of a destroyed subregion keep the device open, as other mappings do, and do nothing
 * else.
 */
/* contract: lifetime.keeps-open */
TEST_F(lifecycle, a_dead_mapping_keeps_the_device_open)
{
	struct vfio_subregion_create sub;
	char *map;

	ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
			     CLAIM_SIZE);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	fixture_destroy(_metadata, &self->dev, sub.index);
	vfio_device_close(&self->dev);
	EXPECT_SIGBUS(map);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, self->bar.start + self->bar.size);
	munmap(map, CLAIM_SIZE);
	expect_reservations(_metadata, &self->bar, "");
}

/* contract: lifetime.two-devices */
TEST_F(lifecycle, two_devices_at_once_do_not_disturb_each_other)
{
	const char *other_bdf = fixture_bdf(_metadata, "DEV_TESTDEV");
	struct vfio_device other = VFIO_DEVICE_CLOSED;
	char *map, *map_other;
	struct pci_bar bar;
	unsigned int i;

	if (!other_bdf)
		return;
	fixture_bind(_metadata, other_bdf, vfio_driver());
	ASSERT_EQ(0, pci_bar(other_bdf, BAR2, &bar));
	for (i = 0; i < 16; i++) {
		map = open_and_map(_metadata, &self->dev, self->bdf);
		map_other = open_and_map(_metadata, &other, other_bdf);
		EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
		EXPECT_TOUCH(map_other, PTE_WC, SHIFT_2M);
		munmap(map, CLAIM_SIZE);
		vfio_device_close(&self->dev);
		expect_reservations(_metadata, &self->bar, "");
		EXPECT_TOUCH(map_other, PTE_WC, SHIFT_2M);
		EXPECT_TOUCH(map_other + 2 * MIB, PTE_WC, SHIFT_2M);
		munmap(map_other, CLAIM_SIZE);
		vfio_device_close(&other);
		expect_reservations(_metadata, &bar, "");
	}
}

TEST_HARNESS_MAIN
