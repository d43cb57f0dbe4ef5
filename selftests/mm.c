// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process changes mappings of a subregion in many ways, and they keep their type.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(4 * MIB)

FIXTURE(mm) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
	char *map;
};

FIXTURE_SETUP(mm)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
				   CLAIM_SIZE);
	self->map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
}

FIXTURE_TEARDOWN(mm)
{
	vfio_device_close(&self->dev);
}

/* Moves a part of a mapping to an unused address. */
static char *move(struct __test_metadata *_metadata, char *map, size_t size)
{
	char *hole, *moved;

	hole = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, hole);
	moved = mremap(map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, hole);
	ASSERT_EQ(hole, moved) TH_LOG("mremap: %s", strerror(errno));
	return moved;
}

/* contract: mmap.fork */
TEST_F(mm, a_forked_child_has_the_same_type)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		/* One page that the parent has touched, and one that it has not. */
		EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
		EXPECT_TOUCH(self->map + 2 * MIB, PTE_WC, SHIFT_2M);
		_exit(0);
	}
	fixture_join(_metadata, child);
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
}

/* contract: mmap.fork */
TEST_F(mm, a_child_that_unmaps_it_leaves_the_parent_its_entries)
{
	int touched[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(touched));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(touched[1]);
		(void)!read(touched[0], &byte, 1);
		_exit(munmap(self->map, CLAIM_SIZE) ? 1 : 0);
	}
	/* fork() has removed it (fork_race.c). */
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_2M);
	close(touched[1]);
	fixture_join(_metadata, child);
	EXPECT_STREQ(PTE_WC, pte_type(self->map));
}

/* contract: mmap.fork */
TEST_F(mm, a_grandchild_has_the_same_type_when_all_others_are_gone)
{
	int release[2], done[2];
	pid_t child;
	char result;

	ASSERT_EQ(0, pipe(release));
	ASSERT_EQ(0, pipe(done));
	/* The test must wait for the grandchild, which keeps the device open until it exits. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (fork())
			_exit(0);
		close(release[1]);
		vfio_device_close(&self->dev);
		(void)!read(release[0], &result, 1);
		EXPECT_TOUCH(self->map + 2 * MIB, PTE_WC, SHIFT_2M);
		(void)!write(done[1], "", 1);
		_exit(0);
	}
	fixture_join(_metadata, child);
	munmap(self->map, CLAIM_SIZE);
	vfio_device_close(&self->dev);
	close(release[1]);
	ASSERT_EQ(1, read(done[0], &result, 1));
	ASSERT_LT(0, wait(NULL));
}

/* contract: mmap.mremap */
TEST_F(mm, a_moved_mapping_has_the_same_type_and_bytes)
{
	char *moved = move(_metadata, self->map, CLAIM_SIZE);

	EXPECT_TOUCH(moved, PTE_WC, 0);
	EXPECT_TOUCH(moved + 3 * MIB, PTE_WC, 0);
	EXPECT_EQ(self->bar.start + CLAIM + 3 * MIB, pte_phys(moved + 3 * MIB));
}

/* contract: mmap.mremap */
TEST_F(mm, a_moved_part_has_the_same_type_and_bytes)
{
	char *moved = move(_metadata, self->map + MIB, 2 * GRANULE);

	EXPECT_TOUCH(moved, PTE_WC, SHIFT_4K);
	EXPECT_EQ(self->bar.start + CLAIM + MIB, pte_phys(moved));
	EXPECT_TOUCH(self->map + MIB - 4, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + MIB + 2 * GRANULE, PTE_WC, SHIFT_4K);
}

/* contract: mmap.mremap */
TEST_F(mm, a_moved_mapping_is_revoked_like_others)
{
	char *moved = move(_metadata, self->map, CLAIM_SIZE);

	EXPECT_TOUCH(moved, PTE_WC, 0);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
	EXPECT_SIGBUS(moved);
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	EXPECT_TOUCH(moved, PTE_WC, 0);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	EXPECT_SIGBUS(moved);
	EXPECT_SIGBUS(moved + CLAIM_SIZE - 4);
}

/* contract: mmap.mremap */
TEST_F(mm, a_dead_mapping_can_be_moved_and_stays_dead)
{
	char *moved;

	fixture_destroy(_metadata, &self->dev, self->sub.index);
	moved = move(_metadata, self->map, CLAIM_SIZE);
	EXPECT_SIGBUS(moved);
	ASSERT_EQ(0, mprotect(moved, CLAIM_SIZE, PROT_READ));
	EXPECT_SIGBUS(moved);
}

/* contract: mmap.mremap */
TEST_F(mm, a_mapping_that_shrinks_keeps_the_type_of_its_rest)
{
	ASSERT_EQ(self->map, mremap(self->map, CLAIM_SIZE, MIB, 0));
	EXPECT_TOUCH(self->map, PTE_WC, 0);
	EXPECT_TOUCH(self->map + MIB - 4, PTE_WC, 0);
}

/* contract: mmap.split */
TEST_F(mm, the_parts_of_a_split_mapping_keep_type_and_bytes)
{
	ASSERT_EQ(0, munmap(self->map + MIB, MIB));
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + MIB - 4, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + 2 * MIB, PTE_WC, SHIFT_2M);
	EXPECT_EQ(self->bar.start + CLAIM + 2 * MIB, pte_phys(self->map + 2 * MIB));
}

/* contract: mmap.split */
TEST_F(mm, both_parts_of_a_split_mapping_die_with_the_subregion)
{
	ASSERT_EQ(0, munmap(self->map + MIB, MIB));
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + 2 * MIB, PTE_WC, SHIFT_2M);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	EXPECT_SIGBUS(self->map);
	EXPECT_SIGBUS(self->map + MIB - 4);
	EXPECT_SIGBUS(self->map + 2 * MIB);
}

/* contract: mmap.split */
TEST_F(mm, a_mapping_that_becomes_one_again_keeps_its_type)
{
	char *again;

	ASSERT_EQ(0, munmap(self->map + MIB, MIB));
	again = mmap(self->map + MIB, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     self->dev.fd, self->sub.mmap_offset + MIB);
	ASSERT_EQ(self->map + MIB, again);
	EXPECT_TOUCH(self->map + MIB, PTE_WC, 0);
	EXPECT_TOUCH(self->map + 2 * MIB - 4, PTE_WC, 0);
	EXPECT_EQ(self->bar.start + CLAIM + MIB, pte_phys(again));
}

/* contract: mmap.split */
TEST_F(mm, mprotect_changes_access_and_not_the_type)
{
	uint32_t value;

	ASSERT_EQ(0, mprotect(self->map, CLAIM_SIZE, PROT_READ));
	EXPECT_TOUCH(self->map, PTE_WC, 0);
	EXPECT_EQ(SIGSEGV, touch_write((uint32_t *)self->map, 1));
	ASSERT_EQ(0, mprotect(self->map, CLAIM_SIZE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, touch_read((uint32_t *)self->map, &value));
	ASSERT_EQ(0, mprotect(self->map, CLAIM_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, touch_write((uint32_t *)self->map, 1));
	EXPECT_TOUCH(self->map, PTE_WC, 0);
	EXPECT_TOUCH(self->map + 2 * MIB, PTE_WC, 0);
}

/* contract: mmap.split */
TEST_F(mm, mprotect_of_a_part_leaves_the_type_of_all)
{
	ASSERT_EQ(0, mprotect(self->map + MIB, GRANULE, PROT_READ));
	EXPECT_TOUCH(self->map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + MIB, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + MIB + GRANULE, PTE_WC, SHIFT_4K);
	EXPECT_EQ(SIGSEGV, touch_write((uint32_t *)(self->map + MIB), 1));
	EXPECT_EQ(0, touch_write((uint32_t *)(self->map + MIB + GRANULE), 1));
	ASSERT_EQ(0, mprotect(self->map + MIB, GRANULE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, touch_write((uint32_t *)(self->map + MIB), 1));
	EXPECT_TOUCH(self->map + MIB, PTE_WC, SHIFT_4K);
}

/* contract: mmap.split */
TEST_F(mm, a_read_only_mapping_has_the_type)
{
	char *map = mmap(NULL, CLAIM_SIZE, PROT_READ, MAP_SHARED, self->dev.fd,
			 self->sub.mmap_offset);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_TOUCH(map, PTE_WC, 0);
	EXPECT_EQ(SIGSEGV, touch_write((uint32_t *)map, 1));
}

/*
 * A kernel with soft-dirty bits makes entries read-only then, until the first write. Without a fix,
 * such a write never ends on vfio-pci.
 */
/* contract: mmap.soft-dirty */
TEST_F(mm, a_mapping_whose_writes_the_kernel_watches_can_be_written)
{
	char *map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	int refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	uint32_t value;
	pid_t child;

	ASSERT_LE(0, refs) TH_LOG("clear_refs: %s", strerror(errno));
	ASSERT_EQ(1, write(refs, "4", 1));
	close(refs);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		/* Ends a write that faults again and again. */
		alarm(20);
		EXPECT_EQ(0, touch_write((uint32_t *)map, 0x50f7d147));
		EXPECT_EQ(0, touch_read((uint32_t *)(map + 2 * MIB), &value));
		EXPECT_EQ(0, touch_write((uint32_t *)(map + 2 * MIB), 1));
		EXPECT_EQ(0, touch_write((uint32_t *)self->map, 0x50f7d147));
		_exit(0);
	}
	fixture_join(_metadata, child);
	EXPECT_TOUCH(map, PTE_WC, 0);
	EXPECT_TOUCH(map + 2 * MIB, PTE_WC, 0);
	EXPECT_EQ(0x50f7d147, *(volatile uint32_t *)map);
}

/* contract: mmap.several */
TEST_F(mm, two_mappings_of_one_subregion_have_the_same_type_and_bytes)
{
	char *other;

	other = fixture_map(_metadata, &self->dev, self->sub.mmap_offset + 2 * GRANULE, 2 * GRANULE,
			    GRANULE);
	EXPECT_TOUCH(other, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + 2 * GRANULE, PTE_WC, SHIFT_2M);
	EXPECT_EQ(pte_phys(self->map + 2 * GRANULE), pte_phys(other));
	munmap(self->map, CLAIM_SIZE);
	EXPECT_STREQ(PTE_WC, pte_type(other));
}

/* contract: mmap.several */
TEST_F(mm, a_mapping_over_another_replaces_it)
{
	uint64_t window = vfio_offset(&self->dev, BAR2, 0);

	ASSERT_EQ(self->map, mmap(self->map, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				  self->dev.fd, window));
	EXPECT_TOUCH(self->map, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(self->map + MIB, PTE_WC, SHIFT_4K);
	EXPECT_EQ(self->bar.start, pte_phys(self->map));
}

/* Takes the descriptor @fd of the parent. */
static int parents_fd(int fd)
{
	int parent = syscall(SYS_pidfd_open, getppid(), 0);
	int taken = parent < 0 ? -1 : syscall(SYS_pidfd_getfd, parent, fd, 0);

	close(parent);
	return taken;
}

/* Knows only the descriptor of the device. Finds, maps and writes (@value) the subregion. */
static void use_taken(struct __test_metadata *_metadata, int fd, uint32_t value)
{
	const struct vfio_region_info_cap_subregion *cap;
	struct vfio_device dev = VFIO_DEVICE_CLOSED;
	struct vfio_region_info *info;
	int index, found = 0;
	char *map;

	ASSERT_LE(0, fd);
	dev.fd = fd;
	for (index = VFIO_PCI_NUM_REGIONS; index < vfio_num_regions(&dev); index++) {
		info = vfio_region_info_caps(&dev, index);
		ASSERT_NE(NULL, info);
		cap = vfio_region_cap(info, VFIO_REGION_INFO_CAP_SUBREGION);
		if (cap && cap->attribute == VFIO_SUBREGION_ATTR_WC) {
			found++;
			EXPECT_EQ(CLAIM, cap->offset);
			EXPECT_EQ(CLAIM_SIZE, info->size);
			map = fixture_map(_metadata, &dev, info->offset, info->size, 2 * MIB);
			EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
			EXPECT_EQ(0, touch_write((uint32_t *)map, value));
			__sync_synchronize();
		}
		free(info);
	}
	EXPECT_EQ(1, found);
}

/* contract: mmap.second-process */
TEST_F(mm, a_process_that_takes_the_device_finds_and_maps_the_subregion)
{
	uint32_t value = fixture_pattern();
	int fd = self->dev.fd;
	pid_t child;

	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 0, GRANULE);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		munmap(self->map, CLAIM_SIZE);
		vfio_device_close(&self->dev);
		use_taken(_metadata, parents_fd(fd), value);
		_exit(0);
	}
	fixture_join(_metadata, child);
	EXPECT_EQ(value, *(volatile uint32_t *)self->map);
	EXPECT_STREQ(PTE_WC, pte_type(self->map));
}

TEST_HARNESS_MAIN
