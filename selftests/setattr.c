// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_REGION_SET_ATTR: the type of later mappings through the BAR.
 */
#include <sys/eventfd.h>

#include "events.h"

/* The memory type of each attribute. */
static const struct {
	const char *pte;
	const char *memtype;
	uint32_t effective_type;
} meaning[] = {
	[VFIO_SUBREGION_ATTR_NONCACHED] = {
		PTE_NONCACHED, MEMTYPE_UC_MINUS, TYPE_NONCACHED
	},
	[VFIO_SUBREGION_ATTR_DEVICE] = {
		PTE_DEVICE, MEMTYPE_UC_MINUS, TYPE_DEVICE
	},
	[VFIO_SUBREGION_ATTR_WC] = { PTE_WC, MEMTYPE_WC, TYPE_WC },
	[VFIO_SUBREGION_ATTR_GUEST_ANY] = {
		PTE_DEVICE, MEMTYPE_UC_MINUS, TYPE_DEVICE
	},
};

FIXTURE(set_attr) {
	struct vfio_device dev;
	struct pci_bar bar;
	char *plain;
};

FIXTURE_VARIANT(set_attr) {
	const char *device;
	unsigned int shift;
	uint32_t attribute;
};

FIXTURE_VARIANT_ADD(set_attr, noncached) {
	"DEV_IVSHMEM", SHIFT_2M, VFIO_SUBREGION_ATTR_NONCACHED
};

FIXTURE_VARIANT_ADD(set_attr, device) { "DEV_IVSHMEM", SHIFT_2M, VFIO_SUBREGION_ATTR_DEVICE };
FIXTURE_VARIANT_ADD(set_attr, wc) { "DEV_IVSHMEM", SHIFT_2M, VFIO_SUBREGION_ATTR_WC };
FIXTURE_VARIANT_ADD(set_attr, wc_of_2g) {
	"DEV_IVSHMEM_BIG", SHIFT_LARGEST, VFIO_SUBREGION_ATTR_WC
};

FIXTURE_VARIANT_ADD(set_attr, guest_any) {
	"DEV_IVSHMEM", SHIFT_2M, VFIO_SUBREGION_ATTR_GUEST_ANY
};

FIXTURE_SETUP(set_attr)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = BAR2, .attribute = variant->attribute,
	};

	if (!fixture_open(_metadata, &self->dev, variant->device, vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->plain = memtype_lines(self->bar.start, self->bar.start + self->bar.size);
	ASSERT_EQ(0, ioctl(self->dev.fd, VFIO_REGION_SET_ATTR, &set));
	EXPECT_EQ(meaning[variant->attribute].effective_type, set.effective_type);
}

FIXTURE_TEARDOWN(set_attr)
{
	free(self->plain);
	vfio_device_close(&self->dev);
}

/* contract: set-attr.type */
TEST_F(set_attr, the_whole_window_is_mapped_with_its_type)
{
	const char *type = meaning[variant->attribute].pte, *map;

	map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	EXPECT_TOUCH(map, type, variant->shift);
	EXPECT_TOUCH(map + self->bar.size / 2, type, variant->shift);
	EXPECT_TOUCH(map + self->bar.size - 4, type, variant->shift);
	EXPECT_EQ(self->bar.start, pte_phys(map));
}

/* contract: set-attr.type */
TEST_F(set_attr, small_entries_have_its_type)
{
	const char *type = meaning[variant->attribute].pte, *map;

	map = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, BAR2, MIB), 2 * GRANULE,
			  GRANULE);
	EXPECT_TOUCH(map, type, SHIFT_4K);
	EXPECT_TOUCH(map + GRANULE, type, SHIFT_4K);
}

/*
 * In a plain BAR a guest may choose, as with vfio-pci; of the attributes, WC and GUEST_ANY allow
 * it.
 */
/* contract: set-attr.guest */
TEST_F(set_attr, a_guest_may_choose_the_type_or_not)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB), flags[VM_FLAGS_LEN];

	vm_flags(map, flags);
	EXPECT_EQ(variant->attribute != VFIO_SUBREGION_ATTR_DEVICE,
		  !!strstr(flags, VM_FLAG_GUEST_CHOOSES)) TH_LOG("%s", flags);
}

/* contract: type.kernel-list */
TEST_F(set_attr, pat_memtype_list_says_so_of_the_whole_bar)
{
	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	EXPECT_MEMTYPE(meaning[variant->attribute].memtype, self->bar.start,
		       self->bar.start + self->bar.size);
}

/* contract: set-attr.bytes */
TEST_F(set_attr, read_and_write_reach_every_byte)
{
	char out[64 * 1024], in[sizeof(out)];
	uint64_t at[] = { 0, MIB - 8, self->bar.size - sizeof(out) };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		uint64_t offset = vfio_offset(&self->dev, BAR2, at[i]);

		memset(out, 0x11 + i, sizeof(out));
		ASSERT_EQ(sizeof(out), pwrite(self->dev.fd, out, sizeof(out), offset));
		ASSERT_EQ(sizeof(in), pread(self->dev.fd, in, sizeof(in), offset));
		EXPECT_EQ(0, memcmp(out, in, sizeof(in)));
	}
}

/* contract: set-attr.bytes */
TEST_F(set_attr, data_written_through_the_mapping_reads_back)
{
	uint32_t *map = (void *)fixture_map_bar(_metadata, &self->dev, BAR2, GIB), in[16];
	uint64_t offset = vfio_offset(&self->dev, BAR2, 0);
	unsigned int i;

	for (i = 0; i < 16; i++)
		map[i] = 0xa77e0000 + i;
	__sync_synchronize();
	ASSERT_EQ(sizeof(in), pread(self->dev.fd, in, sizeof(in), offset));
	for (i = 0; i < 16; i++)
		EXPECT_EQ(0xa77e0000 + i, in[i]);
}

/* contract: info.claims */
TEST_F(set_attr, region_info_tells_of_it)
{
	char *claims = subregion_claims(&self->dev), text[64] = "";

	if (variant->attribute != VFIO_SUBREGION_ATTR_NONCACHED)
		snprintf(text, sizeof(text), "BAR 2: 0 claims, attribute %u, type %u\n",
			 variant->attribute, meaning[variant->attribute].effective_type);
	EXPECT_STREQ(text, claims);
	free(claims);
}

/* contract: info.bar */
TEST_F(set_attr, size_offset_and_flags_of_the_bar_stay)
{
	struct vfio_region_info info;

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
	EXPECT_EQ(self->bar.size, info.size);
	EXPECT_EQ((uint64_t)BAR2 << 40, info.offset);
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		  VFIO_REGION_INFO_FLAG_MMAP,
		  info.flags & ~VFIO_REGION_INFO_FLAG_CAPS);
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, vfio_num_regions(&self->dev));
}

/* contract: set-attr.again */
TEST_F(set_attr, setting_it_again_does_nothing_even_while_the_bar_is_mapped)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = BAR2, .attribute = variant->attribute,
	};

	EXPECT_TOUCH(map, meaning[variant->attribute].pte, variant->shift);
	EXPECT_EQ(0, ioctl(self->dev.fd, VFIO_REGION_SET_ATTR, &set));
	EXPECT_EQ(meaning[variant->attribute].effective_type, set.effective_type);
	/* The live entry still exists. */
	EXPECT_STREQ(meaning[variant->attribute].pte, pte_type(map));
}

/* contract: set-attr.back */
TEST_F(set_attr, noncached_takes_it_back)
{
	char *map, *claims;

	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	expect_reservations(_metadata, &self->bar, self->plain);
	claims = subregion_claims(&self->dev);
	EXPECT_STREQ("", claims);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	EXPECT_TOUCH(map, PTE_NONCACHED, variant->shift);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_SIGBUS(map + MIB);
	free(claims);
}

/* contract: set-attr.again */
TEST_F(set_attr, any_other_can_follow_it)
{
	uint32_t attribute;
	char *map;

	for (attribute = 0; attribute < 4; attribute++) {
		fixture_set_attr(_metadata, &self->dev, BAR2, attribute);
		map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
		EXPECT_TOUCH(map, meaning[attribute].pte, variant->shift);
		munmap(map, self->bar.size);
		fixture_set_attr(_metadata, &self->dev, BAR2, variant->attribute);
		map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
		EXPECT_TOUCH(map, meaning[variant->attribute].pte, variant->shift);
		munmap(map, self->bar.size);
	}
}

/* contract: set-attr.type */
TEST_F(set_attr, a_forked_child_has_its_type)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	const char *type = meaning[variant->attribute].pte;
	pid_t child;

	EXPECT_TOUCH(map, type, variant->shift);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		EXPECT_TOUCH(map, type, variant->shift);
		EXPECT_TOUCH(map + self->bar.size - 4, type, variant->shift);
		_exit(0);
	}
	fixture_join(_metadata, child);
}

/* contract: set-attr.back */
TEST_F(set_attr, the_last_close_takes_it_back)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB), *claims;

	EXPECT_TOUCH(map, meaning[variant->attribute].pte, variant->shift);
	/* The mapping alone keeps the device open and keeps its type. */
	vfio_device_close(&self->dev);
	EXPECT_TOUCH(map + self->bar.size / 2, meaning[variant->attribute].pte, variant->shift);
	munmap(map, self->bar.size);
	expect_reservations(_metadata, &self->bar, "");
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	expect_reservations(_metadata, &self->bar, self->plain);
	claims = subregion_claims(&self->dev);
	EXPECT_STREQ("", claims);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, GIB);
	EXPECT_TOUCH(map, PTE_NONCACHED, variant->shift);
	free(claims);
}

/* Events that revoke the mapping do not change the attribute. */
FIXTURE(revoked_attr) {
	struct vfio_device dev;
	struct pci_bar bar;
	char *map;
};

FIXTURE_VARIANT(revoked_attr) {
	struct event event;
};

FIXTURE_VARIANT_ADD(revoked_attr, by_memory_disable) {
	{ "DEV_IVSHMEM", 2, 0, memory_off, memory_on, EIO }
};

FIXTURE_VARIANT_ADD(revoked_attr, by_reset) {
	{ "DEV_IVSHMEM", 2, 0, vfio_device_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoked_attr, by_hot_reset) {
	{ "DEV_IVSHMEM", 2, 0, vfio_device_hot_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoked_attr, by_function_level_reset_through_config_space) {
	{ "DEV_NVME", 2, 0, vfio_config_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(revoked_attr, by_d3hot) {
	{ "DEV_NVME", 2, 0, enter_d3hot, leave_d3hot, EIO }
};

FIXTURE_VARIANT_ADD(revoked_attr, by_low_power) {
	{ "DEV_NVME", 2, 0, enter_low_power, leave_low_power, 0 }
};

FIXTURE_SETUP(revoked_attr)
{
	if (!fixture_open(_metadata, &self->dev, variant->event.device, vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, variant->event.bar);
	fixture_set_attr(_metadata, &self->dev, variant->event.bar, VFIO_SUBREGION_ATTR_WC);
	self->map = fixture_map_bar(_metadata, &self->dev, variant->event.bar, 2 * MIB);
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(self->map + self->bar.size - 4, PTE_WC, SHIFT_2M);
}

FIXTURE_TEARDOWN(revoked_attr)
{
	vfio_device_close(&self->dev);
}

/* contract: set-attr.revoked */
TEST_F(revoked_attr, leaves_no_live_entry_and_comes_back_as_wc)
{
	unsigned int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, variant->event.revoke(&self->dev));
		EXPECT_STREQ(PTE_NONE, pte_type(self->map));
		EXPECT_STREQ(PTE_NONE, pte_type(self->map + self->bar.size - 4));
		ASSERT_EQ(0, variant->event.restore(&self->dev));
		EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
		EXPECT_TOUCH(self->map + self->bar.size - 4, PTE_WC, SHIFT_2M);
		EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start, self->bar.start + self->bar.size);
	}
}

TEST_HARNESS_MAIN
