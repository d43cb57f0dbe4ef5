// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hot paths of a driver by the functions of DPDK and of rdma-core, which rig/routines fetches;
 * rig/hot-paths counts their instructions.
 */
#include <stddef.h>
#include <stdint.h>

#include <rte_io.h>
#include <rte_memcpy.h>
#include <util/mmio.h>
#include <util/udma_barrier.h>

#define LINE	64

/* What a queue of the helpers keeps besides its copy routine; neither project has one for a BAR. */
struct ring {
	char *slots;
	size_t count;
	size_t next;
};

static void move_on(struct ring *ring)
{
	if (++ring->next == ring->count)
		ring->next = 0;
}

void dpdk_line(void *to, const void *line)
{
	rte_mov64(to, line);
}

void dpdk_copy(void *to, const void *from)
{
	rte_memcpy(to, from, LINE);
}

void dpdk_push(struct ring *ring, const void *entry)
{
	rte_mov64((uint8_t *)ring->slots + ring->next * LINE, entry);
	move_on(ring);
}

/* Ordered behind stores to ordinary memory. */
void dpdk_doorbell(void *reg, uint32_t value)
{
	rte_write32(value, reg);
}

/* Ordered behind stores to write-combining memory too. */
void dpdk_doorbell_wc(void *reg, uint32_t value)
{
	rte_wmb();
	rte_write32_relaxed(value, reg);
}

void rdma_line(void *to, const void *line)
{
	mmio_memcpy_x64(to, line, LINE);
}

void rdma_push(struct ring *ring, const void *entry)
{
	mmio_wc_start();
	mmio_memcpy_x64(ring->slots + ring->next * LINE, entry, LINE);
	move_on(ring);
}

void rdma_doorbell(void *reg, uint32_t value)
{
	udma_to_device_barrier();
	mmio_write32(reg, value);
}

void rdma_doorbell_wc(void *reg, uint32_t value)
{
	mmio_flush_writes();
	mmio_write32(reg, value);
}
