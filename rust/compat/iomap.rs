// SPDX-License-Identifier: GPL-2.0-only

//! Kernel mappings of device memory. Upstream home: rust/kernel/io/mem.rs.
//!
//! C header: [`include/linux/io.h`](srctree/include/linux/io.h)

use super::{
    MemType,
    PhysRange,
    Reservation, //
};
use crate::bindings;
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    bindings::pgprot_t,
    prelude::*, //
};

/// A kernel mapping of device memory. Dropping it unmaps the memory.
///
/// The kernel crate's `IoMem` maps a whole resource, always uncached.
///
/// # Invariants
///
/// `io` is a live mapping of the range for which it was made. It was returned by ioremap() or
/// ioremap_wc().
pub(crate) struct IoMap {
    io: NonNull<c_void>,
}

// SAFETY: Any thread may use and unmap a kernel mapping.
unsafe impl Send for IoMap {}

// SAFETY: A shared reference gives access to the address only, which does not change.
unsafe impl Sync for IoMap {}

impl IoMap {
    /// Maps `range` for the kernel. Another mapping may force a type other than `mem`; see
    /// [`Self::has_type`]. On arm64, ioremap() makes Device-nGnRE of [`MemType::Noncached`] too.
    ///
    /// Fails with [`EBUSY`] if another mapping of the range is write-back, or if other mappings of
    /// it have different types. Fails with [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn new(range: PhysRange, mem: MemType) -> Result<Self> {
        let len = usize::try_from(range.size())?;
        let phys = range.start();
        let io = match mem {
            // SAFETY: `range` is device memory that the driver may map, by `PhysRange`'s invariant.
            MemType::WriteCombining => unsafe { bindings::vfio_rs_ioremap_wc(phys, len) },
            // SAFETY: As above.
            MemType::Noncached | MemType::Device => unsafe { kernel::bindings::ioremap(phys, len) },
        };
        let io = NonNull::new(io).ok_or_else(|| Reservation::ioremap_error(range))?;
        // INVARIANT: ioremap() or ioremap_wc() returned `io` for `range`, and it is not null.
        Ok(Self { io })
    }

    /// Maps `range` for the kernel with the type `mem`.
    ///
    /// Fails with [`EBUSY`] if another mapping forces another type, and with the errors of
    /// [`Self::new`].
    pub(crate) fn with_type(range: PhysRange, mem: MemType) -> Result<Self> {
        let map = Self::new(range, mem)?;
        if !map.has_type(mem) {
            return Err(EBUSY);
        }
        Ok(map)
    }

    /// Maps `range` for the kernel with the type that other mappings of it have, or uncached if
    /// there are none. The kernel does not log that it refuses a mapping of write-back memory.
    ///
    /// On x86, pages that nothing else maps or reserves are write-combining for a moment. Whoever
    /// maps them in this moment gets that type, and the result then has it as well.
    ///
    /// Fails with the errors of [`Self::new`].
    pub(crate) fn with_present_type(range: PhysRange) -> Result<Self> {
        // ioremap() logs the refusal, and a reservation does not. The reservation must not remain,
        // because it gives the range a type that the caller has not asked for.
        drop(Reservation::with_present_type(range)?);
        Self::new(range, MemType::Noncached)
    }

    /// Returns whether the mapping has the type `mem`. On x86 every other mapping of these pages
    /// then has the same type.
    pub(crate) fn has_type(&self, mem: MemType) -> bool {
        // SAFETY: `io` is a live mapping by the type's invariant.
        unsafe { is_mapped_as(self.io, mem) }
    }

    /// Returns the address of the first byte.
    pub(crate) fn as_ptr(&self) -> NonNull<c_void> {
        self.io
    }
}

impl Drop for IoMap {
    fn drop(&mut self) {
        // SAFETY: `io` is a live mapping by the type's invariant, and this is its last use.
        unsafe { kernel::bindings::iounmap(self.io.as_ptr()) };
    }
}

/// Returns whether the kernel mapping at `io` has the type `mem`.
///
/// # Safety
///
/// `io` must be the address of a kernel mapping that exists during the call.
pub(crate) unsafe fn is_mapped_as(io: NonNull<c_void>, mem: MemType) -> bool {
    let prot = mem.apply(pgprot_t::default());
    // SAFETY: The mapping exists, as the caller guarantees, and with it the page tables that the
    // function reads.
    unsafe { bindings::vfio_rs_kernel_is_mapped(io.as_ptr(), prot) }
}
