// SPDX-License-Identifier: GPL-2.0-only

//! Removal of huge entries before fork() copies them.
//!
//! fork() copies the page-table entries of device memory to the child. At the same time another
//! thread may remove them, because the pages get another type or the device must not be accessed.
//! For a small entry this is safe: fork() reads and copies it under the locks of both page tables,
//! and `unmap_mapping_range()` visits the child after the parent, so it finds the copy. A huge
//! entry is different. `copy_huge_pmd()` (mm/huge_memory.c, Linux 7.3) reads it before it takes the
//! locks, and does not read it again. An entry that is removed from parent and child in between
//! comes back in the child and stays there.
//!
//! The driver therefore removes the huge entries from the parent before fork() copies them. They
//! cannot come back until the copy is complete:
//!
//! - `dup_mmap()` (mm/mmap.c) calls `vm_operations_struct::open` for the child's VMA before it
//!   copies the entries of that VMA.
//! - It holds the parent's mmap lock for writing until all entries are copied, and locks the
//!   parent's VMA for writing before it calls `open`. Only a fault makes entries, and a fault takes
//!   one of these locks for reading.

use super::LARGEST_ORDER;
use kernel::{
    mm::virt::VmaRef,
    page::PAGE_SIZE,
    prelude::*, //
};

/// The size in bytes of a huge entry.
const HUGE: usize = PAGE_SIZE << LARGEST_ORDER;

/// If fork() is making `child`, removes the huge entries from the parent's VMA that it copies.
///
/// `child` must be the argument of `vm_operations_struct::open`. In the ranges where a huge entry
/// is possible, this removes small entries too. fork() copies all others.
pub(super) fn remove_huge_entries(child: &VmaRef) {
    // The memory manager calls `open` in three places. `__split_vma()` and `copy_vma()` do so for
    // an address space that the thread uses; userfaultfd can split VMAs of another one, but not
    // those of device memory (`vma_can_userfault()`, mm/userfaultfd.c). `dup_mmap()` does so for a
    // new one; its only caller is `dup_mm()` (kernel/fork.c), which gets `current->mm` as the
    // parent. The parent is therefore the address space of this thread. vfork() and new threads
    // share the address space, and kernel threads have none, so none of them copies a VMA.
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
    // SAFETY: `parent` is the address space of this thread, and `dup_mmap()` holds its mmap lock.
    let vma = unsafe { kernel::bindings::find_vma(parent, start) };
    if vma.is_null() {
        return;
    }
    // SAFETY: `find_vma()` returned a valid VMA, and `dup_mmap()` holds the mmap lock until after
    // this call.
    let vma = unsafe { VmaRef::from_raw(vma) };
    // This is the VMA that `child` copies. For any other VMA the call would remove nothing beyond
    // its ends.
    vma.zap_vma_range(start, end - start);
}
