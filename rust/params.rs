// SPDX-License-Identifier: GPL-2.0

//! The module's parameters and its id table, which params.c declares.

use crate::{
    bindings,
    vfio::pci::IdTable, //
};
use kernel::str::CStr;

/// Returns which devices were asked for by `ids=`.
pub(crate) fn ids() -> &'static CStr {
    // SAFETY: Returns the address of a static.
    let ids = unsafe { bindings::subregion_param_ids() };
    // SAFETY: The static ends with a NUL, and changes no more once the module is loaded, since the
    // parameter is not in sysfs.
    unsafe { CStr::from_ptr(ids.cast()) }
}

/// Returns whether INTx is never to be masked in the device.
pub(crate) fn nointxmask() -> bool {
    // SAFETY: Reads a word.
    unsafe { bindings::subregion_param_nointxmask() }
}

/// Returns whether unused devices are to stay in full power.
pub(crate) fn disable_idle_d3() -> bool {
    // SAFETY: Reads a word.
    unsafe { bindings::subregion_param_disable_idle_d3() }
}

/// Returns whether the legacy ranges of VGA devices are out of reach.
pub(crate) fn disable_vga() -> bool {
    // SAFETY: Reads a word.
    unsafe { bindings::subregion_param_disable_vga() }
}

/// Returns whether virtual functions may be enabled.
pub(crate) fn enable_sriov() -> bool {
    // SAFETY: Reads a word.
    unsafe { bindings::subregion_param_enable_sriov() }
}

/// Returns whether devices with known errata are to be taken too.
pub(crate) fn disable_denylist() -> bool {
    // SAFETY: Reads a word.
    unsafe { bindings::subregion_param_disable_denylist() }
}

/// Returns the table of the devices that the driver may have: any, by `driver_override`, for the
/// drop-in; and none otherwise.
pub(crate) fn id_table() -> IdTable {
    // SAFETY: Returns the address of a static, or null.
    let table = unsafe { bindings::subregion_id_table() };
    // SAFETY: That static ends with an entry of zeroes.
    unsafe { IdTable::from_raw(table) }
}
