// SPDX-License-Identifier: GPL-2.0-only

//! read() and write().

use super::{
    mapped_bytes,
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
    let (parent, at, mut transfer) = match target(device, transfer.file_offset()?) {
        Target::Other => return device.core_transfer(transfer),
        Target::Bar(parent, at) => (parent, at, transfer),
        Target::Slot(parent, slot) => {
            let span = rest_of_slot(device, parent, slot).ok_or(EINVAL)?;
            (parent, span.start(), transfer.limited(span.len()))
        }
    };
    let bar = device.bar(parent.index()).ok_or(EINVAL)?;
    let io = device.io_shared()?;
    let _power = device.power_on()?;
    match mapped_bytes(&io, bar, at) {
        Some(bytes) if bytes.one_step_suffices(at, &transfer) => {
            bytes.transfer_step(device, bar, at, &mut transfer)
        }
        _ => transfer_in_steps(device, io, bar, at, transfer),
    }
}

/// Returns the bytes of the BAR `parent` to which the rest of the slot from byte `slot` on leads,
/// or `None` if no subregion has this byte.
///
/// The subregion may be destroyed when the function returns. A transfer goes on, because read() and
/// write() may access all bytes of the BAR.
#[inline(never)]
fn rest_of_slot(device: &OpenDevice, parent: BarIndex, slot: u64) -> Option<Span> {
    let byte = Span::new(slot, 1).ok()?;
    let (byte, region) = device.memory_shared().resolve(parent, byte)?;
    Span::between(byte.start(), region.span().end())
}

/// Transfers from byte `at` of `bar` to the end of the transfer or of the BAR, and returns the
/// number of bytes.
///
/// Fails with [`EINVAL`] if `at` is beyond the end. Fails with [`EBUSY`], [`ENOMEM`] or [`ENODEV`]
/// if the kernel has no mapping of the BAR.
#[inline(never)]
fn transfer_in_steps<'a>(
    device: &'a OpenDevice,
    mut io: IoShared<'a, State>,
    bar: Bar<'_>,
    at: u64,
    transfer: Transfer<'_>,
) -> Result<usize> {
    let rest = bar.size().checked_sub(at).filter(|rest| *rest != 0);
    let mut transfer = transfer.limited(rest.ok_or(EINVAL)?);
    let mut done: usize = 0;
    while transfer.remaining() != 0 {
        // CAST: `usize` has at most 64 bits.
        let at = at.saturating_add(done as u64);
        if let Some(bytes) = mapped_bytes(&io, bar, at) {
            let step = bytes.transfer_step(device, bar, at, &mut transfer)?;
            done = done.saturating_add(step);
            continue;
        }
        if io.driver_maps(bar).is_none() {
            bar.expect_usable()?;
            return Err(EBUSY);
        }
        drop(io);
        let mut exclusive = device.io_exclusive()?;
        if let Some(segments) = exclusive.driver_maps_mut(bar) {
            segments.map_at(bar, at)?;
        }
        // The lock is not released in between, so the mapping still exists.
        io = exclusive.downgrade();
    }
    Ok(done)
}
