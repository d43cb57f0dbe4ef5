// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cuts a mapping into parts by every call that can do so: each remaining part has entries of its
 * own with the right type, and nothing remains of a removed part. This applies to the BAR and to
 * subregions, to a child, and after a write-combining subregion is created there.
 */
#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "surgery.h"

#ifndef SYS_mseal
#define SYS_mseal	462
#endif

/* More than the number of kinds of advice. */
#define ADVICE_MOST	128

/* contract: mmap.surgery */
FIXTURE(surgery) {
	struct subject subject;
};

FIXTURE_VARIANT(surgery) {
	const char *device;
	uint64_t at;
	uint64_t size;
};

FIXTURE_VARIANT_ADD(surgery, of_8m) { "DEV_IVSHMEM", 4 * MIB, 8 * MIB };
/* The whole mapping could be one entry of 1 GiB. */
FIXTURE_VARIANT_ADD(surgery, of_1g) { "DEV_IVSHMEM_BIG", GIB, GIB };

/*
 * One page of the large BAR, which no test maps, is write-combining all the time. Otherwise the
 * core would map the BAR again in each round, which takes the debug kernel seconds.
 */
#define KEPT_AT		(GIB - 4 * MIB)

FIXTURE_SETUP(surgery)
{
	struct subject *subject = &self->subject;

	if (!fixture_open(_metadata, &subject->dev, variant->device, vfio_driver()))
		return;
	subject->bar = fixture_bar(_metadata, &subject->dev, BAR2);
	subject->at = variant->at;
	subject->size = variant->size;
	if (variant->size >= GIB)
		fixture_create(_metadata, &subject->dev, BAR2, VFIO_SUBREGION_ATTR_WC, KEPT_AT,
			       GRANULE);
	subject->kept = subregion_count(&subject->dev);
}

FIXTURE_TEARDOWN(surgery)
{
	vfio_device_close(&self->subject.dev);
}

static void unmap(struct __test_metadata *_metadata, struct subject *subject)
{
	ASSERT_EQ(0, munmap(cut_map(subject), subject->cut->len));
	expect_gone(_metadata, subject, cut_map(subject), subject->cut->len);
}

TEST_F(surgery, munmap_of_a_part_leaves_the_rest)
{
	operate_on_all(_metadata, &self->subject, unmap);
}

static void protect(struct __test_metadata *_metadata, struct subject *subject)
{
	ASSERT_EQ(0, mprotect(cut_map(subject), subject->cut->len, PROT_NONE));
	expect_gone(_metadata, subject, cut_map(subject), subject->cut->len);
	expect_right(_metadata, subject);
	ASSERT_EQ(0, mprotect(cut_map(subject), subject->cut->len, PROT_READ));
	EXPECT_EQ(SIGSEGV, touch_write((uint32_t *)cut_map(subject), 0));
	expect_right(_metadata, subject);
	ASSERT_EQ(0, mprotect(cut_map(subject), subject->cut->len, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, touch_write((uint32_t *)cut_map(subject), 0));
}

TEST_F(surgery, mprotect_of_a_part_and_back_leaves_all)
{
	operate_on_all(_metadata, &self->subject, protect);
}

static void protect_by_key(struct __test_metadata *_metadata, struct subject *subject)
{
	touch_key = pkey_alloc(0, 0);
	ASSERT_LT(0, touch_key);
	ASSERT_EQ(0, pkey_mprotect(cut_map(subject), subject->cut->len, PROT_READ | PROT_WRITE,
				   touch_key));
}

TEST_F(surgery, a_protection_key_for_a_part_leaves_all)
{
	int key = pkey_alloc(0, 0);

	if (key < 0)
		SKIP(return, "no protection keys: %s", strerror(errno));
	pkey_free(key);
	operate_on_all(_metadata, &self->subject, protect_by_key);
}

static void seal(struct __test_metadata *_metadata, struct subject *subject)
{
	ASSERT_EQ(0, syscall(SYS_mseal, cut_map(subject), subject->cut->len, 0));
	EXPECT_EQ(-1, munmap(cut_map(subject), subject->cut->len));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(surgery, a_part_that_is_sealed_leaves_all)
{
	operate_on_all(_metadata, &self->subject, seal);
}

/* Some advice fails (mm_stock.c has the results); advice that splits the mapping succeeds. */
static void advise(struct __test_metadata *_metadata, struct subject *subject)
{
	int advice;

	for (advice = 0; advice < ADVICE_MOST; advice++)
		madvise(cut_map(subject), subject->cut->len, advice);
	EXPECT_EQ(0, madvise(cut_map(subject), subject->cut->len, MADV_RANDOM));
}

TEST_F(surgery, advice_about_a_part_leaves_all)
{
	operate_on_all(_metadata, &self->subject, advise);
}

static void bind_policy(struct __test_metadata *_metadata, struct subject *subject)
{
	unsigned long nodes = 1;

	ASSERT_EQ(0, syscall(SYS_mbind, cut_map(subject), subject->cut->len, MPOL_BIND, &nodes,
			     8 * sizeof(nodes), 0));
}

TEST_F(surgery, a_policy_for_a_part_leaves_all)
{
	if (access("/proc/self/numa_maps", F_OK))
		SKIP(return, "this kernel has no memory policies");
	operate_on_all(_metadata, &self->subject, bind_policy);
}

static void lock(struct __test_metadata *_metadata, struct subject *subject)
{
	ASSERT_EQ(0, mlock(cut_map(subject), subject->cut->len));
	expect_right(_metadata, subject);
	ASSERT_EQ(0, munlock(cut_map(subject), subject->cut->len));
}

TEST_F(surgery, locking_a_part_leaves_all)
{
	operate_on_all(_metadata, &self->subject, lock);
}

/* Finds room for @len bytes; the address is congruent to the cut's plus @off, modulo @align. */
static char *find_room(struct __test_metadata *_metadata, struct subject *subject,
		       uint64_t len, uint64_t align, uint64_t off)
{
	uintptr_t at = (uintptr_t)cut_map(subject) + off;
	char *room = mmap(NULL, len + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, room);
	munmap(room, len + align);
	return room + ((at - (uintptr_t)room) & (align - 1));
}

static char *move(struct __test_metadata *_metadata, char *from, char *to, uint64_t len)
{
	ASSERT_EQ(to, mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to))
		TH_LOG("mremap: %s", strerror(errno));
	return to;
}

static void move_there(struct __test_metadata *_metadata, struct subject *subject, char *to)
{
	uint64_t len = subject->cut->len;

	move(_metadata, cut_map(subject), to, len);
	expect_gone(_metadata, subject, cut_map(subject), len);
	expect_right(_metadata, subject);
	move(_metadata, to, cut_map(subject), len);
	expect_gone(_metadata, subject, to, len);
}

static void move_part(struct __test_metadata *_metadata, struct subject *subject)
{
	uint64_t len = subject->cut->len;

	move_there(_metadata, subject, find_room(_metadata, subject, len, GIB, 0));
	move_there(_metadata, subject, find_room(_metadata, subject, len, GIB, 2 * MIB));
	move_there(_metadata, subject, find_room(_metadata, subject, len, GIB, GRANULE));
}

TEST_F(surgery, a_part_that_is_moved_leaves_nothing_behind)
{
	operate_on_all(_metadata, &self->subject, move_part);
}

/* The whole mapping, twice; no call splits it first. */
static void move_all(struct __test_metadata *_metadata, struct subject *subject)
{
	uint64_t at = subject->cut->at, size = subject->size;
	char *to = find_room(_metadata, subject, size, GIB, -at);

	move(_metadata, subject->map, to, size);
	expect_gone(_metadata, subject, subject->map, size);
	expect_right(_metadata, subject);
	move(_metadata, to, subject->map, size);
	expect_gone(_metadata, subject, to, size);
}

TEST_F(surgery, a_mapping_that_is_moved_whole_leaves_nothing_behind)
{
	operate_on_all(_metadata, &self->subject, move_all);
}

/* Shrinks the mapping by the cut, which is its end, and moves it. */
static void shrink(struct __test_metadata *_metadata, struct subject *subject)
{
	uint64_t left = subject->size - subject->cut->len, last = left - GRANULE;
	char *to = find_room(_metadata, subject, subject->size, GIB, 0);

	ASSERT_EQ(subject->map, mremap(subject->map, subject->size, left, 0));
	expect_gone(_metadata, subject, subject->map + left, subject->cut->len);
	expect_right(_metadata, subject);
	ASSERT_EQ(to, mremap(subject->map, left, last, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	expect_gone(_metadata, subject, subject->map, subject->size);
	expect_gone(_metadata, subject, to + last, GRANULE);
}

TEST_F(surgery, a_mapping_that_shrinks_leaves_nothing_behind)
{
	operate_on_all(_metadata, &self->subject, shrink);
}

static void double_up(struct __test_metadata *_metadata, struct subject *subject)
{
	EXPECT_EQ(MAP_FAILED, mremap(cut_map(subject), 0, subject->cut->len, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(surgery, a_part_cannot_be_doubled)
{
	operate_on_all(_metadata, &self->subject, double_up);
}

static void cover(struct __test_metadata *_metadata, struct subject *subject)
{
	char *map = mmap(cut_map(subject), subject->cut->len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	uint64_t last = subject->cut->len - 4;
	uint32_t value = 1;

	ASSERT_EQ(cut_map(subject), map);
	EXPECT_EQ(0, touch_read((uint32_t *)map, &value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(0, touch_write((uint32_t *)(map + last), 1));
}

TEST_F(surgery, memory_over_a_part_replaces_it)
{
	operate_on_all(_metadata, &self->subject, cover);
}

/* The bytes at the start of the BAR, through its own window. */
static void cover_by_bar(struct __test_metadata *_metadata, struct subject *subject)
{
	uint64_t window = vfio_offset(&subject->dev, BAR2, 0);
	char *map = mmap(cut_map(subject), subject->cut->len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, subject->dev.fd, window);

	ASSERT_EQ(cut_map(subject), map);
}

TEST_F(surgery, another_part_of_the_bar_over_a_part_replaces_it)
{
	operate_on_all(_metadata, &self->subject, cover_by_bar);
}

/*
 * A child checks its part of the mapping, which is all but the cut, and checks it again after a
 * claim was made there.
 */
static void expect_child_without_cut(struct __test_metadata *_metadata,
				     struct subject *subject)
{
	uint64_t window = vfio_offset(&subject->dev, BAR2, subject->at + subject->cut->at);
	struct vfio_subregion_create wc = { };
	int claimed[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(claimed));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(claimed[1]);
		expect_gone(_metadata, subject, cut_map(subject), subject->cut->len);
		expect_right(_metadata, subject);
		(void)!read(claimed[0], &byte, 1);
		if (!subject->place->is_subregion)
			view_add(subject, window, GRANULE, subject->at + subject->cut->at, NULL);
		expect_gone(_metadata, subject, cut_map(subject), subject->cut->len);
		expect_right(_metadata, subject);
		_exit(0);
	}
	close(claimed[0]);
	if (!subject->place->is_subregion)
		wc = fixture_create(_metadata, &subject->dev, BAR2, VFIO_SUBREGION_ATTR_WC,
				    subject->at + subject->cut->at, GRANULE);
	close(claimed[1]);
	fixture_join(_metadata, child);
	if (!subject->place->is_subregion)
		fixture_destroy(_metadata, &subject->dev, wc.index);
}

static void keep_from_fork(struct __test_metadata *_metadata, struct subject *subject)
{
	ASSERT_EQ(0, madvise(cut_map(subject), subject->cut->len, MADV_DONTFORK));
	expect_child_without_cut(_metadata, subject);
	/* This advice is final for device memory. */
	EXPECT_EQ(-1, madvise(cut_map(subject), subject->cut->len, MADV_DOFORK));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(surgery, a_part_kept_from_fork_is_not_reached_by_the_child)
{
	operate_on_all(_metadata, &self->subject, keep_from_fork);
}

static void unmap_and_fork(struct __test_metadata *_metadata, struct subject *subject)
{
	ASSERT_EQ(0, munmap(cut_map(subject), subject->cut->len));
	expect_child_without_cut(_metadata, subject);
}

TEST_F(surgery, a_part_that_is_gone_is_not_reached_by_a_child)
{
	operate_on_all(_metadata, &self->subject, unmap_and_fork);
}

/* Without an opportunity to undo anything. */
static void be_killed(struct __test_metadata *_metadata, struct subject *subject)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		munmap(cut_map(subject), subject->cut->len);
		mprotect(subject->map + subject->size / 2, GRANULE, PROT_NONE);
		expect_right(_metadata, subject);
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(SIGKILL, status);
}

TEST_F(surgery, the_end_of_a_process_with_parts_leaves_the_others)
{
	operate_on_all(_metadata, &self->subject, be_killed);
}

TEST_HARNESS_MAIN
