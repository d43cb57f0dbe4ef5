// SPDX-License-Identifier: GPL-2.0-only

//! Ids of the PCI devices that a driver may bind.

use kernel::bindings::pci_device_id;

/// A table of ids, or no table.
///
/// # Invariants
///
/// The pointer is null, or points to a static table that ends with an entry of zeroes.
#[derive(Clone, Copy)]
pub(crate) struct IdTable(*const pci_device_id);

impl IdTable {
    /// Wraps a table of C.
    ///
    /// # Safety
    ///
    /// The type's invariant must hold for `table`.
    pub(crate) unsafe fn from_raw(table: *const pci_device_id) -> Self {
        // INVARIANT: The caller guarantees it.
        Self(table)
    }

    /// Returns the pointer for C.
    pub(super) fn as_ptr(self) -> *const pci_device_id {
        self.0
    }
}

/// An id that is added to a registered driver; see `struct pci_device_id`. The kernel crate's
/// `DeviceId` is for static tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DynamicId {
    /// The vendor of the device, or [`Self::ANY`].
    pub(crate) vendor: u32,
    /// The number of the device, or [`Self::ANY`].
    pub(crate) device: u32,
    /// The vendor of the subsystem, or [`Self::ANY`].
    pub(crate) subvendor: u32,
    /// The number of the subsystem, or [`Self::ANY`].
    pub(crate) subdevice: u32,
    /// The class of the device, of which the bits of `class_mask` count.
    pub(crate) class: u32,
    /// The bits of the class that a device must share.
    pub(crate) class_mask: u32,
}

impl DynamicId {
    /// The value that matches any vendor or device.
    pub(crate) const ANY: u32 = u32::MAX;
}
