// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists the live page-table entries of a process. It walks the tables as the hardware does, without
 * VMAs, so that it also finds an entry which no VMA covers.
 */
#include <linux/bits.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "internal.h"

/* The maximum number of entries in a request. */
#define ENTRIES_MAX	BIT(20)

/* The state of a walk: the entries found, and the room for them. */
struct walk {
	struct mm_struct *mm;
	struct pte_oracle_entry *entries;
	u32 room;
	u32 count;
};

/*
 * Records the entry for @address, of 1 << @shift bytes; @flags are its bits without the frame
 * number.
 */
static void found(struct walk *walk, u64 address, u64 pfn, u64 flags, unsigned int shift)
{
	struct pte_oracle_entry *entry;
	struct vm_area_struct *vma;

	if (walk->count++ >= walk->room)
		return;
	entry = &walk->entries[walk->count - 1];
	entry->address = address;
	entry->pfn = pfn;
	entry->flags = flags;
	entry->shift = shift;
	vma = vma_lookup(walk->mm, address);
	entry->covered = vma && vma->vm_end - address >= BIT_ULL(shift);
	strscpy(entry->name, memory_type(flags, shift));
}

static void walk_ptes(struct walk *walk, pmd_t *pmd, u64 address, u64 end)
{
	for (; address < end; address += PAGE_SIZE) {
		pte_t pte = READ_ONCE(*pte_offset_kernel(pmd, address));

		if (pte_present(pte))
			found(walk, address, pte_pfn(pte), pgprot_val(pte_pgprot(pte)),
			      PAGE_SHIFT);
	}
}

static void walk_pmds(struct walk *walk, pud_t *pud, u64 address, u64 end)
{
	u64 next;

	for (; address < end; address = next) {
		pmd_t *at = pmd_offset(pud, address), pmd = READ_ONCE(*at);

		next = pmd_addr_end(address, end);
		if (pmd_none(pmd) || !pmd_present(pmd))
			continue;
		if (pmd_leaf(pmd))
			found(walk, address & PMD_MASK, pmd_pfn(pmd), pgprot_val(pmd_pgprot(pmd)),
			      PMD_SHIFT);
		else
			walk_ptes(walk, at, address, next);
	}
}

static void walk_puds(struct walk *walk, p4d_t *p4d, u64 address, u64 end)
{
	u64 next;

	for (; address < end; address = next) {
		pud_t *at = pud_offset(p4d, address), pud = READ_ONCE(*at);

		next = pud_addr_end(address, end);
		if (pud_none(pud) || !pud_present(pud))
			continue;
		if (pud_leaf(pud))
			found(walk, address & PUD_MASK, pud_pfn(pud), pgprot_val(pud_pgprot(pud)),
			      PUD_SHIFT);
		else
			walk_pmds(walk, at, address, next);
	}
}

static void walk_tables(struct walk *walk, u64 address, u64 end)
{
	u64 next, limit;

	for (; address < end; address = limit) {
		pgd_t *pgd = pgd_offset(walk->mm, address);

		limit = pgd_addr_end(address, end);
		if (pgd_none(*pgd) || pgd_bad(*pgd))
			continue;
		for (; address < limit; address = next) {
			p4d_t *p4d = p4d_offset(pgd, address);

			next = p4d_addr_end(address, limit);
			if (!p4d_none(*p4d) && !p4d_bad(*p4d))
				walk_puds(walk, p4d, address, next);
		}
	}
}

int walk_entries(struct pte_oracle_walk __user *user)
{
	struct pte_oracle_walk arg;
	struct walk walk = {};
	int ret = 0;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (arg.start > arg.end || arg.end > TASK_SIZE || !PAGE_ALIGNED(arg.start | arg.end))
		return -EINVAL;
	walk.room = min(arg.count, ENTRIES_MAX);
	walk.entries = kvcalloc(walk.room, sizeof(*walk.entries), GFP_KERNEL);
	if (!walk.entries)
		return -ENOMEM;
	walk.mm = address_space(arg.pid);
	if (!walk.mm) {
		ret = -ESRCH;
		goto free;
	}

	/* Tables are freed under this lock, or by an RCU grace period after they were emptied. */
	if (mmap_write_lock_killable(walk.mm)) {
		ret = -EINTR;
	} else {
		rcu_read_lock();
		walk_tables(&walk, arg.start, arg.end);
		rcu_read_unlock();
		mmap_write_unlock(walk.mm);
	}
	mmput(walk.mm);
	if (ret)
		goto free;

	arg.count = walk.count;
	if (walk.count > walk.room)
		ret = -ENOSPC;
	if (copy_to_user(user, &arg, sizeof(arg)) ||
	    copy_to_user(u64_to_user_ptr(arg.entries), walk.entries,
			 min(walk.count, walk.room) * sizeof(*walk.entries)))
		ret = -EFAULT;
free:
	kvfree(walk.entries);
	return ret;
}
