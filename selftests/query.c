// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_SUBREGION_QUERY: its answer for each kind of region, and that VFIO_SUBREGION_CREATE agrees.
 */
#include <sys/eventfd.h>

#include "refusal.h"

/* A query must succeed, and report these attributes besides the constant values. */
#define EXPECT_QUERY(dev, index_, attributes_, count_) do { \
	struct vfio_subregion_query __query; \
	ASSERT_EQ(0, subregion_query((dev), (index_), &__query)); \
	EXPECT_EQ((attributes_), __query.attributes) TH_LOG("region %u", __query.index); \
	EXPECT_EQ((count_), __query.count); \
	EXPECT_EQ(GRANULE, __query.granule); \
	EXPECT_EQ(SUBREGION_LIMIT, __query.limit); \
} while (0)

FIXTURE(query) {
	struct vfio_device dev;
	struct pci_bar bar;
};

FIXTURE_SETUP(query)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(query)
{
	vfio_device_close(&self->dev);
}

/* contract: query.exact */
TEST_F(query, a_memory_bar_can_have_every_attribute)
{
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 0);
}

/* contract: query.exact */
TEST_F(query, a_bar_below_a_page_can_have_none)
{
	EXPECT_QUERY(&self->dev, 0, ATTR_NONE, 0);
}

/* contract: query.exact */
TEST_F(query, an_empty_bar_can_have_none)
{
	const uint32_t empty[] = { 1, 3, 4, 5 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(empty); i++)
		EXPECT_QUERY(&self->dev, empty[i], ATTR_NONE, 0);
}

/* contract: query.subregion */
TEST_F(query, a_subregion_has_the_one_that_it_has)
{
	uint32_t attribute, index[4];

	for (attribute = 0; attribute < 4; attribute++)
		index[attribute] = fixture_create(_metadata, &self->dev, BAR2, attribute,
						  (1 + 2 * attribute) * MIB, MIB).index;
	for (attribute = 0; attribute < 4; attribute++)
		EXPECT_QUERY(&self->dev, index[attribute], ATTR_BIT(attribute), 4);
	/* The rest of the BAR still supports all attributes. */
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 4);
}

/* contract: query.count */
TEST_F(query, the_count_is_of_those_that_exist)
{
	struct vfio_subregion_create sub[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(i, subregion_count(&self->dev));
		sub[i] = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC,
					i * MIB, MIB);
	}
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(3 - i, subregion_count(&self->dev));
		fixture_destroy(_metadata, &self->dev, sub[i].index);
	}
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 0);
	/* The same for every other region. */
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB);
	EXPECT_QUERY(&self->dev, 0, ATTR_NONE, 1);
	EXPECT_QUERY(&self->dev, 5, ATTR_NONE, 1);
}

/* contract: query.einval */
TEST_F(query, a_region_that_is_neither_bar_nor_subregion_is_einval)
{
	const uint32_t others[] = {
		VFIO_PCI_ROM_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_VGA_REGION_INDEX,
		VFIO_PCI_NUM_REGIONS + 1, 100, 0x80000000, 0x80000002, UINT32_MAX,
	};
	struct vfio_subregion_query query;
	unsigned int i;

	EXPECT_EQ(-EINVAL, subregion_query(&self->dev, VFIO_PCI_NUM_REGIONS, &query));
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB);
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		query = (struct vfio_subregion_query) {
			.argsz = sizeof(query), .index = others[i]
		};
		expect_call_refused(_metadata, &self->dev, &self->bar, VFIO_SUBREGION_QUERY, &query,
				    EINVAL);
	}
}

/* contract: query.einval */
TEST_F(query, a_destroyed_subregion_is_einval)
{
	struct vfio_subregion_query query;
	uint32_t index;

	index = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB).index;
	fixture_destroy(_metadata, &self->dev, index);
	EXPECT_EQ(-EINVAL, subregion_query(&self->dev, index, &query));
}

/* contract: query.exact */
TEST_F(query, a_bar_with_an_attribute_can_have_each)
{
	const uint32_t attributes[] = {
		VFIO_SUBREGION_ATTR_DEVICE, VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_GUEST_ANY,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		fixture_set_attr(_metadata, &self->dev, BAR2, attributes[i]);
		EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 0);
	}
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 0);
}

/* contract: query.no-effect */
TEST_F(query, it_changes_nothing)
{
	struct state before = state_of(&self->dev, &self->bar);
	struct vfio_subregion_query query;
	uint32_t index;

	for (index = 0; index < VFIO_PCI_NUM_REGIONS + 2; index++)
		subregion_query(&self->dev, index, &query);
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

/* Two BARs that can have subregions, and an I/O BAR. */
FIXTURE(two_bars) {
	struct vfio_device dev;
	uint64_t registers;
	int eventfd;
};

FIXTURE_SETUP(two_bars)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV", vfio_driver()) ||
	    !fixture_has_4k(_metadata))
		return;
	self->registers = vfio_offset(&self->dev, 0, 0);
}

FIXTURE_TEARDOWN(two_bars)
{
	vfio_device_close(&self->dev);
}

/* contract: query.exact */
TEST_F(two_bars, a_bar_of_one_page_can_have_every_attribute)
{
	EXPECT_QUERY(&self->dev, 0, ATTR_ALL, 0);
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 0);
}

/* contract: query.exact */
TEST_F(two_bars, an_io_bar_can_have_none)
{
	EXPECT_QUERY(&self->dev, 1, ATTR_NONE, 0);
}

/* contract: query.ioeventfd */
TEST_F(two_bars, an_ioeventfd_takes_no_attribute_away)
{
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->registers, self->eventfd));
	EXPECT_QUERY(&self->dev, 0, ATTR_ALL, 0);
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 0);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 1);
}

/* contract: query.exact */
TEST_F(two_bars, the_attribute_of_one_says_nothing_of_the_other)
{
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	EXPECT_QUERY(&self->dev, 0, ATTR_ALL, 0);
	EXPECT_QUERY(&self->dev, BAR2, ATTR_ALL, 0);
}

/* On each device of the machine, exactly the reported attributes are possible. */
FIXTURE(every_bar) {
	struct vfio_device dev;
};

FIXTURE_VARIANT(every_bar) {
	const char *device;
};

FIXTURE_VARIANT_ADD(every_bar, of_ivshmem) { "DEV_IVSHMEM" };
FIXTURE_VARIANT_ADD(every_bar, of_big_ivshmem) { "DEV_IVSHMEM_BIG" };
FIXTURE_VARIANT_ADD(every_bar, of_testdev) { "DEV_TESTDEV" };
FIXTURE_VARIANT_ADD(every_bar, of_nvme) { "DEV_NVME" };
FIXTURE_VARIANT_ADD(every_bar, of_igb) { "DEV_IGB" };
/* All pages of its BAR 1 have the MSI-X table. */
FIXTURE_VARIANT_ADD(every_bar, of_virtio) { "DEV_MSIX" };

FIXTURE_SETUP(every_bar)
{
	fixture_open(_metadata, &self->dev, variant->device, vfio_driver());
}

FIXTURE_TEARDOWN(every_bar)
{
	vfio_device_close(&self->dev);
}

/* Whether at least one page of the BAR can become a subregion with the attribute. */
static bool can_create(struct __test_metadata *_metadata, struct vfio_device *dev, uint32_t bar,
		       uint32_t attribute)
{
	struct vfio_subregion_create create;
	struct vfio_region_info info;
	uint64_t at;

	ASSERT_EQ(0, vfio_region_info(dev, bar, &info));
	/* The MSI-X table takes a page or two. */
	for (at = 0; at < 4 * GRANULE && (!at || at < info.size);
	     at += GRANULE) {
		create = subregion_init(bar, attribute, at, GRANULE);
		if (subregion_create(dev, &create))
			continue;
		fixture_destroy(_metadata, dev, create.index);
		return true;
	}
	return false;
}

/* contract: query.exact */
TEST_F(every_bar, can_have_the_reported_attributes_and_no_others)
{
	struct vfio_subregion_query query;
	uint32_t bar, attribute;

	for (bar = 0; bar < 6; bar++) {
		ASSERT_EQ(0, subregion_query(&self->dev, bar, &query));
		EXPECT_EQ(0, query.attributes & ~ATTR_ALL);
		for (attribute = 0; attribute < 4; attribute++) {
			EXPECT_EQ(!!(query.attributes & ATTR_BIT(attribute)),
				  can_create(_metadata, &self->dev, bar, attribute))
				TH_LOG("attribute %u of BAR %u", attribute, bar);
		}
	}
}

TEST_HARNESS_MAIN
