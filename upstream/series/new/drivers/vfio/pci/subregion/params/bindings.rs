// SPDX-License-Identifier: GPL-2.0-only

//! The functions of params.c.

use kernel::{
    bindings::pci_device_id,
    prelude::*, //
};

extern "C" {
    pub(super) fn subregion_param_ids() -> *const c_char;
    pub(super) fn subregion_param_nointxmask() -> bool;
    pub(super) fn subregion_param_disable_idle_d3() -> bool;
    pub(super) fn subregion_param_disable_vga() -> bool;
    pub(super) fn subregion_param_enable_sriov() -> bool;
    pub(super) fn subregion_param_disable_denylist() -> bool;
    pub(super) fn subregion_id_table() -> *const pci_device_id;
}
