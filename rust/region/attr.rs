// SPDX-License-Identifier: GPL-2.0-only

//! The memory attributes that userspace can ask for.

/// The memory attribute of a subregion or of a BAR. It decides the types of mappings on the host
/// and in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// `pgprot_noncached()`, as vfio-pci maps a BAR. A guest gets device memory.
    Noncached,
    /// `pgprot_device()`. A guest gets device memory.
    Device,
    /// `pgprot_writecombine()`. A guest may choose any uncached type.
    WriteCombining,
    /// `pgprot_device()` on the host. A guest may choose any uncached type.
    GuestAny,
}

impl Attribute {
    /// All attributes.
    pub(crate) const ALL: [Self; 4] = [
        Self::Noncached,
        Self::Device,
        Self::WriteCombining,
        Self::GuestAny,
    ];

    /// Returns the name, which is the last part of the name in the user interface.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Noncached => "NONCACHED",
            Self::Device => "DEVICE",
            Self::WriteCombining => "WC",
            Self::GuestAny => "GUEST_ANY",
        }
    }

    /// Returns whether the kernel must map the range as write-combining as well.
    ///
    /// A physical page has one memory type, and only this attribute needs another type than
    /// `ioremap()` gives.
    pub(crate) fn is_write_combining(self) -> bool {
        matches!(self, Self::WriteCombining)
    }

    /// Returns whether a guest may choose any uncached type.
    pub(crate) fn lets_guest_choose(self) -> bool {
        matches!(self, Self::WriteCombining | Self::GuestAny)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(subregion_attr))]
mod tests {
    use super::*;

    // contract: rules.wc
    #[test]
    fn only_write_combining_needs_a_kernel_mapping_of_its_own() {
        assert!(Attribute::WriteCombining.is_write_combining());
        assert!(!Attribute::Noncached.is_write_combining());
        assert!(!Attribute::Device.is_write_combining());
        assert!(!Attribute::GuestAny.is_write_combining());
    }

    // contract: vm.guest-type
    #[test]
    fn a_guest_is_held_to_device_memory_unless_asked_otherwise() {
        assert!(!Attribute::Noncached.lets_guest_choose());
        assert!(!Attribute::Device.lets_guest_choose());
        assert!(Attribute::WriteCombining.lets_guest_choose());
        assert!(Attribute::GuestAny.lets_guest_choose());
    }
}
