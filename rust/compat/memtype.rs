// SPDX-License-Identifier: GPL-2.0-only

//! Memory types of mappings. Upstream home: rust/kernel/mm/pgprot.rs.
//!
//! On x86 a page-table entry for device memory does not get the type that the VMA's protection asks
//! for. It gets the type of the reservation of the physical range (PAT), or UC- if the range has no
//! reservation. The protection therefore guarantees a type only together with a reservation of the
//! same range; see [`super::Reservation`].

use crate::bindings;
use kernel::bindings::pgprot_t;

/// A memory type of a mapping of device memory.
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
    /// Returns whether this platform supports the type.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Self::Noncached | Self::Device => true,
            // SAFETY: The function returns a property of the platform that is fixed at boot.
            Self::WriteCombining => unsafe { bindings::vfio_rs_can_writecombine() },
        }
    }

    /// Returns the name that this architecture, x86 or arm64, has for the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Noncached | Self::Device if cfg!(CONFIG_X86) => "UC-",
            Self::WriteCombining if cfg!(CONFIG_X86) => "WC",
            Self::Noncached => "Device-nGnRnE",
            Self::Device => "Device-nGnRE",
            Self::WriteCombining => "Normal-NC",
        }
    }

    /// Returns `prot` with this type, decrypted as all device memory.
    ///
    /// `prot` must not have a type yet, because the C functions only add bits.
    pub(crate) fn apply(self, prot: pgprot_t) -> pgprot_t {
        match self {
            // SAFETY: The function only computes a value.
            Self::Noncached => unsafe { bindings::vfio_rs_pgprot_noncached(prot) },
            // SAFETY: The function only computes a value.
            Self::Device => unsafe { bindings::vfio_rs_pgprot_device(prot) },
            // SAFETY: The function only computes a value.
            Self::WriteCombining => unsafe { bindings::vfio_rs_pgprot_writecombine(prot) },
        }
    }
}
