// SPDX-License-Identifier: GPL-2.0-only

#include <linux/anon_inodes.h>
#include <linux/build_bug.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/nospec.h>
#include <linux/pci.h>
#include <linux/pgalloc.h>
#include <linux/pgtable.h>
#include <linux/pm_runtime.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/string.h>

#include <asm/barrier.h>

#include "helpers.h"

/* Memory types. Device memory is never encrypted. */

pgprot_t vfio_rs_pgprot_noncached(pgprot_t prot)
{
	return pgprot_decrypted(pgprot_noncached(prot));
}

pgprot_t vfio_rs_pgprot_device(pgprot_t prot)
{
	return pgprot_decrypted(pgprot_device(prot));
}

pgprot_t vfio_rs_pgprot_writecombine(pgprot_t prot)
{
	return pgprot_decrypted(pgprot_writecombine(prot));
}

bool vfio_rs_can_writecombine(void)
{
	return arch_can_pci_mmap_wc();
}

void __iomem *vfio_rs_ioremap_wc(phys_addr_t phys, size_t size)
{
	return ioremap_wc(phys, size);
}

int vfio_rs_reserve_memtype(resource_size_t phys, resource_size_t size)
{
	return arch_io_reserve_memtype_wc(phys, size);
}

void vfio_rs_free_memtype(resource_size_t phys, resource_size_t size)
{
	arch_io_free_memtype_wc(phys, size);
}

/*
 * Returns whether the kernel mapping at @io has the memory type of @prot. Only x86 needs a check,
 * because ioremap() and ioremap_wc() can return a mapping of another type there.
 */
#ifdef CONFIG_X86
bool vfio_rs_kernel_is_mapped(void __iomem *io, pgprot_t prot)
{
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)io, &level);
	pgprot_t held;

	if (!pte || !pte_present(*pte))
		return false;
	/* The bit PAT has another place in a large entry. */
	if (level == PG_LEVEL_4K)
		held = pte_pgprot(*pte);
	else if (level == PG_LEVEL_2M)
		held = pgprot_large_2_4k(pmd_pgprot(*(pmd_t *)pte));
	else
		held = pgprot_large_2_4k(pud_pgprot(*(pud_t *)pte));
	return !((pgprot_val(held) ^ pgprot_val(prot)) & _PAGE_CACHE_MASK);
}
#else
bool vfio_rs_kernel_is_mapped(void __iomem *io, pgprot_t prot)
{
	return true;
}
#endif

/* Memory management. */

void vfio_rs_vma_set_flags(struct vm_area_struct *vma, bool allow_any_uncached)
{
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP |
			  (allow_any_uncached ? VM_ALLOW_ANY_UNCACHED : VM_NONE));
}

#if defined(CONFIG_ARM64) && defined(CONFIG_DEBUG_VM)
/* arm64's pmd_populate() then compares @mm with init_mm, which is not exported. */
static void populate(struct mm_struct *mm, pmd_t *pmd, pgtable_t table)
{
	__pmd_populate(pmd, page_to_phys(table),
		       PMD_TYPE_TABLE | PMD_TABLE_AF | PMD_TABLE_PXN);
}
#else
static void populate(struct mm_struct *mm, pmd_t *pmd, pgtable_t table)
{
	pmd_populate(mm, pmd, table);
}
#endif

/*
 * Adds the table of small entries that __do_fault() has allocated, unless there is a table or a
 * huge entry by now. This repeats pmd_install() (mm/memory.c), which modules cannot call.
 */
static noinline void add_table(struct vm_fault *vmf)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	spinlock_t *lock = pmd_lock(mm, vmf->pmd);

	if (pmd_none(*vmf->pmd) && vmf->prealloc_pte) {
		mm_inc_nr_ptes(mm);
		/* As in pmd_install(): the zeroes of the table become visible before it. */
		smp_wmb();
		populate(mm, vmf->pmd, vmf->prealloc_pte);
		vmf->prealloc_pte = NULL;
	}
	spin_unlock(lock);
}

/*
 * Ensures that a table of small entries exists for a fault of a single page, and returns whether it
 * does. It does not if a huge entry exists.
 */
bool vfio_rs_fault_has_table(struct vm_fault *vmf)
{
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);

	if (unlikely(pmd_none(pmd))) {
		add_table(vmf);
		pmd = pmdp_get_lockless(vmf->pmd);
	}
	return !pmd_none(pmd) && !pmd_leaf(pmd);
}

bool vfio_rs_is_write_locked(struct rw_semaphore *sem)
{
#ifdef CONFIG_PREEMPT_RT
	return rw_base_is_write_locked(&sem->rwbase);
#else
	return atomic_long_read(&sem->count) & RWSEM_WRITER_LOCKED;
#endif
}

/* Has lockdep forget that the thread holds @sem. */
void vfio_rs_lockdep_keep(struct rw_semaphore *sem)
{
	rwsem_release(&sem->dep_map, _THIS_IP_);
}

/* Tells lockdep that the thread holds @sem, without an order between this lock and others. */
void vfio_rs_lockdep_return(struct rw_semaphore *sem)
{
	rwsem_acquire(&sem->dep_map, 0, 1, _THIS_IP_);
}

u32 vfio_rs_index_nospec(u32 index, u32 size)
{
	return array_index_nospec(index, size);
}

unsigned int vfio_rs_noio_save(void)
{
	return memalloc_noio_save();
}

void vfio_rs_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

/* Writes the low @bytes bytes of @value, as vfio_pci_core_iowrite8() and its like do. */
void vfio_rs_iowrite(void __iomem *io, u64 value, u64 bytes)
{
	switch (bytes) {
	case 1:
		iowrite8(value, io);
		break;
	case 2:
		iowrite16(value, io);
		break;
	case 4:
		iowrite32(value, io);
		break;
	case 8:
		iowrite64(value, io);
		break;
	}
}

void vfio_rs_wmb(void)
{
	/* Orders the stores of the caller to device memory. */
	wmb();
}

/*
 * Returns the id of the current process, and writes the name of the thread to @comm, which has room
 * for TASK_COMM_LEN bytes. The kernel crate of Linux 7.2 has neither.
 */
int vfio_rs_process(char *comm)
{
	strscpy_pad(comm, current->comm, TASK_COMM_LEN);
	return task_tgid_nr(current);
}

/* debugfs, whose functions are inline ones without CONFIG_DEBUG_FS. */

/* Makes the directory @name in the root, or returns an error. */
struct dentry *vfio_rs_debugfs_dir(const char *name)
{
	return debugfs_create_dir(name, NULL);
}

/* Makes the directory @name in the directory @parent of the root, or returns an error. */
struct dentry *vfio_rs_debugfs_subdir(const char *parent, const char *name)
{
	struct dentry *dir = debugfs_lookup(parent, NULL), *sub;

	if (IS_ERR_OR_NULL(dir))
		return ERR_PTR(-ENOENT);
	sub = debugfs_create_dir(name, dir);
	dput(dir);
	return sub;
}

/*
 * Makes the file @name in @dir, which only root can read. Its removal waits for the open() of @fops
 * and for no other operation, so only open() may use @data.
 */
void vfio_rs_debugfs_file(const char *name, struct dentry *dir, void *data,
			  const struct file_operations *fops)
{
	if (!IS_ERR(dir))
		debugfs_create_file_unsafe(name, 0400, dir, data, fops);
}

void vfio_rs_debugfs_remove(struct dentry *dentry)
{
	debugfs_remove(dentry);
}

/* The PCI device. */

int vfio_rs_pm_get(struct pci_dev *pdev)
{
	return pm_runtime_resume_and_get(&pdev->dev);
}

void vfio_rs_pm_put(struct pci_dev *pdev)
{
	pm_runtime_put(&pdev->dev);
}

bool vfio_rs_bar_is_mem(struct pci_dev *pdev, int bar)
{
	return pci_resource_flags(pdev, bar) & IORESOURCE_MEM;
}

bool vfio_rs_is_offline(struct pci_dev *pdev)
{
	return pci_channel_offline(pdev);
}

int vfio_rs_pcie_type(struct pci_dev *pdev)
{
	return pci_pcie_type(pdev);
}

/* The device of vfio-pci-core. Its first field is its VFIO device, at the same address. */

static_assert(!offsetof(struct vfio_pci_core_device, vdev));

void vfio_rs_put_device(struct vfio_pci_core_device *core)
{
	vfio_put_device(&core->vdev);
}

void vfio_rs_set_pci_ops(struct vfio_pci_core_device *core,
			 const struct vfio_pci_device_ops *ops)
{
	core->pci_ops = ops;
}

struct pci_dev *vfio_rs_pdev(struct vfio_pci_core_device *core)
{
	return core->pdev;
}

struct address_space *vfio_rs_mapping(struct vfio_pci_core_device *core)
{
	return core->vdev.inode->i_mapping;
}

/*
 * Gets the inode of the device's mappings with its superblock. VFIO unmounts the filesystem of
 * these inodes with the last device, and must not find an inode in use then.
 */
struct inode *vfio_rs_get_inode(struct vfio_pci_core_device *core)
{
	struct inode *inode = core->vdev.inode;

	ihold(inode);
	atomic_inc(&inode->i_sb->s_active);
	return inode;
}

void vfio_rs_put_inode(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;

	iput(inode);
	deactivate_super(sb);
}

/* Makes a file whose mappings are in the tree of @inode. */
struct file *vfio_rs_getfile(const char *name, const struct file_operations *fops, void *data,
			     int flags, struct inode *inode)
{
	struct file *file;

	file = anon_inode_getfile_fmode(name, fops, data, flags, FMODE_PREAD | FMODE_PWRITE);
	if (!IS_ERR(file))
		file->f_mapping = inode->i_mapping;
	return file;
}

struct rw_semaphore *vfio_rs_memory_lock(struct vfio_pci_core_device *core)
{
	return &core->memory_lock;
}

/* Returns the address of the core's mapping of a BAR, or of an errno in place of it. */
void __iomem **vfio_rs_barmap(struct vfio_pci_core_device *core, int bar)
{
	return &core->barmap[bar];
}

bool vfio_rs_bar_mmap_supported(struct vfio_pci_core_device *core, int bar)
{
	return core->bar_mmap_supported[bar];
}

int vfio_rs_num_regions(struct vfio_pci_core_device *core)
{
	return core->num_regions;
}

u8 vfio_rs_msix_bar(struct vfio_pci_core_device *core)
{
	return core->msix_bar;
}

u32 vfio_rs_msix_offset(struct vfio_pci_core_device *core)
{
	return core->msix_offset;
}

u16 vfio_rs_msix_size(struct vfio_pci_core_device *core)
{
	return core->msix_size;
}

void vfio_rs_set_nointxmask(struct vfio_pci_core_device *core, bool value)
{
	core->nointxmask = value;
}

void vfio_rs_set_disable_idle_d3(struct vfio_pci_core_device *core, bool value)
{
	core->disable_idle_d3 = value;
}

void vfio_rs_set_disable_vga(struct vfio_pci_core_device *core, bool value)
{
	core->disable_vga = value;
}
