// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread touches a page beside a subregion, so that a huge entry is refused. Meanwhile another
 * thread destroys the subregion, and a third one gets the huge entry. The kernel's function that
 * makes the small entry does not expect the huge one: it stops a kernel with CONFIG_DEBUG_VM, and
 * any other kernel logs "VM_FAULT_OOM leaked" (rig/dmesg.bad).
 */
#include <pthread.h>
#include <time.h>

#include "fixture.h"

#define AT		(4 * MIB)
#define SIZE		(2 * MIB)
#define TOUCHERS	2
#define SECONDS		5
#define ROUNDS_LEAST	50

FIXTURE(huge_race) {
	struct vfio_device dev;
	pthread_barrier_t begin, end;
	pthread_t threads[TOUCHERS];
	char *map;
	unsigned int round, refused;
	bool stop;
};

struct toucher {
	FIXTURE_DATA(huge_race) * test;
	unsigned int number;
};

/* Touches a page of its own in each round. */
static void *touch(void *data)
{
	FIXTURE_DATA(huge_race) * self = ((struct toucher *)data)->test;
	unsigned int number = ((struct toucher *)data)->number;
	volatile unsigned int wait;
	uint32_t value;

	for (;;) {
		pthread_barrier_wait(&self->begin);
		if (self->stop)
			return NULL;
		for (wait = self->round * (number + 1) % 61 * 40; wait; wait--)
			;
		if (touch_read((uint32_t *)(self->map + number * 4 * KIB), &value))
			__atomic_add_fetch(&self->refused, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&self->end);
	}
}

FIXTURE_SETUP(huge_race)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	ASSERT_EQ(0, pthread_barrier_init(&self->begin, NULL, TOUCHERS + 1));
	ASSERT_EQ(0, pthread_barrier_init(&self->end, NULL, TOUCHERS + 1));
}

FIXTURE_TEARDOWN(huge_race)
{
	vfio_device_close(&self->dev);
}

/* contract: destroy.huge-entry */
TEST_F_TIMEOUT(huge_race, a_page_and_a_huge_entry_around_it_are_asked_for_at_a_time, 120)
{
	uint64_t page = 4 * KIB, offset = vfio_offset(&self->dev, BAR2, AT);
	struct toucher touchers[TOUCHERS];
	struct vfio_subregion_create sub;
	unsigned int n, large = 0;
	volatile unsigned int wait;
	time_t end = time(NULL) + SECONDS;

	for (n = 0; n < TOUCHERS; n++) {
		touchers[n] = (struct toucher){ self, n };
		ASSERT_EQ(0, pthread_create(&self->threads[n], NULL, touch, &touchers[n]));
	}
	for (; self->round < ROUNDS_LEAST || time(NULL) < end; self->round++) {
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE,
				     AT + SIZE - page, page);
		self->map = fixture_map(_metadata, &self->dev, offset, SIZE, 2 * MIB);
		pthread_barrier_wait(&self->begin);
		for (wait = self->round % 97 * 20; wait; wait--)
			;
		fixture_destroy(_metadata, &self->dev, sub.index);
		pthread_barrier_wait(&self->end);
		for (n = 0; n < TOUCHERS; n++)
			EXPECT_TOUCH(self->map + n * page, PTE_NONCACHED, 0);
		large += pte_shift(self->map) == shift_here(SHIFT_2M);
		munmap(self->map, SIZE);
	}
	self->stop = true;
	pthread_barrier_wait(&self->begin);
	for (n = 0; n < TOUCHERS; n++)
		pthread_join(self->threads[n], NULL);
	TH_LOG("%u of %u rounds ended with a huge entry", large, self->round);
	EXPECT_EQ(0, self->refused);
	EXPECT_LT(0, large);
}

TEST_HARNESS_MAIN
