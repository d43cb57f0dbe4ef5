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
    vfio::pci::Io,
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
    // Only a thread that holds the io lock for writing shares or destroys subregions, so `place`
    // stays valid while this thread holds it.
    let found = {
        let table = device.memory_shared();
        let id = device.data().id(&table, request.index);
        id.and_then(|id| {
            let place = table.find(id)?;
            let rest = RestType::of(table.attribute(place.bar()));
            Some((place, RestType::of(place.attribute()) != rest))
        })
    };
    let (place, changes_type) = found.ok_or(Failure::NoSubregion)?;
    if place.shares().is_some() && device.memory_exclusive().unshare(place.id()) {
        return Ok(());
    }
    let bar = parent(device, place.bar())?;
    segments::end_strays(device, &mut io, bar);
    // Only ioeventfds of the BAR make it necessary to look for the range before the removal.
    if changes_type && io.has_ioeventfd(bar, 0..bar.size()) {
        let region = device.memory_shared().region_at(place);
        expect_no_ioeventfd(&io, bar, region.ok_or(Failure::NoSubregion)?.span())?;
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
