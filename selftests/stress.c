// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many operations at the same time for some seconds: whatever is created, destroyed, mapped,
 * touched, revoked and forked, no page ever has two types, and no destroyed subregion is reached.
 *
 * The operations of each thread depend only on SEED (from the environment, and printed); their
 * timing does not.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "fixture.h"

#define MAKERS		3
#define SECONDS		8
/* The minimum number of rounds of each worker, and the time limit for them on a slow machine. */
#define ROUNDS		10
#define MOST_SECONDS	60
#define DEFAULT_SEED	20261120
/* The number of dead mappings that a maker keeps to check again. */
#define GRAVES		8

/* A mapping of a destroyed subregion. */
struct grave {
	char *map;
	size_t size;
};

/* Data that all threads share. */
struct arena {
	struct vfio_device *dev;
	/* The whole BAR, mapped through its own window. */
	char *bar;
	uint64_t size;
	uint64_t window;
	unsigned int seed;
	volatile bool stop;
	/* The first error; empty while there is none. */
	char complaint[256];
	pthread_mutex_t complaining;
};

struct worker {
	struct arena *arena;
	pthread_t thread;
	unsigned int random;
	/* The number of completed operations, and of those that failed with a permitted error. */
	volatile unsigned long done;
	unsigned long refused;
	struct grave graves[GRAVES];
};

__attribute__((format(printf, 2, 3)))
static void complain(struct arena *arena, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pthread_mutex_lock(&arena->complaining);
	if (!arena->complaint[0])
		vsnprintf(arena->complaint, sizeof(arena->complaint), format, args);
	arena->stop = true;
	pthread_mutex_unlock(&arena->complaining);
	va_end(args);
}

static unsigned int pick(struct worker *worker, unsigned int below)
{
	return rand_r(&worker->random) % below;
}

/* Whether the entry of @address is absent or has the type. */
static bool has_type(const void *address, const char *type)
{
	const char *now = pte_type(address);

	return !strcmp(now, PTE_NONE) || !strcmp(now, type);
}

/* Touches a page, which may fault while the memory is disabled, and checks its entry. */
static void touch_and_look(struct worker *worker, char *address, const char *type,
			   const char *whose)
{
	uint32_t value;
	int signal;

	signal = pick(worker, 2) ? touch_read((uint32_t *)address, &value) :
				   touch_write((uint32_t *)address, worker->random);
	if (signal && signal != SIGBUS)
		complain(worker->arena, "a touch of %s raised signal %d", whose, signal);
	if (!has_type(address, type))
		complain(worker->arena, "a page of %s is %s, expected %s", whose, pte_type(address),
			 type);
}

/* A mapping of a destroyed subregion has no entry and gets none. */
static void look_at_grave(struct worker *worker, struct grave *grave)
{
	char *address = grave->map + pick(worker, grave->size / (GRANULE)) * GRANULE;
	uint32_t value;

	if (strcmp(pte_type(address), PTE_NONE))
		complain(worker->arena, "a page of a destroyed subregion is %s", pte_type(address));
	if (touch_read((uint32_t *)address, &value) != SIGBUS)
		complain(worker->arena, "a page of a destroyed subregion was read");
}

/* The child has the parent's mappings and sees the same types. */
static void look_in_child(struct worker *worker, char *map, size_t size, const char *type)
{
	uint32_t value;
	pid_t child;
	int status;

	child = fork();
	if (child < 0)
		return;
	if (!child) {
		touch_read((uint32_t *)(map + size - 4), &value);
		_exit(has_type(map, type) && has_type(map + size - 4, type) ? 0 : 1);
	}
	if (waitpid(child, &status, 0) == child && status)
		complain(worker->arena, "a child saw another type than %s", type);
}

/* Uses a subregion that only this worker uses, so that no other thread destroys it. */
static void use(struct worker *worker, struct vfio_subregion_create *sub, char *map)
{
	struct arena *arena = worker->arena;
	const char *type = attribute_pte(sub->attribute);
	struct vfio_region_info info;
	unsigned int i, steps = 2 + pick(worker, 8);
	uint32_t value = 0;
	uint64_t at;

	for (i = 0; i < steps && !arena->stop; i++) {
		at = pick(worker, sub->size / (GRANULE)) * GRANULE;
		touch_and_look(worker, map + at, type, "a subregion");
		/* The same page through the BAR has no entry, because it is claimed. */
		if (strcmp(pte_type(arena->bar + sub->offset + at), PTE_NONE))
			complain(arena, "a claimed page is mapped through the BAR");
		if (touch_read((uint32_t *)(arena->bar + sub->offset + at), &value) != SIGBUS)
			complain(arena, "a claimed page was read through the BAR");
		switch (pick(worker, 8)) {
		case 0:
			look_in_child(worker, map, sub->size, type);
			break;
		case 1:
			if (vfio_region_info(arena->dev, sub->index, &info) ||
			    info.size != sub->size || info.offset != sub->mmap_offset)
				complain(arena, "region %u is described wrongly", sub->index);
			break;
		case 2:
			if (pwrite(arena->dev->fd, &value, 4, sub->mmap_offset + at) < 0 &&
			    errno != EIO)
				complain(arena, "pwrite: %s", strerror(errno));
			break;
		case 3:
			/* Replaced in one step, because another thread could take the hole. */
			if (mmap(map + at, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				 arena->dev->fd, sub->mmap_offset + at) == MAP_FAILED)
				complain(arena, "mmap: %s", strerror(errno));
			break;
		}
	}
}

/* Creates a subregion, uses it and destroys it; keeps the mapping to check that it stays dead. */
static void live_and_die(struct worker *worker)
{
	struct grave *grave = &worker->graves[pick(worker, GRAVES)];
	struct arena *arena = worker->arena;
	struct vfio_subregion_create sub;
	uint64_t offset, size;
	char *map;
	int ret;

	/* Most are small; some have the size and the alignment of a 2M entry. */
	size = pick(worker, 4) ? (1 + pick(worker, 16)) * GRANULE : 2 * MIB;
	offset = pick(worker, (arena->size - size) / size + 1) * size;
	sub = subregion_init(BAR2, pick(worker, 4), offset, size);
	ret = subregion_create(arena->dev, &sub);
	if (ret) {
		if (ret != -EEXIST)
			complain(arena, "create: %s", strerror(-ret));
		worker->refused++;
		return;
	}
	map = map_region(arena->dev, sub.mmap_offset, size, 2 * MIB);
	/* Another thread may take the address that was found for it. */
	if (map == MAP_FAILED && errno != EEXIST)
		complain(arena, "mmap: %s", strerror(errno));
	if (map != MAP_FAILED)
		use(worker, &sub, map);
	ret = subregion_destroy(arena->dev, sub.index);
	if (ret)
		complain(arena, "destroy: %s", strerror(-ret));
	worker->done++;
	if (map == MAP_FAILED)
		return;
	if (grave->map)
		munmap(grave->map, grave->size);
	*grave = (struct grave) { .map = map, .size = size };
	look_at_grave(worker, grave);
}

static void *make(void *data)
{
	struct worker *worker = data;
	struct grave *grave;

	while (!worker->arena->stop) {
		live_and_die(worker);
		grave = &worker->graves[pick(worker, GRAVES)];
		if (grave->map)
			look_at_grave(worker, grave);
	}
	return NULL;
}

/* Touches the whole BAR: unclaimed pages are uncached. */
static void *roam(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;
	uint32_t value;
	uint64_t at;

	while (!arena->stop) {
		at = pick(worker, arena->size / (GRANULE)) * GRANULE;
		touch_and_look(worker, arena->bar + at, PTE_NONCACHED, "the BAR");
		if (!pick(worker, 4) &&
		    pread(arena->dev->fd, &value, 4, arena->window + at) != 4 && errno != EIO)
			complain(arena, "pread: %s", strerror(errno));
		worker->done++;
	}
	return NULL;
}

/* Revokes all mappings and queries the device, again and again. */
static void *disturb(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;
	struct vfio_subregion_query query;
	struct vfio_region_info *info;

	while (!arena->stop) {
		switch (pick(worker, 16)) {
		case 0:
			vfio_device_reset(arena->dev);
			vfio_set_memory(arena->dev, true);
			break;
		case 1 ... 6:
			vfio_set_memory(arena->dev, false);
			usleep(pick(worker, 500));
			vfio_set_memory(arena->dev, true);
			break;
		case 7:
			info = vfio_region_info_caps(arena->dev, BAR2);
			if (!info)
				complain(arena, "the BAR is not described");
			free(info);
			break;
		case 8:
			if (subregion_query(arena->dev, BAR2, &query) || query.count > MAKERS)
				complain(arena, "there are %u subregions", query.count);
			break;
		}
		usleep(pick(worker, 5000));
		worker->done++;
	}
	return NULL;
}

FIXTURE(stress) {
	struct vfio_device dev;
	struct pci_bar bar;
	char *plain;
	struct arena arena;
};

FIXTURE_SETUP(stress)
{
	const char *seed = getenv("SEED");

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->plain = memtype_lines(self->bar.start, self->bar.start + self->bar.size);
	self->arena = (struct arena) {
		.dev = &self->dev,
		.bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB),
		.size = self->bar.size,
		.window = vfio_offset(&self->dev, BAR2, 0),
		.seed = seed && *seed ? strtoul(seed, NULL, 0) : DEFAULT_SEED,
		.complaining = PTHREAD_MUTEX_INITIALIZER,
	};
}

FIXTURE_TEARDOWN(stress)
{
	free(self->plain);
	vfio_device_close(&self->dev);
}

static bool all_came_round(const struct worker *workers, unsigned int count)
{
	while (count--)
		if (workers[count].done <= ROUNDS)
			return false;
	return true;
}

/* contract: type.never-two */
TEST_F(stress, no_page_has_two_types_and_nothing_destroyed_is_reached)
{
	static void *(*const roles[])(void *data) = { make, make, make, roam, disturb };
	struct worker workers[ARRAY_SIZE(roles)] = {};
	unsigned int i;

	TH_LOG("SEED=%u", self->arena.seed);
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i].arena = &self->arena;
		workers[i].random = self->arena.seed + i;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, roles[i], &workers[i]));
	}
	for (i = 0; i < MOST_SECONDS * 10 && !self->arena.stop; i++) {
		if (i >= SECONDS * 10 && all_came_round(workers, ARRAY_SIZE(workers)))
			break;
		usleep(100 * 1000);
	}
	self->arena.stop = true;
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		TH_LOG("worker %u: %lu done, %lu refused", i, workers[i].done, workers[i].refused);
		/* Otherwise nothing was tested. */
		EXPECT_LT(ROUNDS, workers[i].done);
	}
	EXPECT_STREQ("", self->arena.complaint);
	/* Every subregion was destroyed, and the BAR is as if it had never had one. */
	EXPECT_EQ(0, subregion_count(&self->dev));
	expect_reservations(_metadata, &self->bar, self->plain);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	for (i = 0; i < self->bar.size; i += GRANULE)
		EXPECT_TOUCH(self->arena.bar + i, PTE_NONCACHED, 0);
}

TEST_HARNESS_MAIN
