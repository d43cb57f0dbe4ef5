// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults against claims and revocation: another process touches a mapping all the time, and yet has
 * no forbidden entry once the call has returned.
 *
 * No later zap removes a stale entry, so it is enough to look afterwards.
 */
#include <poll.h>
#include <setjmp.h>
#include <sys/wait.h>

#include "fixture.h"

#define AREA		(2 * MIB)
#define STEP		(2 * GRANULE)
#define ROUNDS		40
/* All of the BAR. */
#define PAGES		(16 * MIB / GRANULE)

FIXTURE(race) {
	struct vfio_device dev;
	struct pci_bar bar;
	pid_t child;
	/*
	 * The parent closes its end of one pipe to stop the child; the child reports its start on
	 * the other.
	 */
	int stop[2];
	int begun[2];
};

FIXTURE_SETUP(race)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	ASSERT_EQ(0, pipe(self->stop));
	ASSERT_EQ(0, pipe(self->begun));
}

FIXTURE_TEARDOWN(race)
{
	vfio_device_close(&self->dev);
}

static bool must_stop(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) != 0;
}

/*
 * Touches every page of the mapping again and again, even if it faults, until the parent stops it.
 */
static void touch_until_stopped(FIXTURE_DATA(race) * self, char *map, size_t size)
{
	uint32_t value;
	size_t at;

	close(self->stop[1]);
	(void)!write(self->begun[1], "", 1);
	while (!must_stop(self->stop[0]))
		for (at = 0; at < size; at += GRANULE)
			touch_read((uint32_t *)(map + at), &value);
}

/* Starts a child that touches the mapping; in the child, returns only after the parent stops it. */
static bool start_touching(struct __test_metadata *_metadata, FIXTURE_DATA(race) * self, char *map,
			   size_t size)
{
	char byte;

	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		touch_until_stopped(self, map, size);
		return true;
	}
	ASSERT_EQ(1, read(self->begun[0], &byte, 1));
	return false;
}

static void stop_touching(struct __test_metadata *_metadata, FIXTURE_DATA(race) * self)
{
	close(self->stop[1]);
	fixture_join(_metadata, self->child);
}

/* Claims every other page of a BAR of the type @rest while a child touches a mapping of it. */
static void claim_while_touched(struct __test_metadata *_metadata, FIXTURE_DATA(race) * self,
				const char *rest)
{
	uint64_t window = vfio_offset(&self->dev, BAR2, 4 * MIB), at;
	char *map = fixture_map(_metadata, &self->dev, window, AREA, 2 * MIB);
	uint32_t attribute;

	if (start_touching(_metadata, self, map, AREA)) {
		/* Every other page was claimed while the child touched it. */
		for (at = 0; at < AREA; at += STEP) {
			EXPECT_STREQ(PTE_NONE, pte_type(map + at));
			EXPECT_SIGBUS(map + at);
			EXPECT_TOUCH(map + at + GRANULE, rest, SHIFT_4K);
		}
		_exit(0);
	}
	for (at = 0; at < AREA; at += STEP) {
		attribute = at / STEP % 2 ? VFIO_SUBREGION_ATTR_WC : VFIO_SUBREGION_ATTR_DEVICE;
		fixture_create(_metadata, &self->dev, BAR2, attribute, 4 * MIB + at, GRANULE);
	}
	stop_touching(_metadata, self);
}

/* contract: claim.race */
TEST_F(race, a_bar_mapping_that_is_being_touched_loses_each_claim)
{
	claim_while_touched(_metadata, self, PTE_NONCACHED);
}

/* contract: claim.race set-attr.subregions */
TEST_F(race, a_mapping_of_a_wc_bar_that_is_being_touched_loses_each_claim)
{
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	claim_while_touched(_metadata, self, PTE_WC);
}

static sigjmp_buf after_touch;

static void touch_faulted(int signal)
{
	(void)signal;
	siglongjmp(after_touch, 1);
}

/* The page that the parent claims, and the page that the child waits for; counted from 1. */
struct steps {
	volatile unsigned int parent;
	volatile unsigned int child;
};

/* Delays by one of 64 durations, which @turn selects. */
static void let_pass(unsigned int turn)
{
	volatile unsigned int left;

	for (left = turn % 64 * 32; left; left--)
		;
}

/*
 * Touches page after page while the parent claims them, with a delay that varies. There is no
 * system call between the step and the touch, because it would take longer than the claim. Returns
 * how many touches came before the claim.
 */
static unsigned int touch_in_step(struct steps *steps, char *map)
{
	const struct sigaction action = { .sa_handler = touch_faulted, .sa_flags = SA_NODEFER };
	static volatile unsigned int page, early;

	sigaction(SIGBUS, &action, NULL);
	for (page = 0; page < PAGES; page++) {
		steps->child = page + 1;
		while (steps->parent <= page)
			;
		let_pass(page);
		if (sigsetjmp(after_touch, 0))
			continue;
		(void)*(volatile uint32_t *)(map + page * GRANULE);
		early++;
	}
	return early;
}

/* contract: claim.race */
TEST_F(race, a_first_touch_at_the_time_of_the_claim_leaves_no_entry)
{
	uint64_t window = vfio_offset(&self->dev, BAR2, 0), size = PAGES * GRANULE;
	unsigned int page, early;
	struct steps *steps;
	char *map;

	steps = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, steps);
	map = mmap(NULL, size + 4 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	/* An address that is not congruent, so that each page has a fault of its own. */
	map = (char *)(((uintptr_t)map + 2 * MIB) & -(2 * MIB)) + GRANULE;
	map = mmap(map, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, self->dev.fd, window);
	ASSERT_NE(MAP_FAILED, map);
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		close(self->stop[1]);
		early = touch_in_step(steps, map);
		TH_LOG("%u of %llu touches came before the claim", early, PAGES);
		while (!must_stop(self->stop[0]))
			usleep(1000);
		for (page = 0; page < PAGES; page++)
			EXPECT_STREQ(PTE_NONE, pte_type(map + page * GRANULE));
		_exit(0);
	}
	for (page = 0; page < PAGES; page++) {
		while (steps->child <= page)
			;
		steps->parent = page + 1;
		let_pass(page / 64);
		fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE,
			       page * GRANULE, GRANULE);
	}
	stop_touching(_metadata, self);
}

/* contract: revoke.load */
TEST_F(race, a_wc_mapping_that_is_being_touched_is_revoked_and_comes_back_as_wc)
{
	struct vfio_subregion_create sub;
	unsigned int round;
	uint64_t at;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, AREA);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, AREA, 2 * MIB);
	if (start_touching(_metadata, self, map, AREA)) {
		/* The memory is disabled now. */
		for (at = 0; at < AREA; at += GRANULE)
			EXPECT_STREQ(PTE_NONE, pte_type(map + at));
		EXPECT_SIGBUS(map);
		_exit(0);
	}
	for (round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
		EXPECT_STREQ(PTE_NONE, pte_type(map));
		EXPECT_SIGBUS(map);
		ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
		EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	}
	ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
	stop_touching(_metadata, self);
}

/* contract: revoke.load */
TEST_F(race, a_wc_mapping_that_is_being_touched_survives_resets)
{
	struct vfio_subregion_create sub;
	unsigned int round;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, AREA);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, AREA, 2 * MIB);
	if (start_touching(_metadata, self, map, AREA)) {
		EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
		_exit(0);
	}
	for (round = 0; round < 5; round++) {
		ASSERT_EQ(0, vfio_device_reset(&self->dev));
		EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	}
	stop_touching(_metadata, self);
}

/* Creates many small subregions, in the same order as every other process. */
static unsigned int create_all(struct vfio_device *dev, unsigned int *refused)
{
	struct vfio_subregion_create create;
	unsigned int created = 0, i;

	for (i = 0; i < 256; i++) {
		create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, i * GRANULE, GRANULE);
		switch (subregion_create(dev, &create)) {
		case 0:
			created++;
			break;
		case -EEXIST:
			++*refused;
			break;
		}
	}
	return created;
}

/* contract: create.race */
TEST_F(race, of_processes_that_want_the_same_range_one_gets_it)
{
	unsigned int *created, *refused, i;
	pid_t child[4];

	created = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, created);
	refused = created + 4;
	for (i = 0; i < 4; i++) {
		child[i] = fork();
		ASSERT_LE(0, child[i]);
		if (!child[i]) {
			created[i] = create_all(&self->dev, &refused[i]);
			_exit(0);
		}
	}
	for (i = 0; i < 4; i++)
		ASSERT_EQ(child[i], waitpid(child[i], NULL, 0));
	EXPECT_EQ(256, created[0] + created[1] + created[2] + created[3]);
	EXPECT_EQ(3 * 256, refused[0] + refused[1] + refused[2] + refused[3]);
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS + 256, vfio_num_regions(&self->dev));
}

TEST_HARNESS_MAIN
