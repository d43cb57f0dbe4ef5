// SPDX-License-Identifier: GPL-2.0

//! What userspace can ask for.

/// A memory attribute: what a subregion's mappings are to be, on the host and for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// `pgprot_noncached()`, as vfio-pci maps a BAR; a guest gets device memory.
    Noncached,
    /// `pgprot_device()`; a guest gets device memory.
    Device,
    /// `pgprot_writecombine()`; a guest gets any uncached type that it asks for.
    WriteCombining,
    /// `pgprot_device()` on the host; a guest gets any uncached type that it asks for.
    GuestAny,
}

impl Attribute {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [
        Self::Noncached,
        Self::Device,
        Self::WriteCombining,
        Self::GuestAny,
    ];

    /// Returns whether the kernel's own mapping of the range must be write-combining as well.
    ///
    /// Of all attributes only this one differs in type from what `ioremap()` gives, and a physical
    /// page has one memory type.
    pub(crate) fn is_write_combining(self) -> bool {
        matches!(self, Self::WriteCombining)
    }

    /// Returns whether a guest may choose among the uncached types for itself.
    pub(crate) fn lets_guest_choose(self) -> bool {
        matches!(self, Self::WriteCombining | Self::GuestAny)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(subregion_attr))]
mod tests {
    use super::*;

    #[test]
    fn only_write_combining_needs_a_kernel_mapping_of_its_own() {
        assert!(Attribute::WriteCombining.is_write_combining());
        assert!(!Attribute::Noncached.is_write_combining());
        assert!(!Attribute::Device.is_write_combining());
        assert!(!Attribute::GuestAny.is_write_combining());
    }

    #[test]
    fn a_guest_is_held_to_device_memory_unless_asked_otherwise() {
        assert!(!Attribute::Noncached.lets_guest_choose());
        assert!(!Attribute::Device.lets_guest_choose());
        assert!(Attribute::WriteCombining.lets_guest_choose());
        assert!(Attribute::GuestAny.lets_guest_choose());
    }
}
