// SPDX-License-Identifier: GPL-2.0-only
/*
 * Subregions of a BAR that has an attribute: each page has the type of its subregion, or else that
 * of the BAR.
 */
#include "events.h"
#include "refusal.h"

#define PARTS		4
#define PART_AT(n)	((n) * 4 * MIB)
#define PART_SIZE	(64 * KIB)

FIXTURE(mixed) {
	struct vfio_device dev;
	struct pci_bar bar;
	char *plain;
	struct vfio_subregion_create sub[PARTS];
};

FIXTURE_VARIANT(mixed) {
	uint32_t attribute;
};

FIXTURE_VARIANT_ADD(mixed, device) { VFIO_SUBREGION_ATTR_DEVICE };
FIXTURE_VARIANT_ADD(mixed, wc) { VFIO_SUBREGION_ATTR_WC };
FIXTURE_VARIANT_ADD(mixed, guest_any) { VFIO_SUBREGION_ATTR_GUEST_ANY };

/* The subregion @n has the attribute @n; the first begins with the BAR. */
FIXTURE_SETUP(mixed)
{
	unsigned int n;

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->plain = memtype_lines(self->bar.start, self->bar.start + self->bar.size);
	fixture_set_attr(_metadata, &self->dev, BAR2, variant->attribute);
	for (n = 0; n < PARTS; n++)
		self->sub[n] = fixture_create(_metadata, &self->dev, BAR2, n, PART_AT(n),
					      PART_SIZE);
}

FIXTURE_TEARDOWN(mixed)
{
	free(self->plain);
	vfio_device_close(&self->dev);
}

static const char *attribute_memtype(uint32_t attribute)
{
	return attribute == VFIO_SUBREGION_ATTR_WC ? MEMTYPE_WC : MEMTYPE_UC_MINUS;
}

/* The reservations of a BAR with @attribute and those subregions that still exist. */
static void expect_reserved(struct __test_metadata *_metadata, FIXTURE_DATA(mixed) * self,
			    uint32_t attribute)
{
	uint64_t start = self->bar.start, part;
	unsigned int n;

	for (n = 0; n < PARTS; n++) {
		if (!self->sub[n].index)
			continue;
		part = self->bar.start + PART_AT(n);
		if (start < part)
			EXPECT_MEMTYPE(attribute_memtype(attribute), start, part);
		EXPECT_MEMTYPE(attribute_memtype(n), part, part + PART_SIZE);
		start = part + PART_SIZE;
	}
	EXPECT_MEMTYPE(attribute_memtype(attribute), start, self->bar.start + self->bar.size);
}

/* contract: set-attr.subregions */
TEST_F(mixed, each_page_has_the_type_of_its_subregion_or_of_the_bar)
{
	char *bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB), *map;
	const char *rest = attribute_pte(variant->attribute);
	char flags[VM_FLAGS_LEN];
	unsigned int n;

	for (n = 0; n < PARTS; n++) {
		map = fixture_map(_metadata, &self->dev, self->sub[n].mmap_offset, PART_SIZE, 0);
		EXPECT_TOUCH(map, attribute_pte(n), SHIFT_4K);
		EXPECT_TOUCH(map + PART_SIZE - 4, attribute_pte(n), SHIFT_4K);
		vm_flags(map, flags);
		EXPECT_EQ(n == VFIO_SUBREGION_ATTR_WC || n == VFIO_SUBREGION_ATTR_GUEST_ANY,
			  !!strstr(flags, VM_FLAG_GUEST_CHOOSES)) TH_LOG("%s", flags);
		EXPECT_SIGBUS(bar + PART_AT(n));
		EXPECT_SIGBUS(bar + PART_AT(n) + PART_SIZE - 4);
		EXPECT_TOUCH(bar + PART_AT(n) + PART_SIZE, rest, SHIFT_4K);
		EXPECT_TOUCH(bar + PART_AT(n) + 2 * MIB, rest, SHIFT_2M);
	}
	expect_reserved(_metadata, self, variant->attribute);
}

/* contract: set-attr.subregions info.claims */
TEST_F(mixed, region_info_tells_of_both)
{
	char *claims = subregion_claims(&self->dev), text[64];

	snprintf(text, sizeof(text), "BAR 2: %u claims, attribute %u,", PARTS, variant->attribute);
	EXPECT_EQ(0, strncmp(text, claims, strlen(text))) TH_LOG("%s", claims);
	free(claims);
}

/* contract: set-attr.subregions */
TEST_F(mixed, destroyed_subregions_return_to_the_type_of_the_bar)
{
	char *bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB), *map;
	unsigned int n;

	/* 3 and 4 have no common factor, so the loop reaches every subregion. */
	for (n = 3; n < PARTS * 3 + 3; n += 3) {
		struct vfio_subregion_create *sub = &self->sub[n % PARTS];

		map = fixture_map(_metadata, &self->dev, sub->mmap_offset, PART_SIZE, 0);
		EXPECT_TOUCH(map, attribute_pte(n % PARTS), SHIFT_4K);
		fixture_destroy(_metadata, &self->dev, sub->index);
		sub->index = 0;
		EXPECT_SIGBUS(map);
		EXPECT_TOUCH(bar + PART_AT(n % PARTS), attribute_pte(variant->attribute), 0);
		expect_reserved(_metadata, self, variant->attribute);
	}
	munmap(bar, self->bar.size);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	expect_reservations(_metadata, &self->bar, self->plain);
}

/* contract: set-attr.subregions read-write.bar */
TEST_F(mixed, read_and_write_reach_every_byte)
{
	static unsigned char out[2 * PART_SIZE], in[sizeof(out)];
	uint64_t at, window = vfio_offset(&self->dev, BAR2, 0);
	unsigned int n, i, first = fixture_pattern();
	char *map;

	for (n = 0; n < PARTS; n++) {
		/* From before the subregion, if there is anything, to after its end. */
		at = n ? PART_AT(n) - PART_SIZE / 2 : 0;
		for (i = 0; i < sizeof(out); i++)
			out[i] = first + n * 37 + i * 5 + (i >> 8) * 11;
		ASSERT_EQ(sizeof(out), pwrite(self->dev.fd, out, sizeof(out), window + at));
		ASSERT_EQ(sizeof(in), pread(self->dev.fd, in, sizeof(in), window + at));
		EXPECT_EQ(0, memcmp(out, in, sizeof(in)));
		map = fixture_map(_metadata, &self->dev, self->sub[n].mmap_offset, PART_SIZE, 0);
		EXPECT_EQ(*(uint32_t *)(out + PART_AT(n) - at), *(volatile uint32_t *)map);
		ASSERT_EQ(4, pread(self->dev.fd, in, 4, self->sub[n].mmap_offset));
		EXPECT_EQ(0, memcmp(out + PART_AT(n) - at, in, 4));
	}
}

/* contract: set-attr.revoked */
TEST_F(mixed, a_reset_and_memory_off_leave_each_page_its_type)
{
	char *bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB), *map[PARTS];
	unsigned int n, round;

	for (n = 0; n < PARTS; n++)
		map[n] = fixture_map(_metadata, &self->dev, self->sub[n].mmap_offset, PART_SIZE, 0);
	for (round = 0; round < 3; round++) {
		for (n = 0; n < PARTS; n++) {
			EXPECT_TOUCH(map[n], attribute_pte(n), SHIFT_4K);
			EXPECT_SIGBUS(bar + PART_AT(n));
			EXPECT_TOUCH(bar + PART_AT(n) + PART_SIZE,
				     attribute_pte(variant->attribute), SHIFT_4K);
		}
		ASSERT_EQ(0, round ? memory_off(&self->dev) : vfio_device_reset(&self->dev));
		EXPECT_STREQ(PTE_NONE, pte_type(map[0]));
		EXPECT_STREQ(PTE_NONE, pte_type(bar + PART_SIZE));
		ASSERT_EQ(0, memory_on(&self->dev));
	}
}

/* contract: lifetime.close */
TEST_F(mixed, the_last_close_ends_both)
{
	char *claims;

	vfio_device_close(&self->dev);
	expect_reservations(_metadata, &self->bar, "");
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	expect_reservations(_metadata, &self->bar, self->plain);
	claims = subregion_claims(&self->dev);
	EXPECT_STREQ("", claims);
	free(claims);
}

/* A write-combining BAR of which sysfs maps some pages. */
FIXTURE(alien) {
	struct vfio_device dev;
	struct pci_bar bar;
	char *map;
};

FIXTURE_SETUP(alien)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	self->map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
}

FIXTURE_TEARDOWN(alien)
{
	vfio_device_close(&self->dev);
}

static void expect_busy(struct __test_metadata *_metadata, FIXTURE_DATA(alien) * self,
			uint32_t attribute, uint32_t busy)
{
	struct vfio_subregion_create create =
		subregion_init(BAR2, attribute, 4 * MIB, 4 * GRANULE);

	expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
	EXPECT_EQ(busy, create.busy);
}

/* contract: set-attr.subregions busy.reason */
TEST_F(alien, a_strict_subregion_of_pages_that_sysfs_has_as_wc_is_ebusy)
{
	void *alien = fixture_map_resource(_metadata, self->dev.bdf, "_wc", 4 * MIB + 2 * GRANULE,
					   GRANULE);

	if (!alien)
		return;
	EXPECT_TOUCH(alien, PTE_WC, 0);
	expect_busy(_metadata, self, VFIO_SUBREGION_ATTR_NONCACHED, VFIO_SUBREGION_BUSY_TYPE);
	EXPECT_TOUCH(self->map + 4 * MIB, PTE_WC, 0);
	EXPECT_TOUCH(self->map + 4 * MIB + 2 * GRANULE, PTE_WC, 0);
	/* A write-combining one needs no change. */
	fixture_destroy(_metadata, &self->dev,
			fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC,
				       4 * MIB, 4 * GRANULE).index);
	munmap(alien, GRANULE);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED, 4 * MIB,
		       4 * GRANULE);
}

/* contract: set-attr.subregions stray.unmapped stray.ends */
TEST_F(alien, pages_that_sysfs_keeps_strict_are_reached_by_no_mapping)
{
	struct vfio_subregion_create sub;
	uint32_t value = 0;
	void *alien;

	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED, 4 * MIB,
			     4 * GRANULE);
	alien = fixture_map_resource(_metadata, self->dev.bdf, "", 4 * MIB + 2 * GRANULE, GRANULE);
	if (!alien)
		return;
	EXPECT_TOUCH(alien, PTE_NONCACHED, 0);
	fixture_destroy(_metadata, &self->dev, sub.index);

	EXPECT_SIGBUS(self->map + 4 * MIB + 2 * GRANULE);
	EXPECT_TOUCH(self->map + 4 * MIB, PTE_WC, SHIFT_4K);
	EXPECT_TOUCH(self->map + 4 * MIB + 3 * GRANULE, PTE_WC, SHIFT_4K);
	expect_busy(_metadata, self, VFIO_SUBREGION_ATTR_NONCACHED, VFIO_SUBREGION_BUSY_STRAY);
	expect_busy(_metadata, self, VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_STRAY);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	EXPECT_EQ(4, pread(self->dev.fd, &value, 4,
			   vfio_offset(&self->dev, BAR2, 4 * MIB + 2 * GRANULE)));
	munmap(alien, GRANULE);
	EXPECT_TOUCH(self->map + 4 * MIB + 2 * GRANULE, PTE_WC, 0);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start, self->bar.start + self->bar.size);
}

TEST_HARNESS_MAIN
