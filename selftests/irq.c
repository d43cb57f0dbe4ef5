// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts beside subregions: they are configured and arrive as with vfio-pci, whether ranges are
 * claimed or not.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include <linux/pci_regs.h>

#include "fixture.h"

/* QEMU's igb: registers in BAR 0, the MSI-X table in BAR 3. */
#define MSIX_BAR	VFIO_PCI_BAR3_REGION_INDEX
#define EICS		0x1520
#define EIMS		0x1524
#define EICR		0x1580
#define GPIE		0x1514
#define GPIE_MSIX	0x10
#define IVAR0		0x1700
#define IVAR_VALID	0x80

#define VECTORS		3

FIXTURE(irq) {
	struct vfio_device dev;
	uint64_t registers;
	int eventfds[VECTORS];
	/* The interrupt index and the number of vectors under test. */
	uint32_t count[3];
};

FIXTURE_VARIANT(irq) {
	bool stock;
	/* A range of the register BAR without registers, and the MSI-X table. */
	bool wc;
	bool table;
};

FIXTURE_VARIANT_ADD(irq, of_stock_vfio_pci) { .stock = true };
FIXTURE_VARIANT_ADD(irq, of_this_driver) { };
FIXTURE_VARIANT_ADD(irq, with_a_wc_claim) { .wc = true };
FIXTURE_VARIANT_ADD(irq, with_a_claim_of_the_msix_table) { .table = true };
FIXTURE_VARIANT_ADD(irq, with_both_claims) { .wc = true, .table = true };

static struct vfio_subregion_create claim_wc(struct __test_metadata *_metadata,
					     struct vfio_device *dev)
{
	return fixture_create(_metadata, dev, 0, VFIO_SUBREGION_ATTR_WC, 64 * KIB, 64 * KIB);
}

FIXTURE_SETUP(irq)
{
	unsigned int i;

	for (i = 0; i < VECTORS; i++)
		self->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	self->count[VFIO_PCI_INTX_IRQ_INDEX] = 1;
	self->count[VFIO_PCI_MSI_IRQ_INDEX] = 1;
	self->count[VFIO_PCI_MSIX_IRQ_INDEX] = VECTORS;
	if (!fixture_open(_metadata, &self->dev, "DEV_IGB",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	self->registers = vfio_offset(&self->dev, 0, 0);
	if (variant->wc)
		claim_wc(_metadata, &self->dev);
	if (variant->table)
		fixture_create(_metadata, &self->dev, MSIX_BAR, VFIO_SUBREGION_ATTR_DEVICE, 0,
			       GRANULE);
}

FIXTURE_TEARDOWN(irq)
{
	vfio_device_close(&self->dev);
}

#define SET_EVENTFDS	(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define SET_NONE	(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
#define SET_BOOLS	(VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER)

/* Returns how often the vector was triggered since the last call; waits for the first time. */
static uint64_t triggered(int eventfd, int timeout)
{
	struct pollfd poll_fd = { .fd = eventfd, .events = POLLIN };
	uint64_t count = 0;

	poll(&poll_fd, 1, timeout);
	return read(eventfd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* contract: vfio.irq */
TEST_F(irq, loopback_triggers_each_vector)
{
	const unsigned char second[VECTORS] = { 0, 1, 0 }, first[VECTORS] = { 1 };
	uint32_t index, count, i;

	for (index = 0; index < ARRAY_SIZE(self->count); index++) {
		count = self->count[index];
		ASSERT_EQ(0, vfio_set_irqs(&self->dev, index, SET_EVENTFDS, count, self->eventfds))
			TH_LOG("interrupt %u", index);
		ASSERT_EQ(0, vfio_set_irqs(&self->dev, index, SET_NONE, count, NULL));
		for (i = 0; i < count; i++)
			EXPECT_EQ(1, triggered(self->eventfds[i], 0));
		ASSERT_EQ(0, vfio_set_irqs(&self->dev, index, SET_BOOLS, count,
					   count > 1 ? second : first));
		for (i = 0; i < count; i++)
			EXPECT_EQ(i == (count > 1), triggered(self->eventfds[i], 0));
		ASSERT_EQ(0, vfio_set_irqs(&self->dev, index, SET_NONE, 0, NULL));
		EXPECT_NE(0, vfio_set_irqs(&self->dev, index, SET_NONE, count, NULL));
	}
}

/* contract: vfio.irq */
TEST_F(irq, intx_can_be_masked)
{
	const uint32_t mask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK;
	const uint32_t unmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;

	ASSERT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_INTX_IRQ_INDEX, SET_EVENTFDS, 1,
				   self->eventfds));
	EXPECT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_INTX_IRQ_INDEX, mask, 1, NULL));
	EXPECT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_INTX_IRQ_INDEX, unmask, 1, NULL));
	EXPECT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_INTX_IRQ_INDEX, SET_NONE, 0, NULL));
}

static void write_register(struct __test_metadata *_metadata, FIXTURE_DATA(irq) * self,
			   uint32_t at, uint32_t value)
{
	ASSERT_EQ(4, pwrite(self->dev.fd, &value, 4, self->registers + at));
}

/* Makes the device raise its first MSI-X vector, and waits for the interrupt. */
static void expect_interrupt(struct __test_metadata *_metadata, FIXTURE_DATA(irq) * self)
{
	write_register(_metadata, self, EICR, UINT32_MAX);
	write_register(_metadata, self, EIMS, 1);
	write_register(_metadata, self, EICS, 1);
	EXPECT_EQ(1, triggered(self->eventfds[0], 2000)) TH_LOG("no interrupt arrived");
	EXPECT_EQ(0, triggered(self->eventfds[1], 0));
}

/* Routes the first cause of the device to its first vector. */
static void enable_msix(struct __test_metadata *_metadata, FIXTURE_DATA(irq) * self)
{
	int command = vfio_read16(&self->dev, PCI_COMMAND);

	ASSERT_LE(0, command);
	ASSERT_EQ(0, vfio_write16(&self->dev, PCI_COMMAND, command | PCI_COMMAND_MASTER));
	ASSERT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_MSIX_IRQ_INDEX, SET_EVENTFDS, VECTORS,
				   self->eventfds));
	write_register(_metadata, self, GPIE, GPIE_MSIX);
	write_register(_metadata, self, IVAR0, IVAR_VALID);
}

/* contract: vfio.irq */
TEST_F(irq, the_interrupts_of_the_device_arrive)
{
	unsigned int i;

	enable_msix(_metadata, self);
	for (i = 0; i < 3; i++)
		expect_interrupt(_metadata, self);
	EXPECT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_MSIX_IRQ_INDEX, SET_NONE, 0, NULL));
}

/* contract: vfio.irq */
TEST_F(irq, those_that_are_set_up_survive_claims_that_come_and_go)
{
	struct vfio_subregion_create table, wc;

	if (variant->stock || variant->wc || variant->table)
		return;
	enable_msix(_metadata, self);
	expect_interrupt(_metadata, self);
	wc = claim_wc(_metadata, &self->dev);
	expect_interrupt(_metadata, self);
	table = fixture_create(_metadata, &self->dev, MSIX_BAR, VFIO_SUBREGION_ATTR_DEVICE, 0,
			       GRANULE);
	expect_interrupt(_metadata, self);
	fixture_destroy(_metadata, &self->dev, wc.index);
	expect_interrupt(_metadata, self);
	fixture_destroy(_metadata, &self->dev, table.index);
	expect_interrupt(_metadata, self);
	EXPECT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_MSIX_IRQ_INDEX, SET_NONE, 0, NULL));
}

TEST_HARNESS_MAIN
