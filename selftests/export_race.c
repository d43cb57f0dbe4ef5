// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers map, touch, read and write exports all the time while the owner destroys subregions,
 * claims the same pages again, closes the device and opens it again. No worker ever sees a byte of
 * a later subregion.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "withheld.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(2 * MIB)
#define VALUE		0x5ab0a55a
#define WORKERS		3
#define ROUNDS		120
/* After so many subregions the device is closed. */
#define REOPEN		8

/* An export of one round: every word of its subregion is @pattern, or was, while it lives. */
struct round {
	int fd;
	char *map;
	uint32_t pattern;
};

FIXTURE(export_race) {
	struct vfio_device dev;
	const char *bdf;
	struct round rounds[ROUNDS];
	/* The number of rounds at which the workers may look. */
	atomic_uint begun;
	atomic_bool stop;
	/* The results of the workers. */
	atomic_uint wrong;
	atomic_uint seen;
	atomic_uint dead;
};

FIXTURE_SETUP(export_race)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bdf = getenv("DEV_IVSHMEM");
}

FIXTURE_TEARDOWN(export_race)
{
	vfio_device_close(&self->dev);
}

/* Looks at one word of an export in one of three ways; 0, or how it failed. */
static int look(const struct round *round, unsigned int way, uint32_t *value)
{
	char *map;
	int ret;

	switch (way) {
	case 0:
		return touch_read((uint32_t *)(round->map + CLAIM_SIZE - 4), value);
	case 1:
		return pread(round->fd, value, 4, 0) == 4 ? 0 : errno;
	default:
		map = mmap(NULL, 64 * KIB, PROT_READ, MAP_SHARED, round->fd, MIB);
		if (map == MAP_FAILED)
			return errno;
		ret = touch_read((uint32_t *)map, value);
		munmap(map, 64 * KIB);
		return ret;
	}
}

static void *work(void *data)
{
	FIXTURE_DATA(export_race) * self = data;
	const struct round *round;
	unsigned int i, begun;
	uint32_t value;
	int ret;

	for (i = 0; !self->stop; i++) {
		begun = self->begun;
		if (!begun)
			continue;
		/* The newest ones most of the time. */
		round = &self->rounds[i % 4 ? begun - 1 - i % 2 % begun : i / 4 % begun];
		ret = look(round, i % 3, &value);
		if (!ret && value == round->pattern)
			self->seen++;
		else if (ret == SIGBUS || ret == ENODEV)
			self->dead++;
		else
			self->wrong++;
	}
	return NULL;
}

/* contract: export.race */
TEST_F(export_race, no_worker_sees_a_later_subregion)
{
	struct vfio_subregion_create sub;
	pthread_t workers[WORKERS];
	struct round *round;
	unsigned int i, w, enough;
	uint64_t at;

	for (w = 0; w < WORKERS; w++)
		ASSERT_EQ(0, pthread_create(&workers[w], NULL, work, self));
	for (i = 0; i < ROUNDS && !self->wrong; i++) {
		if (i && i % REOPEN == 0) {
			vfio_device_close(&self->dev);
			ASSERT_EQ(0, vfio_device_open(&self->dev, self->bdf));
		}
		sub = fixture_create(_metadata, &self->dev, BAR2, i % SUBREGION_ATTRIBUTES, CLAIM,
				     CLAIM_SIZE);
		round = &self->rounds[i];
		round->pattern = 0x10000 + i;
		for (at = 0; at < CLAIM_SIZE; at += MIB)
			ASSERT_EQ(4, pwrite(self->dev.fd, &round->pattern, 4,
					    sub.mmap_offset + at));
		ASSERT_EQ(4, pwrite(self->dev.fd, &round->pattern, 4,
				    sub.mmap_offset + CLAIM_SIZE - 4));
		round->fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
		round->map = fixture_map_export(_metadata, round->fd, PROT_READ, CLAIM_SIZE);
		enough = self->seen + 5;
		self->begun = i + 1;
		while (self->seen < enough && !self->wrong)
			sched_yield();
		/* Every second close finds the subregion alive. */
		if ((i + 1) % (2 * REOPEN))
			fixture_destroy(_metadata, &self->dev, sub.index);
	}
	self->stop = true;
	for (w = 0; w < WORKERS; w++)
		ASSERT_EQ(0, pthread_join(workers[w], NULL));
	EXPECT_EQ(0, self->wrong);
	EXPECT_LT(0, self->dead);
	TH_LOG("%u looks at a live export, %u at a dead one", self->seen, self->dead);
}

FIXTURE(export_stall) {
	struct vfio_device dev;
};

FIXTURE_SETUP(export_stall)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
}

FIXTURE_TEARDOWN(export_stall)
{
	vfio_device_close(&self->dev);
}

/* A thread that writes to the export from a page that does not come, or reads to it. */
struct stalled {
	pthread_t thread;
	int fd;
	void *page;
	ssize_t (*call)(struct stalled *stalled);
	ssize_t ret;
};

static ssize_t stalled_write(struct stalled *stalled)
{
	return pwrite(stalled->fd, stalled->page, 64, 0);
}

static ssize_t stalled_read(struct stalled *stalled)
{
	return pread(stalled->fd, stalled->page, 64, 0);
}

static void *stall(void *data)
{
	struct stalled *stalled = data;

	stalled->ret = stalled->call(stalled);
	return NULL;
}

/* contract: export.stalled */
TEST_F(export_stall, the_owner_does_not_wait_for_a_page_of_a_worker)
{
	struct stalled stalled[] = { { .call = stalled_write }, { .call = stalled_read } };
	struct vfio_subregion_create sub;
	const uint32_t value = VALUE;
	unsigned int i;
	char *pages;
	int uffd, fd;

	pages = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	uffd = withhold(_metadata, pages, 2 * GRANULE);
	if (uffd < 0)
		return;
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
			     CLAIM_SIZE);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	ASSERT_EQ(4, pwrite(fd, &value, 4, 0));
	for (i = 0; i < ARRAY_SIZE(stalled); i++) {
		stalled[i].fd = fd;
		stalled[i].page = pages + i * GRANULE;
		ASSERT_EQ(0, pthread_create(&stalled[i].thread, NULL, stall, &stalled[i]));
		await_access(_metadata, uffd);
	}
	fixture_destroy(_metadata, &self->dev, sub.index);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, CLAIM, CLAIM_SIZE);
	vfio_device_close(&self->dev);
	give(_metadata, uffd, pages, 2 * GRANULE);
	for (i = 0; i < ARRAY_SIZE(stalled); i++)
		ASSERT_EQ(0, pthread_join(stalled[i].thread, NULL));
	/* The bytes to be written came too late; those that were read had been read in time. */
	EXPECT_EQ(-1, stalled[0].ret);
	EXPECT_EQ(64, stalled[1].ret);
	EXPECT_EQ(VALUE, *(uint32_t *)(pages + GRANULE));
	close(uffd);
}

/* More chunks of the kernel's mappings than the driver keeps at a time. */
#define CHUNK		(2 * MIB)
#define READERS		16
#define READS		200

FIXTURE(export_readers) {
	struct vfio_device dev;
};

FIXTURE_SETUP(export_readers)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver());
}

FIXTURE_TEARDOWN(export_readers)
{
	vfio_device_close(&self->dev);
}

struct reader {
	pthread_t thread;
	int fd;
	off_t at;
	unsigned int done;
};

static void *read_again(void *data)
{
	struct reader *reader = data;
	uint32_t value;

	while (reader->done < READS && pread(reader->fd, &value, 4, reader->at) == 4)
		reader->done++;
	return NULL;
}

/* contract: export.readers */
TEST_F(export_readers, of_different_parts_do_not_stop_each_other)
{
	struct reader readers[READERS] = {};
	struct vfio_subregion_create sub;
	unsigned int i;
	int fd;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0,
			     READERS * CHUNK);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDONLY);
	for (i = 0; i < READERS; i++) {
		readers[i].fd = fd;
		readers[i].at = i * CHUNK;
		ASSERT_EQ(0, pthread_create(&readers[i].thread, NULL, read_again, &readers[i]));
	}
	for (i = 0; i < READERS; i++) {
		ASSERT_EQ(0, pthread_join(readers[i].thread, NULL));
		EXPECT_EQ(READS, readers[i].done);
	}
}

TEST_HARNESS_MAIN
