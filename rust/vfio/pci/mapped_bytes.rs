// SPDX-License-Identifier: GPL-2.0-only

//! Accesses to a BAR through a mapping of the kernel, which is the core's mapping of the whole BAR
//! or one of the driver's mappings of parts of it ([`BarMap`]).

use super::{
    Access,
    Bar,
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::{
        IoMap,
        MemType, //
    },
    vfio::{
        transfer::rest_of_step,
        Transfer, //
    }, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    num::NonZeroU64,
    ops::Range,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// The number of bytes of a step of a transfer, between two checks of the gate.
const STEP: usize = 4096;

/// A mapping of the driver's of a range of a memory BAR for the kernel.
///
/// # Invariants
///
/// `map` is a mapping of `bytes` of a BAR.
pub(crate) struct BarMap {
    map: IoMap,
    bytes: Range<u64>,
}

impl BarMap {
    /// Maps `bytes` of `bar` with the type `mem`, or, without one, with the type that the pages
    /// have.
    ///
    /// Fails with [`EBUSY`] if another mapping has another type. Fails with [`ENOMEM`] if the
    /// kernel has no memory. Fails with [`EINVAL`] if `bytes` is empty or leaves the BAR, or if the
    /// BAR is not memory.
    pub(crate) fn new(bar: Bar<'_>, bytes: Range<u64>, mem: Option<MemType>) -> Result<Self> {
        let range = bar.range(bytes.clone())?;
        let map = match mem {
            Some(mem) => IoMap::with_type(range, mem)?,
            None => IoMap::with_present_type(range)?,
        };
        // INVARIANT: `range` has the addresses of `bytes`.
        Ok(Self { map, bytes })
    }

    /// Returns the mapped bytes.
    pub(crate) fn bytes(&self) -> &Range<u64> {
        &self.bytes
    }

    /// Returns the mapped bytes from byte `at` of the BAR on, or `None` if that is not mapped.
    #[inline]
    pub(crate) fn bytes_from(&self, at: u64) -> Option<MappedBytes<'_>> {
        let within = at.checked_sub(self.bytes.start)?;
        let len = NonZeroU64::new(self.bytes.end.checked_sub(at)?)?;
        // SAFETY: By the type's invariant, the kernel has a mapping of these bytes, which exists as
        // long as `self`.
        Some(unsafe { MappedBytes::new(self.map.as_ptr(), within, len) })
    }
}

/// Bytes of a BAR that the kernel has mapped, as a function can return them in two registers.
///
/// # Invariants
///
/// For `'a`, the kernel has a mapping of `len` bytes at `io`.
#[derive(Clone, Copy)]
pub(crate) struct MappedBytes<'a> {
    io: *mut c_void,
    len: NonZeroU64,
    _mapping: PhantomData<&'a IoMap>,
}

impl MappedBytes<'_> {
    /// Makes the `len` bytes from byte `within` of the mapping `io` on.
    ///
    /// # Safety
    ///
    /// For the lifetime of the result, the kernel must have a mapping at `io` with these bytes.
    #[inline]
    pub(super) unsafe fn new(io: NonNull<c_void>, within: u64, len: NonZeroU64) -> Self {
        // INVARIANT: The caller guarantees it.
        Self {
            // CAST: `usize` has 64 bits on all supported platforms.
            io: io.as_ptr().wrapping_byte_add(within as usize),
            len,
            _mapping: PhantomData,
        }
    }

    /// Returns the address that byte 0 of `bar` would have if these are its bytes from `at` on.
    ///
    /// Fails with [`EINVAL`] if they are not the bytes of an I/O `bar`, or cannot be those of a
    /// memory `bar`. Accesses are as wide as `at` permits, and some CPUs refuse those of device
    /// memory that are not aligned. Memory must not be accessed as I/O ports are, without a test of
    /// memory decoding.
    #[inline]
    fn base(&self, bar: Bar<'_>, at: u64) -> Result<*mut c_void> {
        // CAST: `usize` has 64 bits on all supported platforms.
        let base = self.io.wrapping_byte_sub(at as usize);
        let valid = if bar.is_memory() {
            base.addr() & 7 == 0
        } else {
            // Only the core maps I/O ports. No other mapping has addresses in the core's.
            at < bar.size() && bar.core_map().map(NonNull::as_ptr) == Some(base)
        };
        valid.then_some(base).ok_or(EINVAL)
    }

    /// Returns how many of these bytes one step of a transfer from byte `at` on can transfer.
    #[inline]
    fn in_one_step(&self, at: u64) -> usize {
        let len = usize::try_from(self.len.get()).unwrap_or(usize::MAX);
        rest_of_step::<STEP>(at).min(len)
    }

    /// Returns whether [`Self::transfer_step`] transfers all of `transfer`.
    #[inline]
    pub(crate) fn one_step_suffices(&self, at: u64, transfer: &Transfer<'_>) -> bool {
        transfer.remaining() <= self.in_one_step(at)
    }

    /// Reads or writes these bytes for userspace until the end of the transfer or of one step, and
    /// returns their number. Waits at the gate of `device`. The MSI-X table is hidden.
    ///
    /// The bytes must be those of `bar`, a BAR of `device`, from `at` on. Otherwise the function
    /// accesses mapped bytes of a BAR as well, but with the lock and the gate of another device, or
    /// it hides the wrong bytes.
    ///
    /// This does what vfio_pci_core_read() and vfio_pci_core_write() do for a BAR. Calling these
    /// would take 150 more instructions, which find what this driver already knows.
    ///
    /// Fails with [`EIO`] while memory decoding is off, or if the recovery from an error has
    /// failed. Fails with [`EFAULT`] if the user buffer is invalid. Fails with [`EINVAL`] if it
    /// finds that the bytes are others.
    #[inline(always)]
    pub(crate) fn transfer_step<T: Operations>(
        &self,
        device: &OpenDevice<T>,
        bar: Bar<'_>,
        at: u64,
        transfer: &mut Transfer<'_>,
    ) -> Result<usize> {
        device.gate().pass()?;
        let base = self.base(bar, at)?;
        let excluded = bar.msix_table();
        // SAFETY: The core device is valid. By the type's invariant, the bytes are mapped. The
        // function accesses the buffer as user memory and fails if it is invalid.
        let done = unsafe {
            bindings::vfio_pci_core_do_io_rw(
                device.core().as_ptr(),
                bar.is_memory(),
                base,
                transfer.buffer(),
                i64::try_from(at)?,
                transfer.remaining().min(self.in_one_step(at)),
                usize::try_from(excluded.start)?,
                usize::try_from(excluded.end)?,
                transfer.is_write(),
                bindings::vfio_pci_io_width_VFIO_PCI_IO_WIDTH_8,
            )
        };
        transfer.advance(done)
    }

    /// Reads or writes these bytes for the kernel until the end of `access`, and returns their
    /// number. The MSI-X table is hidden. The bytes must be those that [`Self::transfer_step`]
    /// expects.
    ///
    /// Fails with [`EIO`] while memory decoding is off. Fails with [`EINVAL`] if it finds that the
    /// bytes are others.
    pub(crate) fn access<T: Operations>(
        &self,
        device: &OpenDevice<T>,
        bar: Bar<'_>,
        at: u64,
        access: &mut Access<'_>,
    ) -> Result<usize> {
        let base = self.base(bar, at)?;
        let mut access = access.limited(self.len.get());
        // SAFETY: By the type's invariant, the bytes are mapped at these addresses.
        unsafe { access.perform(device.core(), base, at, bar.msix_table()) }
    }
}
