// SPDX-License-Identifier: GPL-2.0-only

//! Bindings that bindgen generates from the C headers for which the kernel crate has none.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    reason = "generated code"
)]

use kernel::{
    ffi,
    transmute::{
        AsBytes,
        FromBytes, //
    }, //
};
use pin_init::MaybeZeroable;

include!(env!("SUBREGION_BINDINGS"));

// SAFETY: All fields are integers, for which every bit pattern is valid.
unsafe impl FromBytes for vfio_subregion_create {}

// SAFETY: All fields are integers, for which every bit pattern is valid.
unsafe impl FromBytes for vfio_subregion_destroy {}

// SAFETY: All fields are integers, for which every bit pattern is valid.
unsafe impl FromBytes for vfio_subregion_query {}

// SAFETY: All fields are integers, for which every bit pattern is valid.
unsafe impl FromBytes for vfio_region_set_attr {}

// SAFETY: All fields are integers, for which every bit pattern is valid.
unsafe impl FromBytes for vfio_subregion_export {}

// SAFETY: All fields are integers, and the structure has no padding.
unsafe impl AsBytes for vfio_region_info_cap_subregion {}
