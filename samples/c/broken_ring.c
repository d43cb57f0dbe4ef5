// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring as in wc_ring.c, with a fault that no test of its data finds: something breaks the bursts.
 * Documentation/wctrace.rst shows how `make trace SAMPLE=broken_ring` finds it.
 */
#include <stdatomic.h>
#include <stdio.h>

#include <vfio_subregion_helpers.h>

#include "device.h"

#define RING_OFFSET	(1ULL << 20)
#define RING_SIZE	(256ULL << 10)
#define WORDS		8
#define COUNT		(RING_SIZE / (WORDS * sizeof(uint64_t)))

/* For a thread that prints statistics. */
static atomic_ulong submitted;

static void write_descriptor(volatile uint64_t *slot, uint64_t sequence)
{
	slot[0] = 0x100000000 + sequence * 2048;
	slot[1] = 2048;
	atomic_fetch_add(&submitted, 1);
	slot[2] = sequence;
	slot[3] = 0;
	slot[4] = 0;
	slot[5] = 0;
	slot[6] = 0;
	slot[7] = ~sequence;
}

int main(int argc, char **argv)
{
	struct vfio_device dev = VFIO_DEVICE_CLOSED;
	struct vfio_subregion_create created;
	struct vfio_region_info bar;
	volatile uint64_t *ring;
	volatile uint32_t *doorbell;
	void *map, *registers;
	uint64_t i;
	int status;

	if (argc != 2) {
		fputs("Usage: broken_ring DEVICE\n", stderr);
		return STATUS_USAGE;
	}
	status = device_open(&dev, argv[1]);
	if (status)
		return status;
	status = device_region(&dev, VFIO_PCI_BAR2_REGION_INDEX, &bar);
	if (!status)
		status = device_create(&dev, VFIO_PCI_BAR2_REGION_INDEX, VFIO_SUBREGION_ATTR_WC,
				       RING_OFFSET, RING_SIZE, &created, &map);
	if (!status)
		status = device_map(&dev, bar.offset, 4096, &registers);
	if (status)
		return status;

	ring = map;
	doorbell = registers;
	for (i = 0; i < COUNT; i++)
		write_descriptor(ring + i * WORDS, i);
	vfio_subregion_order_stores();
	*doorbell = COUNT;
	printf("%lu descriptors were written\n", atomic_load(&submitted));
	return STATUS_OK;
}
