// SPDX-License-Identifier: GPL-2.0-only

//! The module, for tables of operations. Upstream home: rust/kernel/lib.rs.

extern "C" {
    /// The `struct module` of this module, of which only the address is used.
    static __this_module: u8;
}

/// The `struct module` of this module. Tables are constants, and `ThisModule::as_ptr()` is not a
/// constant function.
pub(crate) const THIS_MODULE: *mut kernel::bindings::module =
    (&raw const __this_module).cast_mut().cast();
