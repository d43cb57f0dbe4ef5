// SPDX-License-Identifier: GPL-2.0-only

//! The module, for tables of operations. Upstream home: the macro `module!`.

#[cfg(MODULE)]
extern "C" {
    /// The `struct module` of this module, of which only the address is used.
    static __this_module: u8;
}

/// The `struct module` of this module, or null if it is built into the kernel. Tables are
/// constants, and `ThisModule::as_ptr()` is not a constant function.
#[cfg(MODULE)]
pub(crate) const THIS_MODULE: *mut kernel::bindings::module =
    (&raw const __this_module).cast_mut().cast();

/// As above.
#[cfg(not(MODULE))]
pub(crate) const THIS_MODULE: *mut kernel::bindings::module = core::ptr::null_mut();
