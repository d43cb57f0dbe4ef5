// SPDX-License-Identifier: GPL-2.0

//! Bounds that speculation keeps to. Upstream home: rust/kernel/nospec.rs.
//!
//! C header: [`include/linux/nospec.h`](srctree/include/linux/nospec.h)

/// Clamps `index`, which was found to be less than `size`, so that a CPU that speculates past that
/// check uses 0 instead.
pub(crate) fn index_nospec(index: u32, size: u32) -> u32 {
    // SAFETY: Computes a value.
    unsafe { crate::bindings::vfio_rs_index_nospec(index, size) }
}
