// SPDX-License-Identifier: GPL-2.0-only

//! The module, for tables of operations. Upstream home: the macro `module!`.

use kernel::prelude::*;

#[cfg(MODULE)]
extern "C" {
    /// The `struct module` of this module, of which only the address is used.
    static __this_module: u8;
}

/// This module, or null if it is built into the kernel.
#[cfg(MODULE)]
pub(crate) const THIS_MODULE: ThisModule = {
    let module = &raw const __this_module;
    // SAFETY: The kernel's build defines the symbol in the module that this code is linked into.
    unsafe { ThisModule::from_ptr(module.cast_mut().cast()) }
};

/// As above.
#[cfg(not(MODULE))]
pub(crate) const THIS_MODULE: ThisModule = {
    // SAFETY: Null stands for the kernel, which is never unloaded.
    unsafe { ThisModule::from_ptr(core::ptr::null_mut()) }
};
