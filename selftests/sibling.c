// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hot reset that another function of the same device starts: the driver is not notified, yet
 * every mapping of its subregions is revoked.
 *
 * DEV_PAIR_0 and DEV_PAIR_1 are two functions on one bus and in one IOMMU group. Each has a BAR 2
 * that is memory, of at least 8 MiB.
 */
#include <pthread.h>

#include "events.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(2 * MIB)
#define ROUNDS		10

FIXTURE(sibling) {
	struct vfio_device dev;
	struct vfio_device other;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
	char *plain;
	char *map;
	pthread_t writer;
	volatile bool stop;
	volatile unsigned long written;
};

FIXTURE_VARIANT(sibling) {
	bool stock;
};

FIXTURE_VARIANT_ADD(sibling, of_this_driver) { false };
FIXTURE_VARIANT_ADD(sibling, of_vfio_pci) { true };

FIXTURE_SETUP(sibling)
{
	const char *other = fixture_bdf(_metadata, "DEV_PAIR_1");

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->other = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!other)
		return;
	/* A group is viable if all of its devices are bound to VFIO drivers or to none. */
	fixture_bind(_metadata, other, variant->stock ? DRIVER_STOCK : vfio_driver());
	if (!fixture_open(_metadata, &self->dev, "DEV_PAIR_0", vfio_driver()))
		return;
	ASSERT_EQ(0, vfio_device_open_sibling(&self->other, other, &self->dev));
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
				   CLAIM_SIZE);
	self->plain = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, BAR2, 0),
				  CLAIM_SIZE, 2 * MIB);
	self->map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(self->plain, PTE_NONCACHED, SHIFT_2M);
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
}

FIXTURE_TEARDOWN(sibling)
{
	self->stop = true;
	if (self->writer)
		pthread_join(self->writer, NULL);
	vfio_device_close(&self->other);
	vfio_device_close(&self->dev);
}

/* contract: revoke.entries */
TEST_F(sibling, that_starts_a_hot_reset_revokes_every_mapping)
{
	unsigned int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, hot_reset_under_load(&self->other));
		EXPECT_STREQ(PTE_NONE, pte_type(self->plain));
		EXPECT_STREQ(PTE_NONE, pte_type(self->map));
		EXPECT_STREQ(PTE_NONE, pte_type(self->map + CLAIM_SIZE - 4));
		ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
		EXPECT_TOUCH(self->plain, PTE_NONCACHED, SHIFT_2M);
		EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
		EXPECT_EQ(self->bar.start + CLAIM, pte_phys(self->map));
	}
}

/* contract: revoke.same-type */
TEST_F(sibling, that_starts_a_hot_reset_leaves_the_attribute_of_a_bar)
{
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	munmap(self->plain, CLAIM_SIZE);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	self->plain = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(self->plain, PTE_WC, SHIFT_2M);
	ASSERT_EQ(0, hot_reset_under_load(&self->other));
	EXPECT_STREQ(PTE_NONE, pte_type(self->plain));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	EXPECT_TOUCH(self->plain, PTE_WC, SHIFT_2M);
}

static void *write_all(void *data)
{
	FIXTURE_DATA(sibling) * self = data;
	uint64_t at;

	for (at = 0; !self->stop; at = (at + 17 * GRANULE) % CLAIM_SIZE) {
		touch_write((uint32_t *)(self->plain + at), at);
		if (!touch_write((uint32_t *)(self->map + at), at))
			self->written++;
	}
	return NULL;
}

/* contract: revoke.load */
TEST_F(sibling, that_starts_hot_resets_under_load_leaves_the_type)
{
	unsigned long before;
	unsigned int round;

	ASSERT_EQ(0, pthread_create(&self->writer, NULL, write_all, self));
	for (round = 0; round < ROUNDS; round++) {
		before = self->written;
		while (self->written == before)
			sched_yield();
		ASSERT_EQ(0, hot_reset_under_load(&self->other));
		ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
		EXPECT_TOUCH(self->plain, PTE_NONCACHED, 0);
		EXPECT_TOUCH(self->map, PTE_WC, 0);
	}
}

TEST_HARNESS_MAIN
