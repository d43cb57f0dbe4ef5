// SPDX-License-Identifier: GPL-2.0-only

//! The device structure of vfio-pci-core.

use crate::{
    bindings,
    vfio::Transfer, //
};
use kernel::{
    bindings::{
        pci_dev,
        rw_semaphore, //
    },
    device,
    pci,
    prelude::*,
    str::CStr,
    types::Opaque, //
};

/// The features of vfio-pci-core that are switched off for a device.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Mask INTx at the interrupt controller, never in the device.
    pub(crate) nointxmask: bool,
    /// Leave the device in full power while no program uses it.
    pub(crate) disable_idle_d3: bool,
    /// Provide no region for the legacy ranges of a VGA device.
    pub(crate) disable_vga: bool,
}

impl Settings {
    /// Applies these settings to a device.
    ///
    /// # Safety
    ///
    /// `core` must be valid, and `vfio_pci_core_init_dev()` must not have been called on it.
    pub(super) unsafe fn apply(self, core: *mut bindings::vfio_pci_core_device) {
        // SAFETY: `core` is valid and not initialised yet, as the caller guarantees, so no other
        // thread uses it.
        unsafe { bindings::vfio_rs_set_nointxmask(core, self.nointxmask) };
        // SAFETY: As above.
        unsafe { bindings::vfio_rs_set_disable_idle_d3(core, self.disable_idle_d3) };
        // SAFETY: As above.
        unsafe { bindings::vfio_rs_set_disable_vga(core, self.disable_vga) };
    }
}

/// A `struct vfio_pci_core_device`.
///
/// # Invariants
///
/// - `vfio_pci_core_init_dev()` has been called on the structure, and its PCI device is set.
/// - The structure lives as long as any reference to it, and holds a reference to the PCI device.
///   VFIO's own reference ends when the device is unbound.
#[repr(transparent)]
pub(crate) struct CoreDevice(Opaque<bindings::vfio_pci_core_device>);

// SAFETY: vfio-pci-core allows concurrent calls of the functions that a shared reference gives
// access to. The fields that they read either do not change while the device is open or are single
// words.
unsafe impl Sync for CoreDevice {}

impl CoreDevice {
    /// Returns the C structure.
    pub(super) fn as_ptr(&self) -> *mut bindings::vfio_pci_core_device {
        self.0.get()
    }

    /// Returns the embedded `struct vfio_device`.
    pub(super) fn as_vdev(&self) -> *mut bindings::vfio_device {
        // `vdev` is the first field; helpers.c asserts this.
        self.as_ptr().cast()
    }

    /// Returns the core's memory lock, which is initialised.
    pub(super) fn memory_lock(&self) -> *mut rw_semaphore {
        // SAFETY: The structure is valid by the type's invariant. The function computes the address
        // of a field.
        unsafe { bindings::vfio_rs_memory_lock(self.as_ptr()) }
    }

    /// Returns the PCI device. It exists as long as `self`.
    pub(super) fn pdev(&self) -> *mut pci_dev {
        // SAFETY: `vfio_pci_core_init_dev()` has set the field, by the type's invariant.
        unsafe { bindings::vfio_rs_pdev(self.as_ptr()) }
    }

    /// Returns the PCI device.
    pub(super) fn pci(&self) -> &pci::Device {
        // SAFETY: The pointer is valid as long as `self`, by the type's invariant. `pci::Device` is
        // a transparent wrapper of `struct pci_dev`.
        unsafe { &*self.pdev().cast() }
    }

    /// Returns the name of the PCI device, which is its address.
    pub(crate) fn name(&self) -> &CStr {
        let device: &device::Device = self.pci().as_ref();
        device.name()
    }

    /// Returns the number of region indices that the core uses. It does not change while the device
    /// is open.
    pub(crate) fn num_regions(&self) -> u32 {
        // SAFETY: The structure is valid by the type's invariant. Only `vfio_pci_core_disable()`
        // changes the field, and `vfio_pci_core_register_dev_region()`, which this driver never
        // calls.
        let own = unsafe { bindings::vfio_rs_num_regions(self.as_ptr()) };
        bindings::VFIO_PCI_NUM_REGIONS.saturating_add(u32::try_from(own).unwrap_or(0))
    }

    /// Lets the core transfer at most `limit` bytes at the file offset of `transfer`, which is not
    /// in a BAR, and returns the number of bytes.
    ///
    /// Fails with [`EINVAL`] if the offset is in no region or beyond its end. Fails with [`EIO`] if
    /// the device does not resume. Fails with [`EFAULT`] if the user buffer is invalid. Fails with
    /// [`ENOMEM`] if the core cannot map the region.
    ///
    /// # Safety
    ///
    /// The device must be open, and the offset must not be in a BAR, because the core uses its
    /// mapping of a BAR without a lock.
    pub(super) unsafe fn transfer(
        &self,
        transfer: &mut Transfer<'_>,
        limit: usize,
    ) -> Result<usize> {
        let vdev = self.as_vdev();
        let buffer = transfer.buffer();
        let count = transfer.remaining().min(limit);
        let mut offset = i64::try_from(transfer.file_offset()?)?;
        let done = if transfer.is_write() {
            // SAFETY: The caller guarantees the conditions of this function, which are those of the
            // C function. That function accesses the buffer as user memory.
            unsafe { bindings::vfio_pci_core_write(vdev, buffer, count, &raw mut offset) }
        } else {
            // SAFETY: As above.
            unsafe { bindings::vfio_pci_core_read(vdev, buffer, count, &raw mut offset) }
        };
        transfer.advance(done)
    }
}
