// SPDX-License-Identifier: GPL-2.0-only
/*
 * Revocation under load: other threads write to every mapping all the time, yet no write reaches
 * the device while its memory is inaccessible, and new entries have the right type.
 */
#include <pthread.h>

#include "events.h"

#define WRITERS		2
#define ROUNDS		20

struct writers;

/* A thread that writes to all three mappings of a scene, even if they fault. */
struct writer {
	struct writers *all;
	pthread_t thread;
	/*
	 * The numbers of successful writes and of SIGBUS; only this thread writes these counters.
	 */
	volatile unsigned long written;
	volatile unsigned long refused;
};

struct writers {
	struct scene *scene;
	uint64_t unit;
	volatile bool stop;
	struct writer writer[WRITERS];
};

static void *write_all(void *data)
{
	struct writer *writer = data;
	struct writers *writers = writer->all;
	char *const maps[] = {
		writers->scene->plain, writers->scene->device, writers->scene->wc,
	};
	unsigned int i;
	uint64_t at;

	/* A page in each 128 KiB, so that the next mapping follows soon. */
	for (at = 0; !writers->stop; at = (at + 132 * KIB) % writers->unit) {
		for (i = 0; i < ARRAY_SIZE(maps); i++) {
			if (touch_write((uint32_t *)(maps[i] + at), at))
				writer->refused++;
			else
				writer->written++;
		}
	}
	return NULL;
}

static unsigned long written(const struct writers *writers)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < WRITERS; i++)
		sum += writers->writer[i].written;
	return sum;
}

static unsigned long refused(const struct writers *writers)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < WRITERS; i++)
		sum += writers->writer[i].refused;
	return sum;
}

/* Waits until each writer got SIGBUS @times times: by then its earlier writes are counted. */
static void wait_until_refused(const struct writers *writers, unsigned long times)
{
	unsigned long before[WRITERS];
	unsigned int i;

	for (i = 0; i < WRITERS; i++)
		before[i] = writers->writer[i].refused;
	for (i = 0; i < WRITERS; i++)
		while (writers->writer[i].refused < before[i] + times)
			sched_yield();
}

FIXTURE(live) {
	struct scene scene;
	struct writers writers;
};

FIXTURE_VARIANT(live) {
	struct event event;
};

FIXTURE_VARIANT_ADD(live, memory_disable) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, memory_off, memory_on, EIO }
};

FIXTURE_VARIANT_ADD(live, memory_disable_of_2g) {
	{ "DEV_IVSHMEM_BIG", 2, 512 * MIB, memory_off, memory_on, EIO }
};

FIXTURE_VARIANT_ADD(live, reset) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, vfio_device_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(live, hot_reset) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, hot_reset_under_load, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(live, function_level_reset) {
	{ "DEV_NVME", 2, 2 * MIB, vfio_device_reset, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(live, function_level_reset_through_config_space) {
	{ "DEV_NVME", 2, 2 * MIB, vfio_config_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(live, d3hot) {
	{ "DEV_NVME", 2, 2 * MIB, enter_d3hot, leave_d3hot, EIO }
};

FIXTURE_VARIANT_ADD(live, low_power) {
	{ "DEV_NVME", 2, 2 * MIB, enter_low_power, leave_low_power, 0 }
};

FIXTURE_VARIANT_ADD(live, sysfs_reset_by_bus) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, sysfs_reset_by_bus, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(live, sysfs_reset_by_flr) {
	{ "DEV_NVME", 2, 2 * MIB, sysfs_reset_by_flr, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(live, sysfs_reset_by_pm) {
	{ "DEV_IGB", 0, 32 * KIB, sysfs_reset_by_pm, memory_on, 0 }
};

FIXTURE_VARIANT_ADD(live, sysfs_reset_of_the_port) {
	{ "DEV_IVSHMEM", 2, 2 * MIB, sysfs_reset_subordinate, memory_on, 0 }
};

FIXTURE_SETUP(live)
{
	unsigned int i;

	if (!set_scene(_metadata, &self->scene, &variant->event))
		return;
	self->writers = (struct writers) { .scene = &self->scene, .unit = variant->event.unit };
	for (i = 0; i < WRITERS; i++) {
		struct writer *writer = &self->writers.writer[i];

		writer->all = &self->writers;
		ASSERT_EQ(0, pthread_create(&writer->thread, NULL, write_all, writer));
	}
}

static void stop_writing(struct writers *writers)
{
	unsigned int i;

	writers->stop = true;
	for (i = 0; i < WRITERS; i++) {
		if (writers->writer[i].thread)
			pthread_join(writers->writer[i].thread, NULL);
		writers->writer[i].thread = 0;
	}
}

FIXTURE_TEARDOWN(live)
{
	stop_writing(&self->writers);
	vfio_device_close(&self->scene.dev);
}

/* The events that leave the memory inaccessible until a restore. */
static bool is_outage(const struct event *event)
{
	return event->revoke == memory_off || event->revoke == enter_d3hot ||
	       event->revoke == enter_low_power;
}

/* contract: revoke.load */
TEST_F(live, writers_never_reach_revoked_memory)
{
	const struct event *event = &variant->event;
	struct scene *scene = &self->scene;
	unsigned long before;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		before = written(&self->writers);
		while (written(&self->writers) == before)
			sched_yield();
		ASSERT_EQ(0, event->revoke(&scene->dev));
		if (is_outage(event)) {
			wait_until_refused(&self->writers, 2 * 3);
			EXPECT_SIGBUS(scene->plain);
			EXPECT_SIGBUS(scene->device);
			EXPECT_SIGBUS(scene->wc);
			EXPECT_SIGBUS(scene->wc + event->unit - 4);
			before = written(&self->writers);
			usleep(2000);
			EXPECT_EQ(before, written(&self->writers));
		}
		ASSERT_EQ(0, event->restore(&scene->dev));
		EXPECT_TOUCH(scene->plain, PTE_NONCACHED, 0);
		EXPECT_TOUCH(scene->device, PTE_DEVICE, 0);
		EXPECT_TOUCH(scene->wc, PTE_WC, 0);
		EXPECT_TOUCH(scene->wc + event->unit - 4, PTE_WC, 0);
	}
	stop_writing(&self->writers);
	EXPECT_MEMTYPE(MEMTYPE_WC, scene->bar.start + 2 * event->unit,
		       scene->bar.start + 3 * event->unit);
	TH_LOG("%lu written, %lu refused", written(&self->writers), refused(&self->writers));
}

/* contract: destroy.race */
TEST_F(live, destroy_reaches_memory_that_is_being_written)
{
	struct vfio_device *dev = &self->scene.dev;
	const struct event *event = &variant->event;

	while (!written(&self->writers))
		sched_yield();
	fixture_destroy(_metadata, dev, self->scene.sub.index);
	EXPECT_SIGBUS(self->scene.wc);
	EXPECT_SIGBUS(self->scene.wc + event->unit - 4);
	wait_until_refused(&self->writers, 2);
	ASSERT_EQ(0, event->revoke(dev));
	EXPECT_SIGBUS(self->scene.wc);
	ASSERT_EQ(0, event->restore(dev));
	EXPECT_SIGBUS(self->scene.wc);
	EXPECT_TOUCH(self->scene.plain, PTE_NONCACHED, 0);
	EXPECT_TOUCH(self->scene.device, PTE_DEVICE, 0);
}

/* The descriptors are closed while the threads write; the last munmap() closes the device. */
/* contract: lifetime.keeps-open */
TEST_F(live, a_device_that_is_closed_meanwhile_stays_until_the_mappings_are_gone)
{
	uint64_t unit = variant->event.unit, start = self->scene.bar.start;
	unsigned long before;

	vfio_device_close(&self->scene.dev);
	before = written(&self->writers);
	while (written(&self->writers) < before + 100)
		sched_yield();
	EXPECT_TOUCH(self->scene.wc, PTE_WC, 0);
	stop_writing(&self->writers);
	munmap(self->scene.plain, unit);
	munmap(self->scene.device, unit);
	EXPECT_MEMTYPE(MEMTYPE_WC, start + 2 * unit, start + 3 * unit);
	munmap(self->scene.wc, unit);
	expect_reservations(_metadata, &self->scene.bar, "");
}

TEST_HARNESS_MAIN
