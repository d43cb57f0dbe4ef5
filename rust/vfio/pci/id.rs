// SPDX-License-Identifier: GPL-2.0

//! Which PCI devices a driver is for.

use kernel::bindings::pci_device_id;

/// A table of ids, or none.
///
/// # Invariants
///
/// The pointer is null, or to a static table that ends with an entry of zeroes.
#[derive(Clone, Copy)]
pub(crate) struct IdTable(*const pci_device_id);

impl IdTable {
    /// Makes one of a table in C.
    ///
    /// # Safety
    ///
    /// See the type's invariant.
    pub(crate) unsafe fn from_raw(table: *const pci_device_id) -> Self {
        // INVARIANT: The caller's obligation.
        Self(table)
    }

    /// Returns the table in C.
    pub(super) fn as_ptr(self) -> *const pci_device_id {
        self.0
    }
}

/// An id that is added to a driver while it runs; see `struct pci_device_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DynamicId {
    pub(crate) vendor: u32,
    pub(crate) device: u32,
    pub(crate) subvendor: u32,
    pub(crate) subdevice: u32,
    pub(crate) class: u32,
    pub(crate) class_mask: u32,
}

impl DynamicId {
    /// What stands for any vendor or device.
    pub(crate) const ANY: u32 = u32::MAX;
}
