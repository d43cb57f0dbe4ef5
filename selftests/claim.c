// SPDX-License-Identifier: GPL-2.0-only
/*
 * A claim: only mappings of the subregion reach its pages. read() and write() through the BAR still
 * reach them, and the standard VFIO calls report the claim.
 */
#include "fixture.h"

/* In the middle of the third 2M page of the BAR, so that 2M entries straddle both ends. */
#define CLAIM		(5 * MIB)
#define CLAIM_SIZE	(2 * GRANULE)

FIXTURE(claim) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t window;
};

FIXTURE_SETUP(claim)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
}

FIXTURE_TEARDOWN(claim)
{
	vfio_device_close(&self->dev);
}

static struct vfio_subregion_create claim(struct __test_metadata *_metadata,
					  struct vfio_device *dev)
{
	return fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM, CLAIM_SIZE);
}

/* contract: claim.bar-loses-pages */
TEST_F(claim, a_bar_mapping_by_4k_entries_loses_just_the_claimed_pages)
{
	struct vfio_subregion_create sub;
	char *bar, *map;

	/* 16 KiB around the claim: too small for a 2M entry. */
	bar = fixture_map(_metadata, &self->dev, self->window + CLAIM - GRANULE, 4 * GRANULE,
			  2 * MIB);
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(bar + GRANULE, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(bar + 2 * GRANULE, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(bar + 3 * GRANULE, PTE_NONCACHED, SHIFT_4K);
	sub = claim(_metadata, &self->dev);
	EXPECT_STREQ(PTE_NONE, pte_type(bar + GRANULE));
	EXPECT_STREQ(PTE_NONE, pte_type(bar + 2 * GRANULE));
	EXPECT_TOUCH(bar, PTE_NONCACHED, SHIFT_4K);
	EXPECT_SIGBUS(bar + GRANULE);
	EXPECT_SIGBUS(bar + 2 * GRANULE);
	EXPECT_TOUCH(bar + 3 * GRANULE, PTE_NONCACHED, SHIFT_4K);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(map + GRANULE, PTE_WC, SHIFT_4K);
}

/* contract: claim.bar-loses-pages */
TEST_F(claim, a_bar_mapping_by_2m_entries_that_straddles_the_claim_is_split)
{
	char *bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB), *map;
	struct vfio_subregion_create sub;
	uint64_t at;

	for (at = 0; at < self->bar.size; at += 2 * MIB)
		EXPECT_TOUCH(bar + at, PTE_NONCACHED, SHIFT_2M);
	sub = claim(_metadata, &self->dev);
	EXPECT_STREQ(PTE_NONE, pte_type(bar + CLAIM));
	EXPECT_STREQ(PTE_NONE, pte_type(bar + CLAIM + GRANULE));
	/* The rest of that 2M page gets small entries again, up to both ends of the claim. */
	EXPECT_TOUCH(bar + 4 * MIB, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(bar + CLAIM - 4, PTE_NONCACHED, SHIFT_4K);
	EXPECT_SIGBUS(bar + CLAIM);
	EXPECT_SIGBUS(bar + CLAIM + CLAIM_SIZE - 4);
	EXPECT_TOUCH(bar + CLAIM + CLAIM_SIZE, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(bar + 6 * MIB - 4, PTE_NONCACHED, SHIFT_4K);
	/* Every other 2M page is unchanged. */
	for (at = 0; at < self->bar.size; at += 2 * MIB)
		if (at != 4 * MIB)
			EXPECT_TOUCH(bar + at, PTE_NONCACHED, SHIFT_2M);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(map + CLAIM_SIZE - 4, PTE_WC, SHIFT_4K);
}

/* contract: claim.bar-loses-pages */
TEST_F(claim, a_bar_mapping_made_afterwards_has_no_claimed_pages_either)
{
	char *bar;

	claim(_metadata, &self->dev);
	bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_SIGBUS(bar + CLAIM);
	EXPECT_TOUCH(bar + CLAIM - 4, PTE_NONCACHED, SHIFT_4K);
	EXPECT_TOUCH(bar + 2 * MIB, PTE_NONCACHED, SHIFT_2M);
}

/* contract: claim.subregions-keep */
TEST_F(claim, a_subregion_mapping_survives_the_creation_of_others)
{
	struct vfio_subregion_create first, second;
	char *map, *other;

	first = claim(_metadata, &self->dev);
	map = fixture_map(_metadata, &self->dev, first.mmap_offset, CLAIM_SIZE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	second = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC,
				CLAIM + CLAIM_SIZE, GRANULE);
	other = fixture_map(_metadata, &self->dev, second.mmap_offset, GRANULE, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(map + CLAIM_SIZE - 4, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(other, PTE_WC, SHIFT_4K);
	EXPECT_EQ(pte_phys(map) + CLAIM_SIZE, pte_phys(other));
	EXPECT_NE(first.index, second.index);
}

/* contract: read-write.bar */
TEST_F(claim, read_and_write_through_the_bar_reach_every_byte)
{
	uint32_t out[4] = { 0x11111111, 0x22222222, 0x33333333, 0x44444444 }, in[4] = {};
	uint64_t edge = CLAIM - 8;
	struct vfio_subregion_create sub;
	char *map;

	sub = claim(_metadata, &self->dev);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 2 * MIB);
	/* One transfer across the start of the claim. */
	ASSERT_EQ(sizeof(out), pwrite(self->dev.fd, out, sizeof(out), self->window + edge));
	ASSERT_EQ(sizeof(in), pread(self->dev.fd, in, sizeof(in), self->window + edge));
	EXPECT_EQ(0, memcmp(out, in, sizeof(in)));
	EXPECT_EQ(out[2], ((volatile uint32_t *)map)[0]);
	EXPECT_EQ(out[3], ((volatile uint32_t *)map)[1]);
	/* One across its end. */
	edge = CLAIM + CLAIM_SIZE - 8;
	ASSERT_EQ(sizeof(out), pwrite(self->dev.fd, out, sizeof(out), self->window + edge));
	ASSERT_EQ(sizeof(in), pread(self->dev.fd, in, sizeof(in), self->window + edge));
	EXPECT_EQ(0, memcmp(out, in, sizeof(in)));
	EXPECT_EQ(out[1], *(volatile uint32_t *)(map + CLAIM_SIZE - 4));
}

/*
 * The ports of the device have a header of 16 bytes, and after that the name of the test whose
 * number was written to the first byte.
 */
/* contract: read-write.bar */
TEST_F(claim, read_and_write_through_a_bar_of_ports_reach_them)
{
	char name[sizeof("portio")] = "";
	uint8_t test = 0;
	uint64_t ports;

	vfio_device_close(&self->dev);
	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV", vfio_driver()))
		return;
	ports = vfio_offset(&self->dev, 1, 0);
	ASSERT_EQ(1, pwrite(self->dev.fd, &test, 1, ports));
	ASSERT_EQ(6, pread(self->dev.fd, name, 6, ports + 16));
	EXPECT_STREQ("portio", name);
}

/* contract: read-write.subregion */
TEST_F(claim, read_and_write_of_every_width_work_through_the_subregion)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev);
	uint64_t out = 0x0807060504030201, in;
	size_t width;

	for (width = 1; width <= 8; width *= 2) {
		in = 0;
		ASSERT_EQ(width, pwrite(self->dev.fd, &out, width, sub.mmap_offset + 64));
		ASSERT_EQ(width, pread(self->dev.fd, &in, width, self->window + CLAIM + 64));
		EXPECT_EQ(0, memcmp(&in, &out, width));
		in = 0;
		ASSERT_EQ(width, pread(self->dev.fd, &in, width, sub.mmap_offset + 64));
		EXPECT_EQ(0, memcmp(&in, &out, width));
	}
}

/* contract: read-write.subregion */
TEST_F(claim, read_and_write_through_the_subregion_are_short_at_its_end)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev);
	uint32_t marker = 0x600df00d, beyond = 0, data[4] = { 1, 2, 3, 4 };
	uint64_t end = sub.mmap_offset + CLAIM_SIZE;

	ASSERT_EQ(4, pwrite(self->dev.fd, &marker, 4, self->window + CLAIM + CLAIM_SIZE));
	EXPECT_EQ(8, pwrite(self->dev.fd, data, sizeof(data), end - 8));
	EXPECT_EQ(8, pread(self->dev.fd, data, sizeof(data), end - 8));
	ASSERT_EQ(4, pread(self->dev.fd, &beyond, 4, self->window + CLAIM + CLAIM_SIZE));
	EXPECT_EQ(marker, beyond);
}

/* contract: read-write.subregion */
TEST_F(claim, read_and_write_beyond_the_subregion_are_einval_as_beyond_a_bar)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev);
	uint32_t data = 0;

	EXPECT_EQ(-1, pread(self->dev.fd, &data, 4, self->window + self->bar.size));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->dev.fd, &data, 4, sub.mmap_offset + CLAIM_SIZE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(self->dev.fd, &data, 4, sub.mmap_offset + CLAIM_SIZE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->dev.fd, &data, 4, sub.mmap_offset - 4));
	EXPECT_EQ(EINVAL, errno);
}

/* mmap() must fail with EINVAL. */
#define EXPECT_NO_MMAP(dev, flags, offset, size) do { \
	errno = 0; \
	EXPECT_EQ(MAP_FAILED, mmap(NULL, (size), PROT_READ | PROT_WRITE, (flags), (dev)->fd, \
				   (offset))); \
	EXPECT_EQ(EINVAL, errno); \
} while (0)

/* contract: mmap.outside */
TEST_F(claim, mmap_outside_the_subregion_is_einval)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev);
	uint64_t start = sub.mmap_offset;

	EXPECT_NO_MMAP(&self->dev, MAP_SHARED, start, CLAIM_SIZE + GRANULE);
	EXPECT_NO_MMAP(&self->dev, MAP_SHARED, start + GRANULE, CLAIM_SIZE);
	EXPECT_NO_MMAP(&self->dev, MAP_SHARED, start + CLAIM_SIZE, GRANULE);
	EXPECT_NO_MMAP(&self->dev, MAP_SHARED, start - GRANULE, GRANULE);
	EXPECT_NO_MMAP(&self->dev, MAP_SHARED, start - GRANULE, CLAIM_SIZE);
}

/* contract: mmap.outside */
TEST_F(claim, mmap_beyond_the_bar_is_still_einval)
{
	claim(_metadata, &self->dev);
	EXPECT_NO_MMAP(&self->dev, MAP_SHARED, self->window + self->bar.size, GRANULE);
	EXPECT_NO_MMAP(&self->dev, MAP_SHARED, self->window + self->bar.size - GRANULE,
		       2 * GRANULE);
}

/* contract: mmap.outside */
TEST_F(claim, a_private_mapping_is_einval)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev);

	EXPECT_NO_MMAP(&self->dev, MAP_PRIVATE, sub.mmap_offset, CLAIM_SIZE);
	EXPECT_NO_MMAP(&self->dev, MAP_PRIVATE, self->window, GRANULE);
}

/*
 * The core revokes mappings by file offset, from BAR 0 up to the ROM: slots must lie between them.
 */
/* contract: create.slot */
TEST_F(claim, the_mmap_offset_lies_in_the_window_of_the_bar_and_above_the_bar)
{
	struct vfio_subregion_create sub = claim(_metadata, &self->dev);
	uint64_t next_window = vfio_offset(&self->dev, BAR2 + 1, 0);

	EXPECT_GE(sub.mmap_offset, self->window + self->bar.size);
	EXPECT_LE(sub.mmap_offset + CLAIM_SIZE, next_window);
}

TEST_HARNESS_MAIN
