// SPDX-License-Identifier: GPL-2.0-only
/*
 * A subregion as a dma-buf: its range is the limit of every request. dma_peer.c shows that another
 * device reaches exactly that range.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "dma_buf.h"

#define CLAIM		(4 * MIB)
#define CLAIM_SIZE	(2 * MIB)

FIXTURE(dma_buf) {
	struct vfio_device dev;
	struct vfio_subregion_create sub;
};

FIXTURE_SETUP(dma_buf)
{
	struct dma_buf_request request = dma_buf_init(BAR2);
	int fd;

	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	fd = dma_buf(&self->dev, &request);
	if (fd == -ENOTTY)
		SKIP(return, "the kernel exports no BARs as dma-bufs");
	ASSERT_LE(0, fd);
	close(fd);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
				   CLAIM_SIZE);
}

FIXTURE_TEARDOWN(dma_buf)
{
	vfio_device_close(&self->dev);
}

/* @request fails with @error, and a valid one succeeds. */
static void expect_no_dma_buf(struct __test_metadata *_metadata, struct vfio_device *dev,
			      uint32_t index, const struct dma_buf_request *request, int error)
{
	EXPECT_EQ(-error, dma_buf(dev, request))
		TH_LOG("%#llx bytes from %#llx", (unsigned long long)request->ranges[0].length,
		       (unsigned long long)request->ranges[0].offset);
	close(fixture_dma_buf(_metadata, dev, index, 0, GRANULE));
}

/* In a BAR in segments, and in one that is not. */
/* contract: dma-buf.range */
TEST_F(dma_buf, has_any_pages_of_a_subregion_of_every_attribute)
{
	struct dma_buf_request request;
	uint32_t i;
	int fd;

	for (i = 0; i < SUBREGION_ATTRIBUTES; i++) {
		fixture_destroy(_metadata, &self->dev, self->sub.index);
		self->sub = fixture_create(_metadata, &self->dev, BAR2,
					   subregion_attributes[i].number, CLAIM, CLAIM_SIZE);
		close(fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, CLAIM_SIZE));
		close(fixture_dma_buf(_metadata, &self->dev, self->sub.index,
				      CLAIM_SIZE - GRANULE, GRANULE));
		request = dma_buf_init(self->sub.index);
		request.nr_ranges = 2;
		request.ranges[1].offset = MIB;
		request.ranges[1].length = MIB;
		fd = dma_buf(&self->dev, &request);
		ASSERT_LE(0, fd);
		EXPECT_EQ(MIB + GRANULE, lseek(fd, 0, SEEK_END));
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		close(fd);
	}
}

/* contract: dma-buf.range */
TEST_F(dma_buf, has_nothing_beyond_the_end_of_the_subregion)
{
	const struct {
		uint64_t offset;
		uint64_t length;
		int error;
	} ranges[] = {
		{ CLAIM_SIZE, GRANULE, EINVAL },
		{ 0, CLAIM_SIZE + GRANULE, EINVAL },
		{ CLAIM_SIZE - GRANULE, 2 * GRANULE, EINVAL },
		{ GRANULE, -GRANULE, EINVAL },
		/* The wrapped end lies in the subregion. */
		{ -(uint64_t)CLAIM, CLAIM + GRANULE, EOVERFLOW },
		{ -GRANULE, 2 * GRANULE, EOVERFLOW },
	};
	struct dma_buf_request request;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		request = dma_buf_init(self->sub.index);
		request.ranges[0].offset = ranges[i].offset;
		request.ranges[0].length = ranges[i].length;
		expect_no_dma_buf(_metadata, &self->dev, self->sub.index, &request,
				  ranges[i].error);
		/* As the second range. */
		request.nr_ranges = 2;
		request.ranges[1] = request.ranges[0];
		request.ranges[0].offset = 0;
		request.ranges[0].length = GRANULE;
		expect_no_dma_buf(_metadata, &self->dev, self->sub.index, &request,
				  ranges[i].error);
	}
}

/* Wrong fields of a request, and what the kernel says to each of them alone. */
enum wrong {
	SHORT, SET, UNKNOWN_FLAG, NO_RANGES, TOO_MANY_RANGES, A_MISSING_RANGE, AN_ODD_OFFSET,
	AN_ODD_LENGTH, NO_LENGTH, BEHIND_THE_END, ACROSS_THE_END, AN_OFFSET_THAT_WRAPS,
	A_LENGTH_THAT_WRAPS, A_LONG_LENGTH, A_SECOND_ODD_OFFSET, A_SECOND_BEHIND_THE_END,
	A_SECOND_THAT_WRAPS, WRONGS
};

static const int errors[WRONGS] = {
	[SHORT] = EINVAL,
	[SET] = EINVAL,
	[UNKNOWN_FLAG] = EINVAL,
	[NO_RANGES] = EINVAL,
	[TOO_MANY_RANGES] = ENOMEM,
	[A_MISSING_RANGE] = EFAULT,
	[AN_ODD_OFFSET] = EINVAL,
	[AN_ODD_LENGTH] = EINVAL,
	[NO_LENGTH] = EINVAL,
	[BEHIND_THE_END] = EINVAL,
	[ACROSS_THE_END] = EINVAL,
	[AN_OFFSET_THAT_WRAPS] = EOVERFLOW,
	[A_LENGTH_THAT_WRAPS] = EINVAL,
	[A_LONG_LENGTH] = EINVAL,
	[A_SECOND_ODD_OFFSET] = EINVAL,
	[A_SECOND_BEHIND_THE_END] = EINVAL,
	[A_SECOND_THAT_WRAPS] = EOVERFLOW,
};

/* Makes a field of the request for a region of @size bytes wrong. */
static void make_wrong(struct dma_buf_request *request, enum wrong wrong, uint64_t size)
{
	if (wrong >= A_SECOND_ODD_OFFSET) {
		request->nr_ranges = 2;
		request->ranges[1].length = GRANULE;
	}
	switch (wrong) {
	case SHORT:
		request->feature.argsz = sizeof(request->feature) + 12;
		break;
	case SET:
		request->feature.flags = VFIO_DEVICE_FEATURE_SET | FEATURE_DMA_BUF;
		break;
	case UNKNOWN_FLAG:
		request->flags = 1;
		break;
	case NO_RANGES:
		request->nr_ranges = 0;
		break;
	case TOO_MANY_RANGES:
		request->nr_ranges = UINT32_MAX;
		break;
	case A_MISSING_RANGE:
		request->nr_ranges = 3;
		break;
	case AN_ODD_OFFSET:
		request->ranges[0].offset |= 4;
		break;
	case AN_ODD_LENGTH:
		request->ranges[0].length |= 4;
		break;
	case NO_LENGTH:
		request->ranges[0].length = 0;
		break;
	case BEHIND_THE_END:
		request->ranges[0].offset = size;
		break;
	case ACROSS_THE_END:
		request->ranges[0].length = size + GRANULE;
		break;
	case AN_OFFSET_THAT_WRAPS:
		request->ranges[0].offset = -GRANULE;
		break;
	case A_LENGTH_THAT_WRAPS:
		request->ranges[0].length = -GRANULE;
		break;
	case A_LONG_LENGTH:
		request->ranges[0].length = 1ULL << 62;
		break;
	case A_SECOND_ODD_OFFSET:
		request->ranges[1].offset = 4;
		break;
	case A_SECOND_BEHIND_THE_END:
		request->ranges[1].offset = size;
		break;
	case A_SECOND_THAT_WRAPS:
		request->ranges[1].offset = -GRANULE;
		break;
	case WRONGS:
		break;
	}
}

/* Any two fields of a request, or only one, are wrong; the memory ends behind the second range. */
/* contract: dma-buf.errno */
TEST_F(dma_buf, wrong_fields_fail_as_for_a_bar)
{
	struct pci_bar bar = fixture_bar(_metadata, &self->dev, BAR2);
	struct dma_buf_request *request;
	enum wrong first, second;
	int of_bar, of_region;
	char *pages;

	pages = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(pages + GRANULE, GRANULE, PROT_NONE));
	request = (void *)(pages + GRANULE - sizeof(*request));
	for (first = 0; first < WRONGS; first++) {
		for (second = 0; second < WRONGS; second++) {
			*request = dma_buf_init(BAR2);
			make_wrong(request, first, bar.size);
			make_wrong(request, second, bar.size);
			of_bar = dma_buf(&self->dev, request);
			*request = dma_buf_init(self->sub.index);
			make_wrong(request, first, CLAIM_SIZE);
			make_wrong(request, second, CLAIM_SIZE);
			of_region = dma_buf(&self->dev, request);
			EXPECT_GT(0, of_bar);
			EXPECT_EQ(of_bar, of_region) TH_LOG("fields %u and %u", first, second);
			if (first == second)
				EXPECT_EQ(-errors[first], of_region) TH_LOG("field %u", first);
		}
	}
	*request = dma_buf_init(self->sub.index);
	request->feature.flags |= VFIO_DEVICE_FEATURE_PROBE;
	EXPECT_EQ(0, dma_buf(&self->dev, request));
	close(fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, GRANULE));
}

/* contract: dma-buf.enodev */
TEST_F(dma_buf, of_an_index_without_subregion_is_enodev)
{
	const uint32_t unknown[] = { VFIO_PCI_NUM_REGIONS + 1, 16384, 0x80000000, UINT32_MAX };
	struct dma_buf_request request;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		request = dma_buf_init(unknown[i]);
		expect_no_dma_buf(_metadata, &self->dev, self->sub.index, &request, ENODEV);
	}
	request = dma_buf_init(self->sub.index);
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	EXPECT_EQ(-ENODEV, dma_buf(&self->dev, &request));
}

/* The call neither writes to the request nor leaves anything in the process. */
/* contract: dma-buf.request */
TEST_F(dma_buf, reads_the_request_only)
{
	struct dma_buf_request *request;
	char *pages;
	int fd;

	pages = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	request = (void *)(pages + GRANULE - sizeof(*request));
	*request = dma_buf_init(self->sub.index);
	ASSERT_EQ(0, mprotect(pages, GRANULE, PROT_READ));
	fd = dma_buf(&self->dev, request);
	EXPECT_LE(0, fd) TH_LOG("%s", strerror(-fd));
	close(fd);
	/* The bytes after the header, and those after the first range, are not mapped. */
	ASSERT_EQ(0, mprotect(pages, GRANULE, PROT_READ | PROT_WRITE));
	request->nr_ranges = 3;
	ASSERT_EQ(0, mprotect(pages + GRANULE, GRANULE, PROT_NONE));
	EXPECT_EQ(-EFAULT, dma_buf(&self->dev, request));
	close(fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, GRANULE));
}

/* In a BAR in segments, and in one that is not. */
/* contract: dma-buf.request */
TEST_F(dma_buf, a_request_cut_off_by_a_page_edge_is_efault)
{
	const uint32_t attributes[] = { VFIO_SUBREGION_ATTR_WC, VFIO_SUBREGION_ATTR_NONCACHED };
	struct dma_buf_request whole;
	char *pages, *cut;
	unsigned int i;
	size_t size;

	pages = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(pages + GRANULE, GRANULE, PROT_NONE));
	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		fixture_destroy(_metadata, &self->dev, self->sub.index);
		self->sub = fixture_create(_metadata, &self->dev, BAR2, attributes[i], CLAIM,
					   CLAIM_SIZE);
		whole = dma_buf_init(self->sub.index);
		for (size = sizeof(whole.feature);
		     size < offsetof(struct dma_buf_request, ranges[1]); size += 4) {
			cut = pages + GRANULE - size;
			memcpy(cut, &whole, size);
			EXPECT_EQ(-EFAULT, dma_buf(&self->dev, (void *)cut));
		}
		close(fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, GRANULE));
	}
}

struct comings {
	struct vfio_device *dev;
	atomic_uint index;
	atomic_bool stop;
	atomic_int error;
	atomic_uint made;
};

static void *come_and_go(void *data)
{
	struct comings *comings = data;
	struct vfio_subregion_create create;

	while (!comings->stop && !comings->error) {
		create = subregion_init(BAR2, VFIO_SUBREGION_ATTR_WC, 8 * MIB, MIB);
		comings->error = subregion_create(comings->dev, &create);
		comings->index = create.index;
		if (!comings->error)
			comings->error = subregion_destroy(comings->dev, create.index);
		comings->made++;
	}
	return NULL;
}

/* contract: dma-buf.enodev */
TEST_F(dma_buf, of_a_subregion_that_comes_and_goes_is_one_or_enodev)
{
	struct comings comings = { .dev = &self->dev, .index = UINT32_MAX };
	unsigned int exported = 0, refused = 0;
	struct dma_buf_request request;
	pthread_t thread;
	int fd;

	ASSERT_EQ(0, pthread_create(&thread, NULL, come_and_go, &comings));
	while ((exported < 50 || refused < 50 || comings.made < 50) && !comings.error) {
		request = dma_buf_init(comings.index);
		fd = dma_buf(&self->dev, &request);
		if (fd >= 0) {
			exported++;
			close(fd);
			continue;
		}
		ASSERT_EQ(-ENODEV, fd);
		refused++;
	}
	comings.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, comings.error) TH_LOG("%s", strerror(-comings.error));
}

TEST_HARNESS_MAIN
