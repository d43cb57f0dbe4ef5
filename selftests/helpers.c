// SPDX-License-Identifier: GPL-2.0-only
/*
 * The headers in lib/include work as documented with this driver and with vfio-pci, and leave
 * nothing behind when they fail.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <vfio_subregion_helpers.h>

#include "fixture.h"

#define AT	(1 * MIB)
#define SIZE	(4 * MIB)

FIXTURE(helpers) {
	struct vfio_device dev;
};

FIXTURE_SETUP(helpers)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
}

FIXTURE_TEARDOWN(helpers)
{
	vfio_device_close(&self->dev);
}

/* The number of pages in the address space of the process. */
static long pages(void)
{
	long pages = -1;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (statm) {
		if (fscanf(statm, "%ld", &pages) != 1)
			pages = -1;
		fclose(statm);
	}
	return pages;
}

/* contract: userspace.helpers */
TEST_F(helpers, a_window_is_mapped_by_large_entries_and_unmapped_whole)
{
	struct vfio_subregion_create create =
		subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, AT, SIZE);
	/* The first file that a process opens makes stdio allocate memory. */
	long before = pages();
	char *map;

	before = pages();
	map = vfio_subregion_create_map(self->dev.fd, &create);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(TYPE_WC, create.effective_type);
	if (GRANULE == 4 * KIB)
		EXPECT_EQ(create.mmap_offset % (2 * MIB), (uintptr_t)map % (2 * MIB));
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(map + MIB, PTE_WC, SHIFT_2M);
	EXPECT_EQ(before + (long)(SIZE / GRANULE), pages());
	EXPECT_EQ(0, vfio_subregion_unmap_destroy(self->dev.fd, &create, map));
	EXPECT_EQ(before, pages());
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: userspace.helpers */
TEST_F(helpers, a_size_that_is_not_whole_pages_leaves_no_hole)
{
	struct vfio_region_info info;
	long before = pages();
	char *map;

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
	before = pages();
	map = vfio_subregion_map(self->dev.fd, info.offset, 3 * MIB + 1);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(before + (long)(3 * MIB / GRANULE) + 1, pages());
	EXPECT_EQ(0, munmap(map, 3 * MIB + 1));
	EXPECT_EQ(before, pages());
}

/* contract: userspace.helpers */
TEST_F(helpers, a_refusal_keeps_its_errno_and_makes_nothing)
{
	struct vfio_subregion_create create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 1, SIZE);

	EXPECT_EQ(MAP_FAILED, vfio_subregion_create_map(self->dev.fd, &create));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, subregion_count(&self->dev));
	EXPECT_EQ(MAP_FAILED, vfio_subregion_create_map(-1, &create));
	EXPECT_EQ(EBADF, errno);
}

/* contract: userspace.helpers userspace.messages */
TEST_F(helpers, ebusy_is_put_into_words)
{
	struct vfio_subregion_create create =
		subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, AT, SIZE);
	int event = eventfd(0, EFD_CLOEXEC);
	unsigned int bit, other;

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, vfio_offset(&self->dev, BAR2, AT), event));
	create.busy = VFIO_SUBREGION_BUSY_MAPPED;
	EXPECT_EQ(MAP_FAILED, vfio_subregion_create_map(self->dev.fd, &create));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_NE(NULL, strstr(vfio_subregion_busy(create.busy), "ioeventfd"));
	/* Each reason has a text of its own, and so has none. Bit 4 is no reason. */
	for (bit = 0; bit < 8; bit++)
		for (other = 0; other < bit; other++)
			if (bit != 4 && other != 4)
				EXPECT_STRNE(vfio_subregion_busy(1U << other),
					     vfio_subregion_busy(1U << bit));
	EXPECT_STREQ(vfio_subregion_busy(0), vfio_subregion_busy(1U << 7));
	EXPECT_STREQ("another driver (a framebuffer's?) had the BAR at open; end it and reopen",
		     vfio_subregion_busy(VFIO_SUBREGION_BUSY_BAR));
}

/* contract: userspace.helpers */
TEST_F(helpers, a_map_that_fails_leaves_no_hole)
{
	struct vfio_region_info info;
	long before = pages();

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
	before = pages();
	EXPECT_EQ(MAP_FAILED, vfio_subregion_map(self->dev.fd, info.offset, 2 * info.size));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, vfio_subregion_map(self->dev.fd, info.offset + 1, SIZE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, vfio_subregion_map(self->dev.fd, info.offset, UINT64_MAX));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(MAP_FAILED, vfio_subregion_map(self->dev.fd, info.offset, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(before, pages());
}

/* contract: userspace.helpers */
TEST_F(helpers, a_subregion_that_cannot_be_mapped_is_destroyed_again)
{
	struct vfio_subregion_create create =
		subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, AT, SIZE);
	struct rlimit old, small;

	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &old));
	small = old;
	small.rlim_cur = pages() * GRANULE + MIB;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &small));
	EXPECT_EQ(MAP_FAILED, vfio_subregion_create_map(self->dev.fd, &create));
	EXPECT_EQ(ENOMEM, errno);
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &old));
	EXPECT_EQ(0, subregion_count(&self->dev));
	ASSERT_NE(MAP_FAILED, vfio_subregion_create_map(self->dev.fd, &create));
}

/* Returns the size of entry for 2 MiB at an address that the kernel chose, which may be aligned. */
static unsigned int shift_of_chance(void *map)
{
	return (uintptr_t)map % (2 * MIB) ? SHIFT_4K : SHIFT_2M;
}

/* contract: userspace.helpers */
TEST_F(helpers, a_limit_without_room_for_alignment_still_allows_the_mapping)
{
	struct vfio_region_info info;
	struct rlimit old, small;
	void *map;

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &old));
	small = old;
	small.rlim_cur = pages() * GRANULE + 2 * MIB + 64 * KIB;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &small));
	map = vfio_subregion_map(self->dev.fd, info.offset, 2 * MIB);
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &old));
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_TOUCH(map, PTE_NONCACHED, shift_of_chance(map));
}

/*
 * Of a program that has called mlockall() and has no CAP_IPC_LOCK. One limit has no room for the
 * hole in which the mapping is aligned, the other none for the hole and the mapping.
 */
/* contract: userspace.helpers */
TEST_F(helpers, locked_memory_without_room_for_alignment_still_allows_the_mapping)
{
	const rlim_t limits[] = { 2 * MIB + 64 * KIB, 5 * MIB };
	struct vfio_region_info info;
	struct rlimit old, small;
	void *map, *plain;
	unsigned int i;

	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &old));
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		small = (struct rlimit) { .rlim_cur = limits[i], .rlim_max = old.rlim_max };
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &small));
		ASSERT_EQ(0, mlockall(MCL_FUTURE));
		ASSERT_EQ(0, seteuid(1000));
		plain = mmap(NULL, 6 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		map = vfio_subregion_map(self->dev.fd, info.offset, 2 * MIB);
		ASSERT_EQ(0, seteuid(0));
		ASSERT_EQ(0, munlockall());
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &old));
		EXPECT_EQ(MAP_FAILED, plain);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_TOUCH(map, PTE_NONCACHED, shift_of_chance(map));
		munmap(map, 2 * MIB);
	}
}

/* contract: userspace.dma-buf */
TEST_F(helpers, a_dma_buf_has_a_part_of_a_subregion)
{
	struct vfio_subregion_create sub;
	int fd;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, AT, SIZE);
	fd = vfio_subregion_dma_buf(self->dev.fd, sub.index, MIB, SIZE - MIB, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(SIZE - MIB, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	close(fd);
	EXPECT_EQ(-1, vfio_subregion_dma_buf(self->dev.fd, sub.index, MIB, SIZE, O_RDWR));
	EXPECT_EQ(EINVAL, errno);
}

/* contract: userspace.queue */
TEST_F(helpers, a_queue_goes_round_and_its_doorbell_is_rung)
{
	const uint32_t strict[] = { VFIO_SUBREGION_ATTR_NONCACHED };
	const uint32_t wc[] = { VFIO_SUBREGION_ATTR_WC };
	const struct vfio_subregion_part parts[] = { { 0, MIB, strict, 1 }, { AT, MIB, wc, 1 } };
	struct vfio_subregion_mapping got[2];
	struct vfio_subregion_queue queue;
	uint64_t slots[3][8], entry[8];
	unsigned int i;

	ASSERT_EQ(0, vfio_subregion_map_layout(self->dev.fd, BAR2, parts, 2, got));
	EXPECT_EQ(-1, vfio_subregion_queue_init(&queue, got[1].map, 64, 0, got[0].map));
	EXPECT_EQ(-1, vfio_subregion_queue_init(&queue, got[1].map, 20, 3, got[0].map));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, vfio_subregion_queue_init(&queue, got[1].map, 24, 3, got[0].map));
	EXPECT_EQ(&vfio_subregion_copy_slot, queue.copy);
	EXPECT_EQ(0, vfio_subregion_queue_use_line_store(&queue, VFIO_SUBREGION_LINE_WORDS));
	EXPECT_EQ(&vfio_subregion_copy_words, queue.copy);
	ASSERT_EQ(0, vfio_subregion_queue_init(&queue, got[1].map, 64, 3, got[0].map));
	EXPECT_EQ(-1, vfio_subregion_queue_use_line_store(&queue, VFIO_SUBREGION_LINES));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(vfio_subregion_chosen().line, queue.copy);
	EXPECT_EQ(0, vfio_subregion_queue_use_line_store(&queue, VFIO_SUBREGION_LINE_WORDS));
	EXPECT_EQ(&vfio_subregion_line_words, queue.copy);
	for (i = 1; i <= 5; i++) {
		memset(entry, i, sizeof(entry));
		vfio_subregion_queue_push(&queue, entry);
		vfio_subregion_queue_submit(&queue, i);
	}
	vfio_subregion_queue_release(&queue);
	EXPECT_EQ(2, queue.next);
	EXPECT_EQ(5, vfio_subregion_read32(got[0].map));
	vfio_subregion_queue_submit64(&queue, 1ULL << 40 | 6);
	EXPECT_EQ(1ULL << 40 | 6, vfio_subregion_read64(got[0].map));
	for (i = 0; i < 24; i++)
		slots[i / 8][i % 8] = vfio_subregion_read64((char *)got[1].map + 8 * i);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(0x0404040404040404, slots[0][i]);
		EXPECT_EQ(0x0505050505050505, slots[1][i]);
		EXPECT_EQ(0x0303030303030303, slots[2][i]);
	}
}

/* contract: userspace.best */
TEST_F(helpers, the_first_possible_attribute_is_mapped)
{
	const uint32_t wanted[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	struct vfio_subregion_mapping wc, bar, none;

	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, SIZE, wanted, 2, &wc));
	EXPECT_EQ(VFIO_SUBREGION_SOURCE_SUBREGION, wc.source);
	EXPECT_EQ(VFIO_SUBREGION_ATTR_WC, wc.attribute);
	EXPECT_TOUCH(wc.map, PTE_WC, SHIFT_4K);

	/* Claimed pages cannot be mapped through the BAR; the other pages can. */
	EXPECT_EQ(-1, vfio_subregion_map_best(self->dev.fd, BAR2, AT, GRANULE, wanted, 2, &none));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, vfio_subregion_map_best(self->dev.fd, BAR2, AT, GRANULE, wanted + 1, 1,
					      &none));
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, 0, AT, wanted + 1, 1, &bar));
	EXPECT_EQ(VFIO_SUBREGION_SOURCE_BAR, bar.source);
	EXPECT_EQ(VFIO_SUBREGION_ATTR_NONCACHED, bar.attribute);
	EXPECT_TOUCH(bar.map, PTE_NONCACHED, SHIFT_4K);

	vfio_subregion_unmap(self->dev.fd, &wc);
	vfio_subregion_unmap(self->dev.fd, &bar);
	EXPECT_EQ(0, subregion_count(&self->dev));
}

/* contract: userspace.best */
TEST_F(helpers, a_bar_with_an_attribute_is_not_taken_for_a_strict_one)
{
	const uint32_t strict[] = { VFIO_SUBREGION_ATTR_NONCACHED };
	struct vfio_subregion_mapping none;

	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	EXPECT_EQ(-1, vfio_subregion_map_best(self->dev.fd, BAR2, 0, MIB, strict, 1, &none));
	EXPECT_EQ(EBUSY, errno);
}

/* contract: userspace.best userspace.layout userspace.messages */
TEST_F(helpers, the_reason_why_an_attribute_was_not_possible_is_kept)
{
	const uint32_t wanted[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	const struct vfio_subregion_part parts[] = {
		{ 0, MIB, wanted + 1, 1 }, { AT, MIB, wanted, 1 },
	};
	const uint64_t at = vfio_offset(&self->dev, BAR2, AT);
	struct vfio_subregion_mapping got[2];

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, eventfd(0, EFD_CLOEXEC)));
	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, MIB, wanted, 2, got));
	EXPECT_EQ(VFIO_SUBREGION_ATTR_NONCACHED, got[0].attribute);
	EXPECT_EQ(VFIO_SUBREGION_BUSY_IOEVENTFD, got[0].busy);
	vfio_subregion_unmap(self->dev.fd, got);
	EXPECT_EQ(-1, vfio_subregion_map_layout(self->dev.fd, BAR2, parts, 2, got));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(VFIO_SUBREGION_BUSY_IOEVENTFD, got[0].busy);

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
	ASSERT_EQ(0, vfio_subregion_map_layout(self->dev.fd, BAR2, parts, 2, got));
	EXPECT_EQ(0, got[0].busy);
	EXPECT_EQ(0, got[1].busy);
}

/* contract: userspace.layout */
TEST_F(helpers, a_layout_that_fails_is_undone)
{
	const uint32_t strict[] = { VFIO_SUBREGION_ATTR_NONCACHED };
	const uint32_t wc[] = { VFIO_SUBREGION_ATTR_WC };
	struct vfio_subregion_part parts[] = {
		{ 0, MIB, strict, 1 }, { AT, SIZE, wc, 1 }, { 8 * MIB, 1, wc, 1 },
	};
	struct vfio_subregion_mapping got[3];
	long before = pages();

	before = pages();
	EXPECT_EQ(-1, vfio_subregion_map_layout(self->dev.fd, BAR2, parts, 3, got));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, subregion_count(&self->dev));
	EXPECT_EQ(before, pages());

	parts[2] = (struct vfio_subregion_part){ AT + SIZE - GRANULE, MIB, wc, 1 };
	EXPECT_EQ(-1, vfio_subregion_map_layout(self->dev.fd, BAR2, parts, 3, got));
	EXPECT_EQ(EINVAL, errno);
	parts[2].offset = AT + SIZE;
	ASSERT_EQ(0, vfio_subregion_map_layout(self->dev.fd, BAR2, parts, 3, got));
	EXPECT_TOUCH(got[0].map, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(got[1].map, PTE_WC, SHIFT_4K);
	EXPECT_EQ(2, subregion_count(&self->dev));
}

FIXTURE(helpers_stock) {
	struct vfio_device dev;
};

FIXTURE_SETUP(helpers_stock)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", DRIVER_STOCK);
}

FIXTURE_TEARDOWN(helpers_stock)
{
	vfio_device_close(&self->dev);
}

/* contract: userspace.best */
TEST_F(helpers_stock, vfio_pci_gives_its_own_type_and_the_source_says_so)
{
	const uint32_t wanted[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	struct vfio_subregion_mapping got;

	EXPECT_EQ(-1, vfio_subregion_map_best(self->dev.fd, BAR2, 1, MIB, wanted, 2, &got));
	EXPECT_EQ(ENOTTY, errno);
	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, SIZE, wanted, 2, &got));
#if defined(__aarch64__)
	/* The machines of this job have iomem=relaxed. */
	EXPECT_EQ(VFIO_SUBREGION_SOURCE_SYSFS, got.source);
	EXPECT_EQ(VFIO_SUBREGION_ATTR_WC, got.attribute);
	EXPECT_TOUCH(got.map, PTE_WC, SHIFT_4K);
#else
	EXPECT_EQ(VFIO_SUBREGION_SOURCE_BAR, got.source);
	EXPECT_EQ(VFIO_SUBREGION_ATTR_NONCACHED, got.attribute);
	EXPECT_TOUCH(got.map, PTE_NONCACHED, SHIFT_4K);
#endif
	vfio_subregion_copy((char *)got.map + 3, "a copy to whatever it is", 24);
	vfio_subregion_flush_stores();
	EXPECT_EQ('a', vfio_subregion_read8((char *)got.map + 3));
	EXPECT_EQ('s', vfio_subregion_read8((char *)got.map + 26));
	vfio_subregion_unmap(self->dev.fd, &got);
}

FIXTURE(lines) {
	struct vfio_device dev;
};

FIXTURE_VARIANT(lines) {
	enum vfio_subregion_line_store way;
};

/* Without ST64B, which the memory of this device does not accept. */
FIXTURE_VARIANT_ADD(lines, movdir64b) { .way = VFIO_SUBREGION_LINE_MOVDIR64B };
FIXTURE_VARIANT_ADD(lines, avx512) { .way = VFIO_SUBREGION_LINE_AVX512 };
FIXTURE_VARIANT_ADD(lines, avx) { .way = VFIO_SUBREGION_LINE_AVX };
FIXTURE_VARIANT_ADD(lines, sse2) { .way = VFIO_SUBREGION_LINE_SSE2 };
FIXTURE_VARIANT_ADD(lines, stp) { .way = VFIO_SUBREGION_LINE_STP };
FIXTURE_VARIANT_ADD(lines, words) { .way = VFIO_SUBREGION_LINE_WORDS };

FIXTURE_SETUP(lines)
{
	if (!vfio_subregion_routine(variant->way))
		SKIP(return, "this CPU does not have it");
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
}

FIXTURE_TEARDOWN(lines)
{
	vfio_device_close(&self->dev);
}

/* contract: userspace.lines */
TEST_F(lines, a_copy_stores_its_bytes_and_no_others)
{
	const uint32_t attributes[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	unsigned char from[200], got[320];
	unsigned int offset, size, i, type;
	struct vfio_subregion_mapping memory;
	struct vfio_region_info info;

	ASSERT_EQ(0, vfio_subregion_use_line_store(variant->way));
	ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
	for (i = 0; i < sizeof(from); i++)
		from[i] = i + 1;
	for (type = 0; type < 2; type++) {
		ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, GRANULE,
						     &attributes[type], 1, &memory));
		for (offset = 56; offset < 73; offset++) {
			for (size = 0; size <= sizeof(from); size += size < 72 ? 1 : 13) {
				memset(got, 0xee, sizeof(got));
				vfio_subregion_copy(memory.map, got, sizeof(got));
				vfio_subregion_copy((char *)memory.map + offset, from, size);
				vfio_subregion_flush_stores();
				ASSERT_EQ(sizeof(got),
					  pread(self->dev.fd, got, sizeof(got), info.offset + AT));
				for (i = 0; i < sizeof(got); i++) {
					bool inside = i >= offset && i - offset < size;

					ASSERT_EQ(inside ? from[i - offset] : 0xee, got[i])
						TH_LOG("byte %u of %u at %u", i, size, offset);
				}
			}
		}
		vfio_subregion_unmap(self->dev.fd, &memory);
	}
}

/* contract: userspace.lines */
TEST_F(helpers, a_line_is_written_whole_before_and_after_a_way_is_chosen)
{
	const uint32_t attribute = VFIO_SUBREGION_ATTR_WC;
	struct vfio_subregion_mapping memory;
	unsigned char line[64], want;
	unsigned int i;
	int way;

	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, GRANULE, &attribute, 1,
					     &memory));
	/* Before the first way nothing is chosen. The memory does not accept ST64B. */
	for (way = -1; way < VFIO_SUBREGION_LINES; way++) {
		if (way == VFIO_SUBREGION_LINE_ST64B ||
		    (way >= 0 && vfio_subregion_use_line_store(way)))
			continue;
		for (i = 0; i < 64; i++)
			line[i] = 4 * i + way + 1;
		for (i = 0; i < 192; i++)
			vfio_subregion_write8((char *)memory.map + i, 0xee);
		vfio_subregion_write_line((char *)memory.map + 64, line);
		vfio_subregion_flush_stores();
		for (i = 0; i < 192; i++) {
			want = i / 64 == 1 ? line[i % 64] : 0xee;
			ASSERT_EQ(want, vfio_subregion_read8((char *)memory.map + i))
				TH_LOG("byte %u by way %d", i, way);
		}
	}
	vfio_subregion_unmap(self->dev.fd, &memory);
}

/* contract: userspace.lines */
TEST_F(helpers, a_copy_to_wc_memory_stores_its_bytes_and_no_others)
{
	const uint32_t attribute = VFIO_SUBREGION_ATTR_WC;
	unsigned char from[130], want[256];
	uint64_t got[32];
	struct vfio_subregion_mapping memory;
	unsigned int offset, size, i;

	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, GRANULE, &attribute, 1,
					     &memory));
	for (i = 0; i < sizeof(from); i++)
		from[i] = i + 1;
	for (offset = 0; offset < 64; offset++) {
		for (size = 0; size <= sizeof(from); size++) {
			memset(want, 0xee, sizeof(want));
			vfio_subregion_copy(memory.map, want, sizeof(want));
			memcpy(want + offset, from, size);
			vfio_subregion_copy_wc((char *)memory.map + offset, from, size);
			vfio_subregion_flush_stores();
			for (i = 0; i < sizeof(got) / 8; i++)
				got[i] = vfio_subregion_read64((char *)memory.map + 8 * i);
			ASSERT_EQ(0, memcmp(want, got, sizeof(got)))
				TH_LOG("%u bytes at %u", size, offset);
		}
	}
	vfio_subregion_unmap(self->dev.fd, &memory);
}

/* contract: userspace.lines */
TEST_F(helpers, the_slots_of_a_queue_are_stored_whole_in_memory_of_any_type)
{
	const uint32_t attributes[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	struct vfio_subregion_mapping memory, doorbell;
	struct vfio_subregion_queue queue;
	unsigned int type, i, words;
	uint64_t entry[16];

	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, 0, GRANULE, &attributes[1], 1,
					     &doorbell));
	for (i = 0; i < 16; i++)
		entry[i] = 0x0101010101010101 * (i + 1);
	for (type = 0; type < 2; type++) {
		ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, GRANULE,
						     &attributes[type], 1, &memory));
		for (words = 1; words <= 16; words++) {
			ASSERT_EQ(0, vfio_subregion_queue_init(&queue, memory.map, words * 8, 9,
							       doorbell.map));
			for (i = 0; i < 9; i++)
				vfio_subregion_queue_push(&queue, entry);
			vfio_subregion_queue_release(&queue);
			for (i = 0; i < 9 * words; i++)
				ASSERT_EQ(entry[i % words],
					  vfio_subregion_read64((char *)memory.map + 8 * i))
					TH_LOG("word %u of slots of %u", i, words);
		}
		vfio_subregion_unmap(self->dev.fd, &memory);
	}
	vfio_subregion_unmap(self->dev.fd, &doorbell);
}

/* contract: userspace.lines */
TEST_F(helpers, words_are_the_only_stores_once_they_are_chosen)
{
	const vfio_subregion_copy_lines slot = vfio_subregion_copy_slot;
	const vfio_subregion_copy_lines words = vfio_subregion_copy_words;
	const enum vfio_subregion_line_store best = vfio_subregion_detect_line_store();
	const uint32_t attribute = VFIO_SUBREGION_ATTR_NONCACHED;
	struct vfio_subregion_mapping memory;
	struct vfio_subregion_queue queue;
	unsigned char from[130], got[256];
	unsigned int offset, i;

	ASSERT_EQ(0, vfio_subregion_map_best(self->dev.fd, BAR2, AT, GRANULE, &attribute, 1,
					     &memory));
	ASSERT_EQ(0, vfio_subregion_queue_init(&queue, memory.map, 24, 4, NULL));
	EXPECT_EQ(slot, queue.copy);
	ASSERT_EQ(0, vfio_subregion_use_line_store(VFIO_SUBREGION_LINE_WORDS));
	ASSERT_EQ(0, vfio_subregion_queue_init(&queue, memory.map, 24, 4, NULL));
	EXPECT_EQ(words, queue.copy);
	ASSERT_EQ(0, vfio_subregion_queue_use_line_store(&queue, best));
	EXPECT_EQ(slot, queue.copy);
	ASSERT_EQ(0, vfio_subregion_queue_use_line_store(&queue, VFIO_SUBREGION_LINE_WORDS));
	EXPECT_EQ(words, queue.copy);

	/* On arm64, a store to this memory that is not aligned raises SIGBUS. */
	for (i = 0; i < sizeof(from); i++)
		from[i] = i + 1;
	for (offset = 0; offset < 64; offset++) {
		vfio_subregion_copy_wc((char *)memory.map + offset, from, sizeof(from));
		for (i = 0; i < sizeof(got); i++)
			got[i] = vfio_subregion_read8((char *)memory.map + i);
		ASSERT_EQ(0, memcmp(from, got + offset, sizeof(from)))
			TH_LOG("a copy to %u", offset);
	}

	ASSERT_EQ(0, vfio_subregion_use_line_store(best));
	ASSERT_EQ(0, vfio_subregion_queue_init(&queue, memory.map, 24, 4, NULL));
	EXPECT_EQ(slot, queue.copy);
	vfio_subregion_unmap(self->dev.fd, &memory);
}

/* contract: userspace.lines */
TEST_F(helpers, the_way_that_is_chosen_is_the_best_of_this_cpu)
{
	const enum vfio_subregion_line_store way = vfio_subregion_detect_line_store();
	int better;

	EXPECT_NE(NULL, vfio_subregion_routine(way));
	EXPECT_EQ(vfio_subregion_routine(way), vfio_subregion_chosen().lines);
	for (better = 0; better < (int)way; better++)
		if (better != VFIO_SUBREGION_LINE_ST64B)
			EXPECT_EQ(NULL, vfio_subregion_routine(better));
	EXPECT_EQ(-1, vfio_subregion_use_line_store(VFIO_SUBREGION_LINES));
	EXPECT_EQ(EOPNOTSUPP, errno);
	TH_LOG("lines are stored by way %d", way);
}

TEST_HARNESS_MAIN
