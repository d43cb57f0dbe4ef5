// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfds that are signalled all the time, while everything else changes. The kernel log shows
 * what goes wrong.
 */
#include <pthread.h>

#include "fixture.h"
#include "signal_event.h"

#define ROUNDS	40
#define EVENTS	4

FIXTURE(ioeventfd_race) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t window;
	pthread_t signaller;
	bool stop;
	int events[EVENTS];
};

/* The ioeventfd of each event: one on a strict page, one on a WC page, and two that come and go. */
static const uint64_t places[EVENTS] = { 0, MIB, 2 * MIB, 3 * MIB };

static void *signal_all(void *data)
{
	FIXTURE_DATA(ioeventfd_race) * self = data;
	uint64_t one = 1;
	unsigned int i;

	while (!__atomic_load_n(&self->stop, __ATOMIC_RELAXED))
		for (i = 0; i < EVENTS; i++)
			(void)!write(self->events[i], &one, sizeof(one));
	return NULL;
}

FIXTURE_SETUP(ioeventfd_race)
{
	unsigned int i;

	self->stop = true;
	for (i = 0; i < EVENTS; i++)
		self->events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	for (i = 0; i < EVENTS; i++)
		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + places[i],
						self->events[i]));
	self->stop = false;
	ASSERT_EQ(0, pthread_create(&self->signaller, NULL, signal_all, self));
}

static void stop_signals(struct __test_metadata *_metadata, FIXTURE_DATA(ioeventfd_race) * self)
{
	if (self->stop)
		return;
	__atomic_store_n(&self->stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(self->signaller, NULL));
}

FIXTURE_TEARDOWN(ioeventfd_race)
{
	stop_signals(_metadata, self);
	vfio_device_close(&self->dev);
}

/* The ioeventfds that remain write. */
static void expect_writes(struct __test_metadata *_metadata, FIXTURE_DATA(ioeventfd_race) * self)
{
	stop_signals(_metadata, self);
	expect_write(_metadata, &self->dev, self->events[0], places[0]);
	expect_write(_metadata, &self->dev, self->events[1], places[1]);
}

/* contract: vfio.ioeventfd-race */
TEST_F(ioeventfd_race, with_claims_that_come_and_go)
{
	uint32_t index;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		index = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB,
				       MIB).index;
		fixture_destroy(_metadata, &self->dev, index);
	}
	expect_writes(_metadata, self);
}

/* contract: vfio.ioeventfd-race */
TEST_F(ioeventfd_race, with_their_own_end_and_a_change_of_the_type_of_their_pages)
{
	uint64_t at = self->window + 2 * MIB;
	struct vfio_subregion_create sub;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 2 * MIB,
				     MIB);
		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->events[2]));
		ASSERT_EQ(-EBUSY, subregion_destroy(&self->dev, sub.index));
		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
		fixture_destroy(_metadata, &self->dev, sub.index);
		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->events[2]));
	}
	expect_writes(_metadata, self);
}

/* contract: vfio.ioeventfd-race */
TEST_F(ioeventfd_race, with_resets_and_memory_that_is_off)
{
	int i;

	for (i = 0; i < ROUNDS / 4; i++) {
		ASSERT_EQ(0, vfio_device_reset(&self->dev));
		ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
		ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
		/* A reset that VFIO does not start. */
		ASSERT_EQ(0, pci_reset(self->dev.bdf, NULL));
	}
	expect_writes(_metadata, self);
}

/* contract: vfio.ioeventfd-race */
TEST_F(ioeventfd_race, with_the_last_close)
{
	int i;
	unsigned int event;

	for (i = 0; i < ROUNDS / 4; i++) {
		vfio_device_close(&self->dev);
		ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
		for (event = 0; event < EVENTS; event++)
			ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + places[event],
							self->events[event]));
	}
	expect_writes(_metadata, self);
}

/* contract: vfio.ioeventfd-race */
TEST_F(ioeventfd_race, with_the_end_of_their_eventfds)
{
	int i, fresh;

	for (i = 0; i < ROUNDS; i++) {
		/* This closes the eventfd, and the signaller writes to another one. */
		fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, dup2(fresh, self->events[3]));
		close(fresh);
		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + places[3], -1));
		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + places[3],
						self->events[3]));
	}
	expect_writes(_metadata, self);
}

TEST_HARNESS_MAIN
