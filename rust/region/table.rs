// SPDX-License-Identifier: GPL-2.0

//! Which subregion holds which pages.
//!
//! A [`Table`] lives from the first open of a device to its last close. Creating a subregion is done
//! in two steps, so that everything that can fail comes before anything that shows:
//! [`Table::plan`] says what a new subregion would be without changing the table, and
//! [`Table::admit`] enters it. The table allocates nothing: [`Table::lacks_room`] says when storage
//! is short, the caller makes a [`Room`] of the size it is told, outside any lock, and
//! [`Table::move_into`] moves the entries there.
//!
//! Ids and slots only ever grow while the table lives, so neither is used twice.

use super::{
    attr::Attribute,
    span::Span,
    store::{
        exchange,
        Store,
        Stores, //
    },
    window::{
        place_slot,
        slot_offset,
        Bar,
        PARENTS, //
    }, //
};

/// How many subregions a device can have at a time.
pub(crate) const LIMIT: u32 = 16384;

/// How many ids there are; far fewer than indices, so that the sum of the two cannot wrap.
const IDS: u32 = 1 << 30;

/// Numbers a device's subregions in the order in which they were created, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegionId(u32);

impl RegionId {
    /// Takes a number for an id; whether there is such a subregion is for the table to say.
    pub(crate) fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// A range of a BAR with an attribute and an mmap offset of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subregion {
    id: RegionId,
    bar: Bar,
    attribute: Attribute,
    span: Span,
    slot: Span,
}

impl Subregion {
    /// Returns the BAR it is a part of.
    pub(crate) fn bar(&self) -> Bar {
        self.bar
    }

    /// Returns its attribute.
    pub(crate) fn attribute(&self) -> Attribute {
        self.attribute
    }

    /// Returns its bytes within the BAR.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns the file offset of its first byte.
    pub(crate) fn file_offset(&self) -> u64 {
        slot_offset(self.bar, self.slot.start())
    }
}

/// A range of a BAR that a subregion holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    span: Span,
    id: RegionId,
}

impl Claim {
    /// Returns which bytes of the BAR these are.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns which subregion holds them.
    pub(crate) fn id(&self) -> RegionId {
        self.id
    }
}

/// Why a subregion cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The range overlaps this subregion, the first one that it does.
    Overlap(RegionId),
    /// There are as many subregions, or as many bytes of slots, as a device can have.
    Limit,
    /// The BAR's own window has an attribute other than the one that every BAR has at first.
    Attributed,
}

/// Where a subregion has its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    start: u64,
    id: RegionId,
}

/// What a new subregion would be. Good until the table changes.
#[derive(Debug)]
pub(crate) struct Plan {
    region: Subregion,
    at: usize,
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

/// Storage for a table to move into; see [`Table::move_into`].
pub(crate) struct Room<S: Stores> {
    pub(crate) regions: S::Of<Subregion>,
    pub(crate) claims: S::Of<Claim>,
    pub(crate) slots: S::Of<Slot>,
}

/// The subregions of one BAR.
struct Parent<S: Stores> {
    /// What is claimed, by offset.
    claims: S::Of<Claim>,
    /// Who has the slots, in the order of both.
    slots: S::Of<Slot>,
    /// Where the next slot can begin.
    cursor: u64,
    /// The attribute of the BAR's own window.
    window: Attribute,
}

impl<S: Stores> Default for Parent<S> {
    fn default() -> Self {
        Self {
            claims: Default::default(),
            slots: Default::default(),
            cursor: 0,
            window: Attribute::Noncached,
        }
    }
}

/// All subregions of an open device.
pub(crate) struct Table<S: Stores> {
    /// By id.
    regions: S::Of<Subregion>,
    /// The next id.
    next: u32,
    parents: [Parent<S>; PARENTS],
}

impl<S: Stores> Table<S> {
    /// Makes an empty table.
    pub(crate) fn new() -> Self {
        Self {
            regions: Default::default(),
            next: 0,
            parents: Default::default(),
        }
    }

    /// Returns how many subregions have been created: the ids that there are or were are below.
    pub(crate) fn created(&self) -> u32 {
        self.next
    }

    /// Returns how many subregions there are.
    pub(crate) fn len(&self) -> u32 {
        // CAST: `plan` lets no table grow beyond `LIMIT`.
        self.regions.elements().len() as u32
    }

    /// Returns where in storage the subregion `id` is, or would be.
    fn position(&self, id: RegionId) -> usize {
        self.regions
            .elements()
            .partition_point(|region| region.id < id)
    }

    /// Returns the subregion `id`, if it exists.
    pub(crate) fn get(&self, id: RegionId) -> Option<&Subregion> {
        let region = self.regions.elements().get(self.position(id))?;
        (region.id == id).then_some(region)
    }

    fn parent(&self, bar: Bar) -> Option<&Parent<S>> {
        self.parents.get(bar.index())
    }

    /// Returns what is claimed of `bar`, by offset.
    pub(crate) fn claims(&self, bar: Bar) -> &[Claim] {
        self.parent(bar)
            .map_or(&[], |parent| parent.claims.elements())
    }

    /// Returns how many claims of `bar` end before `span` begins.
    fn place(&self, bar: Bar, span: Span) -> usize {
        self.claims(bar)
            .partition_point(|claim| claim.span.end() <= span.start())
    }

    /// Returns the first subregion of `bar` that `span` overlaps.
    pub(crate) fn claimed(&self, bar: Bar, span: Span) -> Option<RegionId> {
        let claim = self.claims(bar).get(self.place(bar, span))?;
        claim.span.overlaps(span).then_some(claim.id)
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

    /// Returns the subregion that has byte `slot` in the slots of `bar`.
    pub(crate) fn at_slot(&self, bar: Bar, slot: u64) -> Option<&Subregion> {
        let slots = self.parent(bar)?.slots.elements();
        let behind = slots.partition_point(|entry| entry.start <= slot);
        let region = self.get(slots.get(behind.checked_sub(1)?)?.id)?;
        (slot < region.slot.end()).then_some(region)
    }

    /// Returns the bytes of the BAR that the bytes `slots` of the slots of `bar` stand for, if they
    /// are all of one subregion, and that subregion.
    pub(crate) fn resolve(&self, bar: Bar, slots: Span) -> Option<(Span, &Subregion)> {
        let region = self.at_slot(bar, slots.start())?;
        let within = slots.start().checked_sub(region.slot.start())?;
        let start = region.span.start().checked_add(within)?;
        let span = Span::new(start, slots.len()).ok()?;
        region.span.contains(span).then_some((span, region))
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
        if let Some(id) = self.claimed(bar, span) {
            return Err(Refusal::Overlap(id));
        }
        if self.window(bar) != Attribute::Noncached {
            return Err(Refusal::Attributed);
        }
        if self.len() >= LIMIT || self.next >= IDS {
            return Err(Refusal::Limit);
        }
        let cursor = self.parent(bar).map_or(0, |parent| parent.cursor);
        let slot = place_slot(cursor, phys, span).ok_or(Refusal::Limit)?;
        let at = self.place(bar, span);
        Ok(Plan {
            region: Subregion {
                id: RegionId(self.next),
                bar,
                attribute,
                span,
                slot,
            },
            at,
        })
    }

    /// Returns how many entries a new [`Room`] needs to have, if one more subregion of `bar` does
    /// not fit into the present one.
    pub(crate) fn lacks_room(&self, bar: Bar) -> Option<usize> {
        let parent = self.parent(bar)?;
        let full = |used: usize, room: usize| used >= room;
        let lacks = full(self.regions.elements().len(), self.regions.room())
            || full(parent.claims.elements().len(), parent.claims.room())
            || full(parent.slots.elements().len(), parent.slots.room());
        let most = self.regions.elements().len();
        lacks.then(|| most.saturating_mul(2).max(8))
    }

    /// Moves the entries for `bar` into `room` and returns the storage that they were in, to be
    /// freed outside the lock. An array that is too small to help is returned as it came.
    pub(crate) fn move_into(&mut self, bar: Bar, room: Room<S>) -> Room<S> {
        let Some(parent) = self.parents.get_mut(bar.index()) else {
            return room;
        };
        Room {
            regions: exchange(&mut self.regions, room.regions),
            claims: exchange(&mut parent.claims, room.claims),
            slots: exchange(&mut parent.slots, room.slots),
        }
    }

    /// Makes sure that the subregion of `plan`, which was made from the table as it is now, can be
    /// entered. When there is no room, or the table is not as it was, gives the plan back.
    pub(crate) fn admit(&mut self, plan: Plan) -> Result<Admission<'_, S>, Plan> {
        let Subregion { bar, span, .. } = plan.region;
        // Ids tell what was entered since, places what was removed.
        let stale = plan.id().0 != self.next
            || plan.at != self.place(bar, span)
            || self.window(bar) != Attribute::Noncached;
        if stale || self.lacks_room(bar).is_some() {
            return Err(plan);
        }
        // INVARIANT: These are the checks.
        Ok(Admission { table: self, plan })
    }

    /// Takes the subregion `id` out, if it exists. Its id and its slot stay used.
    pub(crate) fn remove(&mut self, id: RegionId) -> Option<Subregion> {
        self.get(id)?;
        let region = self.regions.remove(self.position(id))?;
        let parent = self.parents.get_mut(region.bar.index())?;
        let claims = parent.claims.elements();
        let at = claims.partition_point(|claim| claim.span.start() < region.span.start());
        parent.claims.remove(at);
        let slots = parent.slots.elements();
        let at = slots.partition_point(|slot| slot.start < region.slot.start());
        parent.slots.remove(at);
        Some(region)
    }
}

/// A subregion that the table has room for.
///
/// # Invariants
///
/// Each array of `table` that `plan` adds to is not full, and `plan` is of the table as it is.
pub(crate) struct Admission<'a, S: Stores> {
    table: &'a mut Table<S>,
    plan: Plan,
}

impl<S: Stores> Admission<'_, S> {
    /// Enters the subregion.
    pub(crate) fn enter(self) {
        let Plan { region, at } = self.plan;
        let Some(parent) = self.table.parents.get_mut(region.bar.index()) else {
            return;
        };
        let claim = Claim {
            span: region.span,
            id: region.id,
        };
        let slot = Slot {
            start: region.slot.start(),
            id: region.id,
        };
        // The type's invariant: none of these fails.
        let _ = parent.claims.insert(at, claim);
        let _ = parent.slots.insert(parent.slots.elements().len(), slot);
        let last = self.table.regions.elements().len();
        let _ = self.table.regions.insert(last, region);
        parent.cursor = region.slot.end();
        self.table.next = region.id.0.saturating_add(1);
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[path = "table_tests.rs"]
mod tests;
