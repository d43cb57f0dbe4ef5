// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap offsets do not run out, and a mapping never leads to another subregion: the driver uses the
 * offset of a destroyed subregion again after its last mapping has ended, and not before.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "refusal.h"

/* The number of windows of 1 GiB for which a BAR has offsets. */
#define WINDOWS	512

/* The number of cycles of a test. -DCYCLES=1000000 makes a longer one. */
#ifndef CYCLES
#define CYCLES	(2 * WINDOWS + 2)
#endif

FIXTURE(offsets) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(offsets)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	ASSERT_EQ(2 * GIB, self->bar.size);
}

FIXTURE_TEARDOWN(offsets)
{
	vfio_device_close(&self->dev);
}

/* Creates a subregion of the first GiB, with an attribute that changes no memory type. */
static struct vfio_subregion_create make(struct __test_metadata *_metadata,
					 struct vfio_device *dev)
{
	return fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 0, GIB);
}

/* Creates a window, maps its first page and destroys the window; returns the mapping. */
static char *leave(struct __test_metadata *_metadata, struct vfio_device *dev)
{
	struct vfio_subregion_create sub = make(_metadata, dev);
	char *map = fixture_map(_metadata, dev, sub.mmap_offset, GRANULE, GRANULE);

	fixture_destroy(_metadata, dev, sub.index);
	return map;
}

/* contract: destroy.slots-again */
TEST_F_TIMEOUT(offsets, a_window_of_1g_is_made_and_unmade_without_end, 3600)
{
	struct vfio_subregion_create sub, first = { .mmap_offset = 0 };
	unsigned int i, again = 0;
	uint32_t attribute;
	char *map;

	for (i = 0; i < CYCLES; i++) {
		/* Write combining changes the kernel's mapping of the BAR, which is slow. */
		attribute = i % 64 ? VFIO_SUBREGION_ATTR_DEVICE : VFIO_SUBREGION_ATTR_WC;
		sub = fixture_create(_metadata, &self->dev, BAR2, attribute, 0, GIB);
		ASSERT_EQ(VFIO_PCI_NUM_REGIONS + i, sub.index);
		if (!i)
			first = sub;
		else if (sub.mmap_offset == first.mmap_offset)
			again++;
		map = fixture_map(_metadata, &self->dev, sub.mmap_offset, GIB, 2 * MIB);
		if (!(i % 61))
			EXPECT_TOUCH(map, attribute_pte(attribute), SHIFT_2M);
		munmap(map, GIB);
		fixture_destroy(_metadata, &self->dev, sub.index);
	}
	/* All other offsets come before one is used again. */
	EXPECT_EQ((CYCLES - 1) / WINDOWS, again);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* A mapping that remains from a destroyed window: of two pages at first, and then changed. */
FIXTURE(left) {
	struct vfio_device dev;
	char *map;
	pid_t child;
	/* Closing our end ends the child. */
	int stop[2];
};

FIXTURE_VARIANT(left) {
	enum { WHOLE, FIRST_HALF, SECOND_HALF, MOVED, NO_ACCESS, IN_A_CHILD } how;
};

FIXTURE_VARIANT_ADD(left, whole) { WHOLE };
FIXTURE_VARIANT_ADD(left, first_half) { FIRST_HALF };
FIXTURE_VARIANT_ADD(left, second_half) { SECOND_HALF };
FIXTURE_VARIANT_ADD(left, moved) { MOVED };
FIXTURE_VARIANT_ADD(left, without_access) { NO_ACCESS };
FIXTURE_VARIANT_ADD(left, in_a_child) { IN_A_CHILD };

FIXTURE_SETUP(left)
{
	self->stop[0] = -1;
	self->stop[1] = -1;
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_BIG", vfio_driver());
}

FIXTURE_TEARDOWN(left)
{
	vfio_device_close(&self->dev);
}

/* Changes the mapping of two pages as the variant says. */
static void cut(struct __test_metadata *_metadata, FIXTURE_DATA(left) * self,
		const FIXTURE_VARIANT(left) * variant)
{
	void *hole;
	char byte;

	switch (variant->how) {
	case WHOLE:
		break;
	case FIRST_HALF:
		munmap(self->map + GRANULE, GRANULE);
		break;
	case SECOND_HALF:
		munmap(self->map, GRANULE);
		self->map += GRANULE;
		break;
	case MOVED:
		hole = mmap(NULL, 2 * GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_EQ(hole, mremap(self->map, 2 * GRANULE, 2 * GRANULE,
				       MREMAP_MAYMOVE | MREMAP_FIXED, hole));
		self->map = hole;
		break;
	case NO_ACCESS:
		ASSERT_EQ(0, mprotect(self->map, 2 * GRANULE, PROT_NONE));
		break;
	case IN_A_CHILD:
		ASSERT_EQ(0, pipe(self->stop));
		self->child = fork();
		ASSERT_LE(0, self->child);
		if (!self->child) {
			close(self->stop[1]);
			(void)!read(self->stop[0], &byte, 1);
			EXPECT_SIGBUS(self->map);
			_exit(_metadata->exit_code);
		}
		munmap(self->map, 2 * GRANULE);
		break;
	}
}

/* Ends the rest of the mapping. */
static void end(struct __test_metadata *_metadata, FIXTURE_DATA(left) * self,
		const FIXTURE_VARIANT(left) * variant)
{
	int status;

	if (variant->how != IN_A_CHILD) {
		if (variant->how != NO_ACCESS)
			EXPECT_SIGBUS(self->map);
		munmap(self->map, GRANULE);
		if (variant->how != FIRST_HALF && variant->how != SECOND_HALF)
			munmap(self->map + GRANULE, GRANULE);
		return;
	}
	close(self->stop[1]);
	ASSERT_EQ(self->child, waitpid(self->child, &status, 0));
	EXPECT_EQ(0, status);
}

/* contract: destroy.never-reused destroy.slots-again */
TEST_F(left, it_keeps_its_offset_until_it_ends)
{
	struct vfio_subregion_create old, sub;
	unsigned int i, again = 0;
	char *map;

	old = make(_metadata, &self->dev);
	self->map = fixture_map(_metadata, &self->dev, old.mmap_offset, 2 * GRANULE, GRANULE);
	cut(_metadata, self, variant);
	fixture_destroy(_metadata, &self->dev, old.index);
	for (i = 0; i < 2 * WINDOWS; i++) {
		sub = make(_metadata, &self->dev);
		ASSERT_TRUE(sub.mmap_offset >= old.mmap_offset + GIB ||
			    sub.mmap_offset + GIB <= old.mmap_offset) TH_LOG("round %u", i);
		fixture_destroy(_metadata, &self->dev, sub.index);
	}
	EXPECT_EQ(MAP_FAILED, map_region(&self->dev, old.mmap_offset, GRANULE, GRANULE));
	EXPECT_EQ(EINVAL, errno);
	end(_metadata, self, variant);
	for (i = 0; i < WINDOWS; i++) {
		sub = make(_metadata, &self->dev);
		if (sub.mmap_offset == old.mmap_offset) {
			map = fixture_map(_metadata, &self->dev, sub.mmap_offset, GRANULE, GRANULE);
			EXPECT_TOUCH(map, PTE_DEVICE, SHIFT_4K);
			munmap(map, GRANULE);
			again++;
		}
		fixture_destroy(_metadata, &self->dev, sub.index);
	}
	EXPECT_EQ(1, again);
}

/* contract: create.no-slots destroy.slots-again */
TEST_F(offsets, when_mappings_are_left_at_all_of_them_create_is_enospc)
{
	struct vfio_subregion_create create;
	char *left[WINDOWS];
	unsigned int i;

	for (i = 0; i < WINDOWS; i++)
		left[i] = leave(_metadata, &self->dev);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, 0, GIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, ENOSPC);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &create, ENOSPC);
	/* The end of one mapping makes room for one window. */
	munmap(left[100], GRANULE);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 0, GIB);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, GIB, GRANULE);
	expect_refused(_metadata, &self->dev, &self->bar, &create, ENOSPC);
	for (i = 0; i < WINDOWS; i++)
		munmap(left[i], GRANULE);
}

/* Mappings remain at all offsets but one, so the next subregion gets that one again. */
/* contract: destroy.never-reused export.destroyed */
TEST_F(offsets, an_export_of_a_destroyed_subregion_never_leads_to_the_next_one)
{
	struct vfio_subregion_create sub, next;
	unsigned int i;
	uint32_t value;
	int fd;

	for (i = 0; i < WINDOWS - 1; i++)
		leave(_metadata, &self->dev);
	sub = make(_metadata, &self->dev);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	fixture_destroy(_metadata, &self->dev, sub.index);
	next = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, GIB, GIB);
	ASSERT_EQ(sub.mmap_offset, next.mmap_offset);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, pread(fd, &value, sizeof(value), 0));
	EXPECT_EQ(ENODEV, errno);
	close(fd);
}

/*
 * Mappings remain at all offsets but one, and one of an export there. The next subregion gets that
 * offset, and whether it is free depends on the mappings of the device file alone.
 */
/* contract: export.offsets export.destroyed */
TEST_F(offsets, a_mapping_of_an_export_keeps_none_and_never_leads_to_the_next_subregion)
{
	struct vfio_subregion_create sub, next;
	char *map, *owners;
	unsigned int i;
	int fd;

	for (i = 0; i < WINDOWS - 1; i++)
		leave(_metadata, &self->dev);
	sub = make(_metadata, &self->dev);
	fd = fixture_export(_metadata, &self->dev, sub.index, O_RDWR);
	map = fixture_map_export(_metadata, fd, PROT_READ, 4 * GRANULE);
	EXPECT_TOUCH(map, PTE_DEVICE, SHIFT_4K);
	fixture_destroy(_metadata, &self->dev, sub.index);
	next = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, GIB, GIB);
	ASSERT_EQ(sub.mmap_offset, next.mmap_offset);
	owners = fixture_map(_metadata, &self->dev, next.mmap_offset, 4 * GRANULE, GRANULE);
	EXPECT_TOUCH(owners, PTE_DEVICE, SHIFT_4K);
	EXPECT_SIGBUS(map);
	/* Parts that come and go change no count. */
	ASSERT_EQ(0, munmap(map + GRANULE, GRANULE));
	ASSERT_EQ(0, munmap(map + 2 * GRANULE, GRANULE));
	EXPECT_SIGBUS(map + 3 * GRANULE);
	fixture_destroy(_metadata, &self->dev, next.index);
	EXPECT_EQ(-ENOSPC, subregion_create(&self->dev, &sub));
	munmap(owners, 4 * GRANULE);
	next = make(_metadata, &self->dev);
	EXPECT_EQ(sub.mmap_offset, next.mmap_offset);
	EXPECT_SIGBUS(map);
	EXPECT_SIGBUS(map + 3 * GRANULE);
	munmap(map, 4 * GRANULE);
	close(fd);
}

/* The first word of each half of the BAR. */
static const uint32_t marks[] = { 0xaaaa0000, 0xbbbb0001 };

/*
 * Maps @offset in a loop until *@stop is true. Each mapping must show the bytes of one subregion
 * only. Returns the number of mappings that could be read, or -1 if one showed other bytes.
 */
static int map_repeatedly(struct vfio_device *dev, uint64_t offset, const volatile bool *stop)
{
	uint32_t first, value;
	unsigned int i;
	int seen = 0;
	char *map;

	while (!*stop) {
		map = map_region(dev, offset, GRANULE, GRANULE);
		if (map == MAP_FAILED)
			continue;
		if (!touch_read((void *)map, &first)) {
			seen++;
			if (first != marks[0] && first != marks[1])
				return -1;
			for (i = 0; i < 20 && !touch_read((void *)map, &value); i++)
				if (value != first)
					return -1;
		}
		munmap(map, GRANULE);
	}
	return seen;
}

/* Mappings remain at all offsets but one, so the next subregion gets that one again. */
/* contract: destroy.never-reused */
TEST_F(offsets, a_mapping_that_is_made_meanwhile_never_leads_to_another_subregion)
{
	struct vfio_subregion_create sub;
	volatile bool *stop;
	unsigned int i;
	int status, ret;
	pid_t child;

	stop = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)stop);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(4, pwrite(self->dev.fd, &marks[i], 4,
				    vfio_offset(&self->dev, BAR2, i * GIB)));
	for (i = 0; i < WINDOWS - 1; i++)
		leave(_metadata, &self->dev);
	sub = make(_metadata, &self->dev);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		ret = map_repeatedly(&self->dev, sub.mmap_offset, stop);
		_exit(ret < 0 ? 1 : ret ? 0 : 2);
	}
	/* CREATE fails while the child maps the destroyed subregion. */
	for (i = 0; i < 2000; i++) {
		fixture_destroy(_metadata, &self->dev, sub.index);
		do {
			sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, i % 2 * GIB, GIB);
			ret = subregion_create(&self->dev, &sub);
		} while (ret == -ENOSPC);
		ASSERT_EQ(0, ret);
	}
	*stop = true;
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("1: other bytes; 2: it never mapped any: %#x", status);
}

/* The exports of subregions that have one offset in turn, the last of which exists. */
#define EXPORTS	200

struct receiver {
	pthread_t thread;
	int fds[EXPORTS];
	/* The number of subregions. */
	atomic_uint made;
	atomic_bool stop;
	/* The number of mappings that showed the bytes of their subregion, and of others. */
	atomic_uint seen;
	atomic_uint wrong;
};

/* Maps the newest export and touches it until that ends, and a while longer. */
static void *receive(void *data)
{
	struct receiver *receiver = data;
	unsigned int made, after;
	uint32_t value;
	char *map;

	while (!receiver->stop) {
		made = receiver->made;
		if (!made)
			continue;
		map = mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, receiver->fds[made - 1], 0);
		if (map == MAP_FAILED) {
			receiver->wrong += errno != ENODEV;
			continue;
		}
		for (after = 0; after < 20 && !receiver->stop;) {
			if (touch_read((uint32_t *)map, &value))
				after++;
			else if (value == marks[(made - 1) % 2] && !after)
				receiver->seen++;
			else
				receiver->wrong++;
		}
		munmap(map, GRANULE);
	}
	return NULL;
}

/* contract: export.offsets export.race */
TEST_F(offsets, an_export_that_is_mapped_meanwhile_never_leads_to_another_subregion)
{
	struct receiver *receiver = calloc(1, sizeof(*receiver));
	struct vfio_subregion_create sub, first = { .mmap_offset = 0 };
	unsigned int i, enough;

	ASSERT_NE(NULL, receiver);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(4, pwrite(self->dev.fd, &marks[i], 4,
				    vfio_offset(&self->dev, BAR2, i * GIB)));
	for (i = 0; i < WINDOWS - 1; i++)
		leave(_metadata, &self->dev);
	ASSERT_EQ(0, pthread_create(&receiver->thread, NULL, receive, receiver));
	for (i = 0; i < EXPORTS && !receiver->wrong; i++) {
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE,
				     i % 2 * GIB, GIB);
		if (!i)
			first = sub;
		ASSERT_EQ(first.mmap_offset, sub.mmap_offset);
		receiver->fds[i] = fixture_export(_metadata, &self->dev, sub.index, O_RDONLY);
		enough = receiver->seen + 1;
		receiver->made = i + 1;
		while (receiver->seen < enough && !receiver->wrong)
			sched_yield();
		fixture_destroy(_metadata, &self->dev, sub.index);
	}
	receiver->stop = true;
	ASSERT_EQ(0, pthread_join(receiver->thread, NULL));
	EXPECT_EQ(0, receiver->wrong);
	for (i = 0; i < EXPORTS; i++)
		close(receiver->fds[i]);
	free(receiver);
}

TEST_HARNESS_MAIN
