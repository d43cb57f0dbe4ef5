// SPDX-License-Identifier: GPL-2.0-only
/*
 * Strays: pages whose memory type another mapping decides. sysfs mapped them write-combining before
 * the device was opened, or while they belonged to a write-combining subregion.
 *
 * No call reports a type for such a page, and no mapping of the device reaches it. Neighbouring
 * pages are not affected, read() and write() reach every byte, and the page becomes an ordinary one
 * again as soon as the other mapping is gone.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "fixture.h"

#define ALIENS	2
/* The beginning of the kernel's messages about memory types. */
#define MEMTYPES	"x86/PAT:"

FIXTURE(stray) {
	struct vfio_device dev;
	struct pci_bar bar;
	char *alien[ALIENS];
	char *uncached;
};

/*
 * @destroyed: size of the subregion destroyed at 4 MiB; 0 if sysfs maps before the open
 * @uncached: a page that sysfs maps uncached before the open; 0 if there is none
 */
FIXTURE_VARIANT(stray) {
	uint64_t destroyed;
	uint64_t uncached;
	struct {
		uint64_t start;
		uint64_t size;
	} kept[ALIENS];
};

FIXTURE_VARIANT_ADD(stray, first_page_before_open) { .kept = { { 0, 4 * KIB } } };
FIXTURE_VARIANT_ADD(stray, last_page_before_open) { .kept = { { 16 * MIB - 4 * KIB, 4 * KIB } } };
FIXTURE_VARIANT_ADD(stray, some_pages_before_open) { .kept = { { 4 * MIB - 8 * KIB, 16 * KIB } } };
FIXTURE_VARIANT_ADD(stray, a_2m_block_before_open) { .kept = { { 6 * MIB, 2 * MIB } } };
FIXTURE_VARIANT_ADD(stray, two_pages_before_open) {
	.kept = { { 2 * MIB + 4 * KIB, 4 * KIB }, { 9 * MIB, 4 * KIB } }
};

/* A mapping of the whole BAR would have two types, so vfio-pci-core cannot make it. */
FIXTURE_VARIANT_ADD(stray, below_an_uncached_page_before_open) {
	.uncached = 6 * MIB, .kept = { { 4 * MIB, 4 * KIB } }
};

FIXTURE_VARIANT_ADD(stray, around_an_uncached_page_before_open) {
	.uncached = 6 * MIB, .kept = { { 0, 2 * MIB }, { 6 * MIB + 4 * KIB, 4 * KIB } }
};

FIXTURE_VARIANT_ADD(stray, whole_bar_before_open) { .kept = { { 0, 16 * MIB } } };
FIXTURE_VARIANT_ADD(stray, the_page_destroyed) {
	.destroyed = 4 * KIB, .kept = { { 4 * MIB, 4 * KIB } }
};

FIXTURE_VARIANT_ADD(stray, two_pages_of_4m_destroyed) {
	.destroyed = 4 * MIB,
	.kept = { { 5 * MIB, 4 * KIB }, { 5 * MIB + 32 * KIB, 4 * KIB } },
};

FIXTURE_VARIANT_ADD(stray, the_ends_of_4m_destroyed) {
	.destroyed = 4 * MIB,
	.kept = { { 4 * MIB, 64 * KIB }, { 8 * MIB - 4 * KIB, 4 * KIB } },
};

/* Opens the device. The kernel reports that vfio-pci-core cannot map a BAR of two types. */
static void open_device(struct __test_metadata *_metadata, FIXTURE_DATA(stray) * self)
{
	if (self->uncached != MAP_FAILED)
		fixture_conflicts(_metadata, "begin");
	ASSERT_EQ(0, vfio_device_open(&self->dev, self->dev.bdf));
	if (self->uncached != MAP_FAILED)
		fixture_conflicts(_metadata, "end");
}

FIXTURE_SETUP(stray)
{
	struct vfio_subregion_create sub = {};
	const char *bdf = NULL;
	unsigned int n;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	for (n = 0; n < ALIENS; n++)
		self->alien[n] = MAP_FAILED;
	self->uncached = MAP_FAILED;
	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	if (variant->destroyed) {
		if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
			return;
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 4 * MIB,
				     variant->destroyed);
	} else {
		bdf = fixture_bdf(_metadata, "DEV_IVSHMEM");
		if (!bdf)
			return;
		fixture_bind(_metadata, bdf, vfio_driver());
		snprintf(self->dev.bdf, sizeof(self->dev.bdf), "%s", bdf);
	}
	for (n = 0; n < ALIENS && variant->kept[n].size; n++) {
		self->alien[n] = pci_map_resource(self->dev.bdf, 2, "_wc", variant->kept[n].start,
						  variant->kept[n].size);
		if (self->alien[n] == MAP_FAILED && errno == EINVAL && variant->destroyed)
			SKIP(return, "the kernel was not booted with iomem=relaxed");
		ASSERT_NE(MAP_FAILED, self->alien[n]) TH_LOG("resource2_wc: %s", strerror(errno));
		EXPECT_TOUCH(self->alien[n], PTE_WC, 0);
	}
	if (variant->uncached) {
		self->uncached = pci_map_resource(self->dev.bdf, 2, "", variant->uncached, 4 * KIB);
		ASSERT_NE(MAP_FAILED, self->uncached) TH_LOG("resource2: %s", strerror(errno));
		EXPECT_TOUCH(self->uncached, PTE_NONCACHED, 0);
	}
	if (variant->destroyed)
		fixture_destroy(_metadata, &self->dev, sub.index);
	else
		open_device(_metadata, self);
	self->bar = fixture_bar(_metadata, &self->dev, BAR2);
	ASSERT_EQ(16 * MIB, self->bar.size);
}

/* Removes the sysfs mappings. */
static void let_go(FIXTURE_DATA(stray) * self, const FIXTURE_VARIANT(stray) * variant)
{
	unsigned int n;

	for (n = 0; n < ALIENS; n++) {
		if (self->alien[n] != MAP_FAILED)
			munmap(self->alien[n], variant->kept[n].size);
		self->alien[n] = MAP_FAILED;
	}
	if (self->uncached != MAP_FAILED)
		munmap(self->uncached, 4 * KIB);
	self->uncached = MAP_FAILED;
}

FIXTURE_TEARDOWN(stray)
{
	let_go(self, variant);
	vfio_device_close(&self->dev);
}

/* Whether sysfs maps any of the @size bytes at @at. */
static bool is_kept(const FIXTURE_VARIANT(stray) * variant, uint64_t at, uint64_t size)
{
	unsigned int n;

	for (n = 0; n < ALIENS; n++) {
		if (at < variant->kept[n].start + variant->kept[n].size &&
		    variant->kept[n].start < at + size)
			return true;
	}
	return false;
}

/* An offset that sysfs does not map, or UINT64_MAX. */
static uint64_t beside(const FIXTURE_VARIANT(stray) * variant)
{
	uint64_t at = variant->kept[0].start;

	if (variant->kept[0].size == 16 * MIB)
		return UINT64_MAX;
	return at ? at - 4 * KIB : variant->kept[0].size;
}

/* contract: stray.unmapped */
TEST_F(stray, no_mapping_reaches_it_and_every_other_page_is_strict)
{
	/* If the whole BAR is a stray, the test checks some of its 4096 pages. */
	uint64_t step = variant->kept[0].size < 16 * MIB ? 4 * KIB : 68 * KIB, block, at;
	char *map;

	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	for (block = 0; block < self->bar.size; block += 2 * MIB) {
		if (!is_kept(variant, block, 2 * MIB)) {
			EXPECT_TOUCH(map + block, PTE_NONCACHED, SHIFT_2M);
			continue;
		}
		for (at = block; at < block + 2 * MIB; at += step) {
			if (is_kept(variant, at, 4 * KIB))
				EXPECT_SIGBUS(map + at);
			else
				EXPECT_TOUCH(map + at, PTE_NONCACHED, SHIFT_4K);
		}
	}
}

/* contract: stray.ends */
TEST_F(stray, a_touch_finds_the_page_once_the_other_mapping_is_gone)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	uint32_t value;
	unsigned int n;

	for (n = 0; n < ALIENS && variant->kept[n].size; n++) {
		uint64_t offset = vfio_offset(&self->dev, BAR2, variant->kept[n].start);

		EXPECT_SIGBUS(map + variant->kept[n].start);
		/* The kernel's mappings for this must not keep the type. */
		EXPECT_EQ(4, pread(self->dev.fd, &value, sizeof(value), offset));
	}
	let_go(self, variant);
	for (n = 0; n < ALIENS && variant->kept[n].size; n++)
		EXPECT_TOUCH(map + variant->kept[n].start, PTE_NONCACHED, 0);
	EXPECT_TOUCH(map, PTE_NONCACHED, 0);
	EXPECT_TOUCH(map + self->bar.size - 4, PTE_NONCACHED, 0);
	EXPECT_MEMTYPE(MEMTYPE_UC_MINUS, self->bar.start, self->bar.start + self->bar.size);
}

/* contract: stray.no-attribute */
TEST_F(stray, the_bar_gets_no_attribute_until_it_is_gone)
{
	struct vfio_region_info info;
	unsigned int n;
	char *map;

	for (n = 0; n < SUBREGION_ATTRIBUTES; n++) {
		uint32_t attribute = subregion_attributes[n].number;

		EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, attribute));
		ASSERT_EQ(0, vfio_region_info(&self->dev, BAR2, &info));
		EXPECT_EQ(0, info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	}
	let_go(self, variant);
	for (n = 0; n < SUBREGION_ATTRIBUTES; n++) {
		uint32_t attribute = subregion_attributes[n].number;

		fixture_set_attr(_metadata, &self->dev, BAR2, attribute);
		map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
		EXPECT_TOUCH(map + variant->kept[0].start, attribute_pte(attribute), SHIFT_2M);
		munmap(map, self->bar.size);
	}
}

/* A subregion of the page at @at can have each attribute, and its mapping then has that type. */
static void expect_each_type(struct __test_metadata *_metadata, FIXTURE_DATA(stray) * self,
			     uint64_t at)
{
	unsigned int n;
	char *map;

	for (n = 0; n < SUBREGION_ATTRIBUTES; n++) {
		uint32_t attribute = subregion_attributes[n].number;
		struct vfio_subregion_create sub;

		sub = fixture_create(_metadata, &self->dev, BAR2, attribute, at, 4 * KIB);
		map = fixture_map(_metadata, &self->dev, sub.mmap_offset, 4 * KIB, 4 * KIB);
		EXPECT_TOUCH(map, attribute_pte(attribute), SHIFT_4K);
		munmap(map, 4 * KIB);
		fixture_destroy(_metadata, &self->dev, sub.index);
	}
}

/* contract: stray.no-subregion */
TEST_F(stray, no_subregion_has_it_until_it_is_gone)
{
	uint64_t at = variant->kept[0].start;
	unsigned int n;

	for (n = 0; n < SUBREGION_ATTRIBUTES; n++) {
		uint32_t attribute = subregion_attributes[n].number;
		struct vfio_subregion_create sub;

		sub = subregion_init(BAR2, attribute, at, 4 * KIB);
		EXPECT_EQ(-EBUSY, subregion_create(&self->dev, &sub));
		sub = subregion_init(BAR2, attribute, 0, self->bar.size);
		EXPECT_EQ(-EBUSY, subregion_create(&self->dev, &sub));
	}
	EXPECT_EQ(0, subregion_count(&self->dev));
	let_go(self, variant);
	expect_each_type(_metadata, self, at);
}

/* contract: stray.beside */
TEST_F(stray, a_subregion_beside_it_has_its_type)
{
	uint64_t at = beside(variant);

	if (at == UINT64_MAX)
		SKIP(return, "the stray covers the whole BAR, so no page is beside it");
	expect_each_type(_metadata, self, at);
}

/* contract: stray.read-write */
TEST_F(stray, read_and_write_reach_every_byte)
{
	static char out[64 * 1024], in[sizeof(out)];
	uint64_t at = variant->kept[0].start, offset;
	unsigned int n;
	uint32_t seen;

	/* From before the stray to behind it. */
	at -= at > sizeof(out) / 2 ? sizeof(out) / 2 : at;
	if (at > self->bar.size - sizeof(out))
		at = self->bar.size - sizeof(out);
	offset = vfio_offset(&self->dev, BAR2, at);
	for (n = 0; n < sizeof(out); n++)
		out[n] = n * 7 + n / 256;
	ASSERT_EQ(sizeof(out), pwrite(self->dev.fd, out, sizeof(out), offset));
	ASSERT_EQ(sizeof(in), pread(self->dev.fd, in, sizeof(in), offset));
	EXPECT_EQ(0, memcmp(in, out, sizeof(in)));
	/* Without iomem=relaxed the mapping lost its pages when VFIO requested the BAR. */
	if (!touch_read((void *)self->alien[0], &seen))
		EXPECT_EQ(0, memcmp(&seen, out + (variant->kept[0].start - at), sizeof(seen)));
	/* The mappings for these transfers keep no type. */
	let_go(self, variant);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
}

/* A child inherits the other mapping, which is then also split and moved. */
/* contract: stray.ends */
TEST_F(stray, it_remains_while_a_child_or_a_part_of_the_other_mapping_is_left)
{
	uint64_t at = variant->kept[0].start, size = variant->kept[0].size;
	char *map, *moved;
	int release[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(release));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(release[1]);
		if (size > 4 * KIB)
			munmap(self->alien[0] + 4 * KIB, size - 4 * KIB);
		moved = mmap(NULL, 4 * KIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		moved = mremap(self->alien[0], 4 * KIB, 4 * KIB, MREMAP_MAYMOVE | MREMAP_FIXED,
			       moved);
		(void)!read(release[0], &byte, 1);
		_exit(moved == MAP_FAILED);
	}
	close(release[0]);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	let_go(self, variant);
	EXPECT_SIGBUS(map + at);
	munmap(map, self->bar.size);
	EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE));
	close(release[1]);
	fixture_join(_metadata, child);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map + at, PTE_NONCACHED, 0);
	munmap(map, self->bar.size);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
}

/* contract: stray.query */
TEST_F(stray, query_tells_the_attributes_that_the_rest_of_the_bar_can_have)
{
	struct vfio_subregion_query query;
	bool whole = variant->kept[0].size == self->bar.size;

	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(whole ? ATTR_NONE : ATTR_ALL, query.attributes);
	let_go(self, variant);
	ASSERT_EQ(0, subregion_query(&self->dev, BAR2, &query));
	EXPECT_EQ(ATTR_ALL, query.attributes);
}

/* contract: stray.reopen */
TEST_F(stray, the_next_open_finds_it_too)
{
	char *map;

	vfio_device_close(&self->dev);
	open_device(_metadata, self);
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_SIGBUS(map + variant->kept[0].start);
	if (beside(variant) != UINT64_MAX)
		EXPECT_TOUCH(map + beside(variant), PTE_NONCACHED, 0);
}

/* contract: stray.ends */
TEST_F(stray, nothing_is_reserved_any_more_after_the_close)
{
	EXPECT_STRNE(MEMTYPE_NONE, memtype(self->bar.start, self->bar.start + self->bar.size));
	vfio_device_close(&self->dev);
	let_go(self, variant);
	EXPECT_MEMTYPE(MEMTYPE_NONE, self->bar.start, self->bar.start + self->bar.size);
}

/* contract: stray.ends */
TEST_F(stray, a_kept_page_can_have_an_ioeventfd_once_it_is_gone)
{
	uint64_t at = vfio_offset(&self->dev, BAR2, variant->kept[0].start), one = 1;
	int event = eventfd(0, EFD_CLOEXEC);

	EXPECT_EQ(-EBUSY, vfio_add_ioeventfd(&self->dev, at, event));
	EXPECT_EQ(-ENODEV, vfio_add_ioeventfd(&self->dev, at, -1));
	let_go(self, variant);
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, event));
	EXPECT_EQ(sizeof(one), write(event, &one, sizeof(one)));
	EXPECT_EQ(0, vfio_add_ioeventfd(&self->dev, at, -1));
	close(event);
}

/* contract: stray.ends stray.several-types */
TEST_F(stray, the_last_mapping_that_is_left_is_an_obstacle_only_to_write_combining)
{
	struct vfio_subregion_create sub;
	unsigned int n;
	char *map;

	if (!variant->uncached)
		SKIP(return, "sysfs maps no page uncached");
	for (n = 0; n < ALIENS && variant->kept[n].size; n++) {
		munmap(self->alien[n], variant->kept[n].size);
		self->alien[n] = MAP_FAILED;
	}
	map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	EXPECT_TOUCH(map + variant->kept[0].start, PTE_NONCACHED, 0);
	EXPECT_TOUCH(map + variant->uncached, PTE_NONCACHED, 0);
	munmap(map, self->bar.size);
	fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_DEVICE);
	sub = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, variant->uncached, 4 * KIB);
	EXPECT_EQ(-EBUSY, subregion_create(&self->dev, &sub));
	EXPECT_EQ(VFIO_SUBREGION_BUSY_TYPE, sub.busy);
	let_go(self, variant);
	expect_each_type(_metadata, self, variant->uncached);
}

/* contract: stray.log */
TEST_F(stray, nothing_that_is_repeated_is_logged)
{
	char *map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	uint64_t at = variant->kept[0].start;
	unsigned int before = fixture_logged(_metadata, MEMTYPES), n;
	struct vfio_subregion_query query;
	uint32_t value;

	for (n = 0; n < 8; n++) {
		struct vfio_subregion_create sub;

		sub = subregion_init(BAR2, n % SUBREGION_ATTRIBUTES, at, 4 * KIB);
		EXPECT_EQ(-EBUSY, subregion_create(&self->dev, &sub));
		EXPECT_EQ(-EBUSY, region_set_attr(&self->dev, BAR2, n % SUBREGION_ATTRIBUTES));
		EXPECT_EQ(0, subregion_query(&self->dev, BAR2, &query));
		EXPECT_EQ(SIGBUS, touch_read((void *)(map + at), &value));
		EXPECT_EQ(4, pread(self->dev.fd, &value, 4, vfio_offset(&self->dev, BAR2, at)));
	}
	EXPECT_EQ(before, fixture_logged(_metadata, MEMTYPES));
}

/* A page becomes a stray and stops being one, again and again, while other threads touch it. */
FIXTURE(stray_race) {
	struct vfio_device dev;
	char *map;
	pthread_t threads[3];
	bool stop;
	volatile unsigned int wrong, found, refused;
};

static void *touch_it(void *data)
{
	FIXTURE_DATA(stray_race) * self = data;
	const char *type;
	uint32_t value;

	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		if (touch_read((void *)self->map, &value))
			__atomic_add_fetch(&self->refused, 1, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&self->found, 1, __ATOMIC_RELAXED);
		type = pte_type(self->map);
		if (strcmp(type, PTE_NONCACHED) && strcmp(type, PTE_NONE))
			__atomic_add_fetch(&self->wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *ask_for_it(void *data)
{
	FIXTURE_DATA(stray_race) * self = data;
	struct vfio_subregion_query query;
	uint64_t offset = vfio_offset(&self->dev, BAR2, 0);
	uint32_t value;

	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		subregion_query(&self->dev, BAR2, &query);
		region_set_attr(&self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
		(void)!pread(self->dev.fd, &value, sizeof(value), offset);
	}
	return NULL;
}

FIXTURE_SETUP(stray_race)
{
	unsigned int n;

	if (!memtype_tracked())
		SKIP(return, NO_MEMTYPES);
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	self->map = fixture_map_bar(_metadata, &self->dev, BAR2, 2 * MIB);
	for (n = 0; n < ARRAY_SIZE(self->threads); n++)
		ASSERT_EQ(0, pthread_create(&self->threads[n], NULL, n ? touch_it : ask_for_it,
					    self));
}

FIXTURE_TEARDOWN(stray_race)
{
	vfio_device_close(&self->dev);
}

/* contract: stray.race */
TEST_F(stray_race, no_touch_ever_finds_it_with_another_type)
{
	struct vfio_subregion_create sub;
	unsigned int round, n;
	void *alien;

	/* On a loaded machine, the threads run rarely and need more rounds. */
	for (round = 0; round < 100 || (round < 2000 && !(self->found && self->refused)); round++) {
		sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 0,
				     (round % 3 + 1) * 4 * KIB);
		alien = pci_map_resource(self->dev.bdf, 2, "_wc", 0, 4 * KIB);
		fixture_destroy(_metadata, &self->dev, sub.index);
		if (alien == MAP_FAILED)
			break;
		usleep(round % 5 * 200);
		munmap(alien, 4 * KIB);
		usleep(round % 3 * 200);
	}
	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	for (n = 0; n < ARRAY_SIZE(self->threads); n++)
		pthread_join(self->threads[n], NULL);
	if (!round)
		SKIP(return, "the kernel was not booted with iomem=relaxed");
	TH_LOG("%u touches found the page, %u did not", self->found, self->refused);
	EXPECT_EQ(0, self->wrong);
	EXPECT_LT(0, self->found);
	EXPECT_LT(0, self->refused);
	EXPECT_TOUCH(self->map, PTE_NONCACHED, 0);
}

TEST_HARNESS_MAIN
