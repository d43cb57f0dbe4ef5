// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever makes VFIO revoke the owner's mappings revokes those of an export.
 */
#include "events.h"

#define RW		(PROT_READ | PROT_WRITE)

FIXTURE(export_revoke) {
	struct scene scene;
};

FIXTURE_VARIANT(export_revoke) {
	struct event event;
};

FIXTURE_VARIANT_ADD(export_revoke, by_memory_disable) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, memory_off, memory_on, EIO }
};

FIXTURE_VARIANT_ADD(export_revoke, by_reset) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, vfio_device_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(export_revoke, by_hot_reset) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, vfio_device_hot_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(export_revoke, by_flr_through_config_space) {
	{ "DEV_NVME", 2, 2 * MIB, vfio_config_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(export_revoke, by_d3hot) {
	{ "DEV_NVME", 2, 2 * MIB, enter_d3hot, leave_d3hot, EIO }
};

FIXTURE_VARIANT_ADD(export_revoke, by_low_power) {
	{ "DEV_NVME", 2, 2 * MIB, enter_low_power, leave_low_power, 0 }
};

FIXTURE_VARIANT_ADD(export_revoke, by_sysfs_reset) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_SETUP(export_revoke)
{
	set_scene(_metadata, &self->scene, &variant->event);
}

FIXTURE_TEARDOWN(export_revoke)
{
	vfio_device_close(&self->scene.dev);
}

/* contract: export.revoked */
TEST_F(export_revoke, takes_the_entries_and_lets_them_come_back)
{
	const struct event *event = &variant->event;
	struct scene *scene = &self->scene;
	uint64_t unit = event->unit;
	uint32_t value;
	char *map;
	int fd;

	fd = fixture_export(_metadata, &scene->dev, scene->sub.index, O_RDWR);
	map = fixture_map_export(_metadata, fd, RW, unit);
	EXPECT_TOUCH(map, PTE_WC, 0);
	EXPECT_TOUCH(map + unit - 4, PTE_WC, 0);
	ASSERT_EQ(0, event->revoke(&scene->dev));
	EXPECT_STREQ(PTE_NONE, pte_type(map));
	EXPECT_STREQ(PTE_NONE, pte_type(map + unit - 4));
	if (event->error) {
		EXPECT_SIGBUS(map);
		EXPECT_EQ(-1, pread(fd, &value, 4, 0));
		EXPECT_EQ(event->error, errno);
		EXPECT_EQ(-1, pwrite(fd, &value, 4, 0));
		EXPECT_EQ(event->error, errno);
	}
	ASSERT_EQ(0, event->restore(&scene->dev));
	EXPECT_TOUCH(map, PTE_WC, 0);
	EXPECT_TOUCH(map + unit - 4, PTE_WC, 0);
	EXPECT_EQ(4, pread(fd, &value, 4, 0));
	EXPECT_EQ(scene->bar.start + 2 * unit, pte_phys(map));
}

TEST_HARNESS_MAIN
