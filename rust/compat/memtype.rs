// SPDX-License-Identifier: GPL-2.0

//! Memory types of mappings. Upstream home: rust/kernel/mm/pgprot.rs.
//!
//! On x86 a page-table entry for device memory does not get the type that the VMA's protection
//! asks for, but the one under which the kernel has reserved the physical range (PAT), and a range
//! that is not reserved is UC-. So the protection alone promises nothing. Together with a reservation
//! of the same range it does; see [`super::Reservation`].

use crate::bindings;
use kernel::bindings::pgprot_t;

/// A memory type for a mapping of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemType {
    /// `pgprot_noncached()`: x86 UC-, arm64 Device-nGnRnE.
    Noncached,
    /// `pgprot_device()`: x86 UC-, arm64 Device-nGnRE.
    Device,
    /// `pgprot_writecombine()`: x86 WC, arm64 Normal-NC.
    WriteCombining,
}

impl MemType {
    /// Returns whether this platform can give the type at all.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Self::Noncached | Self::Device => true,
            // SAFETY: Reads a property of the platform that is fixed at boot.
            Self::WriteCombining => unsafe { bindings::vfio_rs_can_writecombine() },
        }
    }

    /// Returns the protection `prot` with this type in place of its own, and decrypted as all
    /// device memory.
    ///
    /// `prot` must be free of a type: these operations add bits.
    pub(crate) fn apply(self, prot: pgprot_t) -> pgprot_t {
        match self {
            // SAFETY: Computes a value.
            Self::Noncached => unsafe { bindings::vfio_rs_pgprot_noncached(prot) },
            // SAFETY: Computes a value.
            Self::Device => unsafe { bindings::vfio_rs_pgprot_device(prot) },
            // SAFETY: Computes a value.
            Self::WriteCombining => unsafe { bindings::vfio_rs_pgprot_writecombine(prot) },
        }
    }
}
