// SPDX-License-Identifier: GPL-2.0-only
/*
 * A poll-mode driver of NVM Express whose submission queue is in the controller's memory buffer.
 *
 * Reads blocks 0 to 63 by commands that it writes through a write-combining subregion of the BAR
 * that has the buffer. Names and numbers are those of the NVM Express base specification, 2.0.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfio_subregion_helpers.h>

#include "dma.h"

/* Registers. */
#define CAP		0x00
#define CC		0x14
#define CSTS		0x1c
#define AQA		0x24
#define ASQ		0x28
#define ACQ		0x30
#define CMBLOC		0x38
#define CMBSZ		0x3c
#define CMBMSC		0x50
#define DOORBELLS	0x1000

#define CAP_CMBS	(1ULL << 57)
/* Entries of 64 and 16 bytes, and the enable bit. */
#define CC_ON		(4U << 20 | 6 << 16 | 1)
#define CMBMSC_SHOW	1
#define CMBMSC_ON	3

/* Commands. */
#define CREATE_SQ	0x01
#define READ		0x02
#define CREATE_CQ	0x05

#define ENTRIES		16
#define BLOCKS		64
#define BLOCK		512
#define PAGE		4096

/* Offsets in the memory for DMA, and the device's address of it, at which machines have no BAR. */
#define ADMIN_SQ	0
#define ADMIN_CQ	PAGE
#define IO_CQ		(2 * PAGE)
#define DATA		(3 * PAGE)
#define MEMORY		(4 * PAGE)
#define IOVA		(1ULL << 24)

struct command {
	uint32_t opcode_and_id;
	uint32_t namespace;
	uint32_t reserved[4];
	uint64_t data[2];
	uint32_t arguments[6];
};

_Static_assert(sizeof(struct command) == 64, "an entry of the submission queue");

struct completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t head;
	uint16_t queue;
	uint16_t id;
	uint16_t status;
};

/* A submission queue with its completion queue. */
struct queue {
	struct vfio_subregion_queue submissions;
	volatile struct completion *completions;
	void *head_bell;
	unsigned int head;
	unsigned int phase;
};

struct controller {
	struct vfio_device dev;
	char *registers;
	struct dma dma;
	struct vfio_subregion_create buffer;
	/* The device's address of its buffer. */
	uint64_t buffer_address;
	struct queue admin;
	struct queue io;
};

static uint32_t read32(struct controller *nvme, size_t offset)
{
	return vfio_subregion_read32(nvme->registers + offset);
}

static void write32(struct controller *nvme, size_t offset, uint32_t value)
{
	vfio_subregion_write32(nvme->registers + offset, value);
}

static void write64(struct controller *nvme, size_t offset, uint64_t value)
{
	vfio_subregion_write64(nvme->registers + offset, value);
}

static int set_up_queue(struct controller *nvme, struct queue *queue, unsigned int id,
			void *submissions, size_t completions)
{
	size_t stride = 4 << (vfio_subregion_read64(nvme->registers + CAP) >> 32 & 0xf);
	char *tail_bell = nvme->registers + DOORBELLS + 2 * id * stride;

	*queue = (struct queue) {
		.completions = (void *)(nvme->dma.memory + completions),
		.head_bell = tail_bell + stride,
		.phase = 1,
	};
	return vfio_subregion_queue_init(&queue->submissions, submissions, sizeof(struct command),
					 ENTRIES, tail_bell) ?
		       fail(STATUS_SYSTEM, "the submission queue: %s", strerror(errno)) :
		       STATUS_OK;
}

/* CAP.TO, in units of 500 ms: how long the controller may take to become ready. */
static unsigned int ready_seconds(struct controller *nvme)
{
	return 1 + (vfio_subregion_read64(nvme->registers + CAP) >> 24 & 0xff) / 2;
}

static bool is_stopped(void *nvme)
{
	return !(read32(nvme, CSTS) & 1);
}

static bool is_started(void *nvme)
{
	return read32(nvme, CSTS) & 1;
}

static bool is_completed(void *data)
{
	struct queue *queue = data;

	return (queue->completions[queue->head].status & 1U) == queue->phase;
}

/* Performs one command and waits for it. */
static int perform(struct queue *queue, struct command command)
{
	unsigned int status;
	int ret;

	command.opcode_and_id |= queue->submissions.next << 16;
	vfio_subregion_queue_push(&queue->submissions, &command);
	/* The doorbell announces the slot that will be written next. */
	vfio_subregion_queue_submit(&queue->submissions, queue->submissions.next);

	ret = device_poll("the completion of a command", is_completed, queue);
	if (ret)
		return ret;
	status = queue->completions[queue->head].status >> 1;
	/* The device wrote the data before the completion; it must be read after it. */
	vfio_subregion_order_loads();
	queue->head = (queue->head + 1) % ENTRIES;
	if (!queue->head)
		queue->phase ^= 1;
	vfio_subregion_write32(queue->head_bell, queue->head);
	if (status)
		return fail(STATUS_DATA, "command %#x failed with status %#x",
			    command.opcode_and_id & 0xff, status);
	return STATUS_OK;
}

/* Resets the controller and starts it with its admin queue. */
static int start_controller(struct controller *nvme)
{
	int ret;

	write32(nvme, CC, 0);
	ret = device_poll_for("the reset of the controller", ready_seconds(nvme), is_stopped, nvme);
	if (ret)
		return ret;
	write32(nvme, AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	write64(nvme, ASQ, IOVA + ADMIN_SQ);
	write64(nvme, ACQ, IOVA + ADMIN_CQ);
	write32(nvme, CC, CC_ON);
	ret = set_up_queue(nvme, &nvme->admin, 0, nvme->dma.memory + ADMIN_SQ, ADMIN_CQ);
	if (ret)
		return ret;
	return device_poll_for("the start of the controller", ready_seconds(nvme), is_started,
			       nvme);
}

/* Enables the controller memory buffer and maps it. */
static int map_buffer(struct controller *nvme, void **map)
{
	const bool movable = vfio_subregion_read64(nvme->registers + CAP) & CAP_CMBS;
	uint32_t location, size;
	uint64_t unit;

	if (movable && !read32(nvme, CMBSZ))
		write64(nvme, CMBMSC, CMBMSC_SHOW);
	location = read32(nvme, CMBLOC);
	size = read32(nvme, CMBSZ);
	if (!size)
		return fail(STATUS_USAGE, "the controller has no memory buffer");
	if (!(size & 1))
		return fail(STATUS_USAGE, "submission queues cannot be in the buffer");
	unit = 4096ULL << 4 * (size >> 8 & 0xf);
	/* Before NVMe 1.4 the buffer always has this address; later a driver chooses it. */
	nvme->buffer_address = device_bar_address(&nvme->dev, location & 7) +
			       (location >> 12) * unit;
	if (movable)
		write64(nvme, CMBMSC, nvme->buffer_address | CMBMSC_ON);
	return device_create(&nvme->dev, location & 7, VFIO_SUBREGION_ATTR_WC,
			     (location >> 12) * unit, (size >> 12) * unit, &nvme->buffer, map);
}

/* The submission queue is at the beginning of the buffer. */
static int create_io_queue(struct controller *nvme)
{
	struct command create = {
		.opcode_and_id = CREATE_CQ,
		.data = { IOVA + IO_CQ },
		.arguments = { (ENTRIES - 1) << 16 | 1, 1 },
	};
	void *buffer;
	int ret;

	ret = map_buffer(nvme, &buffer);
	if (ret)
		return ret;
	ret = set_up_queue(nvme, &nvme->io, 1, buffer, IO_CQ);
	if (ret)
		return ret;
	ret = perform(&nvme->admin, create);
	if (ret)
		return ret;
	create.opcode_and_id = CREATE_SQ;
	create.data[0] = nvme->buffer_address;
	create.arguments[1] = 1 << 16 | 1;
	return perform(&nvme->admin, create);
}

static int read_blocks(struct controller *nvme, uint32_t shown, char text[16])
{
	struct command read = {
		.opcode_and_id = READ,
		.namespace = 1,
		.data = { IOVA + DATA },
	};
	char *data = nvme->dma.memory + DATA;
	char untouched[BLOCK];
	uint32_t block;
	int ret;

	memset(untouched, 0xaa, BLOCK);
	for (block = 0; block < BLOCKS; block++) {
		memcpy(data, untouched, BLOCK);
		read.arguments[0] = block;
		ret = perform(&nvme->io, read);
		if (ret)
			return ret;
		if (!memcmp(data, untouched, BLOCK))
			return fail(STATUS_DATA, "nothing was read of block %u", block);
		if (block == shown)
			memcpy(text, data, 16);
	}
	return STATUS_OK;
}

static int run(struct controller *nvme, const char *name, uint32_t shown)
{
	struct vfio_region_info bar;
	char text[16] = "";
	void *registers;
	int ret;

	ret = device_open(&nvme->dev, name);
	if (ret)
		return ret;
	if (device_class(&nvme->dev) != 0x010802)
		return fail(STATUS_USAGE, "this is no NVMe controller");
	ret = device_enable(&nvme->dev);
	if (!ret)
		ret = device_region(&nvme->dev, VFIO_PCI_BAR0_REGION_INDEX, &bar);
	if (!ret)
		ret = device_map(&nvme->dev, bar.offset, bar.size, &registers);
	if (ret)
		return ret;
	nvme->registers = registers;
	ret = dma_map(&nvme->dev, &nvme->dma, IOVA, MEMORY);
	if (!ret)
		ret = start_controller(nvme);
	if (!ret)
		ret = create_io_queue(nvme);
	if (!ret)
		ret = read_blocks(nvme, shown, text);
	write32(nvme, CC, 0);
	if (ret)
		return ret;
	printf("%d blocks were read by commands in BAR %u, whose type there is %u; ", BLOCKS,
	       nvme->buffer.parent, nvme->buffer.effective_type);
	printf("block %u begins with %.16s\n", shown, text);
	return STATUS_OK;
}

int main(int argc, char **argv)
{
	struct controller nvme = { };
	const char *name = argc > 1 ? argv[1] : getenv("DEV_NVME");
	int status;

	if (!name)
		return fail(STATUS_USAGE,
			    "name a device, such as 0000:01:00.0, or set DEV_NVME");
	status = run(&nvme, name, argc > 2 ? strtoul(argv[2], NULL, 0) : 0);
	vfio_device_close(&nvme.dev);
	return status;
}
