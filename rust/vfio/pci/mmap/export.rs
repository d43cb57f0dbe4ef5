// SPDX-License-Identifier: GPL-2.0-only

//! Mappings of exports.
//!
//! A VMA of an export has the same type, flags and file offsets as one that maps the same range of
//! the device file. Its file has the inode of the device as well, so the removal of entries finds
//! the VMA by its file offset. Two things differ:
//!
//! - The VMA can outlive the device, so each fault first asks the [`Export`] for it.
//! - The driver does not count the VMA, so that a process with an export cannot use up offsets of
//!   the device file or take its locks for writing. The offsets of the VMA can belong to another
//!   range by the time of a fault, which therefore checks that the range is that of the export
//!   ([`Fault::may_reach`](super::Fault::may_reach)).

use super::{
    super::export::{
        DeviceRef,
        Export, //
    },
    super::memory::BARS_END,
    file_offset,
    size,
    vma_ops::{
        complete,
        Source, //
    },
    GuestTypes,
    Operations, //
};
use crate::compat::{
    MemType,
    MAYSHARE, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    bindings::vm_area_struct,
    mm::virt::VmaRef,
    page::PAGE_SHIFT,
    prelude::*, //
};

/// The range to which an export leads.
pub(crate) struct ExportTarget {
    /// The offsets in the device file.
    pub(crate) range: Range<u64>,
    /// The type of mappings.
    pub(crate) mem: MemType,
    /// The types for guests.
    pub(crate) guest: GuestTypes,
}

/// Handles mmap() on the file of `export`.
///
/// Fails with [`EINVAL`] if the range leaves the export, if a reset would leave entries of the
/// mapping, or if the mapping is private. Fails with [`ENODEV`] if the export has ended.
///
/// # Safety
///
/// mmap() must be setting up `vma` for a file that keeps `export` alive. The calling thread must
/// hold the mmap lock for writing, and no other code may find the VMA.
pub(in super::super) unsafe fn map_export<T: Operations>(
    export: &Export<T>,
    vma: NonNull<vm_area_struct>,
) -> Result {
    let device = export.device().ok_or(ENODEV)?;
    let target = device.data().exported(&device, export.target());
    let target = target.ok_or(ENODEV)?;
    // SAFETY: The thread holds the mmap lock for writing, as the caller guarantees, and this
    // permits reading.
    let view = unsafe { VmaRef::from_raw(vma.as_ptr()) };
    let start = target.range.start.checked_add(file_offset(view));
    let start = start.ok_or(EINVAL)?;
    let end = start.checked_add(size(view)).ok_or(EINVAL)?;
    // A shared mapping of a file that is not writable has only this flag, and not `VM_SHARED`.
    if end > target.range.end.min(BARS_END) || view.flags() & MAYSHARE == 0 {
        return Err(EINVAL);
    }
    // CAST: `usize` has 64 bits on all supported platforms.
    let pages = (start >> PAGE_SHIFT) as usize;
    // SAFETY: No other code can find the VMA, as the caller guarantees, so this thread may write
    // the field.
    unsafe { (*vma.as_ptr()).vm_pgoff = pages };
    // If the export ends before this, no fault makes an entry.
    // SAFETY: The mapping is shared, and the caller guarantees the rest.
    unsafe { complete(vma, export, target.mem, target.guest) };
    Ok(())
}

impl<T: Operations> Source<T> for Export<T> {
    type Device<'a> = DeviceRef<'a, T>;

    fn device(&self) -> Option<DeviceRef<'_, T>> {
        Export::device(self)
    }

    fn exported(&self) -> Option<T::Exported> {
        Some(self.target())
    }
}
