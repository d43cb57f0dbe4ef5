// SPDX-License-Identifier: GPL-2.0-only

//! The devices that the driver refuses.

use crate::{
    compat::eopnotsupp,
    params, //
};
use kernel::{
    bindings,
    device::Core,
    io::Io,
    pci::{
        self,
        Vendor, //
    },
    prelude::*, //
};

/// Intel devices (QAT, DSA and IAX of some generations) with errata through which an untrusted user
/// can cause harm. vfio-pci refuses the same ones (`vfio_pci_dev_in_denylist()`).
const DENYLIST: [u32; 8] = [
    bindings::PCI_DEVICE_ID_INTEL_QAT_C3XXX,
    bindings::PCI_DEVICE_ID_INTEL_QAT_C3XXX_VF,
    bindings::PCI_DEVICE_ID_INTEL_QAT_C62X,
    bindings::PCI_DEVICE_ID_INTEL_QAT_C62X_VF,
    bindings::PCI_DEVICE_ID_INTEL_QAT_DH895XCC,
    bindings::PCI_DEVICE_ID_INTEL_QAT_DH895XCC_VF,
    bindings::PCI_DEVICE_ID_INTEL_DSA_SPR0,
    bindings::PCI_DEVICE_ID_INTEL_IAX_SPR0,
];

/// The offset in configuration space at which an Intel graphics device has the address of its
/// OpRegion.
const OPREGION: usize = 0xfc;

/// The base class of display devices.
const DISPLAY: u32 = bindings::PCI_BASE_CLASS_DISPLAY;

/// Returns whether the Intel device with this id has such errata.
fn is_denied(device: u16) -> bool {
    DENYLIST.contains(&u32::from(device))
}

/// Returns whether vfio-pci would provide regions for the device that this driver cannot provide.
/// Intel graphics devices with an OpRegion have such regions. `vfio_pci_igd_init()` makes them, and
/// no module but vfio-pci can call it.
fn has_igd_regions(pdev: &pci::Device<Core<'_>>) -> bool {
    cfg!(CONFIG_VFIO_PCI_IGD)
        && pdev.vendor_id() == Vendor::INTEL
        && pdev.pci_class().as_raw() >> 16 == DISPLAY
        && !matches!(pdev.config_space().read32(OPREGION), 0 | u32::MAX)
}

/// Refuses the devices above and logs the reason.
///
/// Fails with `EOPNOTSUPP` for Intel graphics with an OpRegion. Fails with [`EINVAL`] for a
/// device with errata.
pub(super) fn check(pdev: &pci::Device<Core<'_>>) -> Result {
    // TODO(igd): Provide these regions.
    if has_igd_regions(pdev) {
        dev_err!(
            pdev,
            "not bound: no support for Intel graphics; use the kernel's own vfio-pci\n"
        );
        return Err(eopnotsupp());
    }
    if pdev.vendor_id() != Vendor::INTEL || !is_denied(pdev.device_id()) {
        return Ok(());
    }
    if params::disable_denylist() {
        dev_warn!(
            pdev,
            "bound in spite of its known errata, because disable_denylist is set\n"
        );
        return Ok(());
    }
    dev_warn!(
        pdev,
        "not bound: untrusted users can exploit its errata; set disable_denylist to bind it\n"
    );
    Err(EINVAL)
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(subregion_refusal)]
mod tests {
    use super::*;

    // contract: vfio.denylist
    #[test]
    fn a_device_with_errata_is_denied() {
        assert!(is_denied(0x0b25));
        assert!(is_denied(0x37c8));
    }

    // contract: vfio.denylist
    #[test]
    fn an_ordinary_device_is_not_denied() {
        assert!(!is_denied(0x10c9));
        assert!(!is_denied(0));
    }
}
