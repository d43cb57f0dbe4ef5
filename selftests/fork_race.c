// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork() and huge entries. The kernel copies a huge entry without checking whether it was removed
 * in the meantime (copy_huge_pmd() of Linux 7.3), so the driver leaves none to copy
 * (rust/vfio/pci/mmap/fork.rs). In the kernel's tree it comes with a mend of fork(), and
 * leaves them.
 *
 * The tests run the race for some time. The gap in the kernel is too narrow to be hit by chance in
 * that time. A kernel with a delay in copy_huge_pmd() hits it with vfio-pci, and with this driver
 * if its measure is removed.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "fixture.h"

#define AT		(4 * MIB)
#define SIZE		(4 * MIB)
/* The mapping ends one page earlier, so that its last 2 MiB have small entries. */
#define MAPPED		(SIZE - 4 * KIB)

/* The duration of the forks, and their minimum and maximum number. */
#define SECONDS		5
#define FORKS_LEAST	20
#define FORKS_MOST	2000

FIXTURE(forked) {
	struct vfio_device dev;
	uint64_t offset;
	const char *pte;
	char *map;
};

FIXTURE_VARIANT(forked) {
	bool is_subregion;
	uint32_t attribute;
	bool is_export;
};

FIXTURE_VARIANT_ADD(forked, bar) { false, VFIO_SUBREGION_ATTR_NONCACHED, false };
FIXTURE_VARIANT_ADD(forked, wc) { true, VFIO_SUBREGION_ATTR_WC, false };
FIXTURE_VARIANT_ADD(forked, device) { true, VFIO_SUBREGION_ATTR_DEVICE, false };
FIXTURE_VARIANT_ADD(forked, export) { true, VFIO_SUBREGION_ATTR_WC, true };

/* A huge entry, where the kernel makes them, and then small ones. */
FIXTURE_SETUP(forked)
{
	struct vfio_subregion_create sub;

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->pte = attribute_pte(variant->attribute);
	self->offset = vfio_offset(&self->dev, BAR2, AT);
	if (variant->is_subregion) {
		sub = fixture_create(_metadata, &self->dev, BAR2, variant->attribute, AT, SIZE);
		self->offset = sub.mmap_offset;
	}
	if (variant->is_export)
		self->map = fixture_map_export(_metadata,
					       fixture_export(_metadata, &self->dev, sub.index,
							      O_RDWR),
					       PROT_READ | PROT_WRITE, MAPPED);
	else
		self->map = fixture_map(_metadata, &self->dev, self->offset, MAPPED, 2 * MIB);
	EXPECT_TOUCH(self->map, self->pte, SHIFT_2M);
	EXPECT_TOUCH(self->map + 2 * MIB, self->pte, SHIFT_4K);
}

FIXTURE_TEARDOWN(forked)
{
	vfio_device_close(&self->dev);
}

/* Expects that the parent has its huge entry, without a touch, when the child has ended. */
static void expect_huge_entry_after(struct __test_metadata *_metadata, FIXTURE_DATA(forked) * self,
				    pid_t child)
{
	fixture_join(_metadata, child);
	EXPECT_STREQ(self->pte, pte_type(self->map));
	EXPECT_EQ(shift_here(SHIFT_2M), pte_shift(self->map));
}

/* contract: mmap.fork-huge */
TEST_F(forked, parent_and_child_have_no_huge_entry_until_they_touch_it)
{
	pid_t child;

	if (shift_here(SHIFT_2M) != SHIFT_2M)
		SKIP(return, "this kernel makes no huge entries");
	if (driver_in_tree())
		SKIP(return, "fork() copies the entries of this driver");
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		EXPECT_STREQ(PTE_NONE, pte_type(self->map));
		EXPECT_TOUCH(self->map, self->pte, SHIFT_2M);
		_exit(0);
	}
	fixture_join(_metadata, child);
	EXPECT_STREQ(PTE_NONE, pte_type(self->map));
	EXPECT_TOUCH(self->map, self->pte, SHIFT_2M);
}

/* contract: mmap.fork-huge */
TEST_F(forked, in_the_tree_parent_and_child_have_the_huge_entry)
{
	pid_t child;

	if (!driver_in_tree())
		SKIP(return, "this driver leaves no huge entry to fork()");
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		EXPECT_STREQ(self->pte, pte_type(self->map));
		EXPECT_EQ(shift_here(SHIFT_2M), pte_shift(self->map));
		_exit(0);
	}
	expect_huge_entry_after(_metadata, self, child);
}

/* contract: mmap.fork-huge */
TEST_F(forked, parent_and_child_keep_small_entries)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		EXPECT_STREQ(self->pte, pte_type(self->map + 2 * MIB));
		_exit(0);
	}
	fixture_join(_metadata, child);
	EXPECT_STREQ(self->pte, pte_type(self->map + 2 * MIB));
}

/* Then nothing is copied. */
/* contract: mmap.fork-huge */
TEST_F(forked, a_child_that_shares_memory_leaves_the_entries)
{
	pid_t child = vfork();

	ASSERT_LE(0, child);
	if (!child)
		_exit(0);
	expect_huge_entry_after(_metadata, self, child);
}

/* contract: mmap.fork-huge */
TEST_F(forked, a_mapping_kept_from_the_child_keeps_its_entries)
{
	pid_t child;

	ASSERT_EQ(0, madvise(self->map, MAPPED, MADV_DONTFORK));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(0);
	expect_huge_entry_after(_metadata, self, child);
}

/* contract: mmap.fork-huge */
TEST_F(forked, a_split_leaves_the_entries_beside_it)
{
	ASSERT_EQ(0, mprotect(self->map + 3 * MIB, GRANULE, PROT_READ));
	EXPECT_STREQ(self->pte, pte_type(self->map));
	EXPECT_EQ(shift_here(SHIFT_2M), pte_shift(self->map));
}

/* The way in which another process revokes the pages of the mapping, and restores them. */
struct change {
	int (*revoke)(struct vfio_device *dev, struct vfio_subregion_create *sub);
	int (*restore)(struct vfio_device *dev, struct vfio_subregion_create *sub);
};

static int claim(struct vfio_device *dev, struct vfio_subregion_create *sub)
{
	*sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, AT, 2 * MIB);
	return subregion_create(dev, sub);
}

static int unclaim(struct vfio_device *dev, struct vfio_subregion_create *sub)
{
	return subregion_destroy(dev, sub->index);
}

static int memory_off(struct vfio_device *dev, struct vfio_subregion_create *sub)
{
	(void)sub;
	return vfio_set_memory(dev, false);
}

static int memory_on(struct vfio_device *dev, struct vfio_subregion_create *sub)
{
	(void)sub;
	return vfio_set_memory(dev, true);
}

/* Memory that the processes share; fork() does not copy it. */
struct turns {
	/* The number of the requested step: odd to revoke, even to restore. */
	volatile unsigned int wanted;
	/* The delay before the step, in nanoseconds. */
	volatile unsigned int delay;
	/* The number of the last completed step, and its error. */
	volatile unsigned int done;
	volatile int error;
	volatile bool stop;
};

FIXTURE(fork_race) {
	struct vfio_device dev;
	struct turns *turns;
	char *map;
	pid_t changer;
};

FIXTURE_VARIANT(fork_race) {
	struct change change;
};

FIXTURE_VARIANT_ADD(fork_race, with_claims) { { claim, unclaim } };
/* Every driver can do this: SUBREGION_DRIVER=vfio-pci. */
FIXTURE_VARIANT_ADD(fork_race, with_memory_disable) { { memory_off, memory_on } };

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static bool await(struct turns *turns, const volatile unsigned int *count, unsigned int want)
{
	while (*count != want && !turns->stop && !turns->error)
		sched_yield();
	return *count == want;
}

/* A process, not a thread, because a fork in a multithreaded process blocks the other threads. */
static void change_until_stopped(struct vfio_device *dev, struct turns *turns,
				 const struct change *change)
{
	struct vfio_subregion_create sub;
	unsigned int turn = 1;
	uint64_t begin;

	for (; await(turns, &turns->wanted, turn); turn++) {
		begin = now();
		while (now() - begin < turns->delay)
			;
		turns->error = (turn % 2 ? change->revoke : change->restore)(dev, &sub);
		turns->done = turn;
	}
}

FIXTURE_SETUP(fork_race)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->turns = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			   0);
	ASSERT_NE(MAP_FAILED, self->turns);
	self->map = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, BAR2, AT), 2 * MIB,
				2 * MIB);
	EXPECT_TOUCH(self->map, PTE_NONCACHED, SHIFT_2M);
	self->changer = fork();
	ASSERT_LE(0, self->changer);
	if (!self->changer) {
		/* The harness tears nothing down if an assertion fails here. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		munmap(self->map, 2 * MIB);
		change_until_stopped(&self->dev, self->turns, &variant->change);
		_exit(0);
	}
}

FIXTURE_TEARDOWN(fork_race)
{
	if (self->changer > 0) {
		self->turns->stop = true;
		fixture_join(_metadata, self->changer);
	}
	vfio_device_close(&self->dev);
}

/* Requests the next step of the other process. */
static void want(struct turns *turns, unsigned int delay)
{
	turns->delay = delay;
	__sync_synchronize();
	turns->wanted++;
}

/* In a child: once the pages have been revoked, any entry is one that came back. */
static bool has_stale_entry(struct turns *turns, const char *map)
{
	return await(turns, &turns->done, turns->wanted) && strcmp(PTE_NONE, pte_type(map));
}

/* The pages are revoked at a random moment of each fork(). */
/* contract: mmap.fork-huge */
TEST_F(fork_race, no_entry_that_was_removed_comes_back_in_a_child)
{
	uint64_t begin, end = now() + SECONDS * 1000000000ull, longest = 1;
	unsigned int forks = 0, stale = 0, seed = 1;
	struct turns *turns = self->turns;
	uint32_t value;
	pid_t child;
	int status;

	while (forks < FORKS_LEAST || (forks < FORKS_MOST && now() < end)) {
		ASSERT_EQ(0, touch_read((uint32_t *)self->map, &value));
		want(turns, rand_r(&seed) % longest);
		begin = now();
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			_exit(has_stale_entry(turns, self->map) ? 1 : 0);
		/* The first fork measures the duration of one. */
		longest = longest == 1 ? now() - begin : longest;
		ASSERT_EQ(child, waitpid(child, &status, 0));
		stale += status != 0;
		forks++;
		want(turns, 0);
		ASSERT_TRUE(await(turns, &turns->done, turns->wanted))
			TH_LOG("the change failed: %s", strerror(-turns->error));
	}
	TH_LOG("%u forks of %llu us", forks, (unsigned long long)longest / 1000);
	EXPECT_EQ(0, stale);
}

TEST_HARNESS_MAIN
