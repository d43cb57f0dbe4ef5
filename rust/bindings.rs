// SPDX-License-Identifier: GPL-2.0

//! What bindgen made of the C headers that the kernel crate has no bindings for.

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

// SAFETY: The structure is made of integers, for which any bits are a value.
unsafe impl FromBytes for vfio_subregion_create {}

// SAFETY: The structure is made of integers, for which any bits are a value.
unsafe impl FromBytes for vfio_subregion_destroy {}

// SAFETY: The structure is made of integers, for which any bits are a value.
unsafe impl FromBytes for vfio_subregion_query {}

// SAFETY: The structure is made of integers, for which any bits are a value.
unsafe impl FromBytes for vfio_region_set_attr {}

// SAFETY: The structure is made of integers, without padding.
unsafe impl AsBytes for vfio_region_info_cap_subregion {}
