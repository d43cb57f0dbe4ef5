// SPDX-License-Identifier: GPL-2.0-only

//! The claims and subregions of all BARs of a device.
//!
//! A [`Table`] exists from the first open of a device to its last close. A subregion is created in
//! three steps, so that the caller can do everything that may fail before it changes anything:
//! [`Table::plan`] computes the new subregion without changing the table, [`Table::admit`] checks
//! that the table has room for it, and [`Admission::enter`] cannot fail.
//!
//! The table allocates nothing. The caller passes the memory for a claim and a slot to
//! [`Admission::enter`]. [`Table::lacks_room`] returns a capacity if the array of subregions is
//! full. The caller then allocates an array of that capacity outside any lock, lets
//! [`Table::moved_to`] fill it, and exchanges the arrays with [`Table::adopt`], which takes
//! constant time.
//!
//! # Strays
//!
//! A *stray* is a range whose memory type this driver cannot choose, for example because sysfs
//! mapped the pages while they were write-combining. The table records strays among the claims:
//! [`Table::add_stray`] adds one, and [`Table::remove_stray`] removes it. The memory for the claim
//! of a stray can be that of the subregion which claimed the pages before. DESTROY therefore never
//! lacks memory.
//!
//! # Order
//!
//! Ids only grow while the table exists, and none is used twice. The array of a BAR therefore has
//! its subregions in the order of ids. [`Table::remove`] only marks an element; the copy to a new
//! array omits marked elements. Claims and slots ([`super::slots`]) are in no such order, so maps
//! contain them. The time of an operation grows with the number of subregions only in searches and
//! in the copy.

use super::{
    attr::Attribute,
    slots::{
        SlotMemory,
        Slots, //
    },
    span::Span,
    store::{
        Array,
        Map,
        Stores, //
    },
    subregion::{
        Busy,
        Claim,
        ClaimKind,
        Refusal,
        RegionId,
        Subregion, //
    },
    window::{
        place_slot,
        BarIndex,
        PARENTS, //
    }, //
};
use core::num::NonZeroU64;

/// The maximum number of subregions that a device can have at a time.
pub(crate) const LIMIT: u32 = 16384;

/// The number of ids until the last close. It is far below 2^32, so that the sum of an id and a
/// region index cannot wrap.
const IDS: u32 = 1 << 30;

/// The maximum number of times that a subregion can be shared.
pub(crate) const SHARES: u16 = u16::MAX;

/// A new subregion that is not in the table yet. A plan is valid until the table changes.
#[derive(Debug)]
pub(crate) struct Plan {
    region: Subregion,
    /// The first count of a subregion that can be shared, or 0.
    shares: u16,
    /// [`Table::strays`] when the plan was made.
    strays: u64,
}

impl Plan {
    /// Returns the id of the new subregion.
    pub(crate) fn id(&self) -> RegionId {
        self.region.id
    }

    /// Returns the new subregion.
    pub(crate) fn region(&self) -> &Subregion {
        &self.region
    }

    /// Makes the new subregion one that identical requests can share.
    pub(crate) fn shared(self) -> Self {
        Self { shares: 1, ..self }
    }
}

/// An element of the array of a BAR: a subregion, or one that was removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    id: RegionId,
    /// The end of its slot, or `None` if the subregion was removed.
    slot_end: Option<NonZeroU64>,
    /// The number of requests that share the subregion, or 0 if it cannot be shared.
    shares: u16,
    /// The attribute, which its slot has as well. DESTROY needs it before it changes anything.
    attribute: Attribute,
}

/// The place of a subregion in the table, so that several functions need only one search. It is
/// valid until a subregion is entered or removed, or until [`Table::adopt`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    bar: BarIndex,
    /// The index in the array of the BAR.
    at: usize,
    entry: Entry,
}

impl Place {
    /// Returns the id of the subregion.
    pub(crate) fn id(&self) -> RegionId {
        self.entry.id
    }

    /// Returns the BAR of the subregion.
    pub(crate) fn bar(&self) -> BarIndex {
        self.bar
    }

    /// Returns the attribute of the subregion.
    pub(crate) fn attribute(&self) -> Attribute {
        self.entry.attribute
    }

    /// Returns the number of requests that share the subregion, or `None` if it cannot be shared.
    pub(crate) fn shares(&self) -> Option<u16> {
        (self.entry.shares != 0).then_some(self.entry.shares)
    }
}

/// The array of the subregions of a BAR.
pub(crate) type Entries<S> = <S as Stores>::Array<Entry>;

/// The memory for one claim.
pub(crate) type ClaimMemory<S> = <<S as Stores>::Map<Claim> as Map<Claim>>::Memory;

/// A subregion that was removed, with memory to be used again or freed outside the lock.
pub(crate) struct Removed<S: Stores> {
    pub(crate) region: Subregion,
    /// The memory of the claim.
    pub(crate) claim: Option<ClaimMemory<S>>,
    /// The memory of the slot, or `None` if the slot still has VMAs.
    pub(crate) slot: Option<SlotMemory<S>>,
}

/// A copy of the subregions of a BAR in a new array. It is valid until the table changes.
pub(crate) struct Moved<S: Stores> {
    bar: BarIndex,
    entries: Entries<S>,
    /// The next id at the time of the copy.
    next: u32,
    /// The number of subregions of the BAR at the time of the copy.
    live: u32,
}

/// The subregions and claims of one BAR.
struct Parent<S: Stores> {
    /// Subregions in the order of their ids, some of which may have been removed.
    entries: Entries<S>,
    /// The number of subregions that have not been removed.
    live: u32,
    /// The claims and strays. The key is the end of the range.
    claims: S::Map<Claim>,
    /// The slots that are in use.
    slots: Slots<S>,
    /// The attribute of the BAR.
    attribute: Attribute,
}

impl<S: Stores> Parent<S> {
    /// Returns the position of the first element for which `before` returns `false`.
    fn position(&self, before: impl FnMut(&Entry) -> bool) -> usize {
        self.entries.elements().partition_point(before)
    }
}

impl<S: Stores> Default for Parent<S> {
    fn default() -> Self {
        Self {
            entries: Default::default(),
            live: 0,
            claims: Default::default(),
            slots: Default::default(),
            attribute: Attribute::Noncached,
        }
    }
}

/// All subregions of an open device.
pub(crate) struct Table<S: Stores> {
    /// The next id.
    next: u32,
    /// The number of subregions that exist.
    live: u32,
    /// The number of strays that have ever been added.
    strays: u64,
    /// The BARs, or `None` as long as none has a subregion, a stray or an attribute. The last close
    /// of a device that never had any then frees nothing.
    parents: Option<[Parent<S>; PARENTS]>,
}

impl<S: Stores> Default for Table<S> {
    /// Makes an empty table.
    fn default() -> Self {
        Self {
            next: 0,
            live: 0,
            strays: 0,
            parents: None,
        }
    }
}

impl<S: Stores> Table<S> {
    /// Returns the number of subregions that have ever been created. All ids are below it.
    pub(crate) fn created(&self) -> u32 {
        self.next
    }

    /// Returns the number of subregions that exist.
    pub(crate) fn len(&self) -> u32 {
        self.live
    }

    fn parent(&self, bar: BarIndex) -> Option<&Parent<S>> {
        self.parents.as_ref()?.get(bar.index())
    }

    fn parent_mut(&mut self, bar: BarIndex) -> Option<&mut Parent<S>> {
        self.parents.as_mut()?.get_mut(bar.index())
    }

    /// Does the same as [`Self::parent_mut`], after making the BARs if there are none.
    fn new_parent(&mut self, bar: BarIndex) -> Option<&mut Parent<S>> {
        let parents = self.parents.get_or_insert_with(Default::default);
        parents.get_mut(bar.index())
    }

    /// Returns the place of the subregion `id`, or `None` if it does not exist.
    #[inline]
    pub(crate) fn find(&self, id: RegionId) -> Option<Place> {
        BarIndex::all().find_map(|bar| {
            let parent = self.parent(bar)?;
            let at = parent.position(|entry| entry.id < id);
            let entry = *parent.entries.elements().get(at)?;
            (entry.id == id && entry.slot_end.is_some()).then_some(Place { bar, at, entry })
        })
    }

    /// Returns the subregion at `place`.
    #[inline]
    pub(crate) fn region_at(&self, place: Place) -> Option<Subregion> {
        let end = place.entry.slot_end?;
        let slots = &self.parent(place.bar)?.slots;
        let (bytes, slot) = slots.at(end.get().checked_sub(1)?)?;
        slot.region(place.bar, bytes.start())
    }

    /// Returns the subregion `id`, or `None` if it does not exist.
    #[inline]
    pub(crate) fn get(&self, id: RegionId) -> Option<Subregion> {
        self.region_at(self.find(id)?)
    }

    /// Returns the entry of the subregion `id` for modification, or `None` if it does not exist.
    fn entry_mut(&mut self, id: RegionId) -> Option<&mut Entry> {
        let Place { bar, at, .. } = self.find(id)?;
        let parent = self.parent_mut(bar)?;
        parent.entries.elements_mut().get_mut(at)
    }

    /// Returns the number of requests that share the subregion `id`, or `None` if it does not exist
    /// or cannot be shared.
    pub(crate) fn shares(&self, id: RegionId) -> Option<u16> {
        self.find(id)?.shares()
    }

    /// Counts one more request that shares the subregion `id`, whose count must be below
    /// [`SHARES`].
    pub(crate) fn share(&mut self, id: RegionId) {
        if let Some(entry) = self.entry_mut(id).filter(|entry| entry.shares != 0) {
            entry.shares = entry.shares.saturating_add(1);
        }
    }

    /// Takes back the count of a request that shares the subregion `id`, and returns whether
    /// another request still shares it. If none does, the caller must remove the subregion.
    pub(crate) fn unshare(&mut self, id: RegionId) -> bool {
        match self.entry_mut(id) {
            Some(entry) if entry.shares > 1 => {
                entry.shares = entry.shares.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    /// Returns the number of subregions of `bar`.
    pub(crate) fn count(&self, bar: BarIndex) -> u32 {
        self.parent(bar).map_or(0, |parent| parent.live)
    }

    /// Returns the claims and strays of `bar` that end after `start`, ordered by offset.
    fn claims_from(&self, bar: BarIndex, start: u64) -> impl Iterator<Item = Claim> + '_ {
        let mut end = start;
        core::iter::from_fn(move || {
            let claim = self.first_ending_after(bar, end)?;
            end = claim.span.end();
            Some(claim)
        })
    }

    /// Returns the claims of `bar` that end after `start`, ordered by offset.
    pub(crate) fn claims(
        &self,
        bar: BarIndex,
        start: u64,
    ) -> impl Iterator<Item = (Span, RegionId)> + '_ {
        self.claims_from(bar, start)
            .filter_map(|claim| Some((claim.span, claim.region()?)))
    }

    /// Returns the number of VMAs that map a part of the slot of `region`.
    pub(crate) fn mappings(&self, region: &Subregion) -> u32 {
        let parent = self.parent(region.bar);
        let slot = parent.and_then(|parent| parent.slots.at(region.slot));
        slot.map_or(0, |(_, slot)| slot.vmas())
    }

    /// Returns the first claim or stray of `bar` that ends after `at`.
    pub(crate) fn first_ending_after(&self, bar: BarIndex, at: u64) -> Option<Claim> {
        let parent = self.parent(bar)?;
        let (_, claim) = parent.claims.at_or_above(at.checked_add(1)?)?;
        Some(claim)
    }

    /// Returns why userspace cannot map `span` through `bar`, or `None` if it can. If several
    /// claims overlap `span`, the first one counts.
    // A page fault would spend 15 instructions on the call.
    #[inline(always)]
    pub(crate) fn claim_kind(&self, bar: BarIndex, span: Span) -> Option<ClaimKind> {
        let (_, claim) = self.parent(bar)?.claims.at_or_above(span.after_start())?;
        // The claim ends after the start of `span`.
        (claim.span.start() < span.end()).then_some(claim.kind)
    }

    /// Returns the first subregion of `bar` that overlaps `span`.
    fn overlapped(&self, bar: BarIndex, span: Span) -> Option<RegionId> {
        self.claims_from(bar, span.start())
            .take_while(|claim| claim.span.overlaps(span))
            .find_map(|claim| claim.region())
    }

    /// Returns the attribute of `bar`.
    pub(crate) fn attribute(&self, bar: BarIndex) -> Attribute {
        self.parent(bar)
            .map_or(Attribute::Noncached, |parent| parent.attribute)
    }

    /// Sets the attribute of `bar`.
    pub(crate) fn set_attribute(&mut self, bar: BarIndex, attribute: Attribute) {
        if let Some(parent) = self.new_parent(bar) {
            parent.attribute = attribute;
        }
    }

    /// Returns the range of the BAR to which the range `slots` of its slots leads, and the
    /// subregion. Returns `None` unless all of `slots` is in the slot of one existing subregion.
    #[inline]
    pub(crate) fn resolve(&self, bar: BarIndex, slots: Span) -> Option<(Span, Subregion)> {
        self.parent(bar)?.slots.resolve(bar, slots)
    }

    /// Counts a VMA that maps byte `at` of the slots of `bar`, and returns whether there is a slot.
    pub(crate) fn add_vma(&mut self, bar: BarIndex, at: u64) -> bool {
        let parent = self.parent_mut(bar);
        parent.is_some_and(|parent| parent.slots.add_vma(at))
    }

    /// Takes back the count of a VMA that maps byte `at` of the slots of `bar`. If it was the last
    /// VMA of a removed subregion, the slot is free, and its memory must be freed outside the
    /// lock.
    pub(crate) fn remove_vma(&mut self, bar: BarIndex, at: u64) -> Option<SlotMemory<S>> {
        self.parent_mut(bar)?.slots.remove_vma(at)
    }

    /// Computes a new subregion for `span` of `bar`, and changes nothing. `phys` is the physical
    /// address of the BAR.
    pub(crate) fn plan(
        &self,
        bar: BarIndex,
        span: Span,
        attribute: Attribute,
        phys: u64,
    ) -> Result<Plan, Refusal> {
        if self.claim_kind(bar, span).is_some() {
            return Err(self
                .overlapped(bar, span)
                .map_or(Refusal::Busy(Busy::Stray), Refusal::Overlap));
        }
        if self.live >= LIMIT || self.next >= IDS {
            return Err(Refusal::Limit);
        }
        let slot = match self.parent(bar) {
            Some(parent) => parent.slots.free(phys, span),
            None => place_slot(0, phys, span),
        };
        let slot = slot.ok_or(Refusal::Limit)?;
        Ok(Plan {
            region: Subregion {
                id: RegionId::new(self.next),
                bar,
                attribute,
                span,
                slot: slot.start(),
            },
            shares: 0,
            strays: self.strays,
        })
    }

    /// Returns the capacity that a new array for the subregions of `bar` needs, or `None` if the
    /// present array is not full.
    pub(crate) fn lacks_room(&self, bar: BarIndex) -> Option<usize> {
        let entries = self.parent(bar).map(|parent| &parent.entries);
        let full = entries.is_none_or(|entries| entries.elements().len() >= entries.room());
        // CAST: `usize` has at least 32 bits. Half of the new array is free after the copy, so the
        // next copy comes after at least as many insertions as this one copies.
        full.then(|| (self.count(bar) as usize).saturating_mul(2).max(8))
    }

    /// Copies the subregions of `bar` to `entries`, an empty array, until it is full.
    pub(crate) fn moved_to(&self, bar: BarIndex, mut entries: Entries<S>) -> Moved<S> {
        let live = self.count(bar);
        let old = self
            .parent(bar)
            .map_or(&[][..], |parent| parent.entries.elements());
        for entry in old.iter().filter(|entry| entry.slot_end.is_some()) {
            let _ = entries.push(*entry);
        }
        Moved {
            bar,
            entries,
            next: self.next,
            live,
        }
    }

    /// Replaces the array of a BAR by the copy `moved`, and returns the array that is no longer
    /// needed, to be freed outside the lock. This is the copy itself if it is incomplete or if the
    /// table has changed since.
    pub(crate) fn adopt(&mut self, moved: Moved<S>) -> Entries<S> {
        let (next, Some(parent)) = (self.next, self.new_parent(moved.bar)) else {
            return moved.entries;
        };
        // A new subregion has changed `next`, and a removal alone has changed `live`.
        let same = moved.next == next && moved.live == parent.live;
        // CAST: `usize` has at least 32 bits.
        if !same || moved.entries.elements().len() != moved.live as usize {
            return moved.entries;
        }
        core::mem::replace(&mut parent.entries, moved.entries)
    }

    /// Checks that the subregion of `plan` can be entered now. Returns the plan as an error if the
    /// array is full, or if the table has changed so that the plan is no longer valid.
    pub(crate) fn admit(&mut self, plan: Plan) -> Result<Admission<'_, S>, Plan> {
        let bar = plan.region.bar;
        // A new subregion has taken the id. A removal does no harm.
        let stale = plan.id().number() != self.next || plan.strays != self.strays;
        if stale || self.lacks_room(bar).is_some() {
            return Err(plan);
        }
        // INVARIANT: The array is not full, and the plan is not stale; both were checked.
        Ok(Admission { table: self, plan })
    }

    /// Removes the subregion at `place`, or returns `None` if it is not there any more. Its id is
    /// not used again, and its slot not while it has VMAs.
    pub(crate) fn remove_at(&mut self, place: Place) -> Option<Removed<S>> {
        let parent = self.parent_mut(place.bar)?;
        let entry = parent.entries.elements_mut().get_mut(place.at);
        let entry = entry.filter(|entry| entry.id == place.entry.id)?;
        let slot_end = entry.slot_end.take()?;
        let (region, slot) = parent.slots.remove(place.bar, slot_end.get())?;
        let claim = parent.claims.remove(region.span.end());
        parent.live = parent.live.saturating_sub(1);
        self.live = self.live.saturating_sub(1);
        Some(Removed {
            region,
            claim,
            slot,
        })
    }

    /// Removes the subregion `id`, or returns `None` if it does not exist.
    #[cfg(any(test, CONFIG_KUNIT = "y"))]
    fn remove(&mut self, id: RegionId) -> Option<Removed<S>> {
        self.remove_at(self.find(id)?)
    }

    /// Adds the stray `span` of `bar`, with `memory` for its claim. `span` must not overlap a
    /// claim.
    pub(crate) fn add_stray(&mut self, bar: BarIndex, span: Span, memory: ClaimMemory<S>) {
        self.strays = self.strays.wrapping_add(1);
        if let Some(parent) = self.new_parent(bar) {
            let kind = ClaimKind::Stray;
            parent
                .claims
                .insert(memory, span.end(), Claim { span, kind });
        }
    }

    /// Returns the stray of `bar` that includes byte `at`, or `None`.
    pub(crate) fn stray_at(&self, bar: BarIndex, at: u64) -> Option<Span> {
        let claim = self.first_ending_after(bar, at)?;
        let is_stray = claim.kind == ClaimKind::Stray && claim.span.start() <= at;
        is_stray.then_some(claim.span)
    }

    /// Splits the stray of `bar` that includes the bytes before and at `at` into one below `at`,
    /// with `memory` for its claim, and one from `at` on. Returns the memory as an error if there
    /// is no such stray.
    pub(crate) fn split_stray(
        &mut self,
        bar: BarIndex,
        at: u64,
        memory: ClaimMemory<S>,
    ) -> Result<(), ClaimMemory<S>> {
        let stray = self.stray_at(bar, at);
        let parts = stray.and_then(|stray| Some((stray.below(at)?, stray.above(at)?)));
        let parent = self.parent_mut(bar);
        let (Some((below, above)), Some(parent)) = (parts, parent) else {
            return Err(memory);
        };
        if let Some(old) = parent.claims.remove(above.end()) {
            self.add_stray(bar, above, old);
            self.add_stray(bar, below, memory);
        }
        Ok(())
    }

    /// Removes the stray `span` of `bar` and returns the memory of its claim, to be used again or
    /// freed outside the lock. Returns `None` if there is no such stray.
    pub(crate) fn remove_stray(&mut self, bar: BarIndex, span: Span) -> Option<ClaimMemory<S>> {
        if self.stray_at(bar, span.start()) != Some(span) {
            return None;
        }
        let parent = self.parent_mut(bar)?;
        parent.claims.remove(span.end())
    }
}

/// A plan that the table can enter.
///
/// # Invariants
///
/// The array of the BAR is not full, and `plan` is valid for `table`.
pub(crate) struct Admission<'a, S: Stores> {
    table: &'a mut Table<S>,
    plan: Plan,
}

impl<S: Stores> Admission<'_, S> {
    /// Enters the subregion, with `memory` for its claim and `slot_memory` for its slot. This
    /// cannot fail.
    pub(crate) fn enter(self, memory: ClaimMemory<S>, slot_memory: SlotMemory<S>) {
        let Plan { region, shares, .. } = self.plan;
        let Some(parent) = self.table.parent_mut(region.bar) else {
            return;
        };
        let claim = Claim {
            span: region.span,
            kind: ClaimKind::Subregion(region.id),
        };
        let entry = Entry {
            id: region.id,
            // A slot lies within the window, so this does not saturate.
            slot_end: NonZeroU64::new(region.slot.saturating_add(region.span.len())),
            shares,
            attribute: region.attribute,
        };
        // The array has room, by the type's invariant. No other claim or slot has this end, since
        // they do not overlap.
        let _ = parent.entries.push(entry);
        parent.claims.insert(memory, claim.span.end(), claim);
        parent.slots.insert(slot_memory, &region);
        parent.live = parent.live.saturating_add(1);
        self.table.live = self.table.live.saturating_add(1);
        self.table.next = region.id.number().saturating_add(1);
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[path = "table_tests.rs"]
mod tests;
