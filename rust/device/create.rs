// SPDX-License-Identifier: GPL-2.0

//! Creating subregions.
//!
//! Everything that can be found out is found out first, then the table gets the memory that it will
//! need, and then the answer is written: userspace memory can fail too. After that only what a change
//! of the pages' type needs, memory or that no other mapping in the kernel disagrees, makes the call
//! fail, and then what was done is undone.

use super::{
    mem_type,
    parent,
    OpenDevice,
    State, //
};
use crate::{
    compat::MemType,
    region::{
        self,
        ClaimMemory,
        Refusal,
        Span, //
    },
    segments::{
        self,
        Change, //
    },
    storage,
    vfio::pci::{
        Bar,
        Io,
        IoExclusive, //
    },
    wire::{
        self,
        Failure, //
    }, //
};
use kernel::{
    prelude::*,
    rbtree::RBTreeNodeReservation, //
};

/// Handles `VFIO_SUBREGION_CREATE`.
#[inline(never)]
pub(super) fn create(device: &OpenDevice, arg: usize) -> Result<(), Failure> {
    let (request, reply) = wire::Create::read(arg)?;
    let bar = parent(device, request.parent)?;
    if request.span.end() > bar.len() {
        return Err(Failure::NoParent);
    }
    let table = bar.msix_table().pages();
    let meets = table.overlaps(request.span.start(), request.span.end());
    if request.attribute.is_write_combining() && meets {
        return Err(Failure::MsixTable);
    }
    let mem = mem_type(request.attribute);

    let mut io = device.io_exclusive()?;
    segments::end_strays(device, &mut io, bar);
    let plan =
        device
            .memory_shared()
            .plan(request.parent, request.span, request.attribute, bar.phys());
    let plan = match plan {
        Ok(plan) => plan,
        Err(refusal) => {
            if let Refusal::Overlap(id) = refusal {
                reply.conflict(device.data().index(id))?;
            }
            return Err(Failure::Refused(refusal));
        }
    };
    if !mem.is_available() {
        return Err(Failure::NoSuchType);
    }
    make_room(device, request.parent)?;
    let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    // On drop it is undone, if nothing comes of it.
    let change = if request.attribute.is_write_combining() {
        Some(Change::divide(&mut io, bar)?)
    } else {
        expect_ordinary(&io, bar, request.span)?;
        None
    };
    // Whatever fails from here on is undone; this comes first because it cannot be.
    reply.created(device.data().index(plan.id()), plan.region(), mem)?;
    device.data().touch(request.parent);
    commit(device, bar, plan, memory, change)
}

/// Makes the table large enough for one more subregion. The io lock is held exclusively, so it
/// stays that.
fn make_room(device: &OpenDevice, parent: region::Bar) -> Result {
    let Some(entries) = device.memory_shared().lacks_room(parent) else {
        return Ok(());
    };
    let entries = KVVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?;
    let moved = device.memory_shared().moved_to(parent, entries);
    let old = device.memory_exclusive().adopt(moved);
    drop(old);
    Ok(())
}

/// Enters a subregion, after its pages, which no mapping has an entry for at that time, have got
/// their type, if there is a change of that.
fn commit(
    device: &OpenDevice,
    bar: Bar<'_>,
    plan: region::Plan,
    memory: ClaimMemory<storage::Kernel>,
    mut change: Option<Change<'_, '_, '_, State>>,
) -> Result<(), Failure> {
    let (parent, span) = (plan.region().bar(), plan.region().span());
    let mut table = device.memory_exclusive();
    table.zap(
        parent.window_start().saturating_add(span.start()),
        span.len(),
    );
    // The plan is of this table and there is room for it: the io lock has been held all along.
    let admission = table.admit(plan).map_err(|_| Failure::Kernel(ENOMEM))?;
    let Some(segments) = change.as_mut().and_then(Change::segments) else {
        admission.enter(memory);
        return Ok(());
    };
    if let Err(error) = segments.set_wc(bar, span) {
        segments.record_stray(bar, &mut table, span, memory);
        return Err(error.into());
    }
    admission.enter(memory);
    Ok(())
}

/// Makes sure that the pages of `span`, no part of which is claimed, have the type that an ordinary
/// mapping has.
fn expect_ordinary(io: &IoExclusive<'_, State>, bar: Bar<'_>, span: Span) -> Result {
    match io.driver_maps(bar) {
        Some(segments) => segments.expect_gap(span),
        None if io.core_maps_as(bar, MemType::Noncached) => Ok(()),
        None => Err(EBUSY),
    }
}
