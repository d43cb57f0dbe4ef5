// SPDX-License-Identifier: GPL-2.0-only

//! Accesses to a BAR through a mapping of the kernel, which is the core's mapping of the whole BAR
//! or one of the driver's mappings of parts of it.

use super::{
    Access,
    Bar,
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::IoMap,
    vfio::{
        transfer::rest_of_step,
        Transfer, //
    }, //
};
use core::{
    ffi::c_void,
    marker::PhantomData, //
};
use kernel::prelude::*;

/// The number of bytes of a step of a transfer, between two checks of the gate.
const STEP: usize = 4096;

/// Bytes of a BAR that the kernel has mapped.
///
/// # Invariants
///
/// - For `'a`, the kernel has a mapping of the `len` bytes of `bar` from `at` on. Byte `n` of the
///   BAR is at the address `base + n`.
/// - `len` is not 0.
#[derive(Clone, Copy)]
pub(crate) struct MappedBytes<'a> {
    bar: Bar<'a>,
    /// The address that byte 0 of the BAR would have. It need not be mapped.
    base: *mut c_void,
    at: u64,
    len: u64,
    _mapping: PhantomData<&'a IoMap>,
}

impl<'a> MappedBytes<'a> {
    /// Returns the bytes of `bar` from `at` to `end`, or `None` if there are none.
    ///
    /// # Safety
    ///
    /// For `'a`, the kernel must have a mapping of these bytes with byte `n` of the BAR at the
    /// address `base + n`.
    #[inline]
    pub(super) unsafe fn new(bar: Bar<'a>, base: *mut c_void, at: u64, end: u64) -> Option<Self> {
        let len = end.checked_sub(at).filter(|len| *len != 0)?;
        // INVARIANT: The caller guarantees the first, and the condition is the second.
        Some(Self {
            bar,
            base,
            at,
            len,
            _mapping: PhantomData,
        })
    }

    /// Returns the bytes from `at` on in `map`, a mapping of the memory BAR `bar` from byte `start`
    /// on, or `None` if `map` does not have byte `at`.
    #[inline]
    pub(crate) fn in_map(bar: Bar<'a>, at: u64, map: &'a IoMap, start: u64) -> Option<Self> {
        if at < start {
            return None;
        }
        // CAST: `usize` has at most 64 bits.
        let end = start.checked_add(map.len() as u64)?;
        let base = map.as_ptr().as_ptr();
        let base = base.wrapping_byte_sub(usize::try_from(start).ok()?);
        // SAFETY: By `IoMap`'s invariant, the kernel has a mapping of `map.len()` bytes at
        // `map.as_ptr()`, which exists as long as `map`. It is one of `bar` from `start` on, as the
        // caller says.
        unsafe { Self::new(bar, base, at, end) }
    }

    /// Returns the number of bytes until the end of these, or of a step.
    #[inline]
    fn in_one_step(&self) -> usize {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        rest_of_step::<STEP>(self.at).min(len)
    }

    /// Returns whether [`Self::transfer_step`] transfers all of `transfer`.
    #[inline]
    pub(crate) fn one_step_suffices(&self, transfer: &Transfer<'_>) -> bool {
        transfer.remaining() <= self.in_one_step()
    }

    /// Reads or writes these bytes for userspace until the end of the transfer or of one step, and
    /// returns their number. Waits at the gate of `device`, whose BAR this is. The MSI-X table is
    /// hidden.
    ///
    /// This does what vfio_pci_core_read() and vfio_pci_core_write() do for a BAR. Calling these
    /// would take 150 more instructions, which find what this driver already knows.
    ///
    /// Fails with [`EIO`] while memory decoding is off, or if the recovery from an error has
    /// failed. Fails with [`EFAULT`] if the user buffer is invalid.
    #[inline(always)]
    pub(crate) fn transfer_step<T: Operations>(
        &self,
        device: &OpenDevice<T>,
        transfer: &mut Transfer<'_>,
    ) -> Result<usize> {
        device.gate().pass()?;
        let excluded = self.bar.msix_table();
        // SAFETY: The core device is valid. By the type's invariants, the bytes are mapped. The
        // function accesses the buffer as user memory and fails if it is invalid.
        let done = unsafe {
            bindings::vfio_pci_core_do_io_rw(
                device.core().as_ptr(),
                self.bar.is_memory(),
                self.base,
                transfer.buffer(),
                i64::try_from(self.at)?,
                transfer.remaining().min(self.in_one_step()),
                usize::try_from(excluded.start)?,
                usize::try_from(excluded.end)?,
                transfer.is_write(),
                bindings::vfio_pci_io_width_VFIO_PCI_IO_WIDTH_8,
            )
        };
        transfer.advance(done)
    }

    /// Reads or writes these bytes for the kernel until the end of `access`, and returns their
    /// number. The MSI-X table is hidden. `device` must be the one whose BAR this is.
    ///
    /// Fails with [`EIO`] while memory decoding is off.
    pub(crate) fn access<T: Operations>(
        &self,
        device: &OpenDevice<T>,
        access: &mut Access<'_>,
    ) -> Result<usize> {
        let mut access = access.limited(self.len);
        // SAFETY: By the type's invariants, the bytes are mapped at these addresses.
        unsafe { access.perform(device.core(), self.base, self.at, self.bar.msix_table()) }
    }
}
