// SPDX-License-Identifier: GPL-2.0-only

//! The tracepoints of trace.c.
//!
//! `device` is the name of the PCI device, and an offset is one in the device file.

use crate::{
    bindings,
    region::{
        Attribute,
        BarIndex,
        Subregion, //
    },
    wire, //
};
use kernel::str::{
    CStr,
    CStrExt, //
};

/// Called when `region`, with the region index `index`, has been created.
pub(crate) fn create(device: &CStr, index: u32, region: &Subregion) {
    let (bar, span) = (number(region.bar()), region.span());
    let attribute = wire::attribute_number(region.attribute());
    let device = device.as_char_ptr();
    // SAFETY: The name is a valid string, which the function copies.
    unsafe {
        bindings::subregion_trace_create(device, index, bar, span.start(), span.len(), attribute)
    };
}

/// Called when `region`, with the region index `index`, has been destroyed.
pub(crate) fn destroy(device: &CStr, index: u32, region: &Subregion) {
    let (bar, span) = (number(region.bar()), region.span());
    let attribute = wire::attribute_number(region.attribute());
    let device = device.as_char_ptr();
    // SAFETY: The name is a valid string, which the function copies.
    unsafe {
        bindings::subregion_trace_destroy(device, index, bar, span.start(), span.len(), attribute)
    };
}

/// Called when `bar` has got another attribute.
pub(crate) fn attribute(device: &CStr, bar: BarIndex, attribute: Attribute) {
    let attribute = wire::attribute_number(attribute);
    // SAFETY: The name is a valid string, which the function copies.
    unsafe { bindings::subregion_trace_attribute(device.as_char_ptr(), number(bar), attribute) };
}

/// Called when the subregion with the region index `index` has been exported.
pub(crate) fn export(device: &CStr, index: u32, flags: u32) {
    // SAFETY: The name is a valid string, which the function copies.
    unsafe { bindings::subregion_trace_export(device.as_char_ptr(), index, flags) };
}

/// Called when an access at `offset` ends in SIGBUS because a subregion claims the page of the BAR,
/// the page is a stray, or the subregion of the mapping no longer exists.
pub(crate) fn fault_refused(device: &CStr, offset: u64) {
    // SAFETY: The name is a valid string, which the function copies.
    unsafe { bindings::subregion_trace_fault_refused(device.as_char_ptr(), offset) };
}

/// Called when an access at `offset` ends in SIGBUS because the memory of the device must not be
/// accessed now.
pub(crate) fn fault_revoked(device: &CStr, offset: u64) {
    // SAFETY: The name is a valid string, which the function copies.
    unsafe { bindings::subregion_trace_fault_revoked(device.as_char_ptr(), offset) };
}

fn number(bar: BarIndex) -> u32 {
    // CAST: A BAR has a number from 0 to 5.
    bar.index() as u32
}
