// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another device reaches a subregion by DMA through its dma-buf: exactly the range, and only while
 * its owner has the device open and the memory is on. The other device is an NVMe controller, whose
 * answer to the command Identify goes to an address of the test's choice.
 */
#define PAGES_OF_4K
#include <time.h>

#include <linux/pci_regs.h>

#include "dma_buf.h"
#include "iommufd.h"

/* Newer than some of the headers that this program is built with. */
#define IOAS_MAP_FILE		_IO(';', 0x8f)

struct ioas_map_file {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__s32 fd;
	__aligned_u64 start;
	__aligned_u64 length;
	__aligned_u64 iova;
};

#define IOAS_FLAGS	(IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | \
			 IOMMU_IOAS_MAP_READABLE)

#define CLAIM		(4 * MIB)
#define PAGE		(4 * KIB)
#define CLAIM_SIZE	(2 * PAGE)

/* Registers of the controller, by NVM Express base specification 2.0. */
#define CC		0x14
#define CSTS		0x1c
#define AQA		0x24
#define ASQ		0x28
#define ACQ		0x30
#define TAIL_BELL	0x1000
#define HEAD_BELL	0x1004
#define CC_ON		(4U << 20 | 6 << 16 | 1)
#define IDENTIFY	6
#define ENTRIES		16

/* The addresses for the controller of its queues and of a page for answers, and of the dma-buf. */
#define MEMORY_IOVA	(4 * GIB)
#define IOVA		(8 * GIB)

struct memory {
	uint32_t commands[PAGE / 64][16];
	volatile uint32_t completions[PAGE / 16][4];
	char answer[PAGE];
};

FIXTURE(dma_peer) {
	struct vfio_device dev;
	struct vfio_device nvme;
	struct vfio_subregion_create sub;
	struct memory *memory;
	uint64_t window;
	uint32_t ioas;
	unsigned int next;
	unsigned int phase;
};

static void wr(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self, unsigned int reg,
	       uint32_t value)
{
	ASSERT_EQ(4, pwrite(self->nvme.fd, &value, 4, reg));
}

static uint32_t rd(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self,
		   unsigned int reg)
{
	uint32_t value = 0;

	ASSERT_EQ(4, pread(self->nvme.fd, &value, 4, reg));
	return value;
}

static void wait_until_ready(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self,
			     uint32_t ready)
{
	unsigned int tries = 0;

	while ((rd(_metadata, self, CSTS) & 1) != ready && tries++ < 10000)
		usleep(1000);
	ASSERT_GT(10000, tries) TH_LOG("the controller is not ready");
}

static void start_controller(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self)
{
	int command = vfio_read16(&self->nvme, PCI_COMMAND);

	ASSERT_LE(0, command);
	ASSERT_EQ(0, vfio_write16(&self->nvme, PCI_COMMAND,
				  command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
	wr(_metadata, self, CC, 0);
	wait_until_ready(_metadata, self, 0);
	wr(_metadata, self, AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	wr(_metadata, self, ASQ, (uint32_t)MEMORY_IOVA);
	wr(_metadata, self, ASQ + 4, MEMORY_IOVA >> 32);
	wr(_metadata, self, ACQ, (uint32_t)(MEMORY_IOVA + PAGE));
	wr(_metadata, self, ACQ + 4, (MEMORY_IOVA + PAGE) >> 32);
	wr(_metadata, self, CC, CC_ON);
	wait_until_ready(_metadata, self, 1);
}

/* Lets the controller write a page at @iova; returns the status of the command. */
static unsigned int identify(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self,
			     uint64_t iova)
{
	volatile uint32_t *completion = self->memory->completions[self->next];
	uint32_t *command = self->memory->commands[self->next];
	unsigned int tries = 0;

	memset(command, 0, 64);
	command[0] = IDENTIFY | self->next << 16;
	command[6] = iova;
	command[7] = iova >> 32;
	command[10] = 1;
	self->next = (self->next + 1) % ENTRIES;
	__sync_synchronize();
	wr(_metadata, self, TAIL_BELL, self->next);
	while ((completion[3] >> 16 & 1) != self->phase && tries++ < 10000)
		usleep(1000);
	EXPECT_GT(10000, tries) TH_LOG("the controller does not answer");
	__sync_synchronize();
	if (!self->next)
		self->phase ^= 1;
	wr(_metadata, self, HEAD_BELL, self->next);
	return completion[3] >> 17;
}

FIXTURE_SETUP(dma_peer)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOAS_FLAGS,
		.length = sizeof(struct memory),
		.iova = MEMORY_IOVA,
	};
	const char *nvme = fixture_bdf(_metadata, "DEV_NVME");
	int ret;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->nvme = (struct vfio_device)VFIO_DEVICE_CLOSED;
	self->phase = 1;
	if (!nvme)
		return;
	if (access("/dev/iommu", F_OK))
		SKIP(return, "the kernel has no iommufd");
	if (!fixture_open(_metadata, &self->dev, "DEV_IVSHMEM", vfio_driver()))
		return;
	fixture_bind(_metadata, nvme, vfio_driver());
	ret = vfio_device_open_cdev(&self->nvme, nvme);
	ASSERT_EQ(0, ret) TH_LOG("cannot open %s: %s", nvme, strerror(-ret));
	self->window = vfio_offset(&self->dev, BAR2, 0);
	self->sub = fixture_create(_metadata, &self->dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM,
				   CLAIM_SIZE);
	self->memory = mmap(NULL, sizeof(*self->memory), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
	ASSERT_EQ(0, ioctl(self->nvme.iommufd, IOMMU_IOAS_ALLOC, &alloc));
	self->ioas = alloc.out_ioas_id;
	attach.pt_id = self->ioas;
	ASSERT_EQ(0, ioctl(self->nvme.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	map.ioas_id = self->ioas;
	map.user_va = (uintptr_t)self->memory;
	ASSERT_EQ(0, ioctl(self->nvme.iommufd, IOMMU_IOAS_MAP, &map));
	start_controller(_metadata, self);
	ASSERT_EQ(0, identify(_metadata, self, MEMORY_IOVA + offsetof(struct memory, answer)));
	/* QEMU's vendor. */
	ASSERT_EQ(0x1b36, *(uint16_t *)self->memory->answer);
}

FIXTURE_TEARDOWN(dma_peer)
{
	if (self->nvme.fd >= 0)
		wr(_metadata, self, CC, 0);
	vfio_device_close(&self->nvme);
	vfio_device_close(&self->dev);
}

/* Maps a dma-buf for the controller; 0 or a negative errno. */
static int map_file(FIXTURE_DATA(dma_peer) * self, int fd, uint64_t iova, uint64_t length)
{
	struct ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOAS_FLAGS,
		.ioas_id = self->ioas,
		.fd = fd,
		.length = length,
		.iova = iova,
	};

	return ioctl(self->nvme.iommufd, IOAS_MAP_FILE, &map) ? -errno : 0;
}

/* Overwrites the subregion and the pages beside it. */
static void clear(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self)
{
	char bytes[CLAIM_SIZE + 2 * PAGE];

	memset(bytes, 0x5a, sizeof(bytes));
	ASSERT_EQ((ssize_t)sizeof(bytes), pwrite(self->dev.fd, bytes, sizeof(bytes),
						 self->window + CLAIM - PAGE));
}

/* The pages that have an answer, as bits: the one before the subregion first. */
static unsigned int answers(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self)
{
	char page[PAGE], untouched[PAGE];
	unsigned int i, found = 0;

	memset(untouched, 0x5a, PAGE);
	for (i = 0; i < 2 + CLAIM_SIZE / PAGE; i++) {
		ASSERT_EQ((ssize_t)PAGE, pread(self->dev.fd, page, PAGE,
					       self->window + CLAIM + i * PAGE - PAGE));
		if (!memcmp(page, self->memory->answer, PAGE))
			found |= 1 << i;
		else
			EXPECT_EQ(0, memcmp(page, untouched, PAGE));
	}
	return found;
}

/* A write to @iova does not arrive. */
static void expect_unreachable(struct __test_metadata *_metadata, FIXTURE_DATA(dma_peer) * self,
			       uint64_t iova)
{
	clear(_metadata, self);
	fixture_iommu_faults(_metadata, "begin");
	identify(_metadata, self, iova);
	/* The kernel writes the line in a thread. */
	usleep(100000);
	fixture_iommu_faults(_metadata, "end");
	EXPECT_EQ(0, answers(_metadata, self)) TH_LOG("%#llx is reached", (unsigned long long)iova);
}

/* contract: dma-buf.peer */
TEST_F(dma_peer, reaches_exactly_the_range)
{
	int fd = fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, CLAIM_SIZE);
	int second = fixture_dma_buf(_metadata, &self->dev, self->sub.index, PAGE, PAGE);

	EXPECT_EQ(-EINVAL, map_file(self, fd, IOVA, CLAIM_SIZE + PAGE));
	ASSERT_EQ(0, map_file(self, fd, IOVA, CLAIM_SIZE));
	clear(_metadata, self);
	EXPECT_EQ(0, identify(_metadata, self, IOVA));
	EXPECT_EQ(1 << 1, answers(_metadata, self));
	EXPECT_EQ(0, identify(_metadata, self, IOVA + PAGE));
	EXPECT_EQ(1 << 1 | 1 << 2, answers(_metadata, self));
	expect_unreachable(_metadata, self, IOVA - PAGE);
	expect_unreachable(_metadata, self, IOVA + CLAIM_SIZE);
	/* A part of it. */
	ASSERT_EQ(0, map_file(self, second, IOVA + GIB, PAGE));
	EXPECT_EQ(0, identify(_metadata, self, IOVA + GIB));
	EXPECT_EQ(1 << 2, answers(_metadata, self));
	close(fd);
	close(second);
}

/* contract: dma-buf.revoked */
TEST_F(dma_peer, loses_the_range_with_the_memory)
{
	int fd = fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, CLAIM_SIZE);

	ASSERT_EQ(0, map_file(self, fd, IOVA, CLAIM_SIZE));
	clear(_metadata, self);
	EXPECT_EQ(0, identify(_metadata, self, IOVA));
	EXPECT_EQ(1 << 1, answers(_metadata, self));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, false));
	EXPECT_EQ(-ENODEV, map_file(self, fd, IOVA + GIB, CLAIM_SIZE));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	/* iommufd does not map it again by itself. */
	expect_unreachable(_metadata, self, IOVA);
	ASSERT_EQ(0, map_file(self, fd, IOVA + GIB, CLAIM_SIZE));
	EXPECT_EQ(0, identify(_metadata, self, IOVA + GIB));
	EXPECT_EQ(1 << 1, answers(_metadata, self));
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	expect_unreachable(_metadata, self, IOVA + GIB);
	close(fd);
}

/* contract: dma-buf.ends */
TEST_F(dma_peer, keeps_the_range_until_the_last_close)
{
	int fd = fixture_dma_buf(_metadata, &self->dev, self->sub.index, 0, CLAIM_SIZE);

	ASSERT_EQ(0, map_file(self, fd, IOVA, CLAIM_SIZE));
	fixture_destroy(_metadata, &self->dev, self->sub.index);
	clear(_metadata, self);
	EXPECT_EQ(0, identify(_metadata, self, IOVA + PAGE));
	EXPECT_EQ(1 << 2, answers(_metadata, self));
	vfio_device_close(&self->dev);
	EXPECT_EQ(-ENODEV, map_file(self, fd, IOVA + GIB, CLAIM_SIZE));
	ASSERT_EQ(0, vfio_device_open(&self->dev, getenv("DEV_IVSHMEM")));
	expect_unreachable(_metadata, self, IOVA);
	EXPECT_EQ(-ENODEV, map_file(self, fd, IOVA + GIB, CLAIM_SIZE));
	close(fd);
}

TEST_HARNESS_MAIN
