// SPDX-License-Identifier: GPL-2.0

//! Parts of BARs that the kernel maps.

use super::holders::gated_step;
use crate::{
    bindings,
    vfio::{
        device::{
            Operations,
            Transfer, //
        },
        MemType,
        OpenDevice, //
    }, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    bindings::pgprot_t,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Bytes of a BAR that read() finds as ones and write() leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excluded {
    start: u64,
    end: u64,
}

impl Excluded {
    /// No bytes.
    pub(crate) const NOTHING: Self = Self { start: 0, end: 0 };

    /// The `size` bytes from `start`.
    pub(super) fn new(start: u64, size: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(size),
        }
    }

    /// Returns all bytes of the pages that these bytes are on.
    pub(crate) fn pages(&self) -> Self {
        // CAST: `usize` has at most 64 bits.
        let page = PAGE_SIZE as u64;
        Self {
            start: self.start & !page.wrapping_sub(1),
            end: self.end.checked_next_multiple_of(page).unwrap_or(u64::MAX),
        }
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Returns whether a byte of `start..end` is among them.
    pub(crate) fn meets(&self, start: u64, end: u64) -> bool {
        self.start < self.end && self.start < end && start < self.end
    }

    /// Returns the same bytes as seen from a mapping that begins at byte `base` of the BAR.
    pub(crate) fn seen_from(&self, base: u64) -> Self {
        Self {
            start: self.start.saturating_sub(base),
            end: self.end.saturating_sub(base),
        }
    }
}

/// Part of a BAR, mapped for the kernel; unmapped when dropped.
///
/// # Invariants
///
/// `io` is a mapping of `len` bytes of device memory, made by ioremap() or one of its like.
pub(crate) struct IoMap {
    io: NonNull<c_void>,
    len: usize,
}

// SAFETY: A mapping belongs to no thread.
unsafe impl Send for IoMap {}

// SAFETY: All that can be done with a shared reference is device access, which the device orders.
unsafe impl Sync for IoMap {}

impl IoMap {
    /// Takes over a mapping.
    ///
    /// # Safety
    ///
    /// `io` was returned by ioremap() or one of its like for `len` bytes and is not used otherwise.
    pub(super) unsafe fn from_raw(io: NonNull<c_void>, len: usize) -> Self {
        // INVARIANT: The caller says so.
        Self { io, len }
    }

    /// Returns whether the CPU accesses the mapping, and so all that x86 will let userspace map of
    /// these pages, by the type `mem`.
    pub(crate) fn is_of(&self, mem: MemType) -> bool {
        is_mapped_as(self.io.as_ptr(), mem)
    }

    /// Reads or writes at most `count` bytes from byte `at` of the mapping on behalf of userspace, and
    /// returns how many were; bytes of `excluded` (counted from the mapping's first) are hidden.
    ///
    /// Waits while somebody other than VFIO resets the device, and does no more than can go without
    /// asking again. Fails with [`EIO`] while memory decoding is off and with [`EFAULT`] on a bad user address.
    pub(crate) fn transfer<T: Operations>(
        &self,
        device: &OpenDevice<T>,
        at: u64,
        count: usize,
        excluded: Excluded,
        transfer: &mut Transfer<'_>,
    ) -> Result<usize> {
        let count = count.min(transfer.remaining()).min(gated_step(at));
        let at = usize::try_from(at)?;
        if at.checked_add(count).is_none_or(|end| end > self.len) {
            return Err(EINVAL);
        }
        device.gate().pass()?;
        // SAFETY: The core device is valid, and the bytes are in the mapping by the check above and
        // the type's invariant. The user buffer is one: the function copies as to and from
        // userspace, and fails if it is bad.
        let done = unsafe {
            bindings::vfio_pci_core_do_io_rw(
                device.core().as_ptr(),
                true,
                self.io.as_ptr(),
                transfer.buffer(),
                i64::try_from(at)?,
                count,
                usize::try_from(excluded.start)?,
                usize::try_from(excluded.end)?,
                transfer.is_write(),
                bindings::vfio_pci_io_width_VFIO_PCI_IO_WIDTH_8,
            )
        };
        transfer.advance(done)
    }
}

impl Drop for IoMap {
    fn drop(&mut self) {
        // SAFETY: The type's invariant; this is the last use.
        unsafe { kernel::bindings::iounmap(self.io.as_ptr()) };
    }
}

/// Returns whether the kernel mapping at `io` is of type `mem`.
pub(super) fn is_mapped_as(io: *mut c_void, mem: MemType) -> bool {
    let prot = mem.apply(pgprot_t::default());
    // SAFETY: Looks up a kernel address; one that is not mapped is answered by `false`.
    unsafe { bindings::vfio_rs_kernel_is_mapped(io, prot) }
}
