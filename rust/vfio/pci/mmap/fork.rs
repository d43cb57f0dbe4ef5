// SPDX-License-Identifier: GPL-2.0

//! Huge entries and fork().
//!
//! fork() copies the entries of device memory into the child. Another thread may remove them
//! meanwhile, because the pages get another type or the device cannot be accessed. A small entry is
//! read and copied under the locks of both page tables, and `unmap_mapping_range()` comes to the child
//! after the parent, so that it finds whatever was copied. A huge one is read before the locks are
//! taken, and not again under them (`copy_huge_pmd()`, mm/huge_memory.c, Linux 7.3): an entry that was
//! removed from parent and child in between comes back in the child, and stays.
//!
//! So the parent's huge entries are removed before they would be copied. None can come back until the
//! copy is over:
//!
//! - `dup_mmap()` (mm/mmap.c) calls `vm_operations_struct::open` of the child's VMA before it copies
//!   the entries of that VMA.
//! - It holds the parent's mmap lock for writing until all entries are copied, and has locked the
//!   parent's VMA for writing before it calls `open`. A fault takes one of these locks for reading, and
//!   nothing but a fault makes entries.

use super::LARGEST_ORDER;
use kernel::{
    mm::virt::VmaRef,
    page::PAGE_SIZE,
    prelude::*, //
};

/// The size of a huge entry.
const HUGE: usize = PAGE_SIZE << LARGEST_ORDER;

/// If `child` is being made by fork(), removes the huge entries of the VMA that it is a copy of.
///
/// `child` is what `vm_operations_struct::open` was called with. Small entries go with them where a
/// huge one could be; the others stay and are copied.
pub(super) fn remove_before(child: &VmaRef) {
    // A VMA is opened in three places: by `__split_vma()` and by `copy_vma()` in an address space that
    // is the thread's own, and by `dup_mmap()` in a new one. `dup_mm()` (kernel/fork.c), whose only
    // caller hands it `current->mm`, calls the last, so the parent's is the thread's own. vfork() and
    // new threads share it, and kernel threads have none: none of them copies a VMA.
    let task = current!();
    let Some(parent) = task.mm() else {
        return;
    };
    let parent = parent.as_raw();
    if parent == child.mm().as_raw() {
        return;
    }
    // A huge entry maps nothing beyond its VMA.
    let Some(start) = child.start().checked_next_multiple_of(HUGE) else {
        return;
    };
    let end = child.end() & !(HUGE - 1);
    if start >= end {
        return;
    }
    // SAFETY: `parent` is the thread's address space, and `dup_mmap()` holds its mmap lock.
    let vma = unsafe { kernel::bindings::find_vma(parent, start) };
    if vma.is_null() {
        return;
    }
    // SAFETY: `find_vma()` gave it, and `dup_mmap()` holds the mmap lock until it returns.
    let vma = unsafe { VmaRef::from_raw(vma) };
    // It is what `child` is a copy of; of any other this would remove nothing beyond its ends.
    vma.zap_vma_range(start, end - start);
}
