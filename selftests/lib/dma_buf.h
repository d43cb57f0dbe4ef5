/* SPDX-License-Identifier: GPL-2.0-only */
/* Export of regions as dma-bufs. */
#ifndef DMA_BUF_H
#define DMA_BUF_H

#include "fixture.h"

/* Newer than some of the headers that tests are built with. */
#define FEATURE_DMA_BUF		11

/* A request with room for two ranges. */
struct dma_buf_request {
	struct vfio_device_feature feature;
	__u32 region_index;
	__u32 open_flags;
	__u32 flags;
	__u32 nr_ranges;
	struct {
		__u64 offset;
		__u64 length;
	} ranges[2];
};

/** dma_buf_init() - a valid request for the first page, which a test can then modify */
static inline struct dma_buf_request dma_buf_init(uint32_t index)
{
	return (struct dma_buf_request) {
		.feature = {
			.argsz = sizeof(struct dma_buf_request),
			.flags = VFIO_DEVICE_FEATURE_GET | FEATURE_DMA_BUF,
		},
		.region_index = index,
		.open_flags = O_RDWR | O_CLOEXEC,
		.nr_ranges = 1,
		.ranges = { { 0, GRANULE } },
	};
}

/** dma_buf() - VFIO_DEVICE_FEATURE_DMA_BUF; a file descriptor or a negative errno */
static inline int dma_buf(struct vfio_device *dev, const struct dma_buf_request *request)
{
	int fd = ioctl(dev->fd, VFIO_DEVICE_FEATURE, request);

	return fd < 0 ? -errno : fd;
}

/** fixture_dma_buf() - opens one range as a dma-buf, or fails the test */
static inline int fixture_dma_buf(struct __test_metadata *_metadata, struct vfio_device *dev,
				  uint32_t index, uint64_t offset, uint64_t length)
{
	struct dma_buf_request request = dma_buf_init(index);
	int fd;

	request.ranges[0].offset = offset;
	request.ranges[0].length = length;
	fd = dma_buf(dev, &request);
	ASSERT_LE(0, fd) TH_LOG("no dma-buf of region %u: %s", index, strerror(-fd));
	EXPECT_EQ(length, lseek(fd, 0, SEEK_END));
	return fd;
}

#endif /* DMA_BUF_H */
