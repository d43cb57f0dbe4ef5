// SPDX-License-Identifier: GPL-2.0

//! Which subregion holds which pages.
//!
//! A [`Table`] lives from the first open of a device to its last close. Creating a subregion is done
//! in two steps, so that everything that can fail comes before anything that shows:
//! [`Table::plan`] says what a new subregion would be without changing the table, and
//! [`Table::admit`] makes sure that it can be entered.
//!
//! The table allocates nothing. The memory for the claim of a subregion is given to
//! [`Admission::enter`]. [`Table::lacks_room`] says when the array of subregions is full; the caller
//! makes one of the size it is told, outside any lock, has it filled by [`Table::moved_to`], and puts
//! it in place by [`Table::adopt`], which takes no time.
//!
//! # Strays
//!
//! A *stray* is a range whose memory type something outside of the driver decides, such as a mapping
//! by sysfs that was made while the pages were write-combining. It is claimed as a subregion's pages
//! are, but by nobody: [`Table::keep`] enters one, [`Table::release`] ends it. The memory that its
//! claim needs can be that of the subregion which the pages belonged to, so that destroying one never
//! lacks memory.
//!
//! # Order
//!
//! Ids and slots only ever grow while the table lives, so neither is used twice, and the subregions
//! of a BAR are in the order of both as they are entered. One that is removed is only marked; those
//! are left behind when the others move. Only claims come in any order, so they are in a map. Nothing
//! but a move takes longer the more subregions there are, except for looking something up.

use super::{
    attr::Attribute,
    span::Span,
    store::{
        Array,
        Map,
        Stores, //
    },
    subregion::{
        Claim,
        Holder,
        Refusal,
        RegionId,
        Subregion, //
    },
    window::{
        place_slot,
        Bar,
        PARENTS, //
    }, //
};

/// How many subregions a device can have at a time.
pub(crate) const LIMIT: u32 = 16384;

/// How many ids there are; far fewer than indices, so that the sum of the two cannot wrap.
const IDS: u32 = 1 << 30;

/// What a new subregion would be. Good until the table changes.
#[derive(Debug)]
pub(crate) struct Plan {
    region: Subregion,
    /// The end of its slot.
    cursor: u64,
}

impl Plan {
    /// Returns the id that the subregion would have.
    pub(crate) fn id(&self) -> RegionId {
        self.region.id
    }

    /// Returns the subregion.
    pub(crate) fn region(&self) -> &Subregion {
        &self.region
    }
}

/// A subregion as its BAR keeps it, or what is left of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    span: Span,
    slot: u64,
    id: RegionId,
    /// None once the subregion was removed.
    attribute: Option<Attribute>,
}

impl Entry {
    /// Returns the subregion of `bar` that this is, if it was not removed.
    fn region(&self, bar: Bar) -> Option<Subregion> {
        Some(Subregion {
            id: self.id,
            bar,
            attribute: self.attribute?,
            span: self.span,
            slot: self.slot,
        })
    }
}

/// The array in which a BAR keeps its subregions.
pub(crate) type Entries<S> = <S as Stores>::Array<Entry>;

/// The memory for one claim.
pub(crate) type ClaimMemory<S> = <<S as Stores>::Map<Claim> as Map<Claim>>::Memory;

/// An array that the subregions of a BAR have been copied to; good until the table changes.
pub(crate) struct Moved<S: Stores> {
    bar: Bar,
    entries: Entries<S>,
    /// The next id at that time.
    next: u32,
    /// How many subregions the BAR had.
    live: u32,
}

/// The subregions of one BAR.
struct Parent<S: Stores> {
    /// Those that there are, and some that there were, in the order of their ids and slots.
    entries: Entries<S>,
    /// How many there are.
    live: u32,
    /// What is claimed, by the end of each.
    claims: S::Map<Claim>,
    /// Where the next slot can begin.
    cursor: u64,
    /// The attribute of the BAR's own window.
    window: Attribute,
}

impl<S: Stores> Parent<S> {
    /// Returns where among the entries the first is for which `before` says no.
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
            cursor: 0,
            window: Attribute::Noncached,
        }
    }
}

/// All subregions of an open device.
pub(crate) struct Table<S: Stores> {
    /// The next id.
    next: u32,
    /// How many subregions there are.
    live: u32,
    parents: [Parent<S>; PARENTS],
}

impl<S: Stores> Default for Table<S> {
    /// Makes an empty table.
    fn default() -> Self {
        Self {
            next: 0,
            live: 0,
            parents: Default::default(),
        }
    }
}

impl<S: Stores> Table<S> {
    /// Returns how many subregions have been created: the ids that there are or were are below.
    pub(crate) fn created(&self) -> u32 {
        self.next
    }

    /// Returns how many subregions there are.
    pub(crate) fn len(&self) -> u32 {
        self.live
    }

    fn parent(&self, bar: Bar) -> Option<&Parent<S>> {
        self.parents.get(bar.index())
    }

    /// Returns the subregion `id`, if it exists.
    pub(crate) fn get(&self, id: RegionId) -> Option<Subregion> {
        Bar::all().find_map(|bar| {
            let parent = self.parent(bar)?;
            let at = parent.position(|entry| entry.id < id);
            let entry = parent.entries.elements().get(at)?;
            (entry.id == id).then(|| entry.region(bar))?
        })
    }

    /// Returns how many subregions `bar` has.
    pub(crate) fn count(&self, bar: Bar) -> u32 {
        self.parent(bar).map_or(0, |parent| parent.live)
    }

    /// Returns the claims of `bar` from the first one that has bytes at or behind `start`, by offset.
    fn claims_from(&self, bar: Bar, start: u64) -> impl Iterator<Item = Claim> + '_ {
        let mut end = start;
        core::iter::from_fn(move || {
            let claim = self.first_behind(bar, end)?;
            end = claim.span.end();
            Some(claim)
        })
    }

    /// Returns what the subregions of `bar` hold, by offset.
    pub(crate) fn claims(&self, bar: Bar) -> impl Iterator<Item = (Span, RegionId)> + '_ {
        self.claims_from(bar, 0)
            .filter_map(|claim| Some((claim.span, claim.region()?)))
    }

    /// Returns the first claim of `bar` that has bytes at or behind `at`.
    fn first_behind(&self, bar: Bar, at: u64) -> Option<Claim> {
        let parent = self.parent(bar)?;
        parent.claims.at_or_above(at.checked_add(1)?)
    }

    /// Returns why `span` of `bar` cannot be mapped through the BAR's own window, if it cannot: what
    /// holds the first byte of it that anything does.
    pub(crate) fn holder(&self, bar: Bar, span: Span) -> Option<Holder> {
        let claim = self.first_behind(bar, span.start())?;
        claim.span.overlaps(span).then_some(claim.holder)
    }

    /// Returns the first subregion of `bar` that `span` overlaps.
    fn overlapped(&self, bar: Bar, span: Span) -> Option<RegionId> {
        self.claims_from(bar, span.start())
            .take_while(|claim| claim.span.overlaps(span))
            .find_map(|claim| claim.region())
    }

    /// Returns the attribute of the own window of `bar`.
    pub(crate) fn window(&self, bar: Bar) -> Attribute {
        self.parent(bar)
            .map_or(Attribute::Noncached, |parent| parent.window)
    }

    /// Sets the attribute of the own window of `bar`, which has no subregions.
    pub(crate) fn set_window(&mut self, bar: Bar, attribute: Attribute) {
        if let Some(parent) = self.parents.get_mut(bar.index()) {
            parent.window = attribute;
        }
    }

    /// Returns the bytes of the BAR that the bytes `slots` of the slots of `bar` stand for, if they
    /// are all of one subregion, and that subregion.
    #[inline]
    pub(crate) fn resolve(&self, bar: Bar, slots: Span) -> Option<(Span, Subregion)> {
        let parent = self.parent(bar)?;
        let behind = parent.position(|entry| entry.slot <= slots.start());
        let entry = parent.entries.elements().get(behind.checked_sub(1)?)?;
        let within = slots.start().checked_sub(entry.slot)?;
        let start = entry.span.start().checked_add(within)?;
        let span = Span::new(start, slots.len()).ok()?;
        let region = entry.region(bar)?;
        (span.end() <= entry.span.end()).then_some((span, region))
    }

    /// Says what a subregion of `span` of `bar` would be, and changes nothing.
    ///
    /// `phys` is the physical address at which the BAR begins.
    pub(crate) fn plan(
        &self,
        bar: Bar,
        span: Span,
        attribute: Attribute,
        phys: u64,
    ) -> Result<Plan, Refusal> {
        if self.holder(bar, span).is_some() {
            return Err(self
                .overlapped(bar, span)
                .map_or(Refusal::Stray, Refusal::Overlap));
        }
        if self.window(bar) != Attribute::Noncached {
            return Err(Refusal::Attributed);
        }
        if self.live >= LIMIT || self.next >= IDS {
            return Err(Refusal::Limit);
        }
        let cursor = self.parent(bar).map_or(0, |parent| parent.cursor);
        let slot = place_slot(cursor, phys, span).ok_or(Refusal::Limit)?;
        Ok(Plan {
            region: Subregion {
                id: RegionId::new(self.next),
                bar,
                attribute,
                span,
                slot: slot.start(),
            },
            cursor: slot.end(),
        })
    }

    /// Returns how many entries a new array for the subregions of `bar` needs to have, if the
    /// present one is full.
    pub(crate) fn lacks_room(&self, bar: Bar) -> Option<usize> {
        let parent = self.parent(bar)?;
        let full = parent.entries.elements().len() >= parent.entries.room();
        // CAST: `usize` has at least 32 bits. After a move half of the array is free, so that the
        // next one is as far away as this one took to do.
        full.then(|| (parent.live as usize).saturating_mul(2).max(8))
    }

    /// Copies the subregions of `bar` to `entries`, which is empty, as far as they fit.
    pub(crate) fn moved_to(&self, bar: Bar, mut entries: Entries<S>) -> Moved<S> {
        let live = self.count(bar);
        let old = self
            .parent(bar)
            .map_or(&[][..], |parent| parent.entries.elements());
        for entry in old.iter().filter(|entry| entry.attribute.is_some()) {
            let _ = entries.push(*entry);
        }
        Moved {
            bar,
            entries,
            next: self.next,
            live,
        }
    }

    /// Puts an array that the subregions of a BAR have been copied to in the place of the present
    /// one, and returns what is no longer needed, to be freed outside the lock: the new one, if not
    /// all of them fitted or the table has changed.
    pub(crate) fn adopt(&mut self, moved: Moved<S>) -> Entries<S> {
        let Some(parent) = self.parents.get_mut(moved.bar.index()) else {
            return moved.entries;
        };
        // Whatever was entered since has taken an id, and what was only removed is missed here.
        let same = moved.next == self.next && moved.live == parent.live;
        // CAST: `usize` has at least 32 bits.
        if !same || moved.entries.elements().len() != moved.live as usize {
            return moved.entries;
        }
        core::mem::replace(&mut parent.entries, moved.entries)
    }

    /// Makes sure that the subregion of `plan`, which was made from the table as it is now, can be
    /// entered. When there is no room, or something was entered since, gives the plan back.
    pub(crate) fn admit(&mut self, plan: Plan) -> Result<Admission<'_, S>, Plan> {
        let bar = plan.region.bar;
        // Whatever was entered since has taken the id, or is a stray. What was removed since is in
        // nobody's way.
        let stale = plan.id().number() != self.next
            || self.window(bar) != Attribute::Noncached
            || self.holder(bar, plan.region.span).is_some();
        if stale || self.lacks_room(bar).is_some() {
            return Err(plan);
        }
        // INVARIANT: These are the checks.
        Ok(Admission { table: self, plan })
    }

    /// Takes the subregion `id` out, if it exists, and returns it and the memory of its claim, to be
    /// freed outside the lock. Its id and its slot stay used.
    pub(crate) fn remove(&mut self, id: RegionId) -> Option<(Subregion, Option<ClaimMemory<S>>)> {
        let region = self.get(id)?;
        let parent = self.parents.get_mut(region.bar.index())?;
        let at = parent.position(|entry| entry.id < id);
        parent.entries.elements_mut().get_mut(at)?.attribute = None;
        parent.live = parent.live.saturating_sub(1);
        self.live = self.live.saturating_sub(1);
        Some((region, parent.claims.remove(region.span.end())))
    }

    /// Enters the stray `span` of `bar`, none of which is claimed, with `memory` for its claim.
    pub(crate) fn keep(&mut self, bar: Bar, span: Span, memory: ClaimMemory<S>) {
        if let Some(parent) = self.parents.get_mut(bar.index()) {
            let holder = Holder::Stray;
            parent
                .claims
                .insert(memory, span.end(), Claim { span, holder });
        }
    }

    /// Returns the stray of `bar` that has byte `at`, if there is one.
    pub(crate) fn stray(&self, bar: Bar, at: u64) -> Option<Span> {
        let claim = self.first_behind(bar, at)?;
        let is_stray = claim.holder == Holder::Stray && claim.span.start() <= at;
        is_stray.then_some(claim.span)
    }

    /// Makes two strays of the one of `bar` that has byte `at` and the one before it: one below `at`,
    /// with `memory` for its claim, and one from there on. Gives the memory back if there is no such
    /// stray.
    pub(crate) fn split(
        &mut self,
        bar: Bar,
        at: u64,
        memory: ClaimMemory<S>,
    ) -> Result<(), ClaimMemory<S>> {
        let stray = self.stray(bar, at);
        let parts = stray.and_then(|stray| Some((stray.below(at)?, stray.above(at)?)));
        let parent = self.parents.get_mut(bar.index());
        let (Some((below, above)), Some(parent)) = (parts, parent) else {
            return Err(memory);
        };
        if let Some(old) = parent.claims.remove(above.end()) {
            self.keep(bar, above, old);
            self.keep(bar, below, memory);
        }
        Ok(())
    }

    /// Ends the stray `span` of `bar`, and returns the memory of its claim, to be freed outside the
    /// lock or used for another; none if there is no such stray.
    pub(crate) fn release(&mut self, bar: Bar, span: Span) -> Option<ClaimMemory<S>> {
        if self.stray(bar, span.start()) != Some(span) {
            return None;
        }
        let parent = self.parents.get_mut(bar.index())?;
        parent.claims.remove(span.end())
    }
}

/// A subregion that the table has room for.
///
/// # Invariants
///
/// The array of entries of the BAR is not full, and `plan` is of `table` as it is.
pub(crate) struct Admission<'a, S: Stores> {
    table: &'a mut Table<S>,
    plan: Plan,
}

impl<S: Stores> Admission<'_, S> {
    /// Enters the subregion, with `memory` for its claim.
    pub(crate) fn enter(self, memory: ClaimMemory<S>) {
        let Plan { region, cursor } = self.plan;
        let Some(parent) = self.table.parents.get_mut(region.bar.index()) else {
            return;
        };
        let claim = Claim {
            span: region.span,
            holder: Holder::Subregion(region.id),
        };
        let entry = Entry {
            span: region.span,
            slot: region.slot,
            id: region.id,
            attribute: Some(region.attribute),
        };
        // The type's invariant: there is room, and no claim that ends where this one does.
        let _ = parent.entries.push(entry);
        parent.claims.insert(memory, claim.span.end(), claim);
        parent.cursor = cursor;
        parent.live = parent.live.saturating_add(1);
        self.table.live = self.table.live.saturating_add(1);
        self.table.next = region.id.number().saturating_add(1);
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[path = "table_tests.rs"]
mod tests;
