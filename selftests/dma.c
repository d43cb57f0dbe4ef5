// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of a device as a target of other devices: dma-buf export of a BAR, and DMA mappings of
 * what is mapped. Both give what they give on vfio-pci, whatever is claimed.
 */
#include <fcntl.h>

#include "fixture.h"

/* Newer than some of the headers that this is built with. */
#define FEATURE_DMA_BUF		11

struct dma_buf_request {
	struct vfio_device_feature feature;
	struct {
		__u32 region_index;
		__u32 open_flags;
		__u32 flags;
		__u32 nr_ranges;
		struct {
			__u64 offset;
			__u64 length;
		} ranges[2];
	} data;
};

/* A request for one range, or two when the second has a length. */
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
	{ BAR2, O_RDONLY, 4 * MIB, 4 * KIB, 0, 0 },
	{ BAR2, O_RDWR, 15 * MIB, 2 * MIB, 0, 0 },
	{ BAR2, O_RDWR, 4 * MIB + 4, 4 * KIB, 0, 0 },
	{ BAR2, O_RDWR, 4 * MIB, 0, 0, 0 },
	{ 0, O_RDWR, 0, 4 * KIB, 0, 0 },
	{ 1, O_RDWR, 0, 4 * KIB, 0, 0 },
	{ VFIO_PCI_ROM_REGION_INDEX, O_RDWR, 0, 4 * KIB, 0, 0 },
	{ VFIO_PCI_CONFIG_REGION_INDEX, O_RDWR, 0, 4 * KIB, 0, 0 },
	{ VFIO_PCI_NUM_REGIONS, O_RDWR, 0, 4 * KIB, 0, 0 },
};

/* 0 when a dma-buf was made, which is closed again, or a negative errno. */
static int try_export(struct vfio_device *dev, const struct export *export)
{
	struct dma_buf_request request = {
		.feature.flags = VFIO_DEVICE_FEATURE_GET | FEATURE_DMA_BUF,
		.data = {
			.region_index = export->region,
			.open_flags = export->open_flags,
			.nr_ranges = export->second_length ? 2 : 1,
			.ranges = {
				{ export->offset, export->length },
				{ export->second, export->second_length },
			},
		},
	};
	int fd;

	request.feature.argsz = sizeof(request.feature) + 16 + 16 * request.data.nr_ranges;
	fd = ioctl(dev->fd, VFIO_DEVICE_FEATURE, &request);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* Takes or gives back what is claimed between two series. */
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

/* What vfio-pci gives is found out first. */
struct stock {
	int exports[ARRAY_SIZE(exports)];
	int map_touched;
	int map_untouched;
	int map_twice;
	int unmap;
	int map_disabled;
};

static struct stock stock_results;

/* Maps a mapping of the device's memory at @offset for DMA, in all the ways that are compared. */
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

TEST_F(dma, what_is_mapped_is_mapped_for_dma_as_on_vfio_pci)
{
	struct stock ours = {};

	try_map(_metadata, &self->dev, self->offset, &ours);
	EXPECT_EQ(stock_results.map_untouched, ours.map_untouched);
	EXPECT_EQ(stock_results.map_touched, ours.map_touched);
	EXPECT_EQ(stock_results.map_twice, ours.map_twice);
	EXPECT_EQ(stock_results.unmap, ours.unmap);
	EXPECT_EQ(stock_results.map_disabled, ours.map_disabled);
	/* Or nothing was compared. */
	EXPECT_EQ(0, stock_results.map_touched);
}

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

/* Another device of the same container reaches memory that is write-combining for the CPU. */
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

TEST_HARNESS_MAIN
