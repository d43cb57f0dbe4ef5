// SPDX-License-Identifier: GPL-2.0-only
/*
 * A field of the structure gives the reason for EBUSY, and VFIO_SUBREGION_QUERY reports the reasons
 * beforehand.
 */
#include <sys/eventfd.h>

#include "refusal.h"

/* An arbitrary value of an output field. */
#define GARBAGE	0x5a5a5a5a

FIXTURE(busy) {
	struct vfio_device dev;
	struct pci_bar bar;
	int eventfd;
};

FIXTURE_SETUP(busy)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
}

FIXTURE_TEARDOWN(busy)
{
	vfio_device_close(&self->dev);
	close(self->eventfd);
}

/* CREATE with @attribute of the MiB at 4 MiB must be refused for @busy. */
static void expect_create(struct __test_metadata *_metadata, struct vfio_device *dev,
			  const struct pci_bar *bar, uint32_t attribute, uint32_t busy)
{
	struct vfio_subregion_create create = subregion_init(BAR2, attribute, 4 * MIB, MIB);

	create.busy = GARBAGE;
	expect_refused(_metadata, dev, bar, &create, EBUSY);
	EXPECT_EQ(busy, create.busy) TH_LOG("attribute %u", attribute);
}

/* SET_ATTR with @attribute must be refused for @busy. */
static void expect_set(struct __test_metadata *_metadata, struct vfio_device *dev,
		       const struct pci_bar *bar, uint32_t attribute, uint32_t busy)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = BAR2, .attribute = attribute, .busy = GARBAGE,
	};

	expect_call_refused(_metadata, dev, bar, VFIO_REGION_SET_ATTR, &set, EBUSY);
	EXPECT_EQ(busy, set.busy) TH_LOG("attribute %u", attribute);
}

/* QUERY of @index must have exactly the bits @busy. */
#define EXPECT_QUERY(index_, busy_) do { \
	struct vfio_subregion_query __query; \
	ASSERT_EQ(0, subregion_query(&self->dev, (index_), &__query)); \
	EXPECT_EQ((busy_), __query.busy); \
} while (0)

#define EXPECT_CREATE(attribute, busy) \
	expect_create(_metadata, &self->dev, &self->bar, (attribute), (busy))
#define EXPECT_SET(attribute, busy) \
	expect_set(_metadata, &self->dev, &self->bar, (attribute), (busy))

/* contract: busy.reason busy.query */
TEST_F(busy, an_ioeventfd_keeps_the_type_of_its_page)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 5 * MIB - 4);

	EXPECT_QUERY(BAR2, 0);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	EXPECT_QUERY(BAR2, VFIO_SUBREGION_BUSY_IOEVENTFD);
	EXPECT_QUERY(0, 0);
	EXPECT_CREATE(VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_IOEVENTFD);
	EXPECT_SET(VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_IOEVENTFD);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
	EXPECT_QUERY(BAR2, 0);
}

/* contract: busy.reason busy.query */
TEST_F(busy, an_attribute_excludes_no_subregion)
{
	uint32_t attribute, sub;

	for (attribute = 1; attribute < 4; attribute++) {
		fixture_set_attr(_metadata, &self->dev, BAR2, attribute);
		EXPECT_QUERY(BAR2, 0);
		for (sub = 0; sub < 4; sub++)
			fixture_destroy(_metadata, &self->dev,
					fixture_create(_metadata, &self->dev, BAR2, sub, MIB,
						       MIB).index);
	}
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	EXPECT_QUERY(BAR2, 0);
}

/* contract: busy.reason busy.query */
TEST_F(busy, a_subregion_excludes_the_begin_and_the_end_of_wc)
{
	uint32_t index;

	index = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB).index;
	EXPECT_QUERY(BAR2, VFIO_SUBREGION_BUSY_SUBREGION);
	EXPECT_QUERY(index, 0);
	EXPECT_SET(VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_SUBREGION);
	fixture_destroy(_metadata, &self->dev, index);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	index = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED, 0,
			       MIB).index;
	EXPECT_QUERY(BAR2, VFIO_SUBREGION_BUSY_SUBREGION);
	EXPECT_SET(VFIO_SUBREGION_ATTR_NONCACHED, VFIO_SUBREGION_BUSY_SUBREGION);
	EXPECT_SET(VFIO_SUBREGION_ATTR_DEVICE, VFIO_SUBREGION_BUSY_SUBREGION);
	fixture_destroy(_metadata, &self->dev, index);
	EXPECT_QUERY(BAR2, 0);
}

/* contract: busy.reason busy.query */
TEST_F(busy, a_mapping_of_the_bar_excludes_an_attribute)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	uint32_t attribute;

	EXPECT_QUERY(BAR2, VFIO_SUBREGION_BUSY_MAPPED);
	for (attribute = 1; attribute < 4; attribute++)
		EXPECT_SET(attribute, VFIO_SUBREGION_BUSY_MAPPED);
	munmap(map, self->bar.size);
	EXPECT_QUERY(BAR2, 0);
}

/* A call reports the first reason that it finds. */
/* contract: busy.reason busy.query */
TEST_F(busy, of_several_reasons_query_has_all)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, 4 * MIB);
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, 0, MIB);
	EXPECT_QUERY(BAR2, VFIO_SUBREGION_BUSY_IOEVENTFD | VFIO_SUBREGION_BUSY_SUBREGION |
			   VFIO_SUBREGION_BUSY_MAPPED);
	EXPECT_CREATE(VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_IOEVENTFD);
	EXPECT_SET(VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_SUBREGION);
	munmap(map, self->bar.size);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

/* contract: busy.reason */
TEST_F(busy, the_field_may_hold_anything_beforehand)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set), .index = BAR2, .attribute = VFIO_SUBREGION_ATTR_WC,
		.busy = GARBAGE,
	};
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	create.busy = GARBAGE;
	ASSERT_EQ(0, subregion_create(&self->dev, &create));
	fixture_destroy(_metadata, &self->dev, create.index);
	EXPECT_EQ(0, ioctl(self->dev.fd, VFIO_REGION_SET_ATTR, &set));
}

/* contract: busy.reason args.efault */
TEST_F(busy, a_reason_that_cannot_be_written_is_efault)
{
	struct vfio_subregion_create create;
	void *page;

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, vfio_offset(&self->dev, BAR2, 0),
					self->eventfd));
	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB);
	page = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	memcpy(page, &create, sizeof(create));
	ASSERT_EQ(0, mprotect(page, GRANULE, PROT_READ));
	expect_refused(_metadata, &self->dev, &self->bar, page, EFAULT);
}

/* Mappings of sysfs that exist before VFIO opens the device. */
FIXTURE(busy_mapping) {
	struct vfio_device dev;
	struct pci_bar bar;
	void *map;
};

FIXTURE_VARIANT(busy_mapping) {
	const char *suffix;
};

FIXTURE_VARIANT_ADD(busy_mapping, uncached) { "" };
FIXTURE_VARIANT_ADD(busy_mapping, write_combining) { "_wc" };

FIXTURE_SETUP(busy_mapping)
{
	const char *bdf;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
	if (!bdf)
		return;
	fixture_bind(_metadata, bdf, vfio_driver());
	ASSERT_EQ(0, pci_bar(bdf, 2, &self->bar));
	self->map = pci_map_resource(bdf, 2, variant->suffix, 4 * MIB, GRANULE);
	ASSERT_NE(MAP_FAILED, self->map) TH_LOG("resource2%s: %s", variant->suffix,
						strerror(errno));
	ASSERT_EQ(0, vfio_device_open(&self->dev, bdf));
}

FIXTURE_TEARDOWN(busy_mapping)
{
	vfio_device_close(&self->dev);
}

/* contract: busy.reason busy.query */
TEST_F(busy_mapping, keeps_the_type_of_its_pages)
{
	uint32_t attribute;

	if (*variant->suffix) {
		EXPECT_QUERY(BAR2, VFIO_SUBREGION_BUSY_STRAY);
		for (attribute = 0; attribute < 4; attribute++) {
			EXPECT_CREATE(attribute, VFIO_SUBREGION_BUSY_STRAY);
			EXPECT_SET(attribute, VFIO_SUBREGION_BUSY_STRAY);
		}
	} else {
		/* Only an attempt to get write combining finds the other type. */
		EXPECT_QUERY(BAR2, 0);
		EXPECT_CREATE(VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_TYPE);
		EXPECT_SET(VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_BUSY_TYPE);
	}
	munmap(self->map, GRANULE);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, MIB);
	EXPECT_QUERY(BAR2, VFIO_SUBREGION_BUSY_SUBREGION);
}

TEST_HARNESS_MAIN
