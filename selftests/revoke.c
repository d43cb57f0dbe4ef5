// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every event that makes VFIO revoke a mapping of a BAR revokes mappings of subregions: no live
 * entry remains, an access during the event raises SIGBUS, and a later access gets the same type
 * again.
 */
#include "events.h"

/* All events. */
FIXTURE(revoke) {
	struct scene scene;
};

FIXTURE_VARIANT(revoke) {
	struct event event;
};

FIXTURE_VARIANT_ADD(revoke, by_memory_disable) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, memory_off, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_memory_disable_of_2g) {
	{ "DEV_IVSHMEM_BIG", 2, 512 * MIB, memory_off, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_reset) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, vfio_device_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_hot_reset) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, vfio_device_hot_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_function_level_reset) {
	{ "DEV_NVME", 2, 2 * MIB, vfio_device_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_function_level_reset_through_config_space) {
	{ "DEV_NVME", 2, 2 * MIB, vfio_config_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_d3hot) {
	{ "DEV_NVME", 2, 2 * MIB, enter_d3hot, leave_d3hot, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_d3hot_of_4k_entries) {
	{ "DEV_IGB", 0, 32 * KIB, enter_d3hot, leave_d3hot, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_low_power) {
	{ "DEV_NVME", 2, 2 * MIB, enter_low_power, leave_low_power, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_by_bus) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_by_bus_of_4k_entries) {
	{ "DEV_IVSHMEM", 2, 32 * KIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_by_bus_that_fails) {
	{ "DEV_NVME", 2, 2 * MIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_by_flr) {
	{ "DEV_NVME", 2, 2 * MIB, sysfs_reset_by_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_by_flr_of_4k_entries) {
	{ "DEV_IGB", 0, 32 * KIB, sysfs_reset_by_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_by_pm) {
	{ "DEV_IGB", 0, 32 * KIB, sysfs_reset_by_pm, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_of_the_port) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, sysfs_reset_subordinate, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoke, by_sysfs_reset_of_the_port_of_two_functions) {
	{ "DEV_PAIR_0", 2, 2 * MIB, sysfs_reset_subordinate, memory_on, 0 }
};

FIXTURE_SETUP(revoke)
{
	set_scene(_metadata, &self->scene, &variant->event);
}

FIXTURE_TEARDOWN(revoke)
{
	vfio_device_close(&self->scene.dev);
}

/* contract: revoke.entries reset.entries */
TEST_F(revoke, leaves_no_live_entry)
{
	const struct event *event = &variant->event;
	struct scene *scene = &self->scene;

	ASSERT_EQ(0, event->revoke(&scene->dev));
	EXPECT_STREQ(PTE_NONE, pte_type(scene->plain));
	EXPECT_STREQ(PTE_NONE, pte_type(scene->device));
	EXPECT_STREQ(PTE_NONE, pte_type(scene->wc));
	EXPECT_STREQ(PTE_NONE, pte_type(scene->wc + event->unit - 4));
	EXPECT_EQ(0, event->restore(&scene->dev));
}

/* contract: revoke.same-type */
TEST_F(revoke, lets_a_touch_afterwards_find_the_same_type)
{
	const struct event *event = &variant->event;
	struct scene *scene = &self->scene;
	unsigned int shift = event->unit < 2 * MIB ? SHIFT_4K : SHIFT_2M, round;
	uint64_t start = scene->bar.start, end = start + scene->bar.size;
	char *before = memtype_lines(start, end), *after;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, event->revoke(&scene->dev));
		ASSERT_EQ(0, event->restore(&scene->dev));
		EXPECT_TOUCH(scene->plain, PTE_NONCACHED, shift);
		EXPECT_TOUCH(scene->device, PTE_DEVICE, shift);
		EXPECT_TOUCH(scene->wc, PTE_WC, shift);
		EXPECT_TOUCH(scene->wc + event->unit - 4, PTE_WC, shift);
		EXPECT_EQ(start + 2 * event->unit, pte_phys(scene->wc));
	}
	after = memtype_lines(start, end);
	EXPECT_STREQ(before, after);
	free(before);
	free(after);
}

/* The events after which the memory is inaccessible until a restore. */
FIXTURE(outage) {
	struct scene scene;
};

FIXTURE_VARIANT(outage) {
	struct event event;
};

FIXTURE_VARIANT_ADD(outage, by_memory_disable) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, memory_off, memory_on, EIO }
};

FIXTURE_VARIANT_ADD(outage, by_memory_disable_of_2g) {
	{ "DEV_IVSHMEM_BIG", 2, 512 * MIB, memory_off, memory_on, EIO }
};

FIXTURE_VARIANT_ADD(outage, by_d3hot) {
	{ "DEV_NVME", 2, 2 * MIB, enter_d3hot, leave_d3hot, EIO }
};

FIXTURE_VARIANT_ADD(outage, by_d3hot_of_4k_entries) {
	{ "DEV_IGB", 0, 32 * KIB, enter_d3hot, leave_d3hot, EIO }
};

/* read() and write() wake the device up; mappings stay revoked. */
FIXTURE_VARIANT_ADD(outage, by_low_power) {
	{ "DEV_NVME", 2, 2 * MIB, enter_low_power, leave_low_power, 0 }
};

FIXTURE_SETUP(outage)
{
	if (!set_scene(_metadata, &self->scene, &variant->event))
		return;
	ASSERT_EQ(0, variant->event.revoke(&self->scene.dev));
}

FIXTURE_TEARDOWN(outage)
{
	vfio_device_close(&self->scene.dev);
}

/* contract: revoke.outage */
TEST_F(outage, makes_a_touch_raise_sigbus)
{
	EXPECT_SIGBUS(self->scene.plain);
	EXPECT_SIGBUS(self->scene.device);
	EXPECT_SIGBUS(self->scene.wc);
	EXPECT_SIGBUS(self->scene.wc + variant->event.unit - 4);
}

/* The result of a transfer of 4 bytes: 0 or an errno. */
static int transfer(int fd, bool to_device, uint64_t offset)
{
	uint32_t value = 0;
	ssize_t done;

	done = to_device ? pwrite(fd, &value, 4, offset) : pread(fd, &value, 4, offset);
	return done == 4 ? 0 : errno;
}

/* contract: revoke.outage */
TEST_F(outage, makes_read_and_write_do_as_on_the_bar)
{
	uint64_t window = vfio_offset(&self->scene.dev, variant->event.bar, 0);
	uint64_t sub = self->scene.sub.mmap_offset;
	int fd = self->scene.dev.fd, error = variant->event.error;

	EXPECT_EQ(error, transfer(fd, false, window));
	EXPECT_EQ(error, transfer(fd, true, window));
	EXPECT_EQ(error, transfer(fd, false, sub));
	EXPECT_EQ(error, transfer(fd, true, sub));
	ASSERT_EQ(0, variant->event.restore(&self->scene.dev));
	EXPECT_EQ(0, transfer(fd, false, sub));
	EXPECT_EQ(0, transfer(fd, true, sub));
}

/* contract: revoke.create */
TEST_F(outage, allows_a_new_subregion_that_is_usable_afterwards)
{
	struct vfio_device *dev = &self->scene.dev;
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, dev, variant->event.bar, VFIO_SUBREGION_ATTR_WC, 0,
			     GRANULE);
	map = fixture_map(_metadata, dev, sub.mmap_offset, GRANULE, 2 * MIB);
	EXPECT_SIGBUS(map);
	ASSERT_EQ(0, variant->event.restore(dev));
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_SIGBUS(self->scene.plain);
}

TEST_HARNESS_MAIN
