// SPDX-License-Identifier: GPL-2.0

//! Runtime power management. Upstream home: rust/kernel/pm.rs.
//!
//! C header: [`include/linux/pm_runtime.h`](srctree/include/linux/pm_runtime.h)

use crate::bindings;
use kernel::{
    error::to_result,
    pci,
    prelude::*, //
};

/// Keeps a PCI device awake.
#[must_use = "the device may sleep once the guard is gone"]
pub(crate) struct PowerGuard<'a>(&'a pci::Device);

impl<'a> PowerGuard<'a> {
    /// Wakes `pdev` up and keeps it awake until the guard is dropped.
    ///
    /// Fails with the errno of the device's resume.
    pub(crate) fn new(pdev: &'a pci::Device) -> Result<Self> {
        // SAFETY: A reference to a PCI device points to a valid one.
        to_result(unsafe { bindings::vfio_rs_pm_get(as_raw(pdev)) })?;
        Ok(Self(pdev))
    }
}

impl Drop for PowerGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: The device is valid, and `new` took the reference that this releases.
        unsafe { bindings::vfio_rs_pm_put(as_raw(self.0)) };
    }
}

/// Returns the C structure, which `pci::Device` wraps transparently.
fn as_raw(pdev: &pci::Device) -> *mut kernel::bindings::pci_dev {
    core::ptr::from_ref(pdev).cast_mut().cast()
}
