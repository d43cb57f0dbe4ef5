// SPDX-License-Identifier: GPL-2.0-only

//! The attribute of a whole BAR.

use super::{
    divide,
    expect_no_ioeventfd,
    expect_strict_core_map,
    mem_type,
    parent,
    OpenDevice, //
};
use crate::{
    region::{
        Busy,
        Span, //
    },
    segments::{
        self,
        Change,
        RestType, //
    },
    trace,
    vfio::pci::Io,
    wire::{
        self,
        Arg,
        Failure, //
    }, //
};
use kernel::{
    prelude::*,
    rbtree::RBTreeNodeReservation, //
};

/// Handles `VFIO_REGION_SET_ATTR`.
#[inline(never)]
pub(super) fn set_attribute(device: &OpenDevice, arg: Arg) -> Result<(), Failure> {
    let (request, reply) = wire::SetAttr::read(arg)?;
    try_set(device, &request, &reply).map_err(|failure| reply.failed(failure))
}

fn try_set(
    device: &OpenDevice,
    request: &wire::SetAttr,
    reply: &wire::SetAttrReply,
) -> Result<(), Failure> {
    let bar = parent(device, request.bar)?;
    let attribute = request.attribute;
    if attribute.is_write_combining() && !bar.msix_table().is_empty() {
        return Err(Failure::MsixTable);
    }
    let mem = mem_type(attribute);
    if !mem.is_available() {
        return Err(Failure::NoSuchType);
    }
    let whole = Span::new(0, bar.size()).map_err(Failure::Range)?;

    let mut io = device.io_exclusive()?;
    segments::end_strays(device, &mut io, bar);
    let before = device.memory_shared().attribute(request.bar);
    // The gaps of a BAR in segments have a reservation of their type. The type of any other BAR is
    // checked.
    match io.driver_maps(bar) {
        Some(segments) if segments.has_strays() => return Err(Failure::Busy(Busy::Stray)),
        Some(_) => (),
        None => expect_strict_core_map(&io, bar)?,
    }
    if before == attribute {
        return Ok(reply.write(mem)?);
    }
    let rest = RestType::of(attribute);
    // A change between the strict attributes concerns no page of a subregion, and no reservation.
    let changes_type = rest != RestType::of(before);
    if changes_type && device.memory_shared().count(request.bar) != 0 {
        return Err(Failure::Busy(Busy::Subregion));
    }
    if device.data().is_mapped(request.bar) {
        return Err(Failure::Busy(Busy::Mapped));
    }
    if changes_type {
        expect_no_ioeventfd(&io, bar, whole)?;
    }
    let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    // Dropping this restores the previous state unless the attribute is set.
    let mut change = if rest == RestType::WriteCombining {
        divide(&mut io, bar)?
    } else {
        Change::begin(&mut io, bar)
    };
    // As in `create`, the write to userspace comes first because it cannot be undone.
    reply.write(mem)?;
    device.data().record_attribute(request.bar);

    // The type changes under the memory lock, and only if no VMA maps the BAR by then.
    let mut table = device.memory_exclusive();
    if device.data().is_mapped(request.bar) {
        return Err(Failure::Busy(Busy::Mapped));
    }
    let done = match change.segments() {
        Some(segments) if changes_type => segments.set_rest(bar, rest),
        _ => Ok(()),
    };
    if done.is_ok() {
        table.set_attribute(request.bar, attribute);
        trace::attribute(device.core().name(), request.bar, attribute);
    }
    if let Some(segments) = change.segments() {
        segments.record_stray(bar, &mut table, whole, memory);
    }
    done.map_err(Failure::of_type_change)
}
