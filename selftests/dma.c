// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory as a target of other devices: dma-buf export of a BAR, and DMA mappings of mapped
 * memory. Both give the same results as with vfio-pci, whether ranges are claimed or not.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "dma_buf.h"
#include "withheld.h"

/* The number of exports while a subregion comes and goes, within this number of seconds. */
#define EXPORTS			5000
#define SECONDS			20
/* The minimum number of subregions that come and go during that time. */
#define ENOUGH			10

/* A request for one range, or for two if the second has a length. */
struct export {
	uint32_t region;
	uint32_t open_flags;
	uint64_t offset;
	uint64_t length;
	uint64_t second;
	uint64_t second_length;
};

static const struct export exports[] = {
	{ BAR2, O_RDWR | O_CLOEXEC, 0, 16 * MIB, 0, 0 },
	{ BAR2, O_RDWR | O_CLOEXEC, MIB, MIB, 0, 0 },
	{ BAR2, O_RDWR | O_CLOEXEC, 4 * MIB, MIB, 0, 0 },
	{ BAR2, O_RDWR | O_CLOEXEC, 0, MIB, 4 * MIB, MIB },
	{ BAR2, O_RDONLY, 4 * MIB, 64 * KIB, 0, 0 },
	{ BAR2, O_RDWR, 15 * MIB, 2 * MIB, 0, 0 },
	{ BAR2, O_RDWR, 4 * MIB + 4, 4 * KIB, 0, 0 },
	{ BAR2, O_RDWR, 4 * MIB, 0, 0, 0 },
	{ 0, O_RDWR, 0, 4 * KIB, 0, 0 },
	{ 1, O_RDWR, 0, 4 * KIB, 0, 0 },
	{ VFIO_PCI_ROM_REGION_INDEX, O_RDWR, 0, 4 * KIB, 0, 0 },
	{ VFIO_PCI_CONFIG_REGION_INDEX, O_RDWR, 0, 4 * KIB, 0, 0 },
	/* No region of either driver; dma_buf.c exports subregions. */
	{ VFIO_PCI_NUM_REGIONS + 100, O_RDWR, 0, 4 * KIB, 0, 0 },
};

static struct dma_buf_request request_for(const struct export *export)
{
	struct dma_buf_request request = dma_buf_init(export->region);

	request.open_flags = export->open_flags;
	request.ranges[0].offset = export->offset;
	request.ranges[0].length = export->length;
	if (export->second_length) {
		request.nr_ranges = 2;
		request.ranges[1].offset = export->second;
		request.ranges[1].length = export->second_length;
	}
	return request;
}

/* Makes a dma-buf and closes it; 0 or a negative errno. */
static int try_request(struct vfio_device *dev, const struct dma_buf_request *request)
{
	int fd = dma_buf(dev, request);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int try_export(struct vfio_device *dev, const struct export *export)
{
	struct dma_buf_request request = request_for(export);

	return try_request(dev, &request);
}

/* Creates or destroys subregions between two series of exports. */
enum claims { NO_CLAIM, DEVICE_CLAIM, WC_CLAIM, WC_BAR };

FIXTURE(dma) {
	struct vfio_device dev;
	uint64_t offset;
};

FIXTURE_VARIANT(dma) {
	enum claims claims;
};

FIXTURE_VARIANT_ADD(dma, without_a_claim) { NO_CLAIM };
FIXTURE_VARIANT_ADD(dma, with_a_device_claim) { DEVICE_CLAIM };
FIXTURE_VARIANT_ADD(dma, with_a_wc_claim) { WC_CLAIM };
FIXTURE_VARIANT_ADD(dma, of_a_wc_bar) { WC_BAR };

/* The results with vfio-pci come first. */
struct stock {
	int exports[ARRAY_SIZE(exports)];
	int map_touched;
	int map_untouched;
	int map_twice;
	int unmap;
	int map_disabled;
};

static struct stock stock_results;

/* Maps device memory at @offset for DMA, in all ways that the test compares. */
static void try_map(struct __test_metadata *_metadata, struct vfio_device *dev, uint64_t offset,
		    struct stock *results)
{
	char *map = fixture_map(_metadata, dev, offset, MIB, 2 * MIB);
	uint32_t value;

	results->map_untouched = vfio_map_dma(dev, map, GIB, MIB);
	vfio_unmap_dma(dev, GIB, MIB);
	EXPECT_EQ(0, touch_read((uint32_t *)map, &value));
	results->map_touched = vfio_map_dma(dev, map, GIB, MIB);
	results->map_twice = vfio_map_dma(dev, map, GIB, MIB);
	results->unmap = vfio_unmap_dma(dev, GIB, MIB);
	ASSERT_EQ(0, vfio_set_memory(dev, false));
	results->map_disabled = vfio_map_dma(dev, map, GIB, MIB);
	vfio_unmap_dma(dev, GIB, MIB);
	ASSERT_EQ(0, vfio_set_memory(dev, true));
	munmap(map, MIB);
}

FIXTURE_SETUP(dma)
{
	unsigned int i;

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", DRIVER_STOCK))
		return;
	for (i = 0; i < ARRAY_SIZE(exports); i++)
		stock_results.exports[i] = try_export(&self->dev, &exports[i]);
	self->offset = vfio_offset(&self->dev, BAR2, 4 * MIB);
	try_map(_metadata, &self->dev, self->offset, &stock_results);
	vfio_device_close(&self->dev);
	fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver());
	if (variant->claims == DEVICE_CLAIM)
		self->offset = fixture_create(_metadata, &self->dev, BAR2,
					      VFIO_SUBREGION_ATTR_DEVICE, 4 * MIB,
					      MIB).mmap_offset;
	if (variant->claims == WC_CLAIM)
		self->offset = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC,
					      4 * MIB, MIB).mmap_offset;
	if (variant->claims == WC_BAR)
		fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC);
}

FIXTURE_TEARDOWN(dma)
{
	vfio_device_close(&self->dev);
}

/* contract: vfio.dma-buf */
TEST_F(dma, a_bar_is_exported_as_on_vfio_pci)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(exports); i++) {
		EXPECT_EQ(stock_results.exports[i], try_export(&self->dev, &exports[i]))
			TH_LOG("region %u, %#llx from %#llx", exports[i].region,
			       (unsigned long long)exports[i].length,
			       (unsigned long long)exports[i].offset);
	}
	TH_LOG("the whole BAR: %s", strerror(-stock_results.exports[0]));
}

/* contract: vfio.dma-map */
TEST_F(dma, a_mapping_is_mapped_for_dma_as_on_vfio_pci)
{
	struct stock ours = {};

	try_map(_metadata, &self->dev, self->offset, &ours);
	EXPECT_EQ(stock_results.map_untouched, ours.map_untouched);
	EXPECT_EQ(stock_results.map_touched, ours.map_touched);
	EXPECT_EQ(stock_results.map_twice, ours.map_twice);
	EXPECT_EQ(stock_results.unmap, ours.unmap);
	EXPECT_EQ(stock_results.map_disabled, ours.map_disabled);
	/* Otherwise nothing was compared. */
	EXPECT_EQ(0, stock_results.map_touched);
}

/* contract: vfio.dma-map */
TEST_F(dma, a_subregion_that_is_gone_cannot_be_mapped_for_dma)
{
	struct vfio_subregion_create sub;
	char *map;

	if (variant->claims == WC_BAR)
		fixture_set_attr(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_NONCACHED);
	sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, 8 * MIB, MIB);
	map = fixture_map(_metadata, &self->dev, sub.mmap_offset, MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	fixture_destroy(_metadata, &self->dev, sub.index);
	EXPECT_GT(0, vfio_map_dma(&self->dev, map, GIB, MIB));
}

/* Another device of the same container reaches memory that the CPU maps write-combining. */
/* contract: vfio.dma-map */
TEST_F(dma, the_type_for_the_cpu_stays)
{
	char *map;

	if (variant->claims != WC_CLAIM)
		return;
	map = fixture_map(_metadata, &self->dev, self->offset, MIB, 2 * MIB);
	EXPECT_TOUCH(map, PTE_WC, SHIFT_4K);
	ASSERT_EQ(0, vfio_map_dma(&self->dev, map, GIB, MIB));
	EXPECT_STREQ(PTE_WC, pte_type(map));
	EXPECT_EQ(0, try_export(&self->dev, &exports[2]) - stock_results.exports[2]);
	EXPECT_TOUCH(map + MIB - 4, PTE_WC, SHIFT_4K);
	EXPECT_EQ(0, vfio_unmap_dma(&self->dev, GIB, MIB));
	EXPECT_STREQ(PTE_WC, pte_type(map));
}

/* An export at the same time as the first write-combining subregion of the BAR. */
FIXTURE(dma_race) {
	struct vfio_device dev;
	/*
	 * Two pages, with a request across their border. The second page is not present at first.
	 */
	char *pages;
	char data[64 * KIB];
	int userfaultfd;
	/* The results of the threads: 0 or a negative errno. */
	int exported;
	int created;
	atomic_bool has_created;
	/* Stops the thread that makes subregions, which then reports their number. */
	atomic_bool stop;
	atomic_uint made;
};

FIXTURE_SETUP(dma_race)
{
	self->pages = MAP_FAILED;
	self->userfaultfd = -1;
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	if (try_export(&self->dev, &exports[0]) == -ENOTTY)
		SKIP(return, "the kernel exports no BARs as dma-bufs");
}

FIXTURE_TEARDOWN(dma_race)
{
	if (self->userfaultfd >= 0)
		close(self->userfaultfd);
	vfio_device_close(&self->dev);
}

static void *make_and_end_subregions(void *data)
{
	FIXTURE_DATA(dma_race) * self = data;

	while (!self->stop && !self->created) {
		struct vfio_subregion_create create;

		create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 8 * MIB, MIB);
		self->created = subregion_create(&self->dev, &create);
		if (!self->created)
			self->created = subregion_destroy(&self->dev, create.index);
		self->made++;
	}
	return NULL;
}

/* contract: vfio.dma-buf */
TEST_F(dma_race, a_bar_is_exported_while_its_first_subregion_comes_and_goes)
{
	unsigned int round, refused = 0;
	time_t end = time(NULL) + SECONDS;
	pthread_t thread;
	int ret;

	ASSERT_EQ(0, pthread_create(&thread, NULL, make_and_end_subregions, self));
	/*
	 * On a busy machine the thread makes few subregions, so the loop runs until there are
	 * enough.
	 */
	for (round = 0; self->made <= ENOUGH || (round < EXPORTS && time(NULL) < end); round++) {
		if (self->created)
			break;
		ret = try_export(&self->dev, &exports[round % 5]);
		if (ret && !refused++)
			TH_LOG("export %u: %s", round, strerror(-ret));
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, refused);
	EXPECT_EQ(0, self->created) TH_LOG("%s", strerror(-self->created));
	EXPECT_LT(ENOUGH, self->made);
}

/*
 * Puts the header of a request on a present page, and the rest on a page that is not present.
 *
 * Returns false after marking the test as skipped.
 */
static bool split_request(struct __test_metadata *_metadata, FIXTURE_DATA(dma_race) * self)
{
	struct dma_buf_request request = request_for(&exports[0]);

	self->pages = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	ASSERT_NE(MAP_FAILED, self->pages);
	self->userfaultfd = withhold(_metadata, self->pages + GRANULE, GRANULE);
	if (self->userfaultfd < 0)
		return false;
	memcpy(self->pages + GRANULE - sizeof(request.feature), &request, sizeof(request.feature));
	memcpy(self->data, &request.region_index, sizeof(request) - sizeof(request.feature));
	return true;
}

static void *export_split_request(void *data)
{
	FIXTURE_DATA(dma_race) * self = data;
	void *request = self->pages + GRANULE - sizeof(struct vfio_device_feature);

	self->exported = try_request(&self->dev, request);
	return NULL;
}

static void *create_subregion(void *data)
{
	FIXTURE_DATA(dma_race) * self = data;
	struct vfio_subregion_create create;

	create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 8 * MIB, MIB);
	self->created = subregion_create(&self->dev, &create);
	self->has_created = true;
	return NULL;
}

/* The core reads the rest of the request before it looks at the BAR. */
/* contract: vfio.dma-buf */
TEST_F(dma_race, a_bar_is_exported_whose_first_subregion_comes_while_the_request_is_read)
{
	struct pollfd event = { .events = POLLIN };
	struct uffdio_copy copy;
	pthread_t export, create;
	unsigned int tries;

	if (!split_request(_metadata, self))
		return;
	event.fd = self->userfaultfd;
	ASSERT_EQ(0, pthread_create(&export, NULL, export_split_request, self));
	ASSERT_EQ(1, poll(&event, 1, 10000)) TH_LOG("the kernel did not read the request");
	ASSERT_EQ(0, pthread_create(&create, NULL, create_subregion, self));
	/* Enough time for a call that waits for nothing. */
	for (tries = 0; tries < 200 && !self->has_created; tries++)
		usleep(1000);
	copy = (struct uffdio_copy) {
		.dst = (uintptr_t)self->pages + GRANULE,
		.src = (uintptr_t)self->data,
		.len = GRANULE,
	};
	ASSERT_EQ(0, ioctl(self->userfaultfd, UFFDIO_COPY, &copy));
	ASSERT_EQ(0, pthread_join(export, NULL));
	ASSERT_EQ(0, pthread_join(create, NULL));
	EXPECT_EQ(0, self->exported) TH_LOG("%s", strerror(-self->exported));
	EXPECT_EQ(0, self->created) TH_LOG("%s", strerror(-self->created));
}

TEST_HARNESS_MAIN
