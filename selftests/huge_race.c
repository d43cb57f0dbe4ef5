// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread touches a page beside a subregion, so that a huge entry is refused. Meanwhile another
 * thread destroys the subregion and gets the huge entry. The kernel's function that makes the small
 * entry does not expect the huge one: it stops a kernel with CONFIG_DEBUG_VM, and any other kernel
 * logs "VM_FAULT_OOM leaked".
 */
#include <pthread.h>
#include <time.h>

#include "fixture.h"

#define AT		(4 * MIB)
#define SIZE		(2 * MIB)
#define SECONDS		5
#define ROUNDS_LEAST	50
/* If no round ended with a huge entry by then. */
#define MOST_SECONDS	60
/* Tests with failing allocations cause it as well. */
#define COMPLAINT	"VM_FAULT_OOM leaked"

FIXTURE(huge_race) {
	struct vfio_device dev;
	pthread_barrier_t begin, end;
	pthread_t thread;
	char *map;
	unsigned int round, refused;
	bool stop;
};

/* Touches the first page in each round, at a moment that varies. */
static void *touch(void *data)
{
	FIXTURE_DATA(huge_race) * self = data;
	volatile unsigned int wait;
	uint32_t value;

	for (;;) {
		pthread_barrier_wait(&self->begin);
		if (self->stop)
			return NULL;
		for (wait = self->round % 211 * 20; wait; wait--)
			;
		if (touch_read((uint32_t *)self->map, &value))
			self->refused++;
		pthread_barrier_wait(&self->end);
	}
}

FIXTURE_SETUP(huge_race)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	ASSERT_EQ(0, pthread_barrier_init(&self->begin, NULL, 2));
	ASSERT_EQ(0, pthread_barrier_init(&self->end, NULL, 2));
}

FIXTURE_TEARDOWN(huge_race)
{
	vfio_device_close(&self->dev);
}

/* contract: destroy.huge-entry */
TEST_F(huge_race, a_page_and_a_huge_entry_around_it_are_asked_for_at_a_time)
{
	uint64_t page = GRANULE, offset = vfio_offset(&self->dev, BAR2, AT);
	unsigned int large = 0, before = fixture_logged(_metadata, COMPLAINT);
	struct vfio_subregion_create sub;
	time_t end = time(NULL) + SECONDS, most = end + MOST_SECONDS;
	uint32_t value;

	ASSERT_EQ(0, pthread_create(&self->thread, NULL, touch, self));
	for (; self->round < ROUNDS_LEAST || time(NULL) < end || (!large && time(NULL) < most);
	     self->round++) {
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE,
				     AT + SIZE - page, page);
		self->map = fixture_map(_metadata, &self->dev, offset, SIZE, 2 * MIB);
		pthread_barrier_wait(&self->begin);
		fixture_destroy(_metadata, &self->dev, sub.index);
		EXPECT_EQ(0, touch_read((uint32_t *)(self->map + page), &value));
		pthread_barrier_wait(&self->end);
		EXPECT_TOUCH(self->map, PTE_NONCACHED, 0);
		EXPECT_TOUCH(self->map + page, PTE_NONCACHED, 0);
		large += pte_shift(self->map) == shift_here(SHIFT_2M);
		munmap(self->map, SIZE);
	}
	self->stop = true;
	pthread_barrier_wait(&self->begin);
	pthread_join(self->thread, NULL);
	TH_LOG("%u of %u rounds ended with a huge entry", large, self->round);
	EXPECT_EQ(before, fixture_logged(_metadata, COMPLAINT));
	EXPECT_EQ(0, self->refused);
	EXPECT_LT(0, large);
}

TEST_HARNESS_MAIN
