// SPDX-License-Identifier: GPL-2.0-only

#include <rte_memcpy.h>
#include <util/mmio.h>

#include "others.h"

void copy_dpdk(volatile char *to, const char *from, size_t size)
{
	rte_memcpy((void *)to, from, size);
}

void copy_rdma(volatile char *to, const char *from, size_t size)
{
	mmio_memcpy_x64((void *)to, (void *)from, size);
}
