// SPDX-License-Identifier: GPL-2.0-only

//! The query for the available attributes of a region.

use super::{
    io_after_ending_strays,
    mem_type,
    parent,
    OpenDevice,
    State, //
};
use crate::{
    compat::MemType,
    region::{
        Attribute,
        Busy, //
    },
    segments::Segments,
    vfio::pci::{
        Bar,
        Io, //
    },
    wire::{
        self,
        Arg,
        Failure, //
    }, //
};
use kernel::prelude::*;

/// Handles `VFIO_SUBREGION_QUERY`.
#[inline(never)]
pub(super) fn query(device: &OpenDevice, arg: Arg) -> Result<(), Failure> {
    let (request, reply) = wire::Query::read(arg)?;
    let mut attributes = wire::Attributes::none();
    let mut reasons = wire::Reasons::none();
    match request.bar() {
        Some(index) => {
            if let Ok(bar) = parent(device, index) {
                let io = io_after_ending_strays(device, bar)?;
                for attribute in Attribute::ALL {
                    if can_have(&io, bar, attribute) {
                        attributes.add(attribute);
                    }
                }
                let subregions = device.memory_shared().count(index);
                let mapped = device.data().is_mapped(index);
                let stray = io.driver_maps(bar).is_some_and(Segments::has_strays);
                let ioeventfd = io.has_ioeventfd(bar, 0..bar.size());
                reasons.add_if(subregions != 0, Busy::Subregion);
                reasons.add_if(mapped, Busy::Mapped);
                reasons.add_if(stray, Busy::Stray);
                reasons.add_if(ioeventfd, Busy::Ioeventfd);
                reasons.add_if(!io.can_give_to_driver(bar), Busy::Bar);
            }
        }
        None => {
            let table = device.memory_shared();
            let id = device
                .data()
                .id(&table, request.index)
                .ok_or(Failure::Malformed)?;
            let region = table.get(id).ok_or(Failure::Malformed)?;
            attributes.add(region.attribute());
        }
    }
    let count = device.memory_shared().len();
    Ok(reply.write(attributes, count, reasons)?)
}

/// Returns whether a part of `bar` can have `attribute`, as far as the driver can tell without an
/// attempt.
fn can_have(io: &impl Io<State>, bar: Bar<'_>, attribute: Attribute) -> bool {
    if io.driver_maps(bar).is_some_and(Segments::is_all_stray) {
        return false;
    }
    if attribute.is_write_combining() {
        let pages = bar.msix_table().pages();
        return mem_type(attribute).is_available()
            && io.can_give_to_driver(bar)
            && !pages.includes(&(0..bar.size()));
    }
    // A part of a BAR in segments can have either type.
    io.driver_maps(bar).is_some() || io.core_maps_as(bar, MemType::Noncached)
}
