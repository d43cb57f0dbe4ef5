/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls of the driver, each with the state that it starts from, and ways to make their
 * allocations fail. For failnth and failundo.
 */
#ifndef FAILNTH_H
#define FAILNTH_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "refusal.h"

#define DEBUGFS		"/sys/kernel/debug/"

/* More allocations than any call makes, including those of the kernel's own checks. */
#define NTH_MAX		2000
/* The number of further attempts if the call could do without each of its allocations. */
#define AGAIN_MAX	9

/* The range that the calls act on, in the middle of the BAR, and the segments beside it. */
#define PART_AT		(4 * MIB)
#define PART_SIZE	(2 * MIB)
#define MAP_SIZE	(PART_SIZE - GRANULE)
#define BELOW_AT	MIB
#define BELOW_SIZE	MIB
#define ABOVE_AT	(8 * MIB)
#define ABOVE_SIZE	(2 * MIB)
#define GAP_AT		(7 * MIB)

FIXTURE(failnth) {
	struct vfio_device dev;
	struct pci_bar bar;
	struct vfio_subregion_create sub;
	uint64_t gap;
	char *map;
	/* The files of this process that make its allocations fail. */
	int nth;
	int all;
};

/**
 * struct failnth_call - a call, and the state that it starts from
 * @prepare: makes that state of a device that was just opened
 * @issue: the call; 0 or a negative errno
 * @finish: undoes the effects of a successful @issue that outlast the device's close
 * @type: the type of the pages at PART_AT before the call
 * @rest: the type of the BAR's pages beside subregions, if it is not PTE_NONCACHED
 * @may_do_without: the call may need no memory, or succeed without the allocation that fails
 * @any_error: not only this driver determines the error
 */
FIXTURE_VARIANT(failnth) {
	void (*prepare)(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self);
	int (*issue)(FIXTURE_DATA(failnth) * self);
	void (*finish)(FIXTURE_DATA(failnth) * self);
	const char *type;
	const char *rest;
	bool may_do_without;
	bool any_error;
};

static void segmented(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, BELOW_AT, BELOW_SIZE);
	fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, ABOVE_AT, ABOVE_SIZE);
}

static void alone(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, PART_AT,
				   PART_SIZE);
}

static void among_others(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	segmented(_metadata, self);
	alone(_metadata, self);
}

/* The mapping cannot have a large entry, so that it needs a page table. */
static void mapped(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	among_others(_metadata, self);
	self->map = fixture_map(_metadata, &self->dev, self->sub.mmap_offset + GRANULE, MAP_SIZE,
				2 * MIB);
}

static void write_combining(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	int ret = region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);

	/* If the ioctl does not exist, the call that follows reports it. */
	if (ret != -ENOTTY)
		ASSERT_EQ(0, ret);
}

static void strict_in_wc(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	write_combining(_metadata, self);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE, PART_AT,
				   PART_SIZE);
}

static void not_open(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self)
{
	ASSERT_EQ(0, close(self->dev.fd));
	self->dev.fd = -1;
}

static int create(FIXTURE_DATA(failnth) * self, uint32_t attribute)
{
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, attribute, PART_AT, PART_SIZE);
	return subregion_create(&self->dev, &create);
}

static int create_wc(FIXTURE_DATA(failnth) * self)
{
	return create(self, VFIO_SUBREGION_ATTR_WC);
}

static int create_device(FIXTURE_DATA(failnth) * self)
{
	return create(self, VFIO_SUBREGION_ATTR_DEVICE);
}

static int destroy(FIXTURE_DATA(failnth) * self)
{
	return subregion_destroy(&self->dev, self->sub.index);
}

static int query(FIXTURE_DATA(failnth) * self)
{
	struct vfio_subregion_query query;

	return subregion_query(&self->dev, BAR2, &query);
}

static int export_alone(FIXTURE_DATA(failnth) * self)
{
	int fd = subregion_export(&self->dev, self->sub.index, O_RDWR);

	return fd < 0 ? fd : close(fd);
}

static int set_wc(FIXTURE_DATA(failnth) * self)
{
	return region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
}

static int set_noncached(FIXTURE_DATA(failnth) * self)
{
	return region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
}

static int info(FIXTURE_DATA(failnth) * self, uint32_t index)
{
	union {
		struct vfio_region_info info;
		char room[4 * KIB];
	} reply = { .info = { .argsz = sizeof(reply), .index = index } };

	return ioctl(self->dev.fd, VFIO_DEVICE_GET_REGION_INFO, &reply) ? -errno : 0;
}

static int info_of_bar(FIXTURE_DATA(failnth) * self)
{
	return info(self, BAR2);
}

static int info_of_subregion(FIXTURE_DATA(failnth) * self)
{
	return info(self, self->sub.index);
}

static int read_gap(FIXTURE_DATA(failnth) * self)
{
	uint64_t value;

	return pread(self->dev.fd, &value, sizeof(value), self->gap) < 0 ? -errno : 0;
}

/* Its mapping must not remain, so that it is removed at once. */
static int add_ioeventfd(FIXTURE_DATA(failnth) * self, uint64_t at)
{
	uint64_t offset = self->gap - GAP_AT + at;
	int event = eventfd(0, EFD_CLOEXEC), ret;

	ret = event < 0 ? -errno : vfio_add_ioeventfd(&self->dev, offset, event);
	close(event);
	return ret ?: vfio_add_ioeventfd(&self->dev, offset, -1);
}

static int ioeventfd_in_a_gap(FIXTURE_DATA(failnth) * self)
{
	return add_ioeventfd(self, GAP_AT);
}

static int ioeventfd_on_wc(FIXTURE_DATA(failnth) * self)
{
	return add_ioeventfd(self, PART_AT);
}

static int map(FIXTURE_DATA(failnth) * self)
{
	void *map = mmap(NULL, MAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->dev.fd,
			 self->sub.mmap_offset);

	if (map == MAP_FAILED)
		return -errno;
	self->map = map;
	return 0;
}

static void unmap(FIXTURE_DATA(failnth) * self)
{
	munmap(self->map, MAP_SIZE);
}

static int touch(FIXTURE_DATA(failnth) * self)
{
	uint32_t value;

	return touch_read((uint32_t *)self->map, &value);
}

static int open_device(FIXTURE_DATA(failnth) * self)
{
	int fd = ioctl(self->dev.group, VFIO_GROUP_GET_DEVICE_FD, self->dev.bdf);

	if (fd < 0)
		return -errno;
	self->dev.fd = fd;
	return 0;
}

FIXTURE_VARIANT_ADD(failnth, create_wc_in_an_untouched_bar) {
	.issue = create_wc, .type = PTE_NONCACHED,
};

FIXTURE_VARIANT_ADD(failnth, create_wc_in_a_segmented_bar) {
	.prepare = segmented, .issue = create_wc, .type = PTE_NONCACHED,
};

FIXTURE_VARIANT_ADD(failnth, create_device_in_an_untouched_bar) {
	.issue = create_device, .type = PTE_NONCACHED, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, create_device_in_a_segmented_bar) {
	.prepare = segmented, .issue = create_device, .type = PTE_NONCACHED, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, create_device_in_a_wc_bar) {
	.prepare = write_combining, .issue = create_device, .type = PTE_WC, .rest = PTE_WC,
};

FIXTURE_VARIANT_ADD(failnth, destroy_a_strict_one_of_a_wc_bar) {
	.prepare = strict_in_wc, .issue = destroy, .type = PTE_DEVICE, .rest = PTE_WC,
	.may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, destroy_the_last_one) {
	.prepare = alone, .issue = destroy, .type = PTE_WC, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, destroy_one_of_several) {
	.prepare = among_others, .issue = destroy, .type = PTE_WC, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, query) {
	.prepare = among_others, .issue = query, .type = PTE_WC, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, export) {
	.prepare = alone, .issue = export_alone, .any_error = true,
};

FIXTURE_VARIANT_ADD(failnth, set_attr_to_wc) {
	.issue = set_wc, .type = PTE_NONCACHED,
};

FIXTURE_VARIANT_ADD(failnth, set_attr_to_noncached) {
	.prepare = write_combining, .issue = set_noncached, .type = PTE_WC, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, region_info_of_a_bar_with_claims) {
	.prepare = among_others, .issue = info_of_bar, .type = PTE_WC,
};

FIXTURE_VARIANT_ADD(failnth, region_info_of_a_subregion) {
	.prepare = among_others, .issue = info_of_subregion, .type = PTE_WC, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, read_in_a_gap) {
	.prepare = among_others, .issue = read_gap, .type = PTE_WC, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, ioeventfd_in_an_untouched_bar) {
	.issue = ioeventfd_in_a_gap, .type = PTE_NONCACHED,
};

FIXTURE_VARIANT_ADD(failnth, ioeventfd_in_a_gap) {
	.prepare = among_others, .issue = ioeventfd_in_a_gap, .type = PTE_WC,
};

FIXTURE_VARIANT_ADD(failnth, ioeventfd_on_a_wc_page) {
	.prepare = among_others, .issue = ioeventfd_on_wc, .type = PTE_WC,
};

FIXTURE_VARIANT_ADD(failnth, mmap) {
	.prepare = among_others, .issue = map, .finish = unmap, .type = PTE_WC,
};

/* The kernel repeats a fault that had no memory, so that no signal is raised. */
FIXTURE_VARIANT_ADD(failnth, first_touch) {
	.prepare = mapped, .issue = touch, .finish = unmap, .type = PTE_WC, .may_do_without = true,
};

FIXTURE_VARIANT_ADD(failnth, open) {
	.prepare = not_open, .issue = open_device, .any_error = true,
};

/* Writes a setting of the injector; the test fails if the file does not exist. */
static inline void set(const char *file, const char *value)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		perror(file);
	close(fd);
}

FIXTURE_SETUP(failnth)
{
	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->all = -1;
	self->nth = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (self->nth < 0)
		SKIP(return, "the kernel cannot make allocations fail");

	/* All allocations, without messages: a stack trace in the log means a defect. */
	set(DEBUGFS "failslab/ignore-gfp-wait", "N");
	set(DEBUGFS "failslab/verbose", "0");
	set(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N");
	set(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N");
	set(DEBUGFS "fail_page_alloc/min-order", "0");
	set(DEBUGFS "fail_page_alloc/verbose", "0");

	/* For fail_from(): every allocation of the tasks that enabled it fails. */
	self->all = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->all);
	set(DEBUGFS "failslab/task-filter", "Y");
	set(DEBUGFS "failslab/interval", "1");
	set(DEBUGFS "failslab/probability", "100");
	set(DEBUGFS "fail_page_alloc/task-filter", "Y");
	set(DEBUGFS "fail_page_alloc/interval", "1");
	set(DEBUGFS "fail_page_alloc/probability", "100");
}

FIXTURE_TEARDOWN(failnth)
{
	vfio_device_close(&self->dev);
	set(DEBUGFS "failslab/probability", "0");
	set(DEBUGFS "fail_page_alloc/probability", "0");
	if (self->nth >= 0)
		close(self->nth);
	if (self->all >= 0)
		close(self->all);
}

/* Makes allocation @nth of the calling task fail, counted from 1; none if @nth is 0. */
static void fail(FIXTURE_DATA(failnth) * self, unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	while (pwrite(self->nth, text, len, 0) != len)
		;
}

/*
 * Makes allocation @nth of the calling task fail, and as many later ones as any call makes to undo
 * its work. The number is limited, because the kernel repeats a page fault that had no memory.
 */
static inline void fail_from(FIXTURE_DATA(failnth) * self, unsigned int nth)
{
	set(DEBUGFS "failslab/times", "100");
	set(DEBUGFS "fail_page_alloc/times", "100");
	fail(self, nth);
	/* While fail-nth counts, only it has an effect. */
	while (pwrite(self->all, "1", 1, 0) != 1)
		;
}

/* Returns whether the allocation of fail() or fail_from() failed, and ends the failures. */
static inline bool has_failed(FIXTURE_DATA(failnth) * self)
{
	char text[16] = "";
	bool failed;

	while (pwrite(self->all, "0", 1, 0) != 1)
		;
	failed = pread(self->nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	fail(self, 0);
	return failed;
}

/* Mappings of the pages at PART_AT have their type, and the rest of the BAR is unchanged. */
static void expect_types(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self,
			 const FIXTURE_VARIANT(failnth) * variant)
{
	const char *type = variant->type, *rest = variant->rest ?: PTE_NONCACHED;
	char *bar = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	char *part = bar + PART_AT;

	if (self->sub.index)
		part = fixture_map(_metadata, &self->dev, self->sub.mmap_offset, PART_SIZE,
				   2 * MIB);
	EXPECT_TOUCH(part, type, 0);
	if (self->sub.index || !strcmp(type, rest)) {
		EXPECT_TOUCH(bar, rest, 0);
		EXPECT_TOUCH(bar + GAP_AT, rest, 0);
	}
	if (self->sub.index)
		munmap(part, PART_SIZE);
	munmap(bar, self->bar.size);
}

/* Opens the device and makes the state that the call starts from. */
static bool begin(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self,
		  const FIXTURE_VARIANT(failnth) * variant)
{
	self->sub = (struct vfio_subregion_create) { 0 };
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return false;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->gap = vfio_offset(&self->dev, BAR2, GAP_AT);
	if (variant->prepare)
		variant->prepare(_metadata, self);
	return true;
}

/**
 * struct shortage - a way in which allocations fail, and the state that remains
 * @fail: makes allocation @nth of this task fail
 * @expect_unchanged: checks the device after the failing call, and frees @before
 * @expect_closed: checks what the closed device leaves, or NULL
 * @besides: the other allocations that fail, for messages
 */
struct shortage {
	void (*fail)(FIXTURE_DATA(failnth) * self, unsigned int nth);
	void (*expect_unchanged)(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self,
				 struct state before);
	void (*expect_closed)(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self);
	const char *besides;
};

/* Issues the call once for each of its allocations, with that one failing. */
static void fail_each(struct __test_metadata *_metadata, FIXTURE_DATA(failnth) * self,
		      const FIXTURE_VARIANT(failnth) * variant, const struct shortage *shortage)
{
	unsigned int nth, refused = 0, again = 0;
	struct state before;
	bool failed;
	int ret;

	for (nth = 1; nth < NTH_MAX; nth++) {
		if (!begin(_metadata, self, variant))
			return;
		before = state_of(&self->dev, &self->bar);

		shortage->fail(self, nth);
		ret = variant->issue(self);
		failed = has_failed(self);

		if (ret == -ENOTTY)
			SKIP(return, "the driver does not have this ioctl");
		if (!failed || !ret) {
			EXPECT_EQ(0, ret);
			free(before.claims);
			free(before.reserved);
		} else {
			refused++;
			if (!variant->any_error)
				EXPECT_EQ(-ENOMEM, ret) TH_LOG("%s", strerror(-ret));
			shortage->expect_unchanged(_metadata, self, before);
			if (variant->type)
				expect_types(_metadata, self, variant);
			ret = variant->issue(self);
			EXPECT_EQ(0, ret) TH_LOG("again, with memory: %s", strerror(-ret));
		}
		if (!ret && variant->finish)
			variant->finish(self);
		vfio_device_close(&self->dev);
		if (shortage->expect_closed)
			shortage->expect_closed(_metadata, self);
		if (_metadata->exit_code == KSFT_FAIL) {
			TH_LOG("allocation %u%s failed", nth, shortage->besides);
			return;
		}
		if (failed)
			continue;
		/* The kernel's other allocations vary, so the test allows one to be missed. */
		if (refused || variant->may_do_without || again++ == AGAIN_MAX)
			break;
		nth = 0;
	}
	ASSERT_GT(NTH_MAX, nth);
	TH_LOG("the call makes %u allocations and needs %u of them", nth - 1, refused);
	if (!variant->may_do_without)
		EXPECT_NE(0, refused);
}

#endif /* FAILNTH_H */
