// SPDX-License-Identifier: GPL-2.0-only

//! mmap(), and page faults of its mappings.

use super::{
    guest_types,
    mem_type,
    target,
    OpenDevice,
    State, //
};
use crate::{
    compat::MemType,
    region::{
        self,
        Attribute,
        BarIndex,
        ClaimKind,
        Span,
        Target, //
    },
    segments,
    trace,
    vfio::pci::{
        CountedMapping,
        Fault,
        FaultOutcome,
        GuestTypes,
        NewMapping,
        TypedMapping, //
    }, //
};
use kernel::prelude::*;

/// Handles mmap().
pub(super) fn mmap<'a>(
    device: &OpenDevice,
    mapping: NewMapping<'a, State>,
) -> Result<TypedMapping<'a, State>> {
    let len = mapping.size();
    match target(device, mapping.file_offset()) {
        Target::Other => Err(EINVAL),
        Target::Bar(parent, at) => {
            // The mapping is counted before the attribute is read: SET_ATTR fails if it finds the
            // count, and this function finds an attribute that was set before.
            let (mapping, ()) = mapping.count_by(|| {
                device.data().count_vma(parent);
                Ok(())
            })?;
            let bar = device.bar(parent.index()).ok_or(EINVAL)?;
            let end = at.checked_add(len).ok_or(EINVAL)?;
            // Faults would take the offsets beyond the window for those of another region.
            if end > bar.mmap_len().min(region::WINDOW) {
                return Err(EINVAL);
            }
            bar.expect_usable()?;
            if device.data().ever_had_attribute(parent) {
                return Ok(with_attribute(device, parent, mapping));
            }
            // As with vfio-pci. Only a subregion with the attribute NONCACHED limits a guest to
            // device memory.
            Ok(mapping.with_type(MemType::Noncached, GuestTypes::AnyUncached))
        }
        Target::Slot(parent, slot) => {
            let slots = Span::new(slot, len).map_err(|_| EINVAL)?;
            let (mapping, attribute) = mapping.count_by(|| {
                let mut table = device.memory_exclusive_in_mmap();
                let (_, region) = table.resolve(parent, slots).ok_or(EINVAL)?;
                table
                    .add_vma(parent, slot)
                    .then_some(region.attribute())
                    .ok_or(EINVAL)
            })?;
            Ok(typed(mapping, attribute))
        }
    }
}

/// Gives a mapping of `bar` itself, which has or once had an attribute, the type that it has now.
#[inline(never)]
fn with_attribute<'a>(
    device: &OpenDevice,
    bar: BarIndex,
    mapping: CountedMapping<'a, State>,
) -> TypedMapping<'a, State> {
    // SET_ATTR holds the memory lock while it checks the count and sets the attribute.
    let attribute = device.memory_shared_in_mmap().attribute(bar);
    if attribute == Attribute::Noncached {
        mapping.with_type(MemType::Noncached, GuestTypes::AnyUncached)
    } else {
        typed(mapping, attribute)
    }
}

/// Handles an access to a page that has no page-table entry.
#[inline(always)]
pub(super) fn fault(device: &OpenDevice, fault: &Fault<'_, State>) -> FaultOutcome {
    let offset = fault.file_offset();
    // The lock is held until the entry exists; see device.rs.
    let Some(table) = fault.memory_shared() else {
        return fault.later();
    };
    let (bar, at) = match target(device, offset) {
        Target::Other => return refuse(device, fault, offset),
        Target::Bar(bar, at) => {
            let Ok(span) = Span::new(at, fault.size()) else {
                return refuse(device, fault, offset);
            };
            match table.claim_kind(bar, span) {
                None => (bar, at),
                Some(ClaimKind::Stray) if fault.is_single_page() => {
                    drop(table);
                    return fault_stray(device, fault, bar, span);
                }
                Some(_) => return refuse(device, fault, offset),
            }
        }
        Target::Slot(bar, slot) => {
            let Ok(slots) = Span::new(slot, fault.size()) else {
                return refuse(device, fault, offset);
            };
            match table.resolve(bar, slots) {
                Some((span, region)) if fault.may_reach(region.id()) => (bar, span.start()),
                _ => return refuse(device, fault, offset),
            }
        }
    };
    traced(device, offset, fault.map(&table, bar.index(), at))
}

/// Handles an access to the page `span` of `bar`, which was a stray a moment ago.
///
/// The io lock comes before the locks that a fault holds, so this function must not wait for it. If
/// another thread holds it, the page remains a stray for now, and the program repeats the access.
/// An access by the kernel fails: it could be that of the thread that holds the lock, in a read()
/// or write() whose buffer is this page, or keep that thread from the mmap lock.
#[cold]
#[inline(never)]
fn fault_stray(
    device: &OpenDevice,
    fault: &Fault<'_, State>,
    bar: BarIndex,
    span: Span,
) -> FaultOutcome {
    let io = device.try_io_exclusive();
    let is_locked = io.is_some();
    if let (Some(mut io), Some(bar)) = (io, device.bar(bar.index())) {
        if !segments::try_end_stray_page(device, &mut io, bar, span.start()) {
            return fault.later();
        }
    }
    let offset = bar.window_start().saturating_add(span.start());
    let Some(table) = fault.memory_shared() else {
        return fault.later();
    };
    match table.claim_kind(bar, span) {
        None => traced(device, offset, fault.map(&table, bar.index(), span.start())),
        Some(ClaimKind::Stray) if !is_locked && fault.is_by_program() => fault.later(),
        Some(_) => refuse(device, fault, offset),
    }
}

/// Refuses a fault for this driver's reasons, and reports it if the access ends in SIGBUS. It does
/// not if the memory manager asks for a smaller entry next, or if the fault is handled again later.
#[cold]
#[inline(never)]
fn refuse(device: &OpenDevice, fault: &Fault<'_, State>, offset: u64) -> FaultOutcome {
    let outcome = fault.refuse();
    if outcome.is_sigbus() {
        trace::fault_refused(device.core().name(), offset);
    }
    outcome
}

/// Returns `outcome`, after reporting it if the core has refused the entry.
#[inline]
fn traced(device: &OpenDevice, offset: u64, outcome: FaultOutcome) -> FaultOutcome {
    if outcome.is_sigbus() {
        revoked(device, offset);
    }
    outcome
}

#[cold]
#[inline(never)]
fn revoked(device: &OpenDevice, offset: u64) {
    trace::fault_revoked(device.core().name(), offset);
}

/// Gives a mapping of a region the types that belong to `attribute`.
fn typed(mapping: CountedMapping<'_, State>, attribute: Attribute) -> TypedMapping<'_, State> {
    mapping.with_type(mem_type(attribute), guest_types(attribute))
}
