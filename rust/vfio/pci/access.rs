// SPDX-License-Identifier: GPL-2.0-only

//! Accesses to device memory with bytes of the kernel.
//!
//! vfio-pci-core transfers between a device and user memory only. This module makes the same
//! accesses, each under the memory lock and with memory decoding checked, for a caller that must
//! not access user memory at that time.

use super::{
    CoreDevice,
    Excluded, //
};
use crate::bindings;
use core::ffi::c_void;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A read or write of device memory, from or to memory of the kernel.
pub(crate) enum Access<'a> {
    /// Bytes from the device go to this buffer.
    Read(&'a mut [u8]),
    /// These bytes go to the device.
    Write(&'a [u8]),
}

/// Performs an access of the width of `$type`.
macro_rules! access {
    ($access:ident, $core:ident, $io:ident, $part:ident => $type:ty, $read:ident, $write:ident) => {
        match $access {
            Access::Read(bytes) => {
                let mut value: $type = 0;
                // SAFETY: The core device is valid. The caller of `perform` guarantees that `io`
                // leads to mapped bytes, and they have the width of the type.
                to_result(unsafe { bindings::$read($core, true, &raw mut value, $io) })?;
                if let Some(bytes) = bytes.get_mut($part) {
                    bytes.copy_from_slice(&value.to_ne_bytes());
                }
            }
            Access::Write(bytes) => {
                let bytes = bytes.get($part).and_then(|bytes| bytes.try_into().ok());
                let value = <$type>::from_ne_bytes(bytes.ok_or(EINVAL)?);
                // SAFETY: As above.
                to_result(unsafe { bindings::$write($core, true, value, $io) })?;
            }
        }
    };
}

impl Access<'_> {
    /// Returns the number of bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Read(bytes) => bytes.len(),
            Self::Write(bytes) => bytes.len(),
        }
    }

    /// Limits the access to its first `len` bytes.
    pub(crate) fn limited(&mut self, len: u64) -> Access<'_> {
        let len = usize::try_from(len).map_or(self.size(), |len| len.min(self.size()));
        match self {
            Self::Read(bytes) => Access::Read(bytes.get_mut(..len).unwrap_or_default()),
            Self::Write(bytes) => Access::Write(bytes.get(..len).unwrap_or_default()),
        }
    }

    /// Performs the access from byte `at` of a BAR on, by the widest accesses that the alignment
    /// permits, as vfio-pci does. Byte `n` of the BAR is at the address `base + n`. The bytes of
    /// `excluded` are hidden. Returns the number of bytes. `core` is the device of the BAR, whose
    /// memory lock this takes.
    ///
    /// Fails with [`EIO`] while memory decoding is off.
    ///
    /// # Safety
    ///
    /// A mapping of a BAR must have all bytes of the access at these addresses.
    pub(super) unsafe fn perform(
        &mut self,
        core: &CoreDevice,
        base: *mut c_void,
        at: u64,
        excluded: Excluded,
    ) -> Result<usize> {
        let all = self.size();
        let core = core.as_ptr();
        let mut done: usize = 0;
        while done < all {
            // CAST: `usize` has at most 64 bits.
            let here = at.saturating_add(done as u64);
            if excluded.overlaps(&(here..here.saturating_add(1))) {
                if let Self::Read(bytes) = self {
                    if let Some(byte) = bytes.get_mut(done) {
                        *byte = u8::MAX;
                    }
                }
                done = done.saturating_add(1);
                continue;
            }
            let left = all.saturating_sub(done);
            let fits = |width: usize| {
                // CAST: The width is at most 8.
                let end = here.saturating_add(width as u64);
                left >= width && here % width as u64 == 0 && !excluded.overlaps(&(here..end))
            };
            let width = [8, 4, 2].into_iter().find(|width| fits(*width));
            let width = width.unwrap_or(1);
            let range = done..done.saturating_add(width);
            let io = base.wrapping_byte_add(usize::try_from(here)?);
            match width {
                8 => access!(
                    self, core, io, range => u64, vfio_pci_core_ioread64, vfio_pci_core_iowrite64
                ),
                4 => access!(
                    self, core, io, range => u32, vfio_pci_core_ioread32, vfio_pci_core_iowrite32
                ),
                2 => access!(
                    self, core, io, range => u16, vfio_pci_core_ioread16, vfio_pci_core_iowrite16
                ),
                _ => access!(
                    self, core, io, range => u8, vfio_pci_core_ioread8, vfio_pci_core_iowrite8
                ),
            }
            done = done.saturating_add(width);
        }
        Ok(done)
    }
}
