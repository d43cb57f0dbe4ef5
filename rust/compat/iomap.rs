// SPDX-License-Identifier: GPL-2.0

//! Device memory that the kernel maps. Upstream home: rust/kernel/io/mem.rs.
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

/// Device memory, mapped for the kernel; unmapped when dropped.
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
    /// Maps `range` for the kernel. The CPU may access it by another type than `mem`: see
    /// [`Self::is_of`].
    ///
    /// Fails with [`EBUSY`] when another mapping in the kernel has a type that no mapping of a device
    /// can share, which is write-back, and with [`ENOMEM`].
    pub(crate) fn new(range: PhysRange, mem: MemType) -> Result<Self> {
        let len = usize::try_from(range.len())?;
        let phys = range.start();
        let io = match mem {
            // SAFETY: `PhysRange`'s invariant: this is device memory that the driver may map.
            MemType::WriteCombining => unsafe { bindings::vfio_rs_ioremap_wc(phys, len) },
            // SAFETY: As above.
            MemType::Noncached | MemType::Device => unsafe { kernel::bindings::ioremap(phys, len) },
        };
        let io = NonNull::new(io).ok_or_else(|| Reservation::why_not_mapped(range))?;
        // INVARIANT: That was the call.
        Ok(Self { io, len })
    }

    /// Maps `range` for the kernel, and fails with [`EBUSY`] unless the CPU accesses it by the type
    /// `mem`. For other errors see [`Self::new`].
    pub(crate) fn of(range: PhysRange, mem: MemType) -> Result<Self> {
        let map = Self::new(range, mem)?;
        if !map.is_of(mem) {
            return Err(EBUSY);
        }
        Ok(map)
    }

    /// Returns whether the CPU accesses the mapping by the type `mem`. On x86 every other mapping of
    /// these pages has the same type.
    pub(crate) fn is_of(&self, mem: MemType) -> bool {
        is_mapped_as(self.io.as_ptr(), mem)
    }

    /// Returns the address of the first byte.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.io.as_ptr()
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for IoMap {
    fn drop(&mut self) {
        // SAFETY: The type's invariant; this is the last use.
        unsafe { kernel::bindings::iounmap(self.io.as_ptr()) };
    }
}

/// Returns whether the kernel mapping at `io` is of type `mem`.
pub(crate) fn is_mapped_as(io: *mut c_void, mem: MemType) -> bool {
    let prot = mem.apply(pgprot_t::default());
    // SAFETY: Looks up a kernel address; `false` is the answer for one that is not mapped.
    unsafe { bindings::vfio_rs_kernel_is_mapped(io, prot) }
}
