// SPDX-License-Identifier: GPL-2.0-only

//! Compares the table with a model that is a plain list of pages.
//!
//! [`Model::step`] does one operation on both and compares the results. [`Model::check`] compares
//! everything that the table's interface shows. The table may choose any valid slot, so the model
//! checks the conditions of a valid one: it lies within its window, overlaps no slot that is in use
//! or has a VMA, and agrees with the physical address modulo the size of a huge entry. This
//! file has random sequences, `exhaustive_tests.rs` all short ones.

use super::{
    super::*,
    give_room,
    storage::{
        self,
        Storage, //
    }, //
};
use crate::{
    attr::Attribute,
    span::Span,
    window::{
        BarIndex,
        Target,
        BARS,
        SLOTS_SIZE, //
    }, //
};
use core::ops::Range;
use proptest::{
    collection,
    prelude::*,
    test_runner::{
        Config,
        RngSeed,
        TestRunner, //
    }, //
};

/// An operation on a table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Create a subregion of `pages` pages from page `first` on.
    Create {
        bar: usize,
        first: usize,
        pages: usize,
    },
    /// Destroy the subregion with this number, which may not exist.
    Destroy(u32),
    /// Give a BAR an attribute.
    SetAttribute { bar: usize, attribute: Attribute },
    /// Make a stray of these pages if none is claimed; the table leaves this check to its caller.
    AddStray {
        bar: usize,
        first: usize,
        pages: usize,
    },
    /// End the stray that includes page `first`, from that page on.
    EndStray { bar: usize, first: usize },
    /// Begin a VMA at the slot that the subregion with this number has or had.
    Map(u32),
    /// End a VMA of the slot of the subregion with this number, if there is one.
    Unmap(u32),
}

/// The claim or stray that includes a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The subregion with this number.
    Subregion(u32),
    /// The stray with this number.
    Stray(u32),
}

impl Owner {
    /// Returns the kind of claim that the table must report for such a page.
    fn claim_kind(self) -> ClaimKind {
        match self {
            Self::Subregion(number) => ClaimKind::Subregion(RegionId::new(number)),
            Self::Stray(_) => ClaimKind::Stray,
        }
    }
}

/// The expected content of a table, page by page.
pub(super) struct Model {
    /// The size of a page in bytes.
    page: u64,
    /// The physical address of each BAR.
    phys: u64,
    /// The claim or stray of each page of each BAR.
    owners: [Vec<Option<Owner>>; BARS],
    /// The attribute of each BAR.
    attributes: [Attribute; BARS],
    /// Every subregion ever created, by number, and whether it still exists.
    all: Vec<(Subregion, bool)>,
    /// The number of VMAs of each of these.
    vmas: Vec<u64>,
    /// The number of strays ever made.
    strays: u32,
}

fn bar_at(index: usize) -> BarIndex {
    BarIndex::new(index as u64).unwrap()
}

/// Returns the attribute of the subregion `number`, so that the tests use each attribute and find a
/// subregion with a wrong one.
fn attribute_of(number: usize) -> Attribute {
    match number % 4 {
        0 => Attribute::WriteCombining,
        1 => Attribute::Device,
        2 => Attribute::GuestAny,
        _ => Attribute::Noncached,
    }
}

/// Returns the size of the largest huge entry that fits into `len` bytes, or 1.
fn huge(len: u64) -> u64 {
    match len {
        len if len >= 1 << 30 => 1 << 30,
        len if len >= 2 << 20 => 2 << 20,
        _ => 1,
    }
}

impl Model {
    /// Makes the model of an empty table. The BARs have `pages` pages and begin at the address
    /// `phys`.
    pub(super) fn new(pages: usize, page: u64, phys: u64) -> Self {
        Self {
            page,
            phys,
            owners: core::array::from_fn(|_| vec![None; pages]),
            attributes: [Attribute::Noncached; BARS],
            all: Vec::new(),
            vmas: Vec::new(),
            strays: 0,
        }
    }

    /// Does `op` on `table` and on the model.
    pub(super) fn step(&mut self, table: &mut Table<Storage>, op: Op) {
        match op {
            Op::Create { bar, first, pages } => self.create(table, bar, first, pages),
            Op::Destroy(number) => self.destroy(table, number),
            Op::SetAttribute { bar, attribute } => {
                table.set_attribute(bar_at(bar), attribute);
                self.attributes[bar] = attribute;
            }
            Op::AddStray { bar, first, pages } => self.add_stray(table, bar, first..first + pages),
            Op::EndStray { bar, first } => self.end_stray(table, bar, first),
            Op::Map(number) => self.map(table, number),
            Op::Unmap(number) => self.unmap(table, number),
        }
    }

    fn map(&mut self, table: &mut Table<Storage>, number: u32) {
        let Some((region, _)) = self.all.get(number as usize).copied() else {
            return;
        };
        let at = slot(&region).start();
        let of = self
            .used()
            .find(|(_, bar, slot)| *bar == region.bar() && slot.start() <= at && at < slot.end());
        let of = of.map(|(number, ..)| number);
        assert_eq!(table.add_vma(region.bar(), at), of.is_some());
        if let Some(of) = of {
            self.vmas[of] += 1;
        }
    }

    fn unmap(&mut self, table: &mut Table<Storage>, number: u32) {
        let number = number as usize;
        let Some((region, live)) = self.all.get(number).copied() else {
            return;
        };
        if self.vmas[number] == 0 {
            return;
        }
        self.vmas[number] -= 1;
        let is_free = !live && self.vmas[number] == 0;
        let memory = table.remove_vma(region.bar(), slot(&region).start());
        assert_eq!(memory.is_some(), is_free);
    }

    /// Returns the slots that cannot be given to another subregion.
    fn used(&self) -> impl Iterator<Item = (usize, BarIndex, Span)> + '_ {
        let all = self.all.iter().enumerate();
        let used = all.filter(|(number, (_, live))| *live || self.vmas[*number] != 0);
        used.map(|(number, (region, _))| (number, region.bar(), slot(region)))
    }

    /// Returns the bytes of the pages in `range`.
    fn span(&self, range: &Range<usize>) -> Span {
        Span::new(
            range.start as u64 * self.page,
            range.len() as u64 * self.page,
        )
        .unwrap()
    }

    fn add_stray(&mut self, table: &mut Table<Storage>, index: usize, range: Range<usize>) {
        let span = self.span(&range);
        let owner = self.owners[index][range.clone()].iter().find_map(|o| *o);
        assert_eq!(
            table.claim_kind(bar_at(index), span),
            owner.map(Owner::claim_kind)
        );
        if owner.is_none() {
            table.add_stray(bar_at(index), span, storage::memory());
            self.owners[index][range].fill(Some(Owner::Stray(self.strays)));
            self.strays += 1;
        }
    }

    fn end_stray(&mut self, table: &mut Table<Storage>, index: usize, first: usize) {
        let (bar, owners) = (bar_at(index), &mut self.owners[index]);
        let at = first as u64 * self.page;
        let owner = owners[first].filter(|owner| matches!(owner, Owner::Stray(_)));
        assert_eq!(table.stray_at(bar, at).is_some(), owner.is_some());
        let Some(owner) = owner else {
            let split = table.split_stray(bar, at, storage::memory());
            return assert!(split.is_err());
        };
        let pages = owners[first..].iter().take_while(|o| **o == Some(owner));
        let range = first..first + pages.count();
        let has_below = first > 0 && owners[first - 1] == Some(owner);
        assert_eq!(
            table.split_stray(bar, at, storage::memory()).is_ok(),
            has_below
        );
        owners[range.clone()].fill(None);
        assert!(table.remove_stray(bar, self.span(&range)).is_some());
    }

    fn create(&mut self, table: &mut Table<Storage>, index: usize, first: usize, pages: usize) {
        let range = first..first + pages;
        let bar = bar_at(index);
        let span = Span::new(first as u64 * self.page, pages as u64 * self.page).unwrap();
        let number = self.all.len();
        let attribute = attribute_of(number);
        let mut owners = self.owners[index][range.clone()].iter().flatten();
        let owner = owners.clone().next();
        let region = owners.find_map(|owner| match owner {
            Owner::Subregion(number) => Some(*number),
            Owner::Stray(_) => None,
        });

        let plan = match (table.plan(bar, span, attribute, self.phys), owner) {
            (Err(Refusal::Overlap(id)), Some(_)) => return assert_eq!(Some(id.number()), region),
            (Err(Refusal::Busy(Busy::Stray)), Some(_)) => return assert_eq!(region, None),
            (outcome, Some(owner)) => panic!("{outcome:?}, but {owner:?} has the page"),
            (Err(Refusal::Limit), None) => return assert!(self.is_full(bar, span)),
            (Err(refusal), None) => panic!("{refusal:?}, but the pages are free"),
            (Ok(plan), None) => plan,
        };
        assert_eq!(plan.id().number() as usize, number);
        let region = *plan.region();
        assert_eq!(
            (region.bar(), region.span(), region.attribute()),
            (bar, span, attribute)
        );
        self.expect_sound_slot(&region);

        if let Some(entries) = table.lacks_room(bar) {
            let live = self.all.iter().filter(|(r, live)| *live && r.bar() == bar);
            // Removed subregions do not increase the capacity.
            assert_eq!(entries, 8.max(2 * live.count()));
            give_room(table, bar, entries);
        }
        assert_eq!(table.lacks_room(bar), None);
        let admission = table.admit(plan).unwrap();
        admission.enter(storage::memory(), storage::slot_memory());
        self.owners[index][range].fill(Some(Owner::Subregion(number as u32)));
        self.all.push((region, true));
        self.vmas.push(0);
    }

    fn destroy(&mut self, table: &mut Table<Storage>, number: u32) {
        let region = self.all.get_mut(number as usize);
        let expected = region.and_then(|(region, live)| core::mem::take(live).then_some(*region));
        let removed = table.remove(RegionId::new(number));
        if let Some(removed) = &removed {
            assert!(removed.claim.is_some());
            assert_eq!(removed.slot.is_some(), self.vmas[number as usize] == 0);
        }
        assert_eq!(removed.map(|removed| removed.region), expected);
        for owner in self.owners.iter_mut().flatten() {
            owner.take_if(|owner| *owner == Owner::Subregion(number));
        }
    }

    /// Returns the slots of `bar` that cannot be given to another subregion.
    fn slots(&self, bar: BarIndex) -> impl Iterator<Item = Span> + '_ {
        let of_bar = self.used().filter(move |(_, of, _)| *of == bar);
        of_bar.map(|(_, _, slot)| slot)
    }

    /// Checks the slot of a new subregion.
    fn expect_sound_slot(&self, region: &Subregion) {
        let new = slot(region);
        assert!(new.end() <= SLOTS_SIZE);
        assert!(self.slots(region.bar()).all(|old| !old.overlaps(new)));
        let physical = self.phys + region.span().start();
        assert_eq!((new.start() ^ physical) % huge(new.len()), 0);
    }

    /// Returns whether no slot for `span` fits anywhere. If one fits, one fits behind another slot
    /// or at the start of the window.
    fn is_full(&self, bar: BarIndex, span: Span) -> bool {
        let live = self.all.iter().filter(|(_, live)| *live).count();
        let huge = huge(span.len());
        let fits = |end: u64| {
            let start = end + ((self.phys + span.start()).wrapping_sub(end) & (huge - 1));
            let new = Span::new(start, span.len()).unwrap();
            new.end() <= SLOTS_SIZE && self.slots(bar).all(|used| !used.overlaps(new))
        };
        live >= LIMIT as usize || !self.slots(bar).map(Span::end).chain([0]).any(fits)
    }

    /// Checks that `table` agrees with the model, through every function that reads the table.
    pub(super) fn check(&self, table: &Table<Storage>) {
        let live = self.all.iter().filter(|(_, live)| *live);
        assert_eq!(table.len() as usize, live.count());
        assert_eq!(table.created() as usize, self.all.len());
        assert_eq!(table.get(RegionId::new(self.all.len() as u32)), None);
        for (number, (region, live)) in self.all.iter().enumerate() {
            let id = RegionId::new(number as u32);
            assert_eq!(table.get(id), live.then_some(*region));
            let place = table.find(id).map(|place| (place.bar(), place.attribute()));
            assert_eq!(place, live.then_some((region.bar(), region.attribute())));
            self.check_slot(table, region, *live);
        }
        for (index, owners) in self.owners.iter().enumerate() {
            self.check_claims(table, bar_at(index), owners);
        }
    }

    fn check_claims(&self, table: &Table<Storage>, bar: BarIndex, owners: &[Option<Owner>]) {
        assert_eq!(table.attribute(bar), self.attributes[bar.index()]);
        let claims: Vec<_> = table.claims(bar, 0).collect();
        assert!(claims.is_sorted_by(|(one, _), (next, _)| one.end() <= next.start()));
        let mut claimed = 0;
        assert_eq!(table.count(bar) as usize, claims.len());
        for (span, id) in claims {
            let region = table.get(id).unwrap();
            assert_eq!((region.bar(), region.span()), (bar, span));
            claimed += span.len() / self.page;
        }
        let by_subregion = |owner: &&Owner| matches!(owner, Owner::Subregion(_));
        let owned = owners.iter().flatten().filter(by_subregion);
        assert_eq!(claimed as usize, owned.count());
        for (page, owner) in owners.iter().enumerate() {
            for within in [0, self.page - 1] {
                let byte = Span::new(page as u64 * self.page + within, 1).unwrap();
                assert_eq!(table.claim_kind(bar, byte), owner.map(Owner::claim_kind));
            }
        }
    }

    /// Checks that the slot of `region` leads to its bytes while it exists, and to nothing
    /// afterwards.
    fn check_slot(&self, table: &Table<Storage>, region: &Subregion, live: bool) {
        let slot = slot(region);
        // The slot of a subregion that was destroyed may be that of another one.
        if !live && self.slots(region.bar()).any(|used| used.overlaps(slot)) {
            let found = table.resolve(region.bar(), slot);
            return assert!(found.is_none_or(|(_, found)| found.id() != region.id()));
        }
        let (bar, len, page) = (region.bar(), slot.len(), self.page);
        for within in [0, page - 1, len / 2, len - page, len - 1] {
            let byte = Span::new(slot.start() + within, 1).unwrap();
            let found = table.resolve(bar, byte);
            assert_eq!(
                found.map(|(span, region)| (span.start(), region)),
                live.then_some((region.span().start() + within, *region))
            );
        }
        let whole = table.resolve(bar, slot).map(|(span, _)| span);
        assert_eq!(whole, live.then_some(region.span()));
        let longer = Span::new(slot.start(), len + 1).unwrap();
        assert!(table.resolve(bar, longer).is_none());
    }
}

/// Returns the slot of `region`, which must be among the slots of its BAR.
fn slot(region: &Subregion) -> Span {
    let Target::Slot(bar, start) = Target::of(region.file_offset()) else {
        panic!("{region:?} is not among the slots");
    };
    assert_eq!(bar, region.bar());
    Span::new(start, region.span().len()).unwrap()
}

/// The number of pages of the BARs in a random run.
const PAGES: usize = 48;

/// Returns random operations on two BARs. Some of them repeat earlier ones.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let create = (prop_oneof![Just(0usize), Just(5)], 0..PAGES, 1..=8usize);
    let create = create.prop_map(|(bar, first, pages)| Op::Create {
        bar,
        first,
        pages: pages.min(PAGES - first),
    });
    let attribute = prop_oneof![3 => Just(3usize), 1 => 0..4usize].prop_map(attribute_of);
    let window = (0..BARS, attribute);
    let window = window.prop_map(|(bar, attribute)| Op::SetAttribute { bar, attribute });
    let keep = (prop_oneof![Just(0usize), Just(5)], 0..PAGES, 1..=8usize);
    let keep = keep.prop_map(|(bar, first, pages)| Op::AddStray {
        bar,
        first,
        pages: pages.min(PAGES - first),
    });
    let release = (prop_oneof![Just(0usize), Just(5)], 0..PAGES);
    let release = release.prop_map(|(bar, first)| Op::EndStray { bar, first });
    let op = prop_oneof![
        12 => create,
        6 => (0..24u32).prop_map(Op::Destroy),
        3 => (0..24u32).prop_map(Op::Map),
        3 => (0..24u32).prop_map(Op::Unmap),
        1 => window,
        2 => keep,
        6 => release,
    ];
    collection::vec(op, 0..80)
}

// contract: rules.model
#[test]
fn random_operations_leave_the_state_of_the_model() {
    // With pages of 64 GiB a run reaches the end of the window. PROPTEST_CASES and
    // PROPTEST_RNG_SEED select other runs.
    let page = prop_oneof![
        6 => Just(0x1000u64),
        2 => Just(0x10000),
        2 => Just(1 << 20),
        2 => Just(512 << 20),
        2 => Just(64 << 30),
    ];
    let phys = prop_oneof![Just(0u64), Just(0xe000_0000), Just(0x38_0010_3000)];
    let mut config = Config::default();
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    config.failure_persistence = None;
    let run = |(page, phys, ops): (u64, u64, Vec<Op>)| {
        let mut table = Table::default();
        let mut model = Model::new(PAGES, page, phys);
        for op in ops {
            model.step(&mut table, op);
            model.check(&table);
        }
        Ok(())
    };
    TestRunner::new(config)
        .run(&(page, phys, ops()), run)
        .unwrap();
}
