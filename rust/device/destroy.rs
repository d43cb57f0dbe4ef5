// SPDX-License-Identifier: GPL-2.0-only

//! Destruction of subregions.

use super::{
    expect_no_ioeventfd,
    parent,
    OpenDevice, //
};
use crate::{
    segments::{
        self,
        Change,
        RestType, //
    },
    trace,
    wire::{
        self,
        Arg,
        Failure, //
    }, //
};

/// Handles `VFIO_SUBREGION_DESTROY`.
#[inline(never)]
pub(super) fn destroy(device: &OpenDevice, arg: Arg) -> Result<(), Failure> {
    let request = wire::Destroy::read(arg)?;
    let mut io = device.io_exclusive()?;
    // Only a thread that holds the io lock for writing shares or destroys subregions, so `found`
    // stays valid while this thread holds it.
    let found = {
        let table = device.memory_shared();
        let id = device.data().id(&table, request.index);
        id.and_then(|id| {
            let place = table.find(id)?;
            let region = table.region_at(place)?;
            let rest = RestType::of(table.attribute(region.bar()));
            let changes_type = RestType::of(region.attribute()) != rest;
            Some((place, region, changes_type))
        })
    };
    let (place, region, changes_type) = found.ok_or(Failure::NoSubregion)?;
    if place.shares().is_some() && device.memory_exclusive().unshare(region.id()) {
        return Ok(());
    }
    let bar = parent(device, region.bar())?;
    segments::end_strays(device, &mut io, bar);
    if changes_type {
        expect_no_ioeventfd(&io, bar, region.span())?;
    }
    let mut change = Change::begin(&mut io, bar);
    let mut table = device.memory_exclusive();
    let removed = table.remove_at(place).ok_or(Failure::NoSubregion)?;
    let region = removed.region;
    table.zap(region.file_offset(), region.span().len());
    trace::destroy(device.core().name(), request.index, &region);
    if !changes_type {
        // Free the memory after releasing the lock.
        drop(table);
        return Ok(());
    }
    if let (Some(segments), Some(memory)) = (change.segments(), removed.claim) {
        segments.end_segment(bar, &mut table, region.span(), memory);
    }
    drop(table);
    drop(removed.slot);
    Ok(())
}
