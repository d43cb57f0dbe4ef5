// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits of the platform: write combining on a kernel that was booted without PAT, and subregions
 * of a BAR that leaves no room for them. The job of this name boots such a machine; on others all
 * tests are skipped.
 */
#include "refusal.h"

#define NO_PAT		"the kernel was not booted with nopat"
#define HUGE_BAR	(2ULL << 40)
/* The offsets in the device file that belong to a BAR. */
#define WINDOW		(1ULL << 40)

/* Whether @word is on the kernel's command line. */
static bool booted_with(const char *word)
{
	char line[4096] = "";
	FILE *file = fopen("/proc/cmdline", "re");
	char *rest = line, *next;
	bool found = false;

	if (!file)
		return false;
	if (fgets(line, sizeof(line), file))
		line[strcspn(line, "\n")] = '\0';
	fclose(file);
	while (!found && (next = strsep(&rest, " ")))
		found = !strcmp(next, word);
	return found;
}

FIXTURE(without_pat) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(without_pat)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!booted_with("nopat"))
		SKIP(return, NO_PAT);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(without_pat)
{
	vfio_device_close(&self->dev);
}

/* contract: query.exact */
TEST_F(without_pat, wc_is_not_said_to_be_had)
{
	struct vfio_subregion_query query;

	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(ATTR_UNCACHED, query.attributes);
}

/* contract: create.platform */
TEST_F(without_pat, a_wc_subregion_is_eopnotsupp)
{
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &create, EOPNOTSUPP);
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, MIB);
	EXPECT_EQ(0, subregion_create(&self->dev, &create));
}

/* contract: set-attr.platform */
TEST_F(without_pat, a_bar_cannot_be_given_wc_which_is_eopnotsupp)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = BAR2, .attribute = VFIO_SUBREGION_ATTR_WC,
	};

	expect_call_refused(_metadata, &self->dev, &self->bar, VFIO_REGION_SET_ATTR, &set,
			    EOPNOTSUPP);
	EXPECT_EQ(0, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE));
}

/* contract: type.no-pat */
TEST_F(without_pat, the_other_types_are_in_the_page_tables)
{
	const uint32_t attributes[] = {
		VFIO_SUBREGION_ATTR_NONCACHED, VFIO_SUBREGION_ATTR_DEVICE,
		VFIO_SUBREGION_ATTR_GUEST_ANY,
	};
	struct vfio_subregion_create sub;
	unsigned int i;
	char *map;

	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		sub = fixture_create(_metadata, &self->dev, BAR2, attributes[i], 2 * i * MIB,
				     2 * MIB);
		map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 2 * MIB, 2 * MIB);
		EXPECT_TOUCH(map, attribute_pte(attributes[i]), SHIFT_2M);
	}
}

FIXTURE(huge_bar) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(huge_bar)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM_HUGE", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	ASSERT_EQ(HUGE_BAR, self->bar.size);
}

FIXTURE_TEARDOWN(huge_bar)
{
	vfio_device_close(&self->dev);
}

/* contract: query.exact */
TEST_F(huge_bar, can_have_no_attribute)
{
	struct vfio_subregion_query query;

	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(ATTR_NONE, query.attributes);
}

/* contract: create.platform */
TEST_F(huge_bar, a_subregion_is_eopnotsupp_wherever_it_is)
{
	const uint64_t offsets[] = { 0, HUGE_BAR / 2, HUGE_BAR - MIB };
	struct vfio_subregion_create create;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, offsets[i], MIB);
		expect_refused(_metadata, &self->dev, &self->bar, &create, EOPNOTSUPP);
	}
}

/* contract: set-attr.platform */
TEST_F(huge_bar, an_attribute_is_eopnotsupp)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = BAR2, .attribute = VFIO_SUBREGION_ATTR_DEVICE,
	};

	expect_call_refused(_metadata, &self->dev, &self->bar, VFIO_REGION_SET_ATTR, &set,
			    EOPNOTSUPP);
}

/* Its bytes lie at the offsets that the subregions of other BARs have. */
/* contract: type.plain */
TEST_F(huge_bar, is_mapped_to_the_end_of_its_window_as_by_vfio_pci)
{
	const uint64_t offsets[] = { 0, WINDOW / 2 - MIB, WINDOW / 2, WINDOW - MIB };
	unsigned int i;
	uint32_t value;
	char *map;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		map = fixture_map(_metadata, &self->dev,
				  vfio_offset(&self->dev, BAR2, offsets[i]), MIB, MIB);
		EXPECT_TOUCH(map, PTE_NONCACHED, SHIFT_4K);
		EXPECT_EQ(self->bar.start + offsets[i], pte_phys(map));
		*(volatile uint32_t *)map = 0x5eed0000 + i;
		EXPECT_EQ(sizeof(value), pread(self->dev.fd, &value, sizeof(value),
					       vfio_offset(&self->dev, BAR2, offsets[i])));
		EXPECT_EQ(0x5eed0000 + i, value);
	}
}

/* The next offset is that of another BAR. */
/* contract: type.plain */
TEST_F(huge_bar, is_not_mapped_beyond_its_window)
{
	uint64_t end = vfio_offset(&self->dev, BAR2, WINDOW);

	EXPECT_EQ(MAP_FAILED, mmap(NULL, MIB, PROT_READ, MAP_SHARED, self->dev.fd, end));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, MIB, PROT_READ, MAP_SHARED, self->dev.fd,
				   end - MIB / 2));
	EXPECT_EQ(EINVAL, errno);
}

TEST_HARNESS_MAIN
