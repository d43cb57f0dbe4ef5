/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What pte_oracle.ko tells about an address of a process or of a guest. It reads the page tables
 * itself and shares no code with the driver under test.
 */
#ifndef PTE_ORACLE_H
#define PTE_ORACLE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PTE_ORACLE_DEVICE	"/dev/pte_oracle"

/**
 * struct pte_oracle - PTE_ORACLE_READ and PTE_ORACLE_READ_GUEST
 * @address: in: an address in the address space of the process, or a physical one of the guest
 * @pfn: out: page frame number that @address is mapped to
 * @flags: out: the entry's bits without the page frame number, as the hardware has them
 * @present: out: 1 when a live page-table entry maps @address, else 0 and the rest is zero
 * @shift: out: log2 of the size of the entry: 12, 21 or 30
 * @name: out: the memory type that the entry gives, decoded from @flags and the CPU's PAT
 *	register (x86: "UC", "UC-", "WC", "WT", "WP", "WB") or MAIR (arm64: "Normal-NC" and so
 *	on). In the second stage of arm64 it is in the entry itself: with HCR_EL2.FWB, memory is
 *	"forced WB" where it is "Normal-WB" without
 * @pid: in: the process, or 0 for the caller; out: the same
 * @vcpu: in: for PTE_ORACLE_READ_GUEST, the file descriptor of a virtual CPU of KVM, whose second
 *	stage it is; out: the same
 * @reserved: not used
 *
 * PTE_ORACLE_READ fails with ESRCH when there is no such process, with EFAULT when no VMA covers
 * @address, with EINVAL when that VMA maps no device memory.
 *
 * PTE_ORACLE_READ_GUEST fails with EBADF or EINVAL when @vcpu is no file, or no virtual CPU's, with
 * EINVAL when the second stage has no such address, with EBUSY while the virtual CPU runs, with
 * EOPNOTSUPP when the kernel has no KVM or a kind of second stage that cannot be read.
 */
struct pte_oracle {
	__aligned_u64	address;
	__aligned_u64	pfn;
	__aligned_u64	flags;
	__u32		present;
	__u32		shift;
	char		name[16];
	union {
		__u32	pid;
		__s32	vcpu;
	};
	__u32		reserved;
};

#define PTE_ORACLE_READ		_IOWR(0xD6, 0, struct pte_oracle)
#define PTE_ORACLE_READ_GUEST	_IOWR(0xD6, 1, struct pte_oracle)

/**
 * struct pte_oracle_entry - a live leaf entry, as PTE_ORACLE_WALK finds it
 * @address: the first address that it maps
 * @pfn: the page frame number that @address is mapped to
 * @flags: the entry's bits without the page frame number, as the hardware has them
 * @shift: log2 of the size of the entry
 * @covered: 1 when one VMA covers all that the entry maps
 * @name: the memory type, as in struct pte_oracle
 */
struct pte_oracle_entry {
	__aligned_u64	address;
	__aligned_u64	pfn;
	__aligned_u64	flags;
	__u32		shift;
	__u32		covered;
	char		name[16];
};

/**
 * struct pte_oracle_walk - PTE_ORACLE_WALK
 * @start: in: the first address that is looked at
 * @end: in: the address behind the last one
 * @entries: in: an array of struct pte_oracle_entry
 * @pid: in: the process, or 0 for the caller
 * @count: in: how many entries there is room for; out: how many there are
 *
 * Lists all live entries of a part of an address space, in the order of their addresses, whether a
 * VMA covers them or not. PTE_ORACLE_READ follows VMAs, so it cannot find an entry outside of them.
 *
 * Fails with ESRCH when there is no such process, with EINVAL when the addresses are not in the
 * user half of an address space, with ENOSPC when there are more entries than @count.
 */
struct pte_oracle_walk {
	__aligned_u64	start;
	__aligned_u64	end;
	__aligned_u64	entries;
	__u32		pid;
	__u32		count;
};

#define PTE_ORACLE_WALK		_IOWR(0xD6, 2, struct pte_oracle_walk)

#endif /* PTE_ORACLE_H */
