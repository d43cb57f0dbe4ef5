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
            Io,
            IoShared, //
        },
        Transfer, //
    }, //
};
use kernel::prelude::*;

/// Handles read() and write().
pub(super) fn transfer(device: &OpenDevice, transfer: &mut Transfer<'_>) -> Result<usize> {
    let offset = transfer.file_offset()?;
    let all = transfer.remaining();
    match target(device, offset) {
        Target::Other => device.core_transfer(transfer),
        Target::Bar(parent, at) => {
            let bar = device.bar(parent.index()).ok_or(EINVAL)?;
            let io = device.io_shared()?;
            if io.driver_maps(bar).is_none() {
                return io.core_transfer(offset, all, transfer);
            }
            transfer_bar(device, io, parent, at, all, transfer)
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
    transfer: &mut Transfer<'_>,
) -> Result<usize> {
    let byte = Span::new(slot, 1).map_err(|_| EINVAL)?;
    // The subregion may be destroyed when the lock is released. The transfer goes on, because
    // read() and write() may access all bytes of the BAR.
    let found = device.memory_shared().resolve(parent, byte);
    let (span, region) = found.ok_or(EINVAL)?;
    let at = span.start();
    let rest = region.span().end().saturating_sub(at);
    let limit = usize::try_from(rest).unwrap_or(usize::MAX);
    let limit = limit.min(transfer.remaining());
    let bar = device.bar(parent.index()).ok_or(EINVAL)?;
    let io = device.io_shared()?;
    if io.driver_maps(bar).is_none() {
        return io.core_transfer(parent.window_start().saturating_add(at), limit, transfer);
    }
    transfer_bar(device, io, parent, at, limit, transfer)
}

/// Transfers at most `limit` bytes from byte `at` of the BAR `parent`, which is in segments, and
/// returns the number of bytes.
#[inline(never)]
fn transfer_bar<'a>(
    device: &'a OpenDevice,
    mut io: IoShared<'a, State>,
    parent: BarIndex,
    at: u64,
    limit: usize,
    transfer: &mut Transfer<'_>,
) -> Result<usize> {
    let bar = device.bar(parent.index()).ok_or(EINVAL)?;
    if at >= bar.len() {
        return Err(EINVAL);
    }
    let _power = device.core().power_on()?;
    let mut at = at;
    let mut left = limit;
    while left != 0 && at < bar.len() {
        let Some(segments) = io.driver_maps(bar) else {
            // The core owns the BAR again, so it can transfer all remaining bytes.
            let offset = parent.window_start().saturating_add(at);
            left = left.saturating_sub(io.core_transfer(offset, left, transfer)?);
            break;
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
        let span = map.span();
        let rest = usize::try_from(span.end().saturating_sub(at)).unwrap_or(usize::MAX);
        let done = pci::transfer_mapped(
            map.io_map(),
            device,
            at.saturating_sub(span.start()),
            left.min(rest),
            bar.msix_table().relative_to(span.start()),
            transfer,
        )?;
        left = left.saturating_sub(done);
        // CAST: `usize` has at most 64 bits.
        at = at.saturating_add(done as u64);
    }
    Ok(limit.saturating_sub(left))
}
