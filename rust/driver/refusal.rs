// SPDX-License-Identifier: GPL-2.0

//! Devices that the driver refuses, however it is asked to take them.

use crate::params;
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

/// What vfio-pci refuses because of errata by which an untrusted user can do harm: Intel's QAT, DSA
/// and IAX of some generations. Its list is `vfio_pci_dev_in_denylist()`.
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

/// Where in its configuration space an Intel graphics device has the address of its OpRegion.
const OPREGION: usize = 0xfc;

/// The base class of display devices.
const DISPLAY: u32 = bindings::PCI_BASE_CLASS_DISPLAY;

/// Returns whether the device of Intel's with this id has errata.
fn is_denied(device: u16) -> bool {
    DENYLIST.contains(&u32::from(device))
}

/// Returns whether vfio-pci would give the device more regions than this driver can: those of Intel
/// graphics, which `vfio_pci_igd_init()` makes where there is an OpRegion, and which no module
/// outside of the kernel's tree can call.
fn has_igd_regions(pdev: &pci::Device<Core<'_>>) -> bool {
    cfg!(CONFIG_VFIO_PCI_IGD)
        && pdev.vendor_id() == Vendor::INTEL
        && pdev.pci_class().as_raw() >> 16 == DISPLAY
        && !matches!(pdev.config_space().read32(OPREGION), 0 | u32::MAX)
}

/// Says no to the devices above, and says why in the log.
pub(super) fn check(pdev: &pci::Device<Core<'_>>) -> Result {
    if has_igd_regions(pdev) {
        dev_err!(
            pdev,
            "refused: this driver cannot give the regions of Intel graphics; use the kernel's own vfio-pci\n"
        );
        return Err(EOPNOTSUPP);
    }
    if pdev.vendor_id() != Vendor::INTEL || !is_denied(pdev.device_id()) {
        return Ok(());
    }
    if params::disable_denylist() {
        dev_warn!(
            pdev,
            "taken despite its errata, because of disable_denylist\n"
        );
        return Ok(());
    }
    dev_warn!(
        pdev,
        "refused because of its errata; see the parameter disable_denylist\n"
    );
    Err(EINVAL)
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(subregion_refusal)]
mod tests {
    use super::*;

    #[test]
    fn a_device_with_errata_is_denied() {
        assert!(is_denied(0x0b25));
        assert!(is_denied(0x37c8));
    }

    #[test]
    fn an_ordinary_device_is_not_denied() {
        assert!(!is_denied(0x10c9));
        assert!(!is_denied(0));
    }
}
