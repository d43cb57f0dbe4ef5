// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second stage of a KVM guest, which maps its physical addresses.
 *
 * KVM exports no function for this, and its own dump lacks the memory types. This file therefore
 * walks the tables, from the root of the virtual CPU, under the locks of KVM's own walkers. The
 * structures are those of the kernel that the module is built for.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/magic.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "internal.h"

/*
 * Returns the virtual CPU of @file, or NULL. KVM's table of operations is not exported, so @file is
 * recognized by its name; a program cannot choose the name of a file in that file system.
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

	/* Against walkers that remove tables alone, and those that do so beside others. */
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
	/* The thread that runs the CPU holds this mutex, and may give the CPU another root. */
	ret = -EBUSY;
	if (!mutex_trylock(&vcpu->mutex))
		goto put;
	ret = read_locked(vcpu, oracle);
	mutex_unlock(&vcpu->mutex);
put:
	fput(file);
	return ret;
}
