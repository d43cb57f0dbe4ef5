/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of pte_oracle.ko, which reads page-table entries of a process or of a KVM guest. It
 * reads the page tables itself and shares no code with the driver under test.
 */
#ifndef PTE_ORACLE_H
#define PTE_ORACLE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PTE_ORACLE_DEVICE	"/dev/pte_oracle"

/**
 * struct pte_oracle - PTE_ORACLE_READ and PTE_ORACLE_READ_GUEST
 * @address: in: a virtual address of the process, or a physical one of the guest
 * @pfn: out: page frame number that @address is mapped to
 * @flags: out: the entry's bits without the page frame number, as the hardware has them
 * @present: out: 1 if a live page-table entry maps @address; otherwise 0, and the rest is zero
 * @shift: out: log2 of the size of the entry: 12, 21 or 30
 * @name: out: the memory type of the entry, decoded from @flags and the CPU's PAT register (x86:
 *	"UC", "UC-", "WC", "WT", "WP", "WB") or MAIR (arm64: "Normal-NC" and so on). The second
 *	stage of arm64 has it in the entry itself: with HCR_EL2.FWB the type of memory is "forced
 *	WB", otherwise "Normal-WB"
 * @pid: in: the process, or 0 for the caller; out: the same
 * @vcpu: in: for PTE_ORACLE_READ_GUEST, the file descriptor of a KVM virtual CPU, whose second
 *	stage is read; out: the same
 * @reserved: not used
 *
 * PTE_ORACLE_READ fails with ESRCH if the process does not exist, with EFAULT if no VMA covers
 * @address, with EINVAL if that VMA maps no device memory.
 *
 * PTE_ORACLE_READ_GUEST fails with EBADF if @vcpu is not a descriptor, with EINVAL if it is not
 * that of a virtual CPU or if the second stage has no such address, with EBUSY while the virtual
 * CPU runs, with EOPNOTSUPP if the kernel has no KVM or a second stage of an unsupported kind.
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
 * struct pte_oracle_entry - a live leaf entry, as PTE_ORACLE_WALK returns it
 * @address: the first address that it maps
 * @pfn: the page frame number that @address is mapped to
 * @flags: the entry's bits without the page frame number, as the hardware has them
 * @shift: log2 of the size of the entry
 * @covered: 1 if one VMA covers the whole range of the entry
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
 * @start: in: the first address of the range
 * @end: in: the address behind the last one
 * @entries: in: an array of struct pte_oracle_entry
 * @pid: in: the process, or 0 for the caller
 * @count: in: the room in @entries; out: the number of entries
 *
 * Lists all live entries in a range of an address space, in the order of their addresses, whether a
 * VMA covers them or not. PTE_ORACLE_READ follows VMAs, so it cannot find an entry outside of them.
 *
 * Fails with ESRCH if the process does not exist, with EINVAL if the range is not in the user half
 * of an address space, with ENOSPC if there are more entries than @count.
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
