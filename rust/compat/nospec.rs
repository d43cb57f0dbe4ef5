// SPDX-License-Identifier: GPL-2.0-only

//! Bounds that also hold under speculation. Upstream home: rust/kernel/nospec.rs.
//!
//! C header: [`include/linux/nospec.h`](srctree/include/linux/nospec.h)

/// Returns `index`, which the caller has found to be less than `size`. A CPU that speculates past
/// that check gets 0.
pub(crate) fn index_nospec(index: u32, size: u32) -> u32 {
    // SAFETY: The function only computes a value.
    unsafe { crate::bindings::vfio_rs_index_nospec(index, size) }
}
