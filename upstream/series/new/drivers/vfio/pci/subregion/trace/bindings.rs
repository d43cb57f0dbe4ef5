// SPDX-License-Identifier: GPL-2.0-only

//! The functions of trace.c.

use kernel::prelude::*;

extern "C" {
    pub(super) fn subregion_trace_create(
        device: *const c_char,
        index: u32,
        bar: u32,
        offset: u64,
        size: u64,
        attribute: u32,
    );
    pub(super) fn subregion_trace_destroy(
        device: *const c_char,
        index: u32,
        bar: u32,
        offset: u64,
        size: u64,
        attribute: u32,
    );
    pub(super) fn subregion_trace_attribute(device: *const c_char, bar: u32, attribute: u32);
    pub(super) fn subregion_trace_export(device: *const c_char, index: u32, flags: u32);
    pub(super) fn subregion_trace_fault_refused(device: *const c_char, offset: u64);
    pub(super) fn subregion_trace_fault_revoked(device: *const c_char, offset: u64);
}
