// SPDX-License-Identifier: GPL-2.0
/*
 * Tells what the page tables really hold at an address of a process.
 *
 * A driver that says "write combining" may be wrong about it: VM prot, return values and memtype
 * reservations all say WC where the entry is UC-. So the tests believe this module only. It is for
 * test machines, shares no code with the driver under test, and decodes the memory type from the
 * entry's bits and the CPU's own register rather than by the kernel's tables.
 */
#include <linux/bits.h>
#include <linux/bitfield.h>
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

#include "pte_oracle.h"

#if defined(CONFIG_X86_64)
#include <asm/msr.h>

/* Intel SDM volume 3, 5.5 and 13.12: where an entry holds its PAT index. */
#define ENTRY_PWT		BIT_ULL(3)
#define ENTRY_PCD		BIT_ULL(4)
#define ENTRY_PAT_4K		BIT_ULL(7)
#define ENTRY_PAT_LARGE		BIT_ULL(12)

static const char *memory_type(u64 flags, unsigned int shift)
{
	/* Encodings 2 and 3 are reserved. */
	static const char * const types[] = { "UC", "WC", "?", "?", "WT", "WP", "WB", "UC-" };
	u64 pat_bit = shift == PAGE_SHIFT ? ENTRY_PAT_4K : ENTRY_PAT_LARGE;
	unsigned int index = 0;
	u64 pat;

	if (flags & ENTRY_PWT)
		index |= 1;
	if (flags & ENTRY_PCD)
		index |= 2;
	if (flags & pat_bit)
		index |= 4;

	/* Every CPU has the same value in it. */
	rdmsrq(MSR_IA32_CR_PAT, pat);

	return types[(pat >> (index * 8)) & 7];
}
#elif defined(CONFIG_ARM64)
#include <asm/sysreg.h>

/* Arm ARM D8.6: AttrIndx of a stage 1 block or page descriptor selects a byte of MAIR. */
#define ENTRY_ATTRINDX		GENMASK_ULL(4, 2)

static const char *memory_type(u64 flags, unsigned int shift)
{
	/* Under VHE the kernel runs at EL2, where this name reaches MAIR_EL2. */
	u64 mair = read_sysreg(mair_el1);

	switch ((mair >> (FIELD_GET(ENTRY_ATTRINDX, flags) * 8)) & 0xff) {
	case 0x00:
		return "Device-nGnRnE";
	case 0x04:
		return "Device-nGnRE";
	case 0x08:
		return "Device-nGRE";
	case 0x0c:
		return "Device-GRE";
	case 0x44:
		return "Normal-NC";
	case 0xf0:
		return "Normal-Tagged";
	case 0xff:
		return "Normal-WB";
	default:
		return "?";
	}
}
#else
#error "the oracle decodes page tables of x86-64 and arm64 only"
#endif

/* Returns the address space of the process @pid, or of the caller, with a reference; or NULL. */
static struct mm_struct *address_space(pid_t pid)
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
 * Fills in all that is known of @oracle->address in @oracle->pid; the rest of @oracle is zero.
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

	/* follow_pfnmap_start() says -EINVAL to this and to an absent entry alike. */
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

	if (cmd != PTE_ORACLE_READ)
		return -ENOTTY;

	if (get_user(oracle.address, &user->address) || get_user(oracle.pid, &user->pid))
		return -EFAULT;

	ret = read_entry(&oracle);
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
MODULE_DESCRIPTION("Test-only view of the memory type in a process's page tables");
