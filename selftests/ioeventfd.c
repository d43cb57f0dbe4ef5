// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfds beside subregions. An ioeventfd writes with the memory type that its page has. It can
 * be made before or after subregions, on pages of any type. While it exists, the type of its page
 * does not change: the calls that would change it fail with EBUSY.
 */
#include "refusal.h"
#include "signal_event.h"

FIXTURE(ioeventfd) {
	struct vfio_device dev;
	struct pci_bar bar;
	/* The offset of BAR 2 in the device file. */
	uint64_t window;
	int eventfd;
};

FIXTURE_SETUP(ioeventfd)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->window = vfio_offset(&self->dev, BAR2, 0);
}

FIXTURE_TEARDOWN(ioeventfd)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* An ioeventfd at byte @at of BAR 2, which must be removable and must write. */
#define ADD(at)		ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + (at), \
							self->eventfd))
#define REMOVE(at)	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->window + (at), -1))
#define EXPECT_WRITE(at) expect_write(_metadata, &self->dev, self->eventfd, (at))
#define EXPECT_IOEVENTFD(at) do { \
	ADD(at); \
	EXPECT_WRITE(at); \
	REMOVE(at); \
} while (0)

static struct vfio_subregion_create wc(struct __test_metadata *_metadata, struct vfio_device *dev,
				       uint64_t at)
{
	return fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC, at, MIB);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, it_works_on_while_its_bar_gets_and_loses_wc)
{
	struct vfio_subregion_create first, more;
	char *map;

	ADD(8);
	EXPECT_WRITE(8);
	first = wc(_metadata, &self->dev, MIB);
	map = fixture_map(_metadata, &self->dev, first.mmap_offset, MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	EXPECT_MEMTYPE(MEMTYPE_WC, self->bar.start + MIB, self->bar.start + 2 * MIB);
	EXPECT_WRITE(8);
	more = wc(_metadata, &self->dev, 4 * MIB);
	EXPECT_WRITE(8);
	fixture_destroy(_metadata, &self->dev, first.index);
	EXPECT_WRITE(8);
	/* Now the core maps the BAR again. */
	fixture_destroy(_metadata, &self->dev, more.index);
	EXPECT_WRITE(8);
	REMOVE(8);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, one_made_beside_wc_works_on_without_it)
{
	struct vfio_subregion_create sub = wc(_metadata, &self->dev, MIB);
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);

	ADD(2 * MIB);
	EXPECT_WRITE(2 * MIB);
	EXPECT_TOUCH(map + 2 * MIB, PTE_NONCACHED, 0);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_WRITE(2 * MIB);
	munmap(map, self->bar.size);
	REMOVE(2 * MIB);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, it_writes_to_a_page_of_any_type)
{
	uint32_t rest, attribute;

	for (rest = 0; rest < 4; rest++) {
		fixture_set_attr(_metadata, &self->dev, BAR2, rest);
		for (attribute = 0; attribute < 4; attribute++) {
			uint32_t index = fixture_create(_metadata, &self->dev, BAR2, attribute, MIB,
							GRANULE).index;

			EXPECT_IOEVENTFD(MIB);
			EXPECT_IOEVENTFD(MIB + GRANULE);
			fixture_destroy(_metadata, &self->dev, index);
		}
	}
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, each_width_writes_its_bytes_on_strict_and_wc_pages)
{
	const uint64_t data = 0x1122334455667788, blank = UINT64_MAX;
	uint64_t at, value, want, offset;
	uint32_t width;

	wc(_metadata, &self->dev, MIB);
	for (at = 0; at <= MIB; at += MIB)
		for (width = 1; width <= 8; width *= 2) {
			/* Not the first bytes of the quadword, if there are others. */
			offset = self->window + at + (8 - width);
			want = width == 8 ? data : blank >> 8 * width | data << (64 - 8 * width);
			ASSERT_EQ(8, pwrite(self->dev.fd, &blank, 8, self->window + at));
			ASSERT_EQ(0, vfio_ioeventfd(&self->dev, offset, width, data,
						    self->eventfd));
			signal_event(_metadata, self->eventfd);
			value = wait_for_value(_metadata, &self->dev, at, want);
			EXPECT_EQ(want, value) TH_LOG("%u bytes: %llx", width,
						      (unsigned long long)value);
			ASSERT_EQ(0, vfio_ioeventfd(&self->dev, offset, width, data, -1));
		}
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, the_offset_of_a_subregion_is_einval)
{
	uint64_t at = wc(_metadata, &self->dev, MIB).mmap_offset;

	EXPECT_EQ(-EINVAL, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	EXPECT_IOEVENTFD(MIB);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(ioeventfd, it_survives_a_claim_of_the_type_of_its_page)
{
	struct vfio_subregion_create sub;

	ADD(MIB);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, MIB, MIB);
	EXPECT_WRITE(MIB);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_WRITE(MIB);
	REMOVE(MIB);
}

/* contract: vfio.ioeventfd-type */
TEST_F(ioeventfd, wc_for_its_page_is_ebusy)
{
	struct vfio_subregion_create create;
	uint64_t at;

	/* In a BAR that the core maps, and in one that is in segments. */
	for (at = MIB; at <= 2 * MIB; at += MIB) {
		create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, at, MIB);
		ADD(at + MIB - 4);
		expect_refused(_metadata, &self->dev, &self->bar, &create, EBUSY);
		EXPECT_EQ(VFIO_SUBREGION_BUSY_IOEVENTFD, create.busy);
		signal_event(_metadata, self->eventfd);
		REMOVE(at + MIB - 4);
		EXPECT_IOEVENTFD(at + MIB - 8);
		wc(_metadata, &self->dev, at);
	}
}

/* A subregion's end would change the type of its pages. */
static void expect_no_end(struct __test_metadata *_metadata, FIXTURE_DATA(ioeventfd) * self,
			  uint32_t attribute)
{
	struct vfio_subregion_create sub;
	char *map;

	sub = fixture_create(_metadata, &self->dev, BAR2, attribute, MIB, MIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, MIB, 2 * MIB);
	EXPECT_TOUCH(map, attribute_pte(attribute), SHIFT_4K);
	ADD(2 * MIB - 8);
	EXPECT_EQ(-EBUSY, subregion_destroy(&self->dev, sub.index));
	EXPECT_STREQ(attribute_pte(attribute), pte_type(map));
	EXPECT_WRITE(2 * MIB - 8);
	REMOVE(2 * MIB - 8);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_SIGBUS(map);
	munmap(map, MIB);
}

/* contract: vfio.ioeventfd-type */
TEST_F(ioeventfd, destroying_the_wc_subregion_of_its_page_is_ebusy)
{
	expect_no_end(_metadata, self, VFIO_SUBREGION_ATTR_WC);
}

/* contract: vfio.ioeventfd-type */
TEST_F(ioeventfd, destroying_the_strict_subregion_of_its_page_in_a_wc_bar_is_ebusy)
{
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	expect_no_end(_metadata, self, VFIO_SUBREGION_ATTR_DEVICE);
}

/* contract: vfio.ioeventfd-type */
TEST_F(ioeventfd, a_shared_subregion_of_its_page_loses_all_counts_but_the_last)
{
	struct vfio_subregion_create create;
	uint32_t index;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, MIB, MIB);
	create.flags = VFIO_SUBREGION_CREATE_SHARED;
	ASSERT_EQ(0, subregion_create(&self->dev, &create));
	index = create.index;
	ASSERT_EQ(0, subregion_create(&self->dev, &create));
	ADD(MIB);
	EXPECT_EQ(0, subregion_destroy(&self->dev, index));
	EXPECT_EQ(-EBUSY, subregion_destroy(&self->dev, index));
	REMOVE(MIB);
	EXPECT_EQ(0, subregion_destroy(&self->dev, index));
}

/* contract: vfio.ioeventfd-type */
TEST_F(ioeventfd, the_attribute_of_its_bar_keeps_its_type)
{
	struct vfio_subregion_create strict;

	ADD(0);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC));
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
	EXPECT_WRITE(0);
	REMOVE(0);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	ADD(0);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE));
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	strict = subregion_init(BAR2, VFIO_SUBREGION_ATTR_DEVICE, 0, MIB);
	expect_refused(_metadata, &self->dev, &self->bar, &strict, EBUSY);
	EXPECT_EQ(VFIO_SUBREGION_BUSY_IOEVENTFD, strict.busy);
	EXPECT_WRITE(0);
	REMOVE(0);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
}

/*
 * The driver does not let the kernel make an access that the CPU refuses. In the kernel's tree
 * vfio-pci-core makes the ioeventfds, and refuses these on all CPUs.
 */
/* contract: vfio.ioeventfd-unaligned */
TEST_F(ioeventfd, an_unaligned_write_works_if_the_cpu_and_the_core_support_it)
{
	const uint64_t blank[2] = { 0, 0 }, page = GRANULE;
	bool works = false;
	uint64_t value;

#if defined(__x86_64__) || defined(__i386__)
	works = !driver_in_tree();
#endif
	EXPECT_EQ(0, vfio_ioeventfd(&self->dev, self->window + MIB - 1, 1, 0, self->eventfd));
	if (!works) {
		EXPECT_EQ(-EINVAL,
			  vfio_ioeventfd(&self->dev, self->window + 1, 2, 0, self->eventfd));
		EXPECT_EQ(-EINVAL,
			  vfio_ioeventfd(&self->dev, self->window + 4, 8, 0, self->eventfd));
		EXPECT_EQ(-EINVAL,
			  vfio_ioeventfd(&self->dev, self->window + MIB - 1, 2, 0, self->eventfd));
		return;
	}
	ASSERT_EQ(16, pwrite(self->dev.fd, blank, 16, self->window + page - 8));
	ASSERT_EQ(0, vfio_ioeventfd(&self->dev, self->window + page - 1, 2, 0x1234, self->eventfd));
	signal_event(_metadata, self->eventfd);
	value = 0x34ULL << 56;
	EXPECT_EQ(value, wait_for_value(_metadata, &self->dev, page - 8, value));
	EXPECT_EQ(0x12, wait_for_value(_metadata, &self->dev, page, 0x12));
	ASSERT_EQ(0, vfio_ioeventfd(&self->dev, self->window + page - 1, 2, 0x1234, -1));
	/* A single access has a single type. */
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, MIB, page);
	EXPECT_EQ(-EINVAL, vfio_ioeventfd(&self->dev, self->window + MIB - 1, 2, 0, self->eventfd));
}

/* contract: vfio.ioeventfd-close */
TEST_F(ioeventfd, those_that_are_left_end_with_the_last_close)
{
	uint64_t value = 0, at;

	wc(_metadata, &self->dev, MIB);
	for (at = 0; at < 2 * MIB; at += 256 * KIB)
		ADD(at);
	EXPECT_WRITE(MIB);
	vfio_device_close(&self->dev);
	EXPECT_MEMTYPE(MEMTYPE_NONE, self->bar.start, self->bar.start + self->bar.size);
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	ASSERT_EQ(8, pwrite(self->dev.fd, &value, 8, self->window + MIB));
	signal_event(_metadata, self->eventfd);
	usleep(20000);
	EXPECT_EQ(0, wait_for_value(_metadata, &self->dev, MIB, 0));
	EXPECT_EQ(-ENODEV, vfio_add_ioeventfd(&self->dev, self->window + MIB, -1));
}

/* WC in one BAR and an ioeventfd on another: BAR 0 is one page, BAR 2 is memory. */
FIXTURE(other_bar) {
	struct vfio_device dev;
	struct pci_bar bar;
	uint64_t page;
	int eventfd;
};

FIXTURE_SETUP(other_bar)
{
	self->eventfd = eventfd(0, EFD_CLOEXEC);
	if (!fixture_open(_metadata, &self->dev, "DEV_TESTDEV", vfio_driver()) ||
	    !fixture_has_4k(_metadata))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->page = vfio_offset(&self->dev, 0, 0);
}

FIXTURE_TEARDOWN(other_bar)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* contract: vfio.ioeventfd-beside */
TEST_F(other_bar, neither_is_an_obstacle_to_the_other)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, MIB);
	uint32_t index;

	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, self->eventfd));
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	index = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0, MIB).index;
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, self->page, -1));
	fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, 0, GRANULE);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, self->eventfd));
	expect_write(_metadata, &self->dev, self->eventfd, MIB);
	fixture_destroy(_metadata, &self->dev, index);
	expect_write(_metadata, &self->dev, self->eventfd, MIB);
	ASSERT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
}

TEST_HARNESS_MAIN
