/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The copy routines of other projects, which rig/routines fetches.
 */
#ifndef OTHERS_H
#define OTHERS_H

#include <stddef.h>

/** copy_dpdk() - rte_memcpy() */
void copy_dpdk(volatile char *to, const char *from, size_t size);

/** copy_rdma() - mmio_memcpy_x64(); @size is a multiple of 64 and @to of 8 */
void copy_rdma(volatile char *to, const char *from, size_t size);

#endif /* OTHERS_H */
