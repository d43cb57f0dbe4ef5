// SPDX-License-Identifier: GPL-2.0-only
/*
 * A poll-mode driver of the Intel 82576 (igb), which sends frames to itself.
 *
 * The rings are in memory of the process, the registers in a subregion with the attribute DEVICE.
 * This device has no memory that would gain from write combining.
 *
 * The register numbers are from the data sheet of the 82576. The kernel's VFIO selftests show that
 * a loopback in QEMU needs RCTL.LBM and a negotiated link.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vfio_subregion_helpers.h>

#include "dma.h"

#define ID			0x10c98086

/* Registers. */
#define CONTROL			0x0000
#define STATUS			0x0008
#define CTRL_EXT		0x0018
#define MDIC			0x0020
#define IMC			0x00d8
#define RCTL			0x0100
#define TCTL			0x0400
#define RX_QUEUE		0x2800
#define TX_QUEUE		0x3800
#define GPRC			0x4074
#define GPTC			0x4080

/* Within a queue. */
#define BASE_LOW		0x00
#define BASE_HIGH		0x04
#define LENGTH			0x08
#define SRRCTL			0x0c
#define HEAD			0x10
#define TAIL			0x18
#define DCTL			0x28

#define CTRL_RESET		(1U << 26)
/* Forces full duplex, 1 Gb/s and the link up. */
#define CTRL_FORCE_LINK		(1U | 1 << 6 | 2 << 8 | 1 << 11 | 1 << 12)
#define CTRL_SPEED		(3U << 8)
#define CTRL_EXT_LOADED		(1U << 28)
#define STATUS_LINK		(1U << 1)
#define MDIC_WRITE		(1U << 21 | 1 << 26)
#define MDIC_READY		(1U << 28)
/* Enabled, promiscuous, broadcast, MAC loopback, checksum stripped. */
#define RCTL_RECEIVE		(1U << 1 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 15 | 1 << 26)
#define TCTL_TRANSMIT		(1U << 1 | 1 << 3)
#define SRRCTL_ONE_BUFFER	(1U << 25)
#define DCTL_ENABLE		(1U << 25)

/* Advanced data descriptor, end of packet, insert the checksum, report status. */
#define SEND			(3U << 20 | 1 << 29 | 1 << 24 | 1 << 25 | 1 << 27)
#define DONE			1U

#define ENTRIES			64
#define BUFFER			2048
#define FRAME			128
#define FRAMES			1000
#define IOVA			(1ULL << 32)

struct entry {
	uint64_t address;
	uint32_t command;	/* the status, in a received descriptor */
	uint32_t length;	/* above bit 14; in the lower half in a received descriptor */
};

/* Memory that the device reads and writes. */
struct shared {
	volatile struct entry tx_ring[ENTRIES];
	volatile struct entry rx_ring[ENTRIES];
	char tx_buffers[ENTRIES][BUFFER];
	char rx_buffers[ENTRIES][BUFFER];
};

struct port {
	struct vfio_device dev;
	volatile char *registers;
	struct dma dma;
	struct shared *shared;
	/* The descriptor that is polled. */
	unsigned int entry;
};

static uint32_t rd(struct port *port, size_t offset)
{
	return vfio_subregion_read32(port->registers + offset);
}

static void wr(struct port *port, size_t offset, uint32_t value)
{
	vfio_subregion_write32(port->registers + offset, value);
}

static uint64_t iova(struct port *port, const volatile void *memory)
{
	return IOVA + ((const volatile char *)memory - (char *)port->shared);
}

static bool is_reset(void *port)
{
	return !(rd(port, CONTROL) & CTRL_RESET);
}

static bool phy_is_written(void *port)
{
	return rd(port, MDIC) & MDIC_READY;
}

static bool link_is_up(void *port)
{
	return rd(port, STATUS) & STATUS_LINK;
}

static bool queues_are_enabled(void *port)
{
	return rd(port, TX_QUEUE + DCTL) & rd(port, RX_QUEUE + DCTL) & DCTL_ENABLE;
}

static bool has_arrived(void *data)
{
	struct port *port = data;

	return port->shared->rx_ring[port->entry].command & DONE;
}

static int reset_port(struct port *port)
{
	int ret;

	wr(port, CONTROL, rd(port, CONTROL) | CTRL_RESET);
	usleep(2000);
	ret = device_poll("the reset", is_reset, port);
	wr(port, IMC, UINT32_MAX);
	return ret;
}

/* Writes register 0 of the PHY, its control register. */
static int write_phy(struct port *port, uint32_t value)
{
	wr(port, MDIC, value | MDIC_WRITE);
	return device_poll("a write to the PHY", phy_is_written, port);
}

/* First the negotiation, from which QEMU gets the link; then the loopback for hardware. */
static int start_link(struct port *port)
{
	int ret;

	wr(port, CTRL_EXT, rd(port, CTRL_EXT) | CTRL_EXT_LOADED);
	ret = write_phy(port, 1 << 12 | 1 << 9);
	if (!ret)
		ret = device_poll("the link", link_is_up, port);
	if (!ret)
		ret = write_phy(port, 1 << 14 | 1 << 8 | 1 << 6);
	wr(port, CONTROL, (rd(port, CONTROL) & ~CTRL_SPEED) | CTRL_FORCE_LINK);
	usleep(100000);
	return ret;
}

static void start_queue(struct port *port, size_t queue, const volatile struct entry *ring)
{
	uint64_t address = iova(port, ring);

	wr(port, queue + BASE_LOW, address);
	wr(port, queue + BASE_HIGH, address >> 32);
	wr(port, queue + LENGTH, ENTRIES * sizeof(*ring));
	wr(port, queue + HEAD, 0);
	wr(port, queue + TAIL, 0);
}

static int start_port(struct port *port)
{
	int ret;

	ret = reset_port(port);
	if (!ret)
		ret = start_link(port);
	if (ret)
		return ret;
	start_queue(port, TX_QUEUE, port->shared->tx_ring);
	start_queue(port, RX_QUEUE, port->shared->rx_ring);
	wr(port, RX_QUEUE + SRRCTL, SRRCTL_ONE_BUFFER);
	wr(port, TX_QUEUE + DCTL, DCTL_ENABLE);
	wr(port, RX_QUEUE + DCTL, DCTL_ENABLE);
	wr(port, RCTL, RCTL_RECEIVE);
	wr(port, TCTL, TCTL_TRANSMIT);
	ret = device_poll("the start of the queues", queues_are_enabled, port);
	/* A read clears these counters. */
	rd(port, GPTC);
	rd(port, GPRC);
	return ret;
}

/* A frame from a local address to everybody, with a type for experiments. */
static void make_frame(unsigned char frame[FRAME], uint64_t number)
{
	static const unsigned char from[] = { 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	unsigned int i;

	memset(frame, 0xff, 6);
	memcpy(frame + 6, from, sizeof(from));
	memcpy(frame + 14, &number, sizeof(number));
	for (i = 22; i < FRAME; i++)
		frame[i] = (number >> 8 * (i % 8)) * 31;
}

/* Sends a frame and waits for it to come back. */
static int exchange(struct port *port, unsigned int number)
{
	struct shared *shared = port->shared;
	unsigned int entry = number % ENTRIES, next = (number + 1) % ENTRIES, length;
	unsigned char frame[FRAME];
	int ret;

	shared->rx_ring[entry] = (struct entry) {
		.address = iova(port, shared->rx_buffers[entry]),
	};
	make_frame(frame, number);
	memcpy(shared->tx_buffers[entry], frame, FRAME);
	shared->tx_ring[entry] = (struct entry) {
		.address = iova(port, shared->tx_buffers[entry]),
		.command = SEND | FRAME,
		.length = FRAME << 14,
	};

	/* The device must see the descriptors before the tails. */
	vfio_subregion_order_stores();
	wr(port, RX_QUEUE + TAIL, next);
	wr(port, TX_QUEUE + TAIL, next);

	port->entry = entry;
	ret = device_poll("the arrival of a frame", has_arrived, port);
	if (ret)
		return ret;
	/* The device wrote the frame before the status; it must be read after it. */
	vfio_subregion_order_loads();
	length = shared->rx_ring[entry].length & 0xffff;
	if (length != FRAME || memcmp(shared->rx_buffers[entry], frame, FRAME))
		return fail(STATUS_DATA, "frame %u came back otherwise, with %u bytes", number,
			    length);
	return STATUS_OK;
}

static int run(struct port *port, const char *name)
{
	struct vfio_subregion_create registers;
	unsigned int number, sent, received;
	struct vfio_region_info bar;
	void *map;
	int ret;

	ret = device_open(&port->dev, name);
	if (ret)
		return ret;
	if (device_id(&port->dev) != ID)
		return fail(STATUS_USAGE, "this is a driver for the 82576");
	ret = device_enable(&port->dev);
	if (!ret)
		ret = device_region(&port->dev, VFIO_PCI_BAR0_REGION_INDEX, &bar);
	if (!ret)
		ret = device_create(&port->dev, VFIO_PCI_BAR0_REGION_INDEX,
				    VFIO_SUBREGION_ATTR_DEVICE, 0, bar.size, &registers, &map);
	if (!ret)
		ret = dma_map(&port->dev, &port->dma, IOVA, sizeof(struct shared));
	if (ret)
		return ret;
	port->registers = map;
	port->shared = (struct shared *)port->dma.memory;

	ret = start_port(port);
	for (number = 0; !ret && number < FRAMES; number++)
		ret = exchange(port, number);
	sent = rd(port, GPTC);
	received = rd(port, GPRC);
	reset_port(port);
	if (ret)
		return ret;
	printf("%u frames were sent and %u received, by the device's own counters\n", sent,
	       received);
	if (sent != FRAMES || received != FRAMES)
		return fail(STATUS_DATA, "%u were exchanged", FRAMES);
	return STATUS_OK;
}

int main(int argc, char **argv)
{
	struct port port = { };
	const char *name = argc > 1 ? argv[1] : getenv("DEV_IGB");
	int status;

	if (!name)
		return fail(STATUS_USAGE,
			    "name a device, such as 0000:01:00.0, or set DEV_IGB");
	status = run(&port, name);
	vfio_device_close(&port.dev);
	return status;
}
