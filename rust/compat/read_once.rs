// SPDX-License-Identifier: GPL-2.0-only

//! Loads of atomic variables without a call. Upstream home: rust/kernel/sync/read_once.rs.

use kernel::sync::atomic::Atomic;

/// Loads `variable` like `READ_ONCE()`.
///
/// `Atomic::load()` with `Relaxed` does the same, but calls a C function for one instruction. In a
/// function that otherwise only jumps to another one, the call costs more than all the rest.
pub(crate) fn read_once(variable: &Atomic<u32>) -> u32 {
    // SAFETY: The pointer is valid and aligned. A volatile load of a word is `READ_ONCE()`, which
    // the kernel's memory model permits at the same time as atomic stores.
    unsafe { variable.as_ptr().read_volatile() }
}
