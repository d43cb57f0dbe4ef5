// SPDX-License-Identifier: GPL-2.0-only

//! read() and write().

use super::{
    target,
    OpenDevice,
    State, //
};
use crate::{
    region::{
        BarIndex,
        Span,
        Target, //
    },
    vfio::{
        pci::{
            self,
            Bar,
            Io,
            IoShared, //
        },
        Transfer, //
    }, //
};
use kernel::prelude::*;

/// Handles read() and write().
#[inline]
pub(super) fn transfer(device: &OpenDevice, transfer: Transfer<'_>) -> Result<usize> {
    match target(device, transfer.file_offset()?) {
        Target::Other => device.core_transfer(transfer),
        Target::Bar(parent, at) => {
            let bar = device.bar(parent.index()).ok_or(EINVAL)?;
            let io = device.io_shared()?;
            if io.driver_maps(bar).is_some() {
                return transfer_bar(device, io, bar, at, transfer);
            }
            io.core_transfer(bar, at, transfer)
        }
        Target::Slot(parent, slot) => transfer_slot(device, parent, slot, transfer),
    }
}

/// Transfers from byte `slot` of the slots of the BAR `parent`.
#[inline(never)]
fn transfer_slot(
    device: &OpenDevice,
    parent: BarIndex,
    slot: u64,
    transfer: Transfer<'_>,
) -> Result<usize> {
    let byte = Span::new(slot, 1).map_err(|_| EINVAL)?;
    // The subregion may be destroyed when the lock is released. The transfer goes on, because
    // read() and write() may access all bytes of the BAR.
    let found = device.memory_shared().resolve(parent, byte);
    let (span, region) = found.ok_or(EINVAL)?;
    let at = span.start();
    let transfer = transfer.limited(region.span().end().saturating_sub(at));
    let bar = device.bar(parent.index()).ok_or(EINVAL)?;
    let io = device.io_shared()?;
    if io.driver_maps(bar).is_some() {
        return transfer_bar(device, io, bar, at, transfer);
    }
    io.core_transfer(bar, at, transfer)
}

/// Transfers from byte `at` of `bar`, which is in segments, to the end of the transfer or of the
/// BAR, and returns the number of bytes.
#[inline(never)]
fn transfer_bar<'a>(
    device: &'a OpenDevice,
    mut io: IoShared<'a, State>,
    bar: Bar<'_>,
    at: u64,
    transfer: Transfer<'_>,
) -> Result<usize> {
    let rest = bar.len().checked_sub(at).filter(|rest| *rest != 0);
    let mut transfer = transfer.limited(rest.ok_or(EINVAL)?);
    let _power = device.core().power_on()?;
    let mut done: usize = 0;
    while transfer.remaining() != 0 {
        // CAST: `usize` has at most 64 bits.
        let at = at.saturating_add(done as u64);
        let Some(segments) = io.driver_maps(bar) else {
            // The core owns the BAR again, so it can transfer all remaining bytes.
            return Ok(done.saturating_add(io.core_transfer(bar, at, transfer)?));
        };
        let Some(map) = segments.kernel_map_at(at) else {
            drop(io);
            let mut exclusive = device.io_exclusive()?;
            if let Some(segments) = exclusive.driver_maps_mut(bar) {
                segments.map_at(bar, at)?;
            }
            // The lock is not released in between, so the mapping still exists.
            io = exclusive.downgrade();
            continue;
        };
        let start = map.span().start();
        let step = pci::transfer_mapped(
            map.io_map(),
            device,
            bar,
            at.saturating_sub(start),
            bar.msix_table().relative_to(start),
            &mut transfer,
        )?;
        done = done.saturating_add(step);
    }
    Ok(done)
}
