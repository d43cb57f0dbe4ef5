// SPDX-License-Identifier: GPL-2.0

//! The device of vfio-pci-core.

use crate::{
    bindings,
    compat::PowerGuard,
    vfio::Transfer, //
};
use kernel::{
    bindings::{
        pci_dev,
        rw_semaphore, //
    },
    pci,
    prelude::*,
    types::Opaque, //
};

/// What of vfio-pci-core's doing is switched off for a device.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// INTx is masked at the interrupt controller, never in the device.
    pub(crate) nointxmask: bool,
    /// The device stays in full power while nobody uses it.
    pub(crate) disable_idle_d3: bool,
    /// The legacy ranges of a VGA device are no region.
    pub(crate) disable_vga: bool,
}

impl Settings {
    /// Gives a device these settings.
    ///
    /// # Safety
    ///
    /// `core` is valid, and `vfio_pci_core_init_dev()` has not been called on it.
    pub(super) unsafe fn apply(self, core: *mut bindings::vfio_pci_core_device) {
        // SAFETY: The caller's obligation: nobody else has the device yet.
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
/// `vfio_pci_core_init_dev()` has been called on it, its PCI device included, and it lives as long
/// as any reference to it.
#[repr(transparent)]
pub(crate) struct CoreDevice(Opaque<bindings::vfio_pci_core_device>);

// SAFETY: Whatever a shared reference lets one do is made for concurrent use by vfio-pci-core: the
// fields that are read are either fixed while the device is open or single words.
unsafe impl Sync for CoreDevice {}

impl CoreDevice {
    /// Returns the C structure.
    pub(super) fn as_ptr(&self) -> *mut bindings::vfio_pci_core_device {
        self.0.get()
    }

    /// Returns the embedded `struct vfio_device`.
    pub(super) fn as_vdev(&self) -> *mut bindings::vfio_device {
        // It is the first field, as helpers.c makes sure.
        self.as_ptr().cast()
    }

    /// Returns vfio-pci-core's memory lock, which is initialised.
    pub(super) fn memory_lock(&self) -> *mut rw_semaphore {
        // SAFETY: The type's invariant; this is the address of a field.
        unsafe { bindings::vfio_rs_memory_lock(self.as_ptr()) }
    }

    /// Returns the PCI device, whose memory VFIO's device keeps in being.
    pub(super) fn pdev(&self) -> *mut pci_dev {
        // SAFETY: The type's invariant: the field was set by `vfio_pci_core_init_dev()`.
        unsafe { bindings::vfio_rs_pdev(self.as_ptr()) }
    }

    /// Returns the PCI device.
    pub(super) fn pci(&self) -> &pci::Device {
        // SAFETY: The pointer is valid as long as `self`, and the type wraps `struct pci_dev`
        // transparently.
        unsafe { &*self.pdev().cast() }
    }

    /// Returns how many region indices vfio-pci-core uses; fixed while the device is open.
    pub(crate) fn num_regions(&self) -> u32 {
        // SAFETY: The type's invariant; the field changes in `vfio_pci_core_disable()` only, and in
        // `vfio_pci_core_register_dev_region()`, which nothing here calls.
        let own = unsafe { bindings::vfio_rs_num_regions(self.as_ptr()) };
        bindings::VFIO_PCI_NUM_REGIONS.saturating_add(u32::try_from(own).unwrap_or(0))
    }

    /// Returns whether any ioeventfd exists on the device.
    ///
    /// Good for as long as the caller keeps the ioctl out; see [`super::IoExclusive`].
    pub(super) fn has_ioeventfds(&self) -> bool {
        // SAFETY: The type's invariant; the field is a single word.
        unsafe { bindings::vfio_rs_ioeventfds(self.as_ptr()) != 0 }
    }

    /// Wakes the PCI device up and keeps it awake until the guard is dropped; fails with [`EIO`].
    pub(crate) fn power_on(&self) -> Result<PowerGuard<'_>> {
        PowerGuard::new(self.pci()).map_err(|_| EIO)
    }

    /// Lets the core transfer at most `limit` bytes at `offset` of the device file, and returns how
    /// many were transferred.
    ///
    /// # Safety
    ///
    /// The device is open. If `offset` is in a BAR, the core's mappings of the BARs are kept as they
    /// are.
    pub(super) unsafe fn transfer(
        &self,
        transfer: &mut Transfer<'_>,
        offset: u64,
        limit: usize,
    ) -> Result<usize> {
        let vdev = self.as_vdev();
        let buffer = transfer.buffer();
        let count = limit.min(transfer.remaining());
        let mut offset = i64::try_from(offset)?;
        let done = if transfer.is_write() {
            // SAFETY: The caller's obligations; the function copies from the buffer as user memory.
            unsafe { bindings::vfio_pci_core_write(vdev, buffer, count, &raw mut offset) }
        } else {
            // SAFETY: The caller's obligations; the function copies to the buffer as user memory.
            unsafe { bindings::vfio_pci_core_read(vdev, buffer, count, &raw mut offset) }
        };
        transfer.advance(done)
    }
}
