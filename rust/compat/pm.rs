// SPDX-License-Identifier: GPL-2.0-only

//! Runtime power management. Upstream home: rust/kernel/pm.rs.
//!
//! C header: [`include/linux/pm_runtime.h`](srctree/include/linux/pm_runtime.h)

use crate::bindings;
use kernel::{
    error::to_result,
    pci,
    prelude::*, //
};

/// Keeps a PCI device in full power.
#[must_use = "the device can suspend after the guard is dropped"]
pub(crate) struct PowerGuard<'a>(&'a pci::Device);

impl<'a> PowerGuard<'a> {
    /// Resumes `pdev` and keeps it in full power until the guard is dropped.
    ///
    /// Fails with the errno of the device's resume callback.
    #[inline]
    pub(crate) fn new(pdev: &'a pci::Device) -> Result<Self> {
        // Almost every device is active, and this takes half the time of `vfio_rs_pm_get()` then.
        // Without CONFIG_PM, the function is inline and has no binding.
        #[cfg(CONFIG_PM)]
        {
            let dev: &kernel::device::Device = pdev.as_ref();
            let dev = core::ptr::from_ref(dev).cast_mut().cast();
            // SAFETY: `dev` comes from a reference, so it points to a valid device.
            if unsafe { bindings::pm_runtime_get_if_active(dev) } > 0 {
                return Ok(Self(pdev));
            }
        }
        // SAFETY: `pdev` is a reference, so it points to a valid PCI device.
        to_result(unsafe { bindings::vfio_rs_pm_get(as_raw(pdev)) })?;
        Ok(Self(pdev))
    }
}

impl Drop for PowerGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: The device is valid, since the guard borrows it. `new` took the usage count that
        // this call releases.
        unsafe { bindings::vfio_rs_pm_put(as_raw(self.0)) };
    }
}

/// Returns the C structure of `pdev`, as the kernel crate's `as_raw()`, which is private, does.
/// `pci::Device` is a transparent wrapper of it.
fn as_raw(pdev: &pci::Device) -> *mut kernel::bindings::pci_dev {
    core::ptr::from_ref(pdev).cast_mut().cast()
}
