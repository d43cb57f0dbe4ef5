// SPDX-License-Identifier: GPL-2.0-only

//! Parts that Linux 7.3 has and 7.2 lacks, by means that both have. When the driver no longer
//! supports 7.2, this file goes, and its users take the items of the kernel that it names.

use core::{
    convert::Infallible,
    mem::MaybeUninit, //
};
use kernel::{
    bindings,
    mm::virt::vm_flags_t,
    prelude::*, //
};

/// The flag of a VMA that may be shared: `kernel::mm::virt::flags::MAYSHARE`, which in Linux 7.2 is
/// the bit of `VM_MAYEXEC`.
pub(crate) const MAYSHARE: vm_flags_t = 1 << bindings::VMA_MAYSHARE_BIT;

/// Returns `kernel::error::code::EOPNOTSUPP`.
pub(crate) fn eopnotsupp() -> Error {
    // CAST: The number of an errno is less than 4096.
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// Initialises `slot` in place, as `pin_init::raw_init()` does.
///
/// # Safety
///
/// - `slot` must be valid for writes of a `T`, and nothing else may access it during the call.
/// - The value must not move before it is dropped.
pub(crate) unsafe fn raw_init<T: 'static>(slot: *mut T, init: impl PinInit<T, Infallible>) {
    let slot: *mut MaybeUninit<T> = slot.cast();
    // SAFETY: The caller guarantees that the memory is valid and not shared. Its contents do not
    // matter for `MaybeUninit`. The reference and the one made from it end with this function,
    // although the trait below asks for the lifetime `'static`.
    let slot: &'static mut MaybeUninit<T> = unsafe { &mut *slot };
    match slot.write_pin_init(init) {
        Ok(_) => (),
        Err(never) => match never {},
    }
}
