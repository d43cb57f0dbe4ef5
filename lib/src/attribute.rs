// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attributes, which programs request, and effective types, which page tables have.

use crate::bindings as abi;
use core::fmt;

/// The attribute of a subregion or a BAR, which a program requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Attribute {
    /// As vfio-pci maps a BAR. A guest cannot have a weaker type than device memory.
    Noncached = abi::VFIO_SUBREGION_ATTR_NONCACHED,
    /// Device memory whose stores may be acknowledged early. A guest cannot have a weaker type than
    /// device memory.
    Device = abi::VFIO_SUBREGION_ATTR_DEVICE,
    /// Stores may be merged, delayed and reordered until a fence. A guest may choose any uncached
    /// type.
    WriteCombining = abi::VFIO_SUBREGION_ATTR_WC,
    /// As [`Attribute::Device`] on the host; a guest may choose any uncached type.
    GuestAny = abi::VFIO_SUBREGION_ATTR_GUEST_ANY,
}

impl Attribute {
    /// All attributes that this version of the crate knows.
    pub const ALL: &'static [Self] = &[
        Self::Noncached,
        Self::Device,
        Self::WriteCombining,
        Self::GuestAny,
    ];

    /// Returns the kernel's number for it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the attribute with this number, if this crate knows it.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|a| a.number() == number)
    }

    /// Returns its short name, as on the command line of `subregionctl`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noncached => "noncached",
            Self::Device => "device",
            Self::WriteCombining => "wc",
            Self::GuestAny => "guest-any",
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

bitflags::bitflags! {
    /// A set of [`Attribute`]s.
    ///
    /// It keeps bits that this crate does not know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Attributes: u32 {
        /// [`Attribute::Noncached`].
        const NONCACHED = 1 << abi::VFIO_SUBREGION_ATTR_NONCACHED;
        /// [`Attribute::Device`].
        const DEVICE = 1 << abi::VFIO_SUBREGION_ATTR_DEVICE;
        /// [`Attribute::WriteCombining`].
        const WRITE_COMBINING = 1 << abi::VFIO_SUBREGION_ATTR_WC;
        /// [`Attribute::GuestAny`].
        const GUEST_ANY = 1 << abi::VFIO_SUBREGION_ATTR_GUEST_ANY;

        const _ = !0;
    }
}

impl From<Attribute> for Attributes {
    fn from(attribute: Attribute) -> Self {
        Self::from_bits_retain(1 << attribute.number())
    }
}

/// The effective type: the memory type in the page tables, in the architecture's own terms.
///
/// It is a number, because a newer kernel may report types that this crate does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EffectiveType(u32);

impl EffectiveType {
    /// x86: uncached, unless an MTRR has another type.
    pub const X86_UC_MINUS: Self = Self(abi::VFIO_SUBREGION_TYPE_X86_UC_MINUS);
    /// x86: write combining.
    pub const X86_WC: Self = Self(abi::VFIO_SUBREGION_TYPE_X86_WC);
    /// arm64: Device-nGnRnE.
    pub const ARM64_NGNRNE: Self = Self(abi::VFIO_SUBREGION_TYPE_ARM64_NGNRNE);
    /// arm64: Device-nGnRE.
    pub const ARM64_NGNRE: Self = Self(abi::VFIO_SUBREGION_TYPE_ARM64_NGNRE);
    /// arm64: Normal non-cacheable.
    pub const ARM64_NORMAL_NC: Self = Self(abi::VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC);

    /// Returns the type with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Returns the kernel's number for it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns its name in the architecture's manual, if this crate knows it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::X86_UC_MINUS => "UC-",
            Self::X86_WC => "WC",
            Self::ARM64_NGNRNE => "Device-nGnRnE",
            Self::ARM64_NGNRE => "Device-nGnRE",
            Self::ARM64_NORMAL_NC => "Normal-NC",
            _ => return None,
        })
    }
}

impl fmt::Display for EffectiveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: userspace.values
    #[test]
    fn every_attribute_is_found_by_its_number() {
        for &attribute in Attribute::ALL {
            assert_eq!(Attribute::from_number(attribute.number()), Some(attribute));
            assert_eq!(Attributes::from(attribute).bits(), 1 << attribute.number());
        }
        assert_eq!(Attribute::from_number(4), None);
    }
}
