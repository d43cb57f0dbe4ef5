// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the page-table entry at an address of a process, or of a KVM guest.
 *
 * A driver that reports "write combining" can be wrong: the protection of the VMA, return values
 * and reservations all say WC while the entry is UC-. The tests therefore rely only on this module.
 * It is for test machines, shares no code with the driver under test, and decodes the memory type
 * from the bits of the entry and the CPU's own register, not from the kernel's tables.
 */
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>

#include "internal.h"

struct mm_struct *address_space(u32 pid)
{
	struct task_struct *task;
	struct mm_struct *mm;
	struct pid *found;

	if (!pid) {
		mmget(current->mm);
		return current->mm;
	}
	found = find_get_pid(pid);
	task = get_pid_task(found, PIDTYPE_PID);
	put_pid(found);
	if (!task)
		return NULL;
	mm = get_task_mm(task);
	put_task_struct(task);
	return mm;
}

/*
 * Fills in the output fields for @oracle->address in @oracle->pid; the rest of @oracle is zero.
 */
static int read_entry(struct pte_oracle *oracle)
{
	struct follow_pfnmap_args args = { .address = oracle->address };
	struct mm_struct *mm = address_space(oracle->pid);
	int ret = 0;

	if (!mm)
		return -ESRCH;
	if (mmap_read_lock_killable(mm)) {
		mmput(mm);
		return -EINTR;
	}

	args.vma = vma_lookup(mm, oracle->address);
	if (!args.vma) {
		ret = -EFAULT;
		goto unlock;
	}

	/* follow_pfnmap_start() returns -EINVAL both for this and for an absent entry. */
	if (!(args.vma->vm_flags & (VM_IO | VM_PFNMAP))) {
		ret = -EINVAL;
		goto unlock;
	}

	if (follow_pfnmap_start(&args))
		goto unlock;

	oracle->present = 1;
	oracle->pfn = args.pfn;
	oracle->flags = pgprot_val(args.pgprot);
	oracle->shift = ilog2(~args.addr_mask + 1);
	follow_pfnmap_end(&args);

	strscpy(oracle->name, memory_type(oracle->flags, oracle->shift));
unlock:
	mmap_read_unlock(mm);
	mmput(mm);
	return ret;
}

static long pte_oracle_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct pte_oracle __user *user = (struct pte_oracle __user *)arg;
	struct pte_oracle oracle = {};
	int ret;

	if (cmd == PTE_ORACLE_WALK)
		return walk_entries((struct pte_oracle_walk __user *)arg);
	if (cmd != PTE_ORACLE_READ && cmd != PTE_ORACLE_READ_GUEST)
		return -ENOTTY;

	if (get_user(oracle.address, &user->address) || get_user(oracle.pid, &user->pid))
		return -EFAULT;

	ret = cmd == PTE_ORACLE_READ ? read_entry(&oracle) : read_guest_entry(&oracle);
	if (ret)
		return ret;

	return copy_to_user(user, &oracle, sizeof(oracle)) ? -EFAULT : 0;
}

static const struct file_operations pte_oracle_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = pte_oracle_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice pte_oracle_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pte_oracle",
	.fops = &pte_oracle_fops,
	.mode = 0600,
};
module_misc_device(pte_oracle_device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test-only view of the memory types in page tables of processes and guests");
