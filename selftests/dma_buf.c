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
	close(fixture_dma_buf(_metadata, dev, index, 0, 4 * KIB));
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
				      CLAIM_SIZE - 4 * KIB, 4 * KIB));
		request = dma_buf_init(self->sub.index);
		request.nr_ranges = 2;
		request.ranges[1].offset = MIB;
		request.ranges[1].length = MIB;
		fd = dma_buf(&self->dev, &request);
		ASSERT_LE(0, fd);
		EXPECT_EQ(MIB + 4 * KIB, lseek(fd, 0, SEEK_END));
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		close(fd);
	}
}

/* contract: dma-buf.range */
TEST_F(dma_buf, beyond_the_end_of_the_subregion_is_einval)
{
	static const uint64_t ranges[][2] = {
		{ CLAIM_SIZE, 4 * KIB },
		{ 0, CLAIM_SIZE + 4 * KIB },
		{ CLAIM_SIZE - 4 * KIB, 8 * KIB },
		/* The wrapped end lies in the subregion. */
		{ -(uint64_t)CLAIM, CLAIM + 4 * KIB },
		{ 4 * KIB, -(uint64_t)4 * KIB },
		{ -(uint64_t)4 * KIB, 8 * KIB },
	};
	struct dma_buf_request request;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		request = dma_buf_init(self->sub.index);
		request.ranges[0].offset = ranges[i][0];
		request.ranges[0].length = ranges[i][1];
		expect_no_dma_buf(_metadata, &self->dev, self->sub.index, &request, EINVAL);
		/* As the second range. */
		request.nr_ranges = 2;
		request.ranges[1] = request.ranges[0];
		request.ranges[0].offset = 0;
		request.ranges[0].length = 4 * KIB;
		expect_no_dma_buf(_metadata, &self->dev, self->sub.index, &request, EINVAL);
	}
}

/* contract: dma-buf.einval */
TEST_F(dma_buf, every_other_wrong_field_fails_as_for_a_bar)
{
	const uint32_t index[] = { BAR2, self->sub.index };
	struct dma_buf_request request;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(index); i++) {
		request = dma_buf_init(index[i]);
		request.ranges[0].offset = 4;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, EINVAL);
		request = dma_buf_init(index[i]);
		request.ranges[0].length = 4;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, EINVAL);
		request = dma_buf_init(index[i]);
		request.ranges[0].length = 0;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, EINVAL);
		request = dma_buf_init(index[i]);
		request.nr_ranges = 0;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, EINVAL);
		request = dma_buf_init(index[i]);
		request.nr_ranges = UINT32_MAX;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, ENOMEM);
		request = dma_buf_init(index[i]);
		request.flags = 1;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, EINVAL);
		request = dma_buf_init(index[i]);
		request.feature.argsz = sizeof(request.feature) + 12;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, EINVAL);
		request = dma_buf_init(index[i]);
		request.feature.flags = VFIO_DEVICE_FEATURE_SET | FEATURE_DMA_BUF;
		expect_no_dma_buf(_metadata, &self->dev, index[i], &request, EINVAL);
		request.feature.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PROBE |
					FEATURE_DMA_BUF;
		EXPECT_EQ(0, ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, &request));
	}
}

/* contract: dma-buf.enodev */
TEST_F(dma_buf, of_what_is_no_subregion_is_enodev)
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
	struct dma_buf_request *request, whole;
	char *pages;
	size_t size;
	int fd;

	pages = mmap(NULL, 8 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	request = (void *)(pages + 4 * KIB - sizeof(*request));
	*request = dma_buf_init(self->sub.index);
	ASSERT_EQ(0, mprotect(pages, 4 * KIB, PROT_READ));
	fd = dma_buf(&self->dev, request);
	EXPECT_LE(0, fd) TH_LOG("%s", strerror(-fd));
	close(fd);
	/* What comes after the header, and what comes after the first range, is not there. */
	ASSERT_EQ(0, mprotect(pages, 4 * KIB, PROT_READ | PROT_WRITE));
	request->nr_ranges = 3;
	ASSERT_EQ(0, mprotect(pages + 4 * KIB, 4 * KIB, PROT_NONE));
	EXPECT_EQ(-EFAULT, dma_buf(&self->dev, request));
	/* The page ends after each field in turn. */
	whole = dma_buf_init(self->sub.index);
	for (size = sizeof(whole.feature); size < offsetof(struct dma_buf_request, ranges[1]);
	     size += 4) {
		request = (void *)(pages + 4 * KIB - size);
		memcpy(request, &whole, size);
		EXPECT_EQ(-EFAULT, dma_buf(&self->dev, request));
	}
	close(fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, 4 * KIB));
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
