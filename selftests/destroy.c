// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_SUBREGION_DESTROY: afterwards nothing reaches the subregion, the BAR has its range again,
 * and its index and offset are unused.
 */
#include "refusal.h"

/* Two 2M pages in the middle of a BAR of 16 MiB. */
#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(4 * MIB)

FIXTURE(destroy) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t window;
	char *plain;
};

FIXTURE_SETUP(destroy)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
	self->plain = memtype_lines(self->bar.start, self->bar.start + self->bar.size);
}

FIXTURE_TEARDOWN(destroy)
{
	free(self->plain);
	vfio_device_close(&self->dev);
}

static struct vfio_subregion_create claim(struct __test_metadata *_metadata,
					  struct vfio_device *dev, uint32_t attribute)
{
	return fixture_create(_metadata, dev, BAR2, attribute, CLAIM, CLAIM_SIZE);
}

static void expect_enoent(struct __test_metadata *_metadata, struct vfio_device *dev,
			  const struct pci_bar *bar, uint32_t index)
{
	struct vfio_subregion_destroy destroy = { .argsz = sizeof(destroy), .index = index };

	expect_call_refused(_metadata, dev, bar, VFIO_SUBREGION_DESTROY, &destroy, ENOENT);
}

/* contract: destroy.enoent */
TEST_F(destroy, of_a_region_of_vfio_pci_is_enoent)
{
	uint32_t index;

	claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	for (index = 0; index < VFIO_PCI_NUM_REGIONS; index++)
		expect_enoent(_metadata, &self->dev, &self->bar, index);
}

/* contract: destroy.enoent */
TEST_F(destroy, of_an_index_that_no_region_has_is_enoent)
{
	const uint32_t unknown[] = {
		VFIO_PCI_NUM_REGIONS + 1, 100, 16384, 0x80000000, 0x80000009, UINT32_MAX,
	};
	unsigned int i;

	expect_enoent(_metadata, &self->dev, &self->bar, VFIO_PCI_NUM_REGIONS);
	claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	for (i = 0; i < ARRAY_SIZE(unknown); i++)
		expect_enoent(_metadata, &self->dev, &self->bar, unknown[i]);
}

/* contract: destroy.enoent */
TEST_F(destroy, of_one_that_was_destroyed_before_is_enoent)
{
	struct vfio_subregion_create sub, other;

	sub = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	other = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB);
	fixture_destroy(_metadata, &self->dev, sub.index);
	expect_enoent(_metadata, &self->dev, &self->bar, sub.index);
	/* The old mapping stays dead when the range has a subregion again. */
	claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	expect_enoent(_metadata, &self->dev, &self->bar, sub.index);
	fixture_destroy(_metadata, &self->dev, other.index);
}

/* contract: destroy.empty-region */
TEST_F(destroy, leaves_its_index_as_an_empty_region)
{
	uint32_t index = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC).index;
	struct vfio_region_info *caps, info;

	fixture_destroy(_metadata, &self->dev, index);
	EXPECT_EQ(index + 1, vfio_num_regions(&self->dev));
	ASSERT_EQ(0, vfio_region_info(&self->dev, index, &info));
	EXPECT_EQ(0, info.size);
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(sizeof(info), info.argsz);
	caps = vfio_region_info_caps(&self->dev, index);
	ASSERT_NE(NULL, caps);
	EXPECT_EQ(NULL, vfio_region_cap(caps, VFIO_REGION_INFO_CAP_SUBREGION));
	free(caps);
	EXPECT_EQ(-EINVAL, vfio_region_info(&self->dev, index + 1, &info));
}

/* contract: destroy.empty-region */
TEST_F(destroy, takes_the_claim_out_of_the_description_of_the_bar)
{
	struct vfio_subregion_create low, high;
	struct vfio_region_info before, after;
	char *claims, text[128];

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &before));
	high = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	low = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
	fixture_destroy(_metadata, &self->dev, high.index);
	snprintf(text, sizeof(text),
		 "BAR 2: 1 claims, attribute 0, type %u\n  region %u: 0x%llx from 0\n",
		 TYPE_NONCACHED, low.index, (unsigned long long)GRANULE);
	claims = subregion_claims(&self->dev);
	EXPECT_STREQ(text, claims);
	free(claims);
	EXPECT_EQ(1, subregion_count(&self->dev));
	fixture_destroy(_metadata, &self->dev, low.index);
	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: destroy.dead-slot */
TEST_F(destroy, lets_nothing_be_done_at_the_dead_slot)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	uint32_t value = 0;

	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(-1, pread(self->dev.fd, &value, 4, sub.mmap_offset));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(self->dev.fd, &value, 4, sub.mmap_offset));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->dev.fd, &value, 4, sub.mmap_offset + CLAIM_SIZE - 4));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_region(&self->dev, sub.mmap_offset, CLAIM_SIZE, GRANULE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map_region(&self->dev, sub.mmap_offset, GRANULE, GRANULE));
	EXPECT_EQ(EINVAL, errno);
}

/* contract: destroy.never-reused */
TEST_F(destroy, uses_neither_an_index_nor_an_offset_twice)
{
	struct vfio_subregion_create sub, last = { .index = VFIO_PCI_NUM_REGIONS - 1 };
	uint64_t offsets[64];
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		sub = claim(_metadata, &self->dev, i % 4);
		EXPECT_EQ(last.index + 1, sub.index);
		for (j = 0; j < i; j++)
			EXPECT_TRUE(offsets[j] + CLAIM_SIZE <= sub.mmap_offset ||
				    sub.mmap_offset + CLAIM_SIZE <= offsets[j]);
		offsets[i] = sub.mmap_offset;
		last = sub;
		fixture_destroy(_metadata, &self->dev, sub.index);
	}
}

/* contract: destroy.range-returns */
TEST_F(destroy, leaves_the_bytes_as_they_were_written)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	uint32_t written = fixture_pattern(), value = ~written, *map;

	map = (void *)fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	ASSERT_EQ(0, touch_write(map + 16, written));
	/* No fence: the call completes the stores that are still on their way. */
	fixture_destroy(_metadata, &self->dev, sub.index);
	ASSERT_EQ(4, pread(self->dev.fd, &value, 4, self->window + CLAIM + 64));
	EXPECT_EQ(written, value);
}

/* contract: destroy.unmaps */
TEST_F(destroy, leaves_other_mappings_with_their_entries)
{
	struct vfio_subregion_create sub, left, right;
	char *map_left, *map_right, *bar;

	bar = fixture_map(_metadata, &self->dev, self->window + 10 * MIB, 2 * MIB, 2 * MIB);
	left = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 2 * MIB,
			      2 * MIB);
	sub = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	right = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 8 * MIB,
			       2 * MIB);
	map_left = fixture_map(_metadata, &self->dev, left.mmap_offset, 2 * MIB, 2 * MIB);
	map_right = fixture_map(_metadata, &self->dev, right.mmap_offset, 2 * MIB, 2 * MIB);
	EXPECT_TOUCH(map_left, PTE_WC, SHIFT_2M);
	EXPECT_TOUCH(map_right, PTE_DEVICE, SHIFT_2M);
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_2M);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_STREQ(PTE_WC, pte_type(map_left));
	EXPECT_STREQ(PTE_DEVICE, pte_type(map_right));
	EXPECT_STREQ(PTE_NONCACHED, pte_type(bar));
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start + 2 * MIB, self->bar.start + CLAIM);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start + CLAIM, self->bar.start + self->bar.size);
}

/* contract: destroy.last-wc */
TEST_F(destroy, of_the_last_wc_subregion_makes_the_bar_plain)
{
	struct vfio_subregion_create low, high;

	high = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	low = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, GRANULE);
	fixture_destroy(_metadata, &self->dev, low.index);
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start + CLAIM, self->bar.start + CLAIM + CLAIM_SIZE);
	fixture_destroy(_metadata, &self->dev, high.index);
	/* The last one is not write-combining, so it needs no segments. */
	expect_reservations(_metadata, &self->bar, self->plain);
}

/* Three adjacent subregions, destroyed in every order. */
/* contract: destroy.last-wc */
TEST_F(destroy, of_neighbours_in_any_order_makes_the_bar_plain)
{
	static const unsigned int orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	unsigned int order, i;
	uint32_t index[3];
	uint64_t at;
	char *bar;

	bar = fixture_map(_metadata, &self->dev, self->window + CLAIM, 3 * GRANULE, GRANULE);
	for (order = 0; order < ARRAY_SIZE(orders); order++) {
		for (i = 0; i < 3; i++)
			index[i] = fixture_create(_metadata, &self->dev, BAR2,
						  VFIO_SUBREGION_ATTR_WC, CLAIM + i * GRANULE,
						  GRANULE).index;
		for (i = 0; i < 3; i++) {
			at = orders[order][i] * GRANULE;
			EXPECT_SIGBUS(bar + at);
			fixture_destroy(_metadata, &self->dev, index[orders[order][i]]);
			EXPECT_TOUCH(bar + at, PTE_NONCACHED, SHIFT_4K);
		}
		expect_reservations(_metadata, &self->bar, self->plain);
	}
}

/* contract: destroy.memory-off */
TEST_F(destroy, works_while_the_memory_is_off)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	char *map, *bar;

	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_SIGBUS(map);
	EXPECT_SIGBUS(bar + CLAIM);
	expect_reservations(_metadata, &self->bar, self->plain);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	EXPECT_SIGBUS(map);
	EXPECT_TOUCH(bar + CLAIM, PTE_NONCACHED, SHIFT_2M);
}

/* contract: destroy.dead */
TEST_F(destroy, is_undone_by_no_reset)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	char *map;

	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	fixture_destroy(_metadata, &self->dev, sub.index);
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	EXPECT_SIGBUS(map);
	expect_reservations(_metadata, &self->bar, self->plain);
}

/* contract: destroy.unmaps */
TEST_F(destroy, reaches_mappings_in_other_processes)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev, VFIO_SUBREGION_ATTR_WC);
	int go[2], ready[2];
	pid_t child;
	char *map, byte;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(ready));
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		/* So that the child ends with the parent. */
		close(go[1]);
		EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
		(void)!write(ready[1], "", 1);
		(void)!read(go[0], &byte, 1);
		EXPECT_STREQ(PTE_NONE, pte_type(map));
		EXPECT_SIGBUS(map);
		EXPECT_SIGBUS(map + 2 * MIB);
		_exit(0);
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	fixture_destroy(_metadata, &self->dev, sub.index);
	ASSERT_EQ(1, write(go[1], "", 1));
	fixture_join(_metadata, child);
}

TEST_HARNESS_MAIN
