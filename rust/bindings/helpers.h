/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wrappers for C that Rust cannot use directly: inline functions, macros, and fields of structures
 * for which bindgen computes a wrong layout. The wrappers make no decisions.
 */
#ifndef SUBREGION_HELPERS_H
#define SUBREGION_HELPERS_H

#include <linux/mm.h>
#include <linux/vfio_pci_core.h>

pgprot_t vfio_rs_pgprot_noncached(pgprot_t prot);
pgprot_t vfio_rs_pgprot_device(pgprot_t prot);
pgprot_t vfio_rs_pgprot_writecombine(pgprot_t prot);
bool vfio_rs_can_writecombine(void);
void __iomem *vfio_rs_ioremap_wc(phys_addr_t phys, size_t size);
int vfio_rs_reserve_memtype(resource_size_t phys, resource_size_t size);
void vfio_rs_free_memtype(resource_size_t phys, resource_size_t size);
bool vfio_rs_kernel_is_mapped(void __iomem *io, pgprot_t prot);
void vfio_rs_vma_set_flags(struct vm_area_struct *vma, bool allow_any_uncached);
bool vfio_rs_fault_has_table(struct vm_fault *vmf);
bool vfio_rs_is_write_locked(struct rw_semaphore *sem);
void vfio_rs_lockdep_keep(struct rw_semaphore *sem);
void vfio_rs_lockdep_return(struct rw_semaphore *sem);
u32 vfio_rs_index_nospec(u32 index, u32 size);
unsigned int vfio_rs_noio_save(void);
void vfio_rs_noio_restore(unsigned int flags);
void vfio_rs_iowrite(void __iomem *io, u64 value, u64 bytes);
void vfio_rs_wmb(void);
int vfio_rs_process(char *comm);
struct dentry *vfio_rs_debugfs_dir(const char *name);
struct dentry *vfio_rs_debugfs_subdir(const char *parent, const char *name);
void vfio_rs_debugfs_file(const char *name, struct dentry *dir, void *data,
			  const struct file_operations *fops);
void vfio_rs_debugfs_remove(struct dentry *dentry);
int vfio_rs_pm_get(struct pci_dev *pdev);
void vfio_rs_pm_put(struct pci_dev *pdev);
bool vfio_rs_bar_is_mem(struct pci_dev *pdev, int bar);
bool vfio_rs_is_offline(struct pci_dev *pdev);
int vfio_rs_pcie_type(struct pci_dev *pdev);

void vfio_rs_set_nointxmask(struct vfio_pci_core_device *core, bool value);
void vfio_rs_set_disable_idle_d3(struct vfio_pci_core_device *core, bool value);
void vfio_rs_set_disable_vga(struct vfio_pci_core_device *core, bool value);
void vfio_rs_put_device(struct vfio_pci_core_device *core);
void vfio_rs_set_pci_ops(struct vfio_pci_core_device *core,
			 const struct vfio_pci_device_ops *ops);
struct pci_dev *vfio_rs_pdev(struct vfio_pci_core_device *core);
struct address_space *vfio_rs_mapping(struct vfio_pci_core_device *core);
struct inode *vfio_rs_get_inode(struct vfio_pci_core_device *core);
void vfio_rs_put_inode(struct inode *inode);
struct file *vfio_rs_getfile(const char *name, const struct file_operations *fops, void *data,
			     int flags, struct inode *inode);
struct rw_semaphore *vfio_rs_memory_lock(struct vfio_pci_core_device *core);
void __iomem **vfio_rs_barmap(struct vfio_pci_core_device *core, int bar);
bool vfio_rs_bar_mmap_supported(struct vfio_pci_core_device *core, int bar);
int vfio_rs_num_regions(struct vfio_pci_core_device *core);
u8 vfio_rs_msix_bar(struct vfio_pci_core_device *core);
u32 vfio_rs_msix_offset(struct vfio_pci_core_device *core);
u16 vfio_rs_msix_size(struct vfio_pci_core_device *core);

/* params.c */
const char *subregion_param_ids(void);
bool subregion_param_nointxmask(void);
bool subregion_param_disable_idle_d3(void);
bool subregion_param_disable_vga(void);
bool subregion_param_enable_sriov(void);
bool subregion_param_disable_denylist(void);
const struct pci_device_id *subregion_id_table(void);

/* trace.c */
void subregion_trace_create(const char *device, u32 index, u32 bar, u64 offset, u64 size,
			    u32 attribute);
void subregion_trace_destroy(const char *device, u32 index, u32 bar, u64 offset, u64 size,
			     u32 attribute);
void subregion_trace_attribute(const char *device, u32 bar, u32 attribute);
void subregion_trace_export(const char *device, u32 index, u32 flags);
void subregion_trace_fault_refused(const char *device, u64 offset);
void subregion_trace_fault_revoked(const char *device, u64 offset);

#endif /* SUBREGION_HELPERS_H */
