/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What pte_oracle.ko tells about an address of a process. It reads the page tables by
 * follow_pfnmap_start() and shares no code with the driver under test.
 */
#ifndef PTE_ORACLE_H
#define PTE_ORACLE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PTE_ORACLE_DEVICE	"/dev/pte_oracle"

/**
 * struct pte_oracle - PTE_ORACLE_READ
 * @address: in: an address in the address space of the process
 * @pfn: out: page frame number that @address is mapped to
 * @flags: out: the entry's bits without the page frame number, as the hardware has them
 * @present: out: 1 when a live page-table entry maps @address, else 0 and the rest is zero
 * @shift: out: log2 of the size of the entry: 12, 21 or 30
 * @name: out: the memory type that the entry gives, decoded from @flags and the CPU's PAT
 *	register (x86: "UC", "UC-", "WC", "WT", "WP", "WB")
 * @pid: in: the process, or 0 for the caller; out: the same
 * @reserved: not used
 *
 * Fails with ESRCH when there is no such process, with EFAULT when no VMA covers @address, with
 * EINVAL when that VMA maps no device memory.
 */
struct pte_oracle {
	__aligned_u64	address;
	__aligned_u64	pfn;
	__aligned_u64	flags;
	__u32		present;
	__u32		shift;
	char		name[16];
	__u32		pid;
	__u32		reserved;
};

#define PTE_ORACLE_READ		_IOWR(0xD6, 0, struct pte_oracle)

#endif /* PTE_ORACLE_H */
