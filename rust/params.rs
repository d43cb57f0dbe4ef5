// SPDX-License-Identifier: GPL-2.0-only

//! The module parameters and the id table of params.c.

use crate::{
    bindings,
    vfio::pci::IdTable, //
};
use kernel::str::{
    CStr,
    CStrExt, //
};

/// Returns the value of `ids=`.
pub(crate) fn ids() -> &'static CStr {
    // SAFETY: The function returns the address of a static array.
    let ids = unsafe { bindings::subregion_param_ids() };
    // SAFETY: The array ends with a NUL. It does not change after the module has been loaded,
    // because the parameter is not in sysfs.
    unsafe { CStr::from_char_ptr(ids) }
}

/// Returns whether the core must never mask INTx in a device.
pub(crate) fn nointxmask() -> bool {
    // SAFETY: The function reads a single word.
    unsafe { bindings::subregion_param_nointxmask() }
}

/// Returns whether unused devices stay in full power.
pub(crate) fn disable_idle_d3() -> bool {
    // SAFETY: The function reads a single word.
    unsafe { bindings::subregion_param_disable_idle_d3() }
}

/// Returns whether the legacy ranges of VGA devices are inaccessible.
pub(crate) fn disable_vga() -> bool {
    // SAFETY: The function reads a single word.
    unsafe { bindings::subregion_param_disable_vga() }
}

/// Returns whether the administrator may enable virtual functions.
pub(crate) fn enable_sriov() -> bool {
    // SAFETY: The function reads a single word.
    unsafe { bindings::subregion_param_enable_sriov() }
}

/// Returns whether the driver binds devices with known errata.
pub(crate) fn disable_denylist() -> bool {
    // SAFETY: The function reads a single word.
    unsafe { bindings::subregion_param_disable_denylist() }
}

/// Returns the id table of the driver. In the drop-in it matches every device by `driver_override`;
/// otherwise there is no table.
pub(crate) fn id_table() -> IdTable {
    // SAFETY: The function returns null or the address of a static table.
    let table = unsafe { bindings::subregion_id_table() };
    // SAFETY: The table is static and ends with an entry of zeroes, or is null.
    unsafe { IdTable::from_raw(table) }
}
