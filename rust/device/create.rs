// SPDX-License-Identifier: GPL-2.0-only

//! Creation of subregions.
//!
//! The ioctl first checks everything that can be checked, allocates the memory for the table, and
//! writes the result to userspace, because that can fail too. Afterwards it can fail only for lack
//! of memory or for a conflict of memory types, and then restores the previous state.

use super::{
    divide,
    expect_no_ioeventfd,
    expect_strict_core_map,
    mem_type,
    parent,
    OpenDevice,
    State, //
};
use crate::{
    region::{
        self,
        BarIndex,
        ClaimMemory,
        Refusal,
        RegionId,
        SlotMemory,
        Span,
        Subregion, //
    },
    segments::{
        self,
        Change,
        RestType, //
    },
    storage,
    trace,
    vfio::pci::{
        Bar,
        Io,
        IoExclusive, //
    },
    wire::{
        self,
        Arg,
        Failure,
        Sharing, //
    }, //
};
use kernel::{
    prelude::*,
    rbtree::RBTreeNodeReservation, //
};

/// Handles `VFIO_SUBREGION_CREATE`.
#[inline(never)]
pub(super) fn create(device: &OpenDevice, arg: Arg) -> Result<(), Failure> {
    let (request, reply) = wire::Create::read(arg)?;
    try_create(device, &request, &reply).map_err(|failure| reply.failed(failure))
}

fn try_create(
    device: &OpenDevice,
    request: &wire::Create,
    reply: &wire::CreateReply,
) -> Result<(), Failure> {
    let bar = parent(device, request.parent)?;
    if request.span.end() > bar.size() {
        return Err(Failure::NoParent);
    }
    let table = bar.msix_table().pages();
    let overlaps = table.overlaps(&(request.span.start()..request.span.end()));
    if request.attribute.is_write_combining() && overlaps {
        return Err(Failure::MsixTable);
    }
    let mem = mem_type(request.attribute);
    if !mem.is_available() {
        return Err(Failure::NoSuchType);
    }

    let mut io = device.io_exclusive()?;
    segments::end_strays(device, &mut io, bar);
    let (plan, rest) = {
        let table = device.memory_shared();
        let plan = table.plan(request.parent, request.span, request.attribute, bar.phys());
        (plan, RestType::of(table.attribute(request.parent)))
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(Refusal::Overlap(id)) => return share(device, request, reply, id),
        Err(refusal) => return Err(Failure::Refused(refusal)),
    };
    let plan = match request.sharing {
        Sharing::Exclusive => plan,
        Sharing::Shared => plan.shared(),
    };
    make_room(device, request.parent)?;
    let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    let slot_memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    // Dropping this restores the previous state unless the subregion is entered.
    let change = if RestType::of(request.attribute) == rest {
        expect_rest(&io, bar, request.span)?;
        None
    } else {
        expect_no_ioeventfd(&io, bar, request.span)?;
        Some(divide(&mut io, bar)?)
    };
    // All later failures are undone. The write to userspace comes before them, because it cannot be
    // undone.
    let (index, region) = (device.data().index(plan.id()), *plan.region());
    reply.created(index, &region, mem)?;
    device.data().record_subregion(request.parent);
    commit(device, bar, plan, (memory, slot_memory), change)?;
    trace::create(device.core().name(), index, &region);
    Ok(())
}

/// Shares the subregion `id`, which overlaps the request, if both were made for that and are
/// identical. The caller holds the io lock for writing, so the subregion cannot be destroyed
/// meanwhile.
///
/// Fails with [`Refusal::Overlap`] otherwise. Fails with [`Refusal::Limit`] if the subregion is
/// shared the maximum number of times.
fn share(
    device: &OpenDevice,
    request: &wire::Create,
    reply: &wire::CreateReply,
    id: RegionId,
) -> Result<(), Failure> {
    let index = device.data().index(id);
    let (region, shares) = {
        let table = device.memory_shared();
        (table.get(id), table.shares(id))
    };
    let same = |region: &Subregion| {
        request.sharing == Sharing::Shared
            && (region.span(), region.attribute()) == (request.span, request.attribute)
    };
    let (Some(region), Some(shares)) = (region.filter(same), shares) else {
        reply.conflict(index)?;
        return Err(Failure::Refused(Refusal::Overlap(id)));
    };
    if shares == region::SHARES {
        return Err(Failure::Refused(Refusal::Limit));
    }
    reply.created(index, &region, mem_type(region.attribute()))?;
    device.memory_exclusive().share(id);
    Ok(())
}

/// Makes room in the table for one more subregion. The caller holds the io lock for writing, so no
/// other thread uses up the room.
fn make_room(device: &OpenDevice, parent: BarIndex) -> Result {
    let Some(entries) = device.memory_shared().lacks_room(parent) else {
        return Ok(());
    };
    let entries = KVVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?;
    let moved = device.memory_shared().moved_to(parent, entries);
    let old = device.memory_exclusive().adopt(moved);
    drop(old);
    Ok(())
}

/// Gives the pages the type of the change, if there is one, and enters the subregion. No mapping
/// has a page-table entry for these pages then.
fn commit(
    device: &OpenDevice,
    bar: Bar<'_>,
    plan: region::Plan,
    (memory, slot_memory): (ClaimMemory<storage::Kernel>, SlotMemory<storage::Kernel>),
    mut change: Option<Change<'_, '_, '_, State>>,
) -> Result<(), Failure> {
    let (parent, span) = (plan.region().bar(), plan.region().span());
    let mut table = device.memory_exclusive();
    table.zap(
        parent.window_start().saturating_add(span.start()),
        span.len(),
    );
    // The plan is valid and the table has room, because this thread has held the io lock since it
    // made both.
    let admission = table.admit(plan).map_err(|_| Failure::Kernel(ENOMEM))?;
    let Some(segments) = change.as_mut().and_then(Change::segments) else {
        admission.enter(memory, slot_memory);
        return Ok(());
    };
    if let Err(error) = segments.leave_gap(bar, span) {
        segments.record_stray(bar, &mut table, span, memory);
        return Err(Failure::of_type_change(error));
    }
    admission.enter(memory, slot_memory);
    Ok(())
}

/// Checks that the pages of `span`, which overlaps no claim, have the rest type of the BAR.
///
/// Fails with [`Failure::Busy`] otherwise.
fn expect_rest(io: &IoExclusive<'_, State>, bar: Bar<'_>, span: Span) -> Result<(), Failure> {
    match io.driver_maps(bar) {
        Some(segments) => segments.expect_gap(span).map_err(Failure::of_type_change),
        None => expect_strict_core_map(io, bar),
    }
}
