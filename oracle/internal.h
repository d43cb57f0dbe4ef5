/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interfaces between the parts of pte_oracle.ko: main.c is the device and reads single entries
 * of processes, walk.c lists all entries, guest.c reads those of guests, and the file of the
 * architecture decodes entries.
 */
#ifndef INTERNAL_H
#define INTERNAL_H

#include <linux/errno.h>
#include <linux/kconfig.h>
#include <linux/types.h>

#include "pte_oracle.h"

struct kvm_vcpu;
struct mm_struct;

/** address_space() - the address space of a process (0: the caller) with a reference, or NULL */
struct mm_struct *address_space(u32 pid);

/** walk_entries() - PTE_ORACLE_WALK; @user is the caller's structure */
int walk_entries(struct pte_oracle_walk __user *user);

/** memory_type() - decodes an entry of a process that covers 1 << @shift bytes */
const char *memory_type(u64 flags, unsigned int shift);

/** struct guest_entry - a live leaf entry of a second stage */
struct guest_entry {
	/* The entry as the hardware has it. */
	u64 entry;
	/* The bits of the entry that form the physical address. */
	u64 address;
	/* log2 of the size that it covers, in bytes. */
	unsigned int shift;
	/* The memory type. */
	const char *name;
};

/**
 * find_guest_entry() - finds the entry by which @vcpu reaches the guest-physical address @gpa
 *
 * The caller holds @vcpu's mutex, the lock of the VM's MMU for reading, and RCU for reading, so
 * that neither the root nor a table below it is freed. Returns -ENOENT if there is no entry.
 */
int find_guest_entry(struct kvm_vcpu *vcpu, u64 gpa, struct guest_entry *found);

/** read_guest_entry() - PTE_ORACLE_READ_GUEST; all of @oracle except its inputs is zero */
#if IS_ENABLED(CONFIG_KVM)
int read_guest_entry(struct pte_oracle *oracle);
#else
static inline int read_guest_entry(struct pte_oracle *oracle)
{
	return -EOPNOTSUPP;
}
#endif

#endif /* INTERNAL_H */
