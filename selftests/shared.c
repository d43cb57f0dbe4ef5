// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_SUBREGION_CREATE_SHARED: an identical request returns the same subregion, which exists until
 * VFIO_SUBREGION_DESTROY has been called once for each request.
 */
#include <sys/wait.h>

#include "refusal.h"

#define AT	(4 * MIB)
#define SIZE	(1 * MIB)

/* The maximum number of requests that share a subregion. */
#define SHARES	65535

FIXTURE(shared) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(shared)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(shared)
{
	vfio_device_close(&self->dev);
}

static struct vfio_subregion_create request(uint32_t attribute, uint64_t offset, uint64_t size)
{
	struct vfio_subregion_create create = subregion_init(BAR2, attribute, offset, size);

	create.flags = VFIO_SUBREGION_CREATE_SHARED;
	return create;
}

/* Creates the subregion of all tests, or shares it. */
static struct vfio_subregion_create share(struct __test_metadata *_metadata,
					  struct vfio_device *dev)
{
	struct vfio_subregion_create create = request(VFIO_SUBREGION_ATTR_WC, AT, SIZE);

	ASSERT_EQ(0, subregion_create(dev, &create));
	return create;
}

/* contract: create.shared */
TEST_F(shared, the_same_request_again_is_the_same_subregion)
{
	struct vfio_subregion_create first = share(_metadata, &self->dev), again;
	struct state before = state_of(&self->dev, &self->bar);
	char *map;

	map = fixture_map(_metadata, &self->dev, first.mmap_offset, SIZE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	again = share(_metadata, &self->dev);
	EXPECT_EQ(first.index, again.index);
	EXPECT_EQ(first.mmap_offset, again.mmap_offset);
	EXPECT_EQ(first.effective_type, again.effective_type);
	/* Mappings keep their entries, and the device describes the same regions. */
	EXPECT_STREQ(PTE_WC, pte_type(map));
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

/* contract: destroy.shared */
TEST_F(shared, it_lives_until_the_last_request_was_taken_back)
{
	struct vfio_subregion_create sub = {};
	unsigned int i;
	char *map;

	for (i = 0; i < 3; i++)
		sub = share(_metadata, &self->dev);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, SIZE, 2 * MIB);
	for (i = 0; i < 2; i++) {
		EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
		fixture_destroy(_metadata, &self->dev, sub.index);
		EXPECT_STREQ(PTE_WC, pte_type(map));
		EXPECT_EQ(1, subregion_count(&self->dev));
	}
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_SIGBUS(map);
	EXPECT_EQ(0, subregion_count(&self->dev));
	EXPECT_EQ(-ENOENT, subregion_destroy(&self->dev, sub.index));
	/* The next request creates a new subregion, with its own count. */
	EXPECT_EQ(sub.index + 1, share(_metadata, &self->dev).index);
	fixture_destroy(_metadata, &self->dev, sub.index + 1);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: create.shared */
TEST_F(shared, any_other_request_for_its_pages_is_eexist)
{
	const struct {
		uint32_t attribute;
		uint64_t offset;
		uint64_t size;
	} others[] = {
		{ VFIO_SUBREGION_ATTR_DEVICE, AT, SIZE },
		{ VFIO_SUBREGION_ATTR_NONCACHED, AT, SIZE },
		{ VFIO_SUBREGION_ATTR_GUEST_ANY, AT, SIZE },
		{ VFIO_SUBREGION_ATTR_WC, AT, SIZE - GRANULE },
		{ VFIO_SUBREGION_ATTR_WC, AT, SIZE + GRANULE },
		{ VFIO_SUBREGION_ATTR_WC, AT + GRANULE, SIZE - GRANULE },
		{ VFIO_SUBREGION_ATTR_WC, AT - GRANULE, SIZE + GRANULE },
		{ VFIO_SUBREGION_ATTR_WC, AT + GRANULE, SIZE },
	};
	struct vfio_subregion_create sub = share(_metadata, &self->dev), other;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		other = request(others[i].attribute, others[i].offset, others[i].size);
		expect_refused(_metadata, &self->dev, &self->bar, &other, EEXIST);
		EXPECT_EQ(sub.index, other.index);
	}
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: create.shared */
TEST_F(shared, a_request_without_the_flag_is_eexist)
{
	struct vfio_subregion_create sub = share(_metadata, &self->dev), other;

	other = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, AT, SIZE);
	expect_refused(_metadata, &self->dev, &self->bar, &other, EEXIST);
	EXPECT_EQ(sub.index, other.index);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: create.shared */
TEST_F(shared, one_that_was_made_without_the_flag_is_eexist)
{
	struct vfio_subregion_create sub, other = request(VFIO_SUBREGION_ATTR_WC, AT, SIZE);

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, AT, SIZE);
	expect_refused(_metadata, &self->dev, &self->bar, &other, EEXIST);
	EXPECT_EQ(sub.index, other.index);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: create.shared */
TEST_F(shared, one_request_more_than_can_be_counted_is_enospc)
{
	struct vfio_subregion_create sub = share(_metadata, &self->dev), more;
	unsigned int i;

	for (i = 1; i < SHARES; i++) {
		more = request(VFIO_SUBREGION_ATTR_WC, AT, SIZE);
		ASSERT_EQ(0, subregion_create(&self->dev, &more));
	}
	more = request(VFIO_SUBREGION_ATTR_WC, AT, SIZE);
	expect_refused(_metadata, &self->dev, &self->bar, &more, ENOSPC);
	fixture_destroy(_metadata, &self->dev, sub.index);
	ASSERT_EQ(0, subregion_create(&self->dev, &more));
	for (i = 1; i < SHARES; i++)
		fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(1, subregion_count(&self->dev));
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: create.shared args.efault */
TEST_F(shared, a_request_that_cannot_be_answered_is_efault_and_does_not_count)
{
	struct vfio_subregion_create sub = share(_metadata, &self->dev);
	void *page;

	page = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	memcpy(page, &sub, sizeof(sub));
	ASSERT_EQ(0, mprotect(page, GRANULE, PROT_READ));
	expect_refused(_metadata, &self->dev, &self->bar, page, EFAULT);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* The count belongs to the device. It does not fall when a process ends. */
/* contract: create.shared destroy.shared */
TEST_F(shared, requests_of_other_processes_count)
{
	struct vfio_subregion_create sub = share(_metadata, &self->dev);
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		EXPECT_EQ(sub.index, share(_metadata, &self->dev).index);
		_exit(_metadata->exit_code);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(1, subregion_count(&self->dev));
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

#define PROCESSES	4
#define ROUNDS		200

/* Shares the subregion, checks its type and destroys it, in a loop; returns the failures. */
static unsigned int share_repeatedly(struct vfio_device *dev)
{
	struct vfio_subregion_create create;
	unsigned int i, failed = 0;
	uint32_t value;
	char *map;

	for (i = 0; i < ROUNDS; i++) {
		create = request(VFIO_SUBREGION_ATTR_WC, AT, SIZE);
		if (subregion_create(dev, &create)) {
			failed++;
			continue;
		}
		map = map_region(dev, create.mmap_offset, GRANULE, GRANULE);
		if (map == MAP_FAILED || touch_read((void *)map, &value) ||
		    strcmp(PTE_WC, pte_type(map)))
			failed++;
		if (map != MAP_FAILED)
			munmap(map, GRANULE);
		failed += subregion_destroy(dev, create.index) != 0;
	}
	return failed;
}

/* The subregion exists as long as any process shares it. */
/* contract: create.shared destroy.shared */
TEST_F(shared, many_processes_share_it_and_take_it_back)
{
	pid_t children[PROCESSES];
	unsigned int i;
	int status;

	for (i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		ASSERT_LE(0, children[i]);
		if (!children[i])
			_exit(share_repeatedly(&self->dev) != 0);
	}
	for (i = 0; i < PROCESSES; i++) {
		ASSERT_EQ(children[i], waitpid(children[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_EQ(0, subregion_count(&self->dev));
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
}

TEST_HARNESS_MAIN
