// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library in C drives a device: opening, configuration space, DMA and interrupts do what
 * vfio_subregion_device.h says, with a container and with an iommufd, and failures are described.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>

#include <vfio_subregion_device.h>
#include <vfio_subregion_helpers.h>

#include "fixture.h"

#define ID	0x10c98086
#define MEMORY	(64 * KIB)
#define IOVA	GIB
/* QEMU's igb: more vectors than it has, and the registers by which it raises one. */
#define MANY	64
#define GPIE	0x1514
#define EICS	0x1520
#define EIMS	0x1524
#define EICR	0x1580
#define IVAR0	0x1700

FIXTURE(c_library) {
	struct vfio_subregion_device *device;
	int eventfd;
	void *memory;
};

FIXTURE_VARIANT(c_library) {
	bool file;
};

FIXTURE_VARIANT_ADD(c_library, by_the_group) { };
FIXTURE_VARIANT_ADD(c_library, by_the_file) { .file = true };

FIXTURE_SETUP(c_library)
{
	const char *bdf = fixture_bdf(_metadata, "DEV_IGB");

	if (!bdf)
		return;
	if (variant->file && access("/dev/iommu", F_OK))
		SKIP(return, "the kernel has no iommufd");
	fixture_bind(_metadata, bdf, vfio_driver());
	self->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	self->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			    0);
	ASSERT_NE(MAP_FAILED, self->memory);
	self->device = variant->file ? vfio_subregion_open_file(bdf) :
				       vfio_subregion_open_group(bdf, NULL);
	ASSERT_NE(NULL, self->device) TH_LOG("%s", vfio_subregion_error());
}

FIXTURE_TEARDOWN(c_library)
{
	vfio_subregion_close(self->device);
}

/* Expects that @call fails with @error_number, and with a message that has @text. */
#define EXPECT_FAILURE(call, error_number, text) do {					\
	errno = 0;									\
	EXPECT_EQ(-1, call);								\
	EXPECT_EQ(error_number, errno);							\
	EXPECT_NE(NULL, strstr(vfio_subregion_error(), text))				\
		TH_LOG("the message is: %s", vfio_subregion_error());			\
} while (0)

/* contract: userspace.c-library */
TEST_F(c_library, a_device_that_does_not_exist_is_described)
{
	errno = 0;
	EXPECT_EQ(NULL, vfio_subregion_open("fe:1f.7"));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_NE(NULL, strstr(vfio_subregion_error(), "there is no PCI device 0000:fe:1f.7"));
}

/* contract: userspace.c-library */
TEST_F(c_library, configuration_space_is_read_and_written_within_its_bounds)
{
	uint32_t id = 0;
	uint16_t command = 0;

	EXPECT_EQ(0, vfio_subregion_config_read(self->device, PCI_VENDOR_ID, &id, sizeof(id)));
	EXPECT_EQ(ID, id);
	EXPECT_EQ(0, vfio_subregion_enable(self->device));
	EXPECT_EQ(0, vfio_subregion_config_read(self->device, PCI_COMMAND, &command, 2));
	EXPECT_EQ(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, command & 6);
	command &= ~PCI_COMMAND_MASTER;
	EXPECT_EQ(0, vfio_subregion_config_write(self->device, PCI_COMMAND, &command, 2));
	EXPECT_EQ(0, vfio_subregion_config_read(self->device, PCI_COMMAND, &command, 2));
	EXPECT_EQ(PCI_COMMAND_MEMORY, command & 6);
	EXPECT_FAILURE(vfio_subregion_config_read(self->device, 4094, &id, sizeof(id)), EINVAL,
		       "outside of configuration space, which has 0x1000 bytes");
	EXPECT_FAILURE(vfio_subregion_config_write(self->device, UINT32_MAX, &id, sizeof(id)),
		       EINVAL, "outside of configuration space");
}

/* contract: userspace.c-library userspace.messages */
TEST_F(c_library, a_range_that_cannot_be_a_subregion_is_described)
{
	const uint32_t wc = VFIO_SUBREGION_ATTR_WC;

	if (!fixture_has_4k(_metadata))
		return;
	EXPECT_EQ(0, vfio_subregion_check_range(self->device, 0, wc, 0, 64 * KIB));
	EXPECT_FAILURE(vfio_subregion_check_range(self->device, 5, wc, 0, 4 * KIB), EINVAL,
		       "has no BAR 5; lspci");
	EXPECT_FAILURE(vfio_subregion_check_range(self->device, 3, wc, 0, 4 * KIB), EPERM,
		       "have the MSI-X table, which must stay strict; leave them out");
}

/* contract: userspace.c-library */
TEST_F(c_library, memory_is_mapped_for_dma_once_and_unmapped)
{
	const uint64_t second = IOVA + MEMORY;

	ASSERT_EQ(0, vfio_subregion_dma_map(self->device, self->memory, MEMORY, IOVA))
		TH_LOG("%s", vfio_subregion_error());
	ASSERT_EQ(0, vfio_subregion_dma_map(self->device, self->memory, MEMORY, second));
	EXPECT_EQ(-1, vfio_subregion_dma_map(self->device, self->memory, MEMORY, second));
	EXPECT_NE(NULL, strstr(vfio_subregion_error(), "memory cannot be mapped for DMA"));
	EXPECT_EQ(0, vfio_subregion_dma_unmap(self->device, second, MEMORY));
	EXPECT_FAILURE(vfio_subregion_dma_unmap(self->device, second, MEMORY), ENOENT,
		       "give the address and size that it was made with");
	EXPECT_EQ(0, vfio_subregion_dma_map(self->device, self->memory, MEMORY, second));
	EXPECT_EQ(0, vfio_subregion_dma_unmap(self->device, IOVA, MEMORY));
}

static void write_register(struct __test_metadata *_metadata, FIXTURE_DATA(c_library) * self,
			   uint32_t at, uint32_t value)
{
	struct vfio_region_info *bar =
		vfio_subregion_region_info(vfio_subregion_fd(self->device), 0);

	ASSERT_NE(NULL, bar);
	EXPECT_EQ(4, pwrite(vfio_subregion_fd(self->device), &value, 4, bar->offset + at));
	free(bar);
}

/* Whether the eventfd is signalled within this time. */
static bool signalled(int fd, int milliseconds)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	uint64_t count;

	return poll(&wait, 1, milliseconds) == 1 && read(fd, &count, sizeof(count)) > 0;
}

/* Makes the device raise its first vector, also if it has done so before. */
static void raise_interrupt(struct __test_metadata *_metadata, FIXTURE_DATA(c_library) * self)
{
	write_register(_metadata, self, EICR, UINT32_MAX);
	write_register(_metadata, self, EIMS, 1);
	write_register(_metadata, self, EICS, 1);
}

/* contract: userspace.c-library */
TEST_F(c_library, interrupts_of_the_device_signal_an_eventfd_until_they_are_disabled)
{
	int eventfds[MANY] = { self->eventfd };

	ASSERT_EQ(0, vfio_subregion_enable(self->device));
	ASSERT_EQ(0, vfio_subregion_irq_enable(self->device, VFIO_PCI_MSIX_IRQ_INDEX, eventfds, 1))
		TH_LOG("%s", vfio_subregion_error());
	write_register(_metadata, self, GPIE, 0x10);
	write_register(_metadata, self, IVAR0, 0x80);
	raise_interrupt(_metadata, self);
	EXPECT_TRUE(signalled(self->eventfd, 2000));
	raise_interrupt(_metadata, self);
	EXPECT_TRUE(signalled(self->eventfd, 2000));
	EXPECT_EQ(0, vfio_subregion_irq_disable(self->device, VFIO_PCI_MSIX_IRQ_INDEX));
	raise_interrupt(_metadata, self);
	EXPECT_FALSE(signalled(self->eventfd, 100));
	EXPECT_FAILURE(vfio_subregion_irq_enable(self->device, VFIO_PCI_MSIX_IRQ_INDEX, eventfds,
						 MANY),
		       EINVAL, "VFIO_DEVICE_GET_IRQ_INFO says how many there are");
	EXPECT_FAILURE(vfio_subregion_irq_enable(self->device, VFIO_PCI_MSIX_IRQ_INDEX, eventfds,
						 0),
		       EINVAL, "no interrupt was named");
}

/* contract: userspace.c-library */
TEST_F(c_library, intx_can_be_unmasked_while_it_is_enabled)
{
	EXPECT_EQ(-1, vfio_subregion_irq_unmask(self->device));
	ASSERT_EQ(0, vfio_subregion_irq_enable(self->device, VFIO_PCI_INTX_IRQ_INDEX,
					       &self->eventfd, 1));
	EXPECT_EQ(0, vfio_subregion_irq_unmask(self->device)) TH_LOG("%s", vfio_subregion_error());
	EXPECT_EQ(0, vfio_subregion_irq_disable(self->device, VFIO_PCI_INTX_IRQ_INDEX));
}

/* contract: userspace.c-library */
TEST_F(c_library, its_file_serves_the_other_headers)
{
	struct vfio_subregion_create create = {
		.parent = 0,
		.attribute = VFIO_SUBREGION_ATTR_DEVICE,
		.size = 64 * KIB,
	};
	void *map = vfio_subregion_create_map(vfio_subregion_fd(self->device), &create);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_NE(0, vfio_subregion_read32(map));
	munmap(map, create.size);
}

TEST_HARNESS_MAIN
