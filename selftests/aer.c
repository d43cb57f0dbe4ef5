// SPDX-License-Identifier: GPL-2.0
/*
 * Errors that a device reports (PCIe AER): the program is told, and mappings stay what they were,
 * as with vfio-pci. The errors are made by the kernel's own injector, which stands between the
 * port's registers and its AER driver.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <linux/pci_regs.h>

#include "fixture.h"

#define INJECTOR	"/dev/aer_inject"

/* In BAR 0 of QEMU's igb: registers, of which the status is one, and a part that has none. */
#define STATUS		0x8
#define CLAIM		(64 * KIB)
#define CLAIM_SIZE	(64 * KIB)

/* What is written to the injector: struct aer_error_inj of drivers/pci/pcie/aer_inject.c. */
struct injection {
	uint8_t bus;
	uint8_t dev;
	uint8_t fn;
	uint32_t uncorrectable;
	uint32_t correctable;
	uint32_t header[4];
	uint32_t domain;
};

FIXTURE(aer) {
	struct vfio_device dev;
	char *bar;
	char *wc;
	int error;
	int log;
};

FIXTURE_VARIANT(aer) {
	bool stock;
	/* A bit of the status register whose severity by default is non-fatal, or is fatal. */
	uint32_t status;
};

FIXTURE_VARIANT_ADD(aer, nonfatal_of_vfio_pci) { true, PCI_ERR_UNC_COMP_TIME };
FIXTURE_VARIANT_ADD(aer, nonfatal) { false, PCI_ERR_UNC_COMP_TIME };
FIXTURE_VARIANT_ADD(aer, fatal_of_vfio_pci) { true, PCI_ERR_UNC_DLP };
FIXTURE_VARIANT_ADD(aer, fatal) { false, PCI_ERR_UNC_DLP };

FIXTURE_SETUP(aer)
{
	struct vfio_subregion_create sub;
	uint64_t bar;

	self->dev = (struct vfio_device)VFIO_DEVICE_CLOSED;
	if (access(INJECTOR, W_OK))
		SKIP(return, "the kernel cannot inject PCIe errors (CONFIG_PCIEAER_INJECT)");
	if (!fixture_open(_metadata, &self->dev, "DEV_IGB",
			  variant->stock ? DRIVER_STOCK : vfio_driver()))
		return;
	self->error = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->error);
	ASSERT_EQ(0, vfio_set_irqs(&self->dev, VFIO_PCI_ERR_IRQ_INDEX,
				   VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1,
				   &self->error));
	self->log = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ASSERT_LE(0, self->log);
	bar = vfio_offset(&self->dev, 0, 0);
	self->bar = fixture_map(_metadata, &self->dev, bar, CLAIM, 4 * KIB);
	if (variant->stock)
		return;
	sub = fixture_create(_metadata, &self->dev, 0, VFIO_SUBREGION_ATTR_WC, CLAIM, CLAIM_SIZE);
	self->wc = fixture_map(_metadata, &self->dev, sub.mmap_offset, CLAIM_SIZE, 4 * KIB);
}

FIXTURE_TEARDOWN(aer)
{
	vfio_device_close(&self->dev);
}

/* Waits until the kernel says that its recovery ended; false after ten seconds of silence. */
static bool recovery_ended(int log)
{
	struct pollfd poll_fd = { .fd = log, .events = POLLIN };
	char record[1024];
	ssize_t len;

	while (poll(&poll_fd, 1, 10000) == 1) {
		len = read(log, record, sizeof(record) - 1);
		if (len < 0)
			continue;
		record[len] = '\0';
		if (strstr(record, "device recovery successful") ||
		    strstr(record, "device recovery failed"))
			return true;
	}
	return false;
}

static void make_error(struct __test_metadata *_metadata, const char *bdf, uint32_t status)
{
	struct injection injection = { .uncorrectable = status };
	unsigned int domain, bus, dev, fn;
	int injector = open(INJECTOR, O_WRONLY | O_CLOEXEC), fields;

	ASSERT_LE(0, injector);
	fields = sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &dev, &fn);
	ASSERT_EQ(4, fields);
	injection.domain = domain;
	injection.bus = bus;
	injection.dev = dev;
	injection.fn = fn;
	ASSERT_EQ(sizeof(injection), write(injector, &injection, sizeof(injection)))
		TH_LOG("cannot inject into %s: %s", bdf, strerror(errno));
	close(injector);
}

static void expect_types(struct __test_metadata *_metadata, FIXTURE_DATA(aer) * self)
{
	EXPECT_TOUCH(self->bar, PTE_NONCACHED, SHIFT_4K);
	if (self->wc) {
		EXPECT_TOUCH(self->wc, PTE_WC, SHIFT_4K);
		EXPECT_TOUCH(self->wc + CLAIM_SIZE - 4, PTE_WC, SHIFT_4K);
	}
}

/* Each mapping has its type, and the BAR as it is mapped says the same as by read(). */
static void expect_usable(struct __test_metadata *_metadata, FIXTURE_DATA(aer) * self)
{
	uint32_t mapped, read;

	expect_types(_metadata, self);
	EXPECT_EQ(0, touch_read((uint32_t *)(self->bar + STATUS), &mapped));
	EXPECT_EQ(sizeof(read), pread(self->dev.fd, &read, sizeof(read),
				      vfio_offset(&self->dev, 0, STATUS)));
	EXPECT_EQ(mapped, read);
	EXPECT_NE(~0u, read);
	if (self->wc)
		EXPECT_EQ(0, touch_write((uint32_t *)self->wc, 1));
}

TEST_F(aer, is_told_and_the_mappings_keep_their_types)
{
	struct pollfd poll_fd = { .fd = self->error, .events = POLLIN };
	uint64_t count;

	expect_usable(_metadata, self);
	ASSERT_LE(0, lseek(self->log, 0, SEEK_END));
	make_error(_metadata, self->dev.bdf, variant->status);
	ASSERT_EQ(1, poll(&poll_fd, 1, 10000)) TH_LOG("the error was not told");
	EXPECT_EQ(sizeof(count), read(self->error, &count, sizeof(count)));
	EXPECT_TRUE(recovery_ended(self->log));
	/*
	 * To a fatal error the kernel answers by a reset of the link. vfio-pci has no part in that:
	 * the mappings stay, and reach nothing as long as the BARs have no addresses.
	 */
	if (variant->status == PCI_ERR_UNC_DLP)
		expect_types(_metadata, self);
	else
		expect_usable(_metadata, self);
	/* What a driver does then, as it cannot know what state the device is in. */
	ASSERT_EQ(0, vfio_device_reset(&self->dev));
	ASSERT_EQ(0, vfio_set_memory(&self->dev, true));
	expect_usable(_metadata, self);
}

TEST_HARNESS_MAIN
