// SPDX-License-Identifier: GPL-2.0-only
/*
 * The igb driver in libvfio, the library of the kernel's own VFIO selftests, works on subregions.
 *
 * Its registers are in a subregion with the attribute DEVICE. The memory that it shares with the
 * device, descriptors above all, is ordinary memory or a write-combining subregion of another
 * device, which igb then accesses by DMA.
 */
#include <poll.h>
#include <sys/mman.h>

#include <libvfio.h>

#include "fixture.h"

/* A register on another page than the first one: the tail of the queue of frames to send. */
#define TX_TAIL		0x3818

/* The memory that the driver shares with the device; its offset in the BAR of the other device. */
#define SHARED		(2 * MIB)
#define CLAIM		(4 * MIB)

/* The number of bytes to copy: many frames, each of which has descriptors of its own. */
#define COPY		(64 * KIB)

FIXTURE(igb_driver) {
	struct iommu *iommu;
	struct iova_allocator *iovas;
	struct vfio_pci_device *igb;
	/* BAR 0 as libvfio maps it, and as the subregion. */
	char *bar;
	char *registers;
	struct vfio_device memory;
	/* The source and, behind it, the destination of copies. */
	struct dma_region data;
};

FIXTURE_VARIANT(igb_driver) {
	bool wc;
};

FIXTURE_VARIANT_ADD(igb_driver, with_rings_in_ordinary_memory) { };
FIXTURE_VARIANT_ADD(igb_driver, with_rings_in_wc_memory) { .wc = true };

static void *ordinary_memory(struct __test_metadata *_metadata, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, memory);
	return memory;
}

static void *wc_memory(struct __test_metadata *_metadata, struct vfio_device *dev, size_t size)
{
	struct vfio_subregion_create sub;

	sub = fixture_create(_metadata, dev, BAR2, VFIO_SUBREGION_ATTR_WC, CLAIM, size);
	return fixture_map(_metadata, dev, sub.mmap_offset, size, 2 * MIB);
}

/* Gives the driver a subregion in place of BAR 0; libvfio unmaps it in the end. */
static void move_registers(struct __test_metadata *_metadata, FIXTURE_DATA(igb_driver) * self)
{
	struct vfio_device dev = VFIO_DEVICE_CLOSED;
	struct vfio_pci_bar *bar = &self->igb->bars[0];
	struct vfio_subregion_create sub;

	dev.fd = self->igb->fd;
	sub = fixture_create(_metadata, &dev, 0, VFIO_SUBREGION_ATTR_DEVICE, 0, bar->info.size);
	self->bar = bar->vaddr;
	self->registers = fixture_map(_metadata, &dev, sub.mmap_offset, sub.size, 4 * KIB);
	bar->vaddr = self->registers;
}

static void map_for_dma(FIXTURE_DATA(igb_driver) * self, struct dma_region *region, void *memory,
			size_t size)
{
	region->vaddr = memory;
	region->size = size;
	region->iova = iova_allocator_alloc(self->iovas, size);
	iommu_map(self->iommu, region);
}

FIXTURE_SETUP(igb_driver)
{
	const char *bdf = fixture_bdf(_metadata, "DEV_IGB");

	self->igb = NULL;
	self->memory = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (!bdf)
		return;
	if (variant->wc && !fixture_open(_metadata, &self->memory, "DEV_IVSHMEM", vfio_driver()))
		return;
	fixture_bind(_metadata, bdf, vfio_driver());
	/* The mode that maps device memory by its address in the process. */
	self->iommu = iommu_init(MODE_VFIO_TYPE1V2_IOMMU);
	self->igb = vfio_pci_device_init(bdf, self->iommu);
	ASSERT_NE(NULL, self->igb->driver.ops);
	ASSERT_STREQ("igb", self->igb->driver.ops->name);
	move_registers(_metadata, self);
	self->iovas = iova_allocator_init(self->iommu);
	map_for_dma(self, &self->data, ordinary_memory(_metadata, 2 * COPY), 2 * COPY);
	map_for_dma(self, &self->igb->driver.region,
		    variant->wc ? wc_memory(_metadata, &self->memory, SHARED) :
				  ordinary_memory(_metadata, SHARED), SHARED);
	vfio_pci_driver_init(self->igb);
}

FIXTURE_TEARDOWN(igb_driver)
{
	if (self->igb) {
		vfio_pci_device_cleanup(self->igb);
		iova_allocator_cleanup(self->iovas);
		iommu_cleanup(self->iommu);
	}
	vfio_device_close(&self->memory);
}

/* The driver's own accesses made these entries, and BAR 0 itself is not accessible. */
static void expect_types(struct __test_metadata *_metadata, FIXTURE_DATA(igb_driver) * self,
			 bool wc)
{
	EXPECT_STREQ(PTE_DEVICE, pte_type(self->registers));
	EXPECT_STREQ(PTE_DEVICE, pte_type(self->registers + TX_TAIL));
	if (wc)
		EXPECT_STREQ(PTE_WC, pte_type(self->igb->driver.region.vaddr));
	EXPECT_SIGBUS(self->bar + TX_TAIL - TX_TAIL % (4 * KIB));
}

/* The device copies bytes that differ from those of another @seed, and sends no MSI. */
static void expect_copy(struct __test_metadata *_metadata, FIXTURE_DATA(igb_driver) * self,
			unsigned int seed)
{
	int msi = self->igb->msi_eventfds[self->igb->driver.msi];
	unsigned char *source = self->data.vaddr;
	uint64_t count;
	unsigned int i;

	fcntl_set_nonblock(msi);
	for (i = 0; i < COPY; i++)
		source[i] = i * 7 + (i >> 8) + seed;
	memset(source + COPY, 0, COPY);
	EXPECT_EQ(0, vfio_pci_driver_memcpy(self->igb, self->data.iova, self->data.iova + COPY,
					    COPY));
	EXPECT_EQ(0, memcmp(source, source + COPY, COPY));
	EXPECT_EQ(-1, read(msi, &count, sizeof(count)));
	EXPECT_EQ(EAGAIN, errno);
}

static void expect_msi(struct __test_metadata *_metadata, FIXTURE_DATA(igb_driver) * self)
{
	int msi = self->igb->msi_eventfds[self->igb->driver.msi];
	struct pollfd event = { .fd = msi, .events = POLLIN };
	uint64_t count = 0;

	vfio_pci_driver_send_msi(self->igb);
	ASSERT_EQ(1, poll(&event, 1, 10000)) TH_LOG("no MSI has arrived");
	EXPECT_EQ(8, read(msi, &count, sizeof(count)));
	EXPECT_EQ(1, count);
}

/* contract: vfio.igb-driver */
TEST_F(igb_driver, copies_memory_and_sends_msis)
{
	struct vfio_pci_driver *driver = &self->igb->driver;

	expect_copy(_metadata, self, 1);
	expect_msi(_metadata, self);
	/* All descriptors but one at once, so that the next copy wraps around. */
	vfio_pci_driver_memcpy_start(self->igb, self->data.iova, self->data.iova + COPY,
				     driver->max_memcpy_size, driver->max_memcpy_count);
	EXPECT_EQ(0, vfio_pci_driver_memcpy_wait(self->igb));
	expect_copy(_metadata, self, 2);
	expect_msi(_metadata, self);
	expect_types(_metadata, self, variant->wc);
}

/* contract: vfio.igb-driver */
TEST_F(igb_driver, works_after_a_reset)
{
	expect_copy(_metadata, self, 1);
	vfio_pci_driver_remove(self->igb);
	vfio_pci_device_reset(self->igb);
	EXPECT_STREQ(PTE_NONE, pte_type(self->registers));
	vfio_pci_driver_init(self->igb);
	expect_copy(_metadata, self, 2);
	expect_msi(_metadata, self);
	expect_types(_metadata, self, variant->wc);
}

TEST_HARNESS_MAIN
