// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second stage of a guest of KVM: what maps its physical addresses.
 *
 * KVM exports nothing that tells of it, and its own dump leaves out the memory types. So the tables
 * are walked here, from the root that the virtual CPU runs on, under the locks that KVM's own
 * walkers take. The structures are those of the very kernel that the module is built for.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/magic.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "internal.h"

/*
 * The virtual CPU that @file is, or NULL. KVM's table of operations cannot be compared with, as it
 * is not exported; but a program cannot choose the name of a file in that file system.
 */
static struct kvm_vcpu *vcpu_of(struct file *file)
{
	if (file_inode(file)->i_sb->s_magic != ANON_INODE_FS_MAGIC ||
	    !str_has_prefix(file->f_path.dentry->d_name.name, "kvm-vcpu:"))
		return NULL;
	return file->private_data;
}

static void fill_in(struct pte_oracle *oracle, const struct guest_entry *found)
{
	u64 within = oracle->address & (BIT_ULL(found->shift) - 1);

	oracle->present = 1;
	oracle->pfn = (found->address + within) >> PAGE_SHIFT;
	oracle->flags = found->entry & ~found->address;
	oracle->shift = found->shift;
	strscpy(oracle->name, found->name);
}

static int read_locked(struct kvm_vcpu *vcpu, struct pte_oracle *oracle)
{
	struct kvm *kvm = vcpu->kvm;
	struct guest_entry found;
	int ret;

	/* Against those who remove tables alone, and those who do so beside other walkers. */
	read_lock(&kvm->mmu_lock);
	rcu_read_lock();
	ret = find_guest_entry(vcpu, oracle->address, &found);
	rcu_read_unlock();
	read_unlock(&kvm->mmu_lock);

	if (ret == -ENOENT)
		return 0;
	if (!ret)
		fill_in(oracle, &found);
	return ret;
}

int read_guest_entry(struct pte_oracle *oracle)
{
	struct file *file = fget(oracle->vcpu);
	struct kvm_vcpu *vcpu;
	int ret = -EINVAL;

	if (!file)
		return -EBADF;
	vcpu = vcpu_of(file);
	if (!vcpu)
		goto put;
	/* Who runs the CPU holds it, and may give it another root. */
	ret = -EBUSY;
	if (!mutex_trylock(&vcpu->mutex))
		goto put;
	ret = read_locked(vcpu, oracle);
	mutex_unlock(&vcpu->mutex);
put:
	fput(file);
	return ret;
}
