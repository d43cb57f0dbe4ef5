// SPDX-License-Identifier: GPL-2.0-only
/*
 * The argument of all five ioctls. Each test has one error; all other input is valid.
 */
#include <stddef.h>

#include "refusal.h"

/* The longest argsz that is accepted. */
#define LONGEST		4096

/* An ioctl: the layout of its argument, and a valid one. */
struct call {
	unsigned long request;
	uint32_t size;
	/* The offset and the size of the reserved bytes, if there are any. */
	uint32_t reserved;
	uint32_t reserved_size;
	/* The flags that the call has. */
	uint32_t flags;
	/* The offset of the attribute, or 0 if the argument has none. */
	uint32_t attribute;
	/* The bytes that the call writes: from @out to before @out_end. */
	uint32_t out;
	uint32_t out_end;
	/* Writes a valid argument; each is different if the call changes the device. */
	void (*prepare)(struct __test_metadata *_metadata, struct vfio_device *dev, void *arg);
};

FIXTURE(args) {
	struct vfio_device dev;
	struct pci_bar bar;
	/* Two pages; the one after them cannot be accessed. */
	char *buffer;
	char *edge;
	size_t page;
	/* A valid argument at the start of the buffer. */
	struct {
		uint32_t argsz;
		uint32_t flags;
	} *arg;
};

FIXTURE_VARIANT(args) {
	struct call call;
};

static void prepare_create(struct __test_metadata *_metadata, struct vfio_device *dev, void *arg)
{
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC,
				(1 + 2 * subregion_count(dev)) * MIB, MIB);
	(void)_metadata;
	memcpy(arg, &create, sizeof(create));
}

static void prepare_destroy(struct __test_metadata *_metadata, struct vfio_device *dev, void *arg)
{
	struct vfio_subregion_destroy destroy = { .argsz = sizeof(destroy) };

	destroy.index = fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC,
				       (1 + 2 * subregion_count(dev)) * MIB, MIB).index;
	memcpy(arg, &destroy, sizeof(destroy));
}

static void prepare_export(struct __test_metadata *_metadata, struct vfio_device *dev, void *arg)
{
	struct vfio_subregion_export export = {
		.argsz = sizeof(export),
		.open_flags = O_RDWR | O_CLOEXEC,
	};

	export.index = fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC,
				      (1 + 2 * subregion_count(dev)) * MIB, MIB).index;
	memcpy(arg, &export, sizeof(export));
}

static void prepare_query(struct __test_metadata *_metadata, struct vfio_device *dev, void *arg)
{
	struct vfio_subregion_query query = { .argsz = sizeof(query), .index = BAR2 };

	(void)_metadata;
	(void)dev;
	memcpy(arg, &query, sizeof(query));
}

static void prepare_set_attr(struct __test_metadata *_metadata, struct vfio_device *dev, void *arg)
{
	struct vfio_region_set_attr set = {
		.argsz = sizeof(set),
		.index = BAR2,
		.attribute = VFIO_SUBREGION_ATTR_WC,
	};

	fixture_set_attr(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	memcpy(arg, &set, sizeof(set));
}

FIXTURE_VARIANT_ADD(args, of_create) {
	{
		.request = VFIO_SUBREGION_CREATE,
		.size = sizeof(struct vfio_subregion_create),
		.reserved = offsetof(struct vfio_subregion_create, reserved),
		.reserved_size = sizeof(((struct vfio_subregion_create *)NULL)->reserved),
		.flags = VFIO_SUBREGION_CREATE_SHARED,
		.attribute = offsetof(struct vfio_subregion_create, attribute),
		.out = offsetof(struct vfio_subregion_create, index),
		.out_end = sizeof(struct vfio_subregion_create),
		.prepare = prepare_create,
	}
};

FIXTURE_VARIANT_ADD(args, of_destroy) {
	{
		.request = VFIO_SUBREGION_DESTROY,
		.size = sizeof(struct vfio_subregion_destroy),
		.reserved = offsetof(struct vfio_subregion_destroy, reserved),
		.reserved_size = sizeof(((struct vfio_subregion_destroy *)NULL)->reserved),
		.prepare = prepare_destroy,
	}
};

FIXTURE_VARIANT_ADD(args, of_export) {
	{
		.request = VFIO_SUBREGION_EXPORT,
		.size = sizeof(struct vfio_subregion_export),
		.reserved = offsetof(struct vfio_subregion_export, reserved),
		.reserved_size = sizeof(((struct vfio_subregion_export *)NULL)->reserved),
		.out = offsetof(struct vfio_subregion_export, fd),
		.out_end = offsetof(struct vfio_subregion_export, reserved),
		.prepare = prepare_export,
	}
};

FIXTURE_VARIANT_ADD(args, of_query) {
	{
		.request = VFIO_SUBREGION_QUERY,
		.size = sizeof(struct vfio_subregion_query),
		.reserved = offsetof(struct vfio_subregion_query, reserved),
		.reserved_size = sizeof(((struct vfio_subregion_query *)NULL)->reserved),
		.out = offsetof(struct vfio_subregion_query, attributes),
		.out_end = offsetof(struct vfio_subregion_query, reserved),
		.prepare = prepare_query,
	}
};

FIXTURE_VARIANT_ADD(args, of_set_attr) {
	{
		.request = VFIO_REGION_SET_ATTR,
		.size = sizeof(struct vfio_region_set_attr),
		.attribute = offsetof(struct vfio_region_set_attr, attribute),
		.out = offsetof(struct vfio_region_set_attr, effective_type),
		.out_end = offsetof(struct vfio_region_set_attr, busy),
		.prepare = prepare_set_attr,
	}
};

FIXTURE_SETUP(args)
{
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	self->page = sysconf(_SC_PAGESIZE);
	self->buffer = mmap(NULL, 3 * self->page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->buffer);
	self->edge = self->buffer + 2 * self->page;
	ASSERT_EQ(0, mprotect(self->edge, self->page, PROT_NONE));
	self->arg = (void *)self->buffer;
	variant->call.prepare(_metadata, &self->dev, self->buffer);
}

/* After each refusal, a valid request works. */
FIXTURE_TEARDOWN(args)
{
	EXPECT_EQ(0, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED));
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* Issues the call with @arg; it must fail and change nothing. */
#define EXPECT_REFUSED(arg, error) \
	expect_call_refused(_metadata, &self->dev, &self->bar, variant->call.request, (arg), \
			    (error))

/* Issues the call with @arg; it must succeed. */
#define EXPECT_ACCEPTED(arg) \
	EXPECT_EQ(0, ioctl(self->dev.fd, variant->call.request, (arg)) ? errno : 0)

/* contract: args.argsz */
TEST_F(args, every_argsz_below_the_structure_is_einval)
{
	uint32_t argsz;

	for (argsz = 0; argsz < variant->call.size; argsz++) {
		self->arg->argsz = argsz;
		EXPECT_REFUSED(self->arg, EINVAL);
	}
}

/* contract: args.argsz */
TEST_F(args, the_exact_argsz_is_accepted)
{
	ASSERT_EQ(variant->call.size, self->arg->argsz);
	EXPECT_ACCEPTED(self->arg);
}

/* contract: args.tail */
TEST_F(args, a_longer_argsz_with_a_zero_tail_is_accepted)
{
	const uint32_t longer[] = { variant->call.size + 1, variant->call.size + 8, LONGEST };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(longer); i++) {
		variant->call.prepare(_metadata, &self->dev, self->arg);
		self->arg->argsz = longer[i];
		EXPECT_ACCEPTED(self->arg);
	}
}

/* contract: args.outputs */
TEST_F(args, outputs_are_written_and_nothing_else)
{
	const struct call *call = &variant->call;
	char before[256];
	uint32_t at;

	memset(self->buffer + call->size, 0x5a, 64);
	memset(self->buffer + call->out, 0x5a, call->out_end - call->out);
	memcpy(before, self->buffer, call->size + 64);
	EXPECT_ACCEPTED(self->arg);
	EXPECT_EQ(0, memcmp(before, self->buffer, call->out));
	EXPECT_EQ(0, memcmp(before + call->out_end, self->buffer + call->out_end,
			    call->size + 64 - call->out_end));
	for (at = call->out; at < call->out_end; at += 4) {
		EXPECT_NE(0, memcmp(self->buffer + at, before + at, 4))
			TH_LOG("byte %u", at);
	}
}

/* contract: args.tail */
TEST_F(args, a_tail_that_is_not_zero_is_e2big)
{
	uint32_t size = variant->call.size, at;

	self->arg->argsz = LONGEST;
	for (at = size; at < LONGEST; at += at < size + 8 ? 1 : 509) {
		self->buffer[at] = 1;
		EXPECT_REFUSED(self->arg, E2BIG);
		self->buffer[at] = 0;
	}
	self->buffer[size] = 1;
	self->arg->argsz = size + 1;
	EXPECT_REFUSED(self->arg, E2BIG);
}

/* contract: args.tail */
TEST_F(args, an_argsz_above_a_page_is_e2big)
{
	const uint32_t above[] = { LONGEST + 1, 0x80000000, UINT32_MAX };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(above); i++) {
		self->arg->argsz = above[i];
		EXPECT_REFUSED(self->arg, E2BIG);
	}
}

/* contract: args.reserved */
TEST_F(args, every_unknown_flag_is_einval)
{
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		if (variant->call.flags & 1U << bit)
			continue;
		self->arg->flags = variant->call.flags | 1U << bit;
		EXPECT_REFUSED(self->arg, EINVAL);
	}
}

/* contract: args.reserved */
TEST_F(args, every_bit_of_reserved_is_einval)
{
	unsigned char *reserved = (void *)(self->buffer + variant->call.reserved);
	unsigned int bit;

	for (bit = 0; bit < 8 * variant->call.reserved_size; bit++) {
		reserved[bit / 8] = 1U << (bit % 8);
		EXPECT_REFUSED(self->arg, EINVAL);
		reserved[bit / 8] = 0;
	}
}

/* contract: args.attribute */
TEST_F(args, an_unknown_attribute_is_einval)
{
	const uint32_t unknown[] = { 4, 5, 255, 256, 0x80000000, UINT32_MAX };
	unsigned int i;

	if (!variant->call.attribute)
		return;
	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		memcpy(self->buffer + variant->call.attribute, &unknown[i], sizeof(unknown[i]));
		EXPECT_REFUSED(self->arg, EINVAL);
	}
}

/* contract: args.efault */
TEST_F(args, a_null_argument_is_efault)
{
	EXPECT_REFUSED(NULL, EFAULT);
}

/* The last @missing bytes of the structure cannot be accessed. */
/* contract: args.efault */
TEST_F(args, an_argument_cut_off_by_a_page_edge_is_efault)
{
	uint32_t size = variant->call.size, missing;
	char *cut;

	for (missing = 1; missing <= size; missing++) {
		cut = self->edge - (size - missing);
		memcpy(cut, self->arg, size - missing);
		EXPECT_REFUSED(cut, EFAULT);
	}
}

/* contract: args.efault */
TEST_F(args, a_tail_cut_off_by_a_page_edge_is_efault)
{
	uint32_t size = variant->call.size;

	self->arg->argsz = size + 8;
	memcpy(self->edge - size, self->arg, size);
	EXPECT_REFUSED(self->edge - size, EFAULT);
}

/* A call without outputs does not need to write. */
/* contract: args.efault */
TEST_F(args, outputs_that_cannot_be_written_are_efault_and_change_nothing)
{
	int error = variant->call.out_end ? EFAULT : 0;

	ASSERT_EQ(0, mprotect(self->buffer, self->page, PROT_READ));
	if (error)
		EXPECT_REFUSED(self->arg, error);
	else
		EXPECT_ACCEPTED(self->arg);
	ASSERT_EQ(0, mprotect(self->buffer, self->page, PROT_READ | PROT_WRITE));
	/* The call that failed can still succeed. */
	if (!error)
		return;
	EXPECT_ACCEPTED(self->arg);
}

/* The edge of the page lies before each byte of the outputs in turn; the next page is read-only. */
/* contract: args.efault */
TEST_F(args, outputs_cut_off_by_a_page_edge_are_efault_and_change_nothing)
{
	const struct call *call = &variant->call;
	char *second = self->buffer + self->page, *arg;
	uint32_t at;

	for (at = call->out; at < call->out_end; at += 4) {
		arg = second - at;
		ASSERT_EQ(0, mprotect(second, self->page, PROT_READ | PROT_WRITE));
		memmove(arg, self->arg, call->size);
		ASSERT_EQ(0, mprotect(second, self->page, PROT_READ));
		EXPECT_REFUSED(arg, EFAULT);
	}
}

/* contract: args.outputs */
TEST_F(args, an_argument_at_the_last_bytes_of_a_page_is_accepted)
{
	char *last = self->edge - variant->call.size;

	memcpy(last, self->arg, variant->call.size);
	EXPECT_ACCEPTED(last);
}

TEST_HARNESS_MAIN
