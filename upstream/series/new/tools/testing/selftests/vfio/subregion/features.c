// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device features of subregions: VFIO's rules for features, and that each has the effect, the
 * outputs and the errors of the ioctl.
 */
#include <stddef.h>
#include <sys/eventfd.h>

#include "refusal.h"

#define GET		VFIO_DEVICE_FEATURE_GET
#define SET		VFIO_DEVICE_FEATURE_SET
#define PROBE		VFIO_DEVICE_FEATURE_PROBE

/* The range of the subregion that exists in each test of a single feature. */
#define PART_AT		MIB
#define PART_SIZE	MIB

/* A structure of an ioctl, with room for a tail. */
union request {
	struct {
		__u32 argsz;
		__u32 flags;
	};
	struct vfio_subregion_create create;
	struct vfio_subregion_destroy destroy;
	struct vfio_subregion_query query;
	struct vfio_subregion_export export;
	struct vfio_region_set_attr set_attr;
	__u32 words[24];
};

/* A call: its ioctl, and its feature with the only method. */
struct call {
	unsigned long request;
	uint32_t feature;
	uint32_t method;
	uint32_t size;
	/* The offset of the reserved field, which has the flags of a feature, or 0. */
	uint32_t reserved;
	/* The offset of the first output; @size if there is none. */
	uint32_t out;
	/* Makes a valid request, if the device has the subregion @index. */
	void (*prepare)(union request *arg, uint32_t index);
};

static void prepare_create(union request *arg, uint32_t index)
{
	(void)index;
	arg->create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB, 2 * MIB);
}

static void prepare_destroy(union request *arg, uint32_t index)
{
	arg->destroy = (struct vfio_subregion_destroy) { .index = index };
}

static void prepare_query(union request *arg, uint32_t index)
{
	(void)index;
	arg->query = (struct vfio_subregion_query) { .index = BAR2 };
}

static void prepare_export(union request *arg, uint32_t index)
{
	arg->export = (struct vfio_subregion_export) {
		.index = index,
		.open_flags = O_RDWR | O_CLOEXEC,
	};
}

static void prepare_set_attr(union request *arg, uint32_t index)
{
	(void)index;
	arg->set_attr = (struct vfio_region_set_attr) {
		.index = BAR2,
		.attribute = VFIO_SUBREGION_ATTR_DEVICE,
	};
}

static const struct call create = {
	.request = VFIO_SUBREGION_CREATE,
	.feature = VFIO_DEVICE_FEATURE_SUBREGION_CREATE,
	.method = SET,
	.size = sizeof(struct vfio_subregion_create),
	.reserved = offsetof(struct vfio_subregion_create, reserved),
	.out = offsetof(struct vfio_subregion_create, index),
	.prepare = prepare_create,
};

static const struct call destroy = {
	.request = VFIO_SUBREGION_DESTROY,
	.feature = VFIO_DEVICE_FEATURE_SUBREGION_DESTROY,
	.method = SET,
	.size = sizeof(struct vfio_subregion_destroy),
	.reserved = offsetof(struct vfio_subregion_destroy, reserved),
	.out = sizeof(struct vfio_subregion_destroy),
	.prepare = prepare_destroy,
};

static const struct call query = {
	.request = VFIO_SUBREGION_QUERY,
	.feature = VFIO_DEVICE_FEATURE_SUBREGION_QUERY,
	.method = GET,
	.size = sizeof(struct vfio_subregion_query),
	.reserved = offsetof(struct vfio_subregion_query, reserved),
	.out = offsetof(struct vfio_subregion_query, attributes),
	.prepare = prepare_query,
};

static const struct call export = {
	.request = VFIO_SUBREGION_EXPORT,
	.feature = VFIO_DEVICE_FEATURE_SUBREGION_EXPORT,
	.method = GET,
	.size = sizeof(struct vfio_subregion_export),
	.reserved = offsetof(struct vfio_subregion_export, reserved),
	.out = offsetof(struct vfio_subregion_export, fd),
	.prepare = prepare_export,
};

static const struct call set_attr = {
	.request = VFIO_REGION_SET_ATTR,
	.feature = VFIO_DEVICE_FEATURE_REGION_ATTR,
	.method = SET,
	.size = sizeof(struct vfio_region_set_attr),
	.out = offsetof(struct vfio_region_set_attr, effective_type),
	.prepare = prepare_set_attr,
};

static int by_ioctl(struct vfio_device *dev, const struct call *call, union request *arg)
{
	int ret = ioctl(dev->fd, call->request, arg);

	return ret < 0 ? -errno : ret;
}

/* VFIO_DEVICE_FEATURE with these flags; 0 or a negative errno. */
static int feature(struct vfio_device *dev, uint32_t flags, void *arg)
{
	struct vfio_device_feature *head = arg;
	int ret;

	head->flags = flags;
	ret = ioctl(dev->fd, VFIO_DEVICE_FEATURE, head);
	return ret < 0 ? -errno : ret;
}

/* The feature with the request of the ioctl, whose reserved field must be zero. */
static int by_feature(struct vfio_device *dev, const struct call *call, union request *arg)
{
	uint32_t flags = arg->flags;
	int ret;

	if (call->reserved)
		arg->words[call->reserved / 4] = flags;
	ret = feature(dev, call->method | call->feature, arg);
	arg->flags = flags;
	if (call->reserved)
		arg->words[call->reserved / 4] = 0;
	return ret;
}

FIXTURE(feature) {
	struct vfio_device dev;
	struct pci_bar bar;
	/* A page with the request in its last bytes; the next one cannot be accessed. */
	char *page;
	char *edge;
	/* A valid request without its flags, which are these. */
	struct vfio_device_feature *arg;
	uint32_t valid;
	/* The same with the other method. */
	uint32_t other;
};

FIXTURE_VARIANT(feature) {
	const struct call *call;
};

FIXTURE_VARIANT_ADD(feature, create) { &create };
FIXTURE_VARIANT_ADD(feature, destroy) { &destroy };
FIXTURE_VARIANT_ADD(feature, query) { &query };
FIXTURE_VARIANT_ADD(feature, export) { &export };
FIXTURE_VARIANT_ADD(feature, set_attr) { &set_attr };

FIXTURE_SETUP(feature)
{
	const struct call *call = variant->call;
	size_t page = sysconf(_SC_PAGESIZE);
	union request request = {};
	uint32_t index;

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	index = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, PART_AT,
			       PART_SIZE).index;
	self->page = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	ASSERT_NE(MAP_FAILED, self->page);
	self->edge = self->page + page;
	ASSERT_EQ(0, mprotect(self->edge, page, PROT_NONE));
	self->arg = (void *)(self->edge - call->size);
	call->prepare(&request, index);
	request.argsz = call->size;
	memcpy(self->arg, &request, call->size);
	self->valid = call->method | call->feature;
	self->other = (call->method ^ (GET | SET)) | call->feature;
}

FIXTURE_TEARDOWN(feature)
{
	expect_still_works(_metadata, &self->dev, BAR2, &self->bar);
	vfio_device_close(&self->dev);
}

/* Issues the feature with @flags; it must fail and change nothing. */
#define EXPECT_REFUSED(flags, arg, error) do { \
	struct state __before = state_of(&self->dev, &self->bar); \
	EXPECT_EQ(-(error), feature(&self->dev, (flags), (arg))); \
	expect_unchanged(_metadata, &self->dev, &self->bar, __before); \
} while (0)

TEST_F(feature, a_valid_call_succeeds)
{
	EXPECT_EQ(0, feature(&self->dev, self->valid, self->arg));
}

TEST_F(feature, a_probe_says_whether_it_has_the_method)
{
	struct state before = state_of(&self->dev, &self->bar);
	struct vfio_device_feature *head = (void *)(self->edge - sizeof(*head));

	head->argsz = sizeof(*head);
	EXPECT_EQ(0, feature(&self->dev, PROBE | variant->call->feature, head));
	EXPECT_EQ(0, feature(&self->dev, PROBE | self->valid, head));
	EXPECT_EQ(-EINVAL, feature(&self->dev, PROBE | self->other, head));
	EXPECT_EQ(-EINVAL, feature(&self->dev, PROBE | self->valid | self->other, head));
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

/* With the data of a valid call, a probe still does nothing. */
TEST_F(feature, a_probe_has_no_effect)
{
	struct state before = state_of(&self->dev, &self->bar);
	union request copy = {};

	self->arg->flags = PROBE | self->valid;
	memcpy(&copy, self->arg, variant->call->size);
	EXPECT_EQ(0, feature(&self->dev, PROBE | self->valid, self->arg));
	EXPECT_EQ(0, memcmp(&copy, self->arg, variant->call->size));
	expect_unchanged(_metadata, &self->dev, &self->bar, before);
}

TEST_F(feature, any_other_method_is_einval)
{
	EXPECT_REFUSED(variant->call->feature, self->arg, EINVAL);
	EXPECT_REFUSED(self->other, self->arg, EINVAL);
	EXPECT_REFUSED(self->valid | self->other, self->arg, EINVAL);
}

TEST_F(feature, every_unknown_flag_is_einval)
{
	unsigned int bit;

	for (bit = 19; bit < 32; bit++)
		EXPECT_REFUSED(self->valid | 1U << bit, self->arg, EINVAL);
}

TEST_F(feature, every_argsz_below_the_structure_is_einval)
{
	uint32_t argsz;

	for (argsz = 0; argsz < variant->call->size; argsz++) {
		self->arg->argsz = argsz;
		EXPECT_REFUSED(self->valid, self->arg, EINVAL);
	}
}

TEST_F(feature, data_cut_off_by_a_page_edge_are_efault)
{
	uint32_t size = variant->call->size, missing;
	char copy[sizeof(union request)];

	memcpy(copy, self->arg, size);
	for (missing = 4; missing <= size - sizeof(*self->arg); missing += 4) {
		char *arg = self->edge - (size - missing);

		memcpy(arg, copy, size - missing);
		EXPECT_REFUSED(self->valid, arg, EFAULT);
	}
}

/* A call without outputs does not need to write. */
TEST_F(feature, outputs_that_cannot_be_written_are_efault)
{
	int error = variant->call->out < variant->call->size ? EFAULT : 0;
	size_t page = self->edge - self->page;

	self->arg->flags = self->valid;
	ASSERT_EQ(0, mprotect(self->page, page, PROT_READ));
	EXPECT_EQ(error, ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, self->arg) ? errno : 0);
	ASSERT_EQ(0, mprotect(self->page, page, PROT_READ | PROT_WRITE));
	/* Nothing has changed, so that the call that failed can still succeed. */
	if (error)
		EXPECT_EQ(0, feature(&self->dev, self->valid, self->arg));
}

/* A program that knows only the features. */
FIXTURE(features_only) {
	struct vfio_device dev;
};

FIXTURE_SETUP(features_only)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
}

FIXTURE_TEARDOWN(features_only)
{
	vfio_device_close(&self->dev);
}

TEST_F(features_only, a_subregion_has_its_type_from_creation_to_destruction)
{
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_subregion_create data;
	} create = {
		.head.argsz = sizeof(create),
		.data.parent = BAR2,
		.data.attribute = VFIO_SUBREGION_ATTR_WC,
		.data.offset = 2 * MIB,
		.data.size = 2 * MIB,
		.data.flags = VFIO_SUBREGION_CREATE_SHARED,
	}, again = create;
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_subregion_query data;
	} query = {
		.head.argsz = sizeof(query),
	};
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_subregion_export data;
	} export = {
		.head.argsz = sizeof(export),
		.data.open_flags = O_RDWR | O_CLOEXEC,
	};
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_subregion_destroy data;
	} destroy = {
		.head.argsz = sizeof(destroy),
	};
	char *map;

	ASSERT_EQ(0, feature(&self->dev, SET | VFIO_DEVICE_FEATURE_SUBREGION_CREATE, &create));
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, create.data.index);
	EXPECT_EQ(TYPE_WC, create.data.effective_type);
	map = fixture_map(_metadata, &self->dev, create.data.mmap_offset, 2 * MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);

	ASSERT_EQ(0, feature(&self->dev, SET | VFIO_DEVICE_FEATURE_SUBREGION_CREATE, &again));
	EXPECT_EQ(create.data.index, again.data.index);

	query.data.index = create.data.index;
	ASSERT_EQ(0, feature(&self->dev, GET | VFIO_DEVICE_FEATURE_SUBREGION_QUERY, &query));
	EXPECT_EQ(ATTR_BIT(VFIO_SUBREGION_ATTR_WC), query.data.attributes);
	EXPECT_EQ(SUBREGION_GRANULE, query.data.granule);
	EXPECT_EQ(SUBREGION_LIMIT, query.data.limit);
	EXPECT_EQ(1, query.data.count);

	export.data.index = create.data.index;
	ASSERT_EQ(0, feature(&self->dev, GET | VFIO_DEVICE_FEATURE_SUBREGION_EXPORT, &export));
	EXPECT_TOUCH(fixture_map_export(_metadata, export.data.fd, PROT_READ, 2 * MIB), PTE_WC,
		     SHIFT_2M);

	/* Each of the two requests is taken back. */
	destroy.data.index = create.data.index;
	ASSERT_EQ(0, feature(&self->dev, SET | VFIO_DEVICE_FEATURE_SUBREGION_DESTROY, &destroy));
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);
	ASSERT_EQ(0, feature(&self->dev, SET | VFIO_DEVICE_FEATURE_SUBREGION_DESTROY, &destroy));
	EXPECT_SIGBUS(map);
	EXPECT_EQ(0, close(export.data.fd));
}

TEST_F(features_only, a_bar_has_the_type_of_its_attribute)
{
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_region_attr data;
	} set = {
		.head.argsz = sizeof(set),
		.data.index = BAR2,
		.data.attribute = VFIO_SUBREGION_ATTR_WC,
	};
	char *map;

	ASSERT_EQ(0, feature(&self->dev, SET | VFIO_DEVICE_FEATURE_REGION_ATTR, &set));
	EXPECT_EQ(TYPE_WC, set.data.effective_type);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_2M);

	set.data.attribute = VFIO_SUBREGION_ATTR_NONCACHED;
	EXPECT_EQ(-EBUSY, feature(&self->dev, SET | VFIO_DEVICE_FEATURE_REGION_ATTR, &set));
	EXPECT_EQ(VFIO_SUBREGION_BUSY_MAPPED, set.data.busy);
}

TEST_F(features_only, the_next_number_is_enotty)
{
	const uint32_t next = VFIO_DEVICE_FEATURE_REGION_ATTR + 1;
	union request arg = { .argsz = sizeof(arg) };

	EXPECT_EQ(-ENOTTY, feature(&self->dev, PROBE | next, &arg));
	EXPECT_EQ(-ENOTTY, feature(&self->dev, GET | next, &arg));
	EXPECT_EQ(-ENOTTY, feature(&self->dev, SET | next, &arg));
}

/* The features of the core still work. */
TEST_F(features_only, the_cores_features_are_still_there)
{
	struct vfio_device_feature probe = { .argsz = sizeof(probe) };

	EXPECT_EQ(0, feature(&self->dev, PROBE | SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, &probe));
}

FIXTURE(other_driver) {
	struct vfio_device dev;
};

FIXTURE_SETUP(other_driver)
{
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", DRIVER_STOCK);
}

FIXTURE_TEARDOWN(other_driver)
{
	vfio_device_close(&self->dev);
}

TEST_F(other_driver, vfio_pci_answers_enotty)
{
	const struct call *calls[] = { &create, &destroy, &query, &export, &set_attr };
	union request arg = { .argsz = sizeof(arg) };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		EXPECT_EQ(-ENOTTY, feature(&self->dev, PROBE | calls[i]->feature, &arg));
		EXPECT_EQ(-ENOTTY, feature(&self->dev, GET | calls[i]->feature, &arg));
		EXPECT_EQ(-ENOTTY, feature(&self->dev, SET | calls[i]->feature, &arg));
	}
}

/* The number of calls of a sequence. */
#define STEPS	1000

/* The ranges that requests have, and so the subregions that can exist, are few. */
#define UNIT	(256 * KIB)
#define UNITS	16

/* What a call has returned and written. */
struct step {
	int ret;
	union request arg;
};

struct sequence {
	struct step steps[STEPS];
	char *claims;
};

/* A number below @below; the generator of C11's example. */
static uint32_t pick(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % below;
}

static void pick_create(uint32_t *seed, struct vfio_subregion_create *create)
{
	uint32_t bar = pick(seed, 8) ? BAR2 : pick(seed, 12);
	uint32_t attribute = pick(seed, 5);
	uint64_t offset = pick(seed, UNITS) * UNIT;
	uint64_t size = pick(seed, 4) * UNIT;

	*create = subregion_init(bar, attribute, offset, size);
	if (!pick(seed, 16))
		create->offset += 512;
	if (!pick(seed, 16))
		create->size += 512;
	if (!pick(seed, 32))
		create->size = -UNIT;
	create->flags = pick(seed, 16) ? pick(seed, 2) : 1U << pick(seed, 32);
}

/* The index of a region: mostly that of a recent subregion, if @count were created. */
static uint32_t pick_index(uint32_t *seed, uint32_t count)
{
	return VFIO_PCI_NUM_REGIONS + count - (pick(seed, 16) ? pick(seed, 12) : 0);
}

/* A request that is often valid. @count is the number of subregions created so far. */
static const struct call *pick_request(uint32_t *seed, uint32_t count, union request *arg)
{
	const struct call *call;

	memset(arg, 0, sizeof(*arg));
	switch (pick(seed, 8)) {
	case 0:
	case 1:
	case 2:
		call = &create;
		pick_create(seed, &arg->create);
		break;
	case 3:
	case 4:
		call = &destroy;
		arg->destroy.index = pick_index(seed, count);
		break;
	case 5:
		call = &query;
		arg->query.index = pick(seed, 2) ? BAR2 : pick_index(seed, count);
		break;
	case 6:
		call = &export;
		arg->export.index = pick_index(seed, count);
		arg->export.open_flags = pick(seed, 4) ? O_RDWR : pick(seed, 8);
		break;
	default:
		call = &set_attr;
		arg->set_attr.index = pick(seed, 8) ? BAR2 : pick(seed, 12);
		arg->set_attr.attribute = pick(seed, 5);
		break;
	}
	if (call != &create && call->reserved && !pick(seed, 16))
		arg->flags = 1U << pick(seed, 32);
	arg->argsz = call->size;
	switch (pick(seed, 32)) {
	case 0:
		arg->argsz = pick(seed, call->size);
		break;
	case 1:
		arg->argsz = call->size + 1 + pick(seed, 16);
		arg->words[call->size / 4 + pick(seed, 4)] = pick(seed, 2);
		break;
	case 2:
		arg->argsz = pick(seed, 2) ? 4097 : UINT32_MAX;
		break;
	}
	return call;
}

FIXTURE(doors) {
	struct vfio_device dev;
	int event;
	/* Whether each page at the start of a unit has an ioeventfd. */
	bool watched[UNITS];
	char *map;
};

FIXTURE_VARIANT(doors) {
	uint32_t seed;
};

FIXTURE_VARIANT_ADD(doors, first) { 1 };
FIXTURE_VARIANT_ADD(doors, second) { 2 };
FIXTURE_VARIANT_ADD(doors, third) { 3 };
FIXTURE_VARIANT_ADD(doors, fourth) { 4 };

FIXTURE_SETUP(doors)
{
	self->event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->event);
}

FIXTURE_TEARDOWN(doors)
{
	close(self->event);
}

/* Gives a page an ioeventfd or removes it, or maps or unmaps the BAR: reasons for EBUSY. */
static void pick_obstacle(struct __test_metadata *_metadata, FIXTURE_DATA(doors) * self,
			  uint32_t *seed)
{
	uint32_t unit = pick(seed, UNITS);
	uint64_t offset = vfio_offset(&self->dev, BAR2, unit * UNIT);

	if (pick(seed, 4)) {
		if (!vfio_add_ioeventfd(&self->dev, offset, self->watched[unit] ? -1 : self->event))
			self->watched[unit] = !self->watched[unit];
	} else if (self->map) {
		munmap(self->map, 4 * KIB);
		self->map = NULL;
	} else {
		self->map = fixture_map(_metadata, &self->dev, vfio_offset(&self->dev, BAR2, 0),
					4 * KIB, 4 * KIB);
	}
}

/* Runs the sequence of @seed on a device that has just been opened. */
static struct sequence *run(struct __test_metadata *_metadata, FIXTURE_DATA(doors) * self,
			    uint32_t seed, int (*door)(struct vfio_device *dev,
						       const struct call *call,
						       union request *arg))
{
	struct sequence *sequence = calloc(1, sizeof(*sequence));
	uint32_t count = 0, i;

	ASSERT_NE(NULL, sequence);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver())) {
		free(sequence);
		return NULL;
	}
	memset(self->watched, 0, sizeof(self->watched));
	for (i = 0; i < STEPS; i++) {
		struct step *step = &sequence->steps[i];
		const struct call *call;

		if (!pick(&seed, 8))
			pick_obstacle(_metadata, self, &seed);
		call = pick_request(&seed, count, &step->arg);
		step->ret = door(&self->dev, call, &step->arg);
		count = vfio_num_regions(&self->dev) - VFIO_PCI_NUM_REGIONS;
		if (call == &export && !step->ret) {
			EXPECT_EQ(0, close(step->arg.export.fd));
			step->arg.export.fd = -1;
		}
	}
	sequence->claims = subregion_claims(&self->dev);
	if (self->map)
		munmap(self->map, 4 * KIB);
	self->map = NULL;
	vfio_device_close(&self->dev);
	return sequence;
}

TEST_F(doors, the_ioctl_and_the_feature_are_the_same)
{
	const int results[] = { 0, EINVAL, E2BIG, EEXIST, EBUSY, ENOENT, EOVERFLOW };
	struct sequence *first = run(_metadata, self, variant->seed, by_ioctl), *second;
	unsigned int i, n;

	if (!first)
		return;
	second = run(_metadata, self, variant->seed, by_feature);
	for (i = 0; i < STEPS; i++) {
		const struct step *a = &first->steps[i], *b = &second->steps[i];

		ASSERT_EQ(a->ret, b->ret) TH_LOG("step %u", i);
		ASSERT_EQ(0, memcmp(&a->arg, &b->arg, sizeof(a->arg))) TH_LOG("step %u", i);
	}
	EXPECT_STREQ(first->claims, second->claims);
	/* The sequence contains each of these. */
	for (n = 0; n < ARRAY_SIZE(results); n++) {
		for (i = 0; i < STEPS && first->steps[i].ret != -results[n]; i++)
			;
		EXPECT_NE(STEPS, i) TH_LOG("no call returned %s", strerror(results[n]));
	}
	free(first->claims);
	free(second->claims);
	free(first);
	free(second);
}

TEST_HARNESS_MAIN
