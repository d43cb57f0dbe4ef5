// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the table. The examples in this file run on the host and in KUnit; the model and the
//! exhaustive tests (`model_tests.rs`, `exhaustive_tests.rs`) run on the host only.

use super::{
    BarIndex,
    Table, //
};

#[cfg(test)]
#[path = "exhaustive_tests.rs"]
mod exhaustive;
#[cfg(test)]
#[path = "model_tests.rs"]
mod model;

#[path = "store_tests.rs"]
mod storage;

/// Moves the subregions of `bar` to an array with the capacity `room`.
fn give_room(table: &mut Table<storage::Storage>, bar: BarIndex, room: usize) {
    let moved = table.moved_to(bar, storage::entries(room));
    table.adopt(moved);
}

#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(subregion_table))]
mod cases {
    use super::{
        super::{
            super::window::{
                Target,
                SLOTS_SIZE, //
            },
            *, //
        },
        give_room,
        storage::{
            entries,
            memory,
            slot_memory,
            Storage, //
        }, //
    };

    const PAGE: u64 = 0x1000;
    const PHYS: u64 = 0x38_0000_0000;

    fn bar(index: u64) -> BarIndex {
        BarIndex::new(index).unwrap()
    }

    fn span(offset: u64, size: u64) -> Span {
        Span::new(offset, size).unwrap()
    }

    fn enter(table: &mut Table<Storage>, plan: Plan) -> Result<(), Plan> {
        let admission = table.admit(plan)?;
        admission.enter(memory(), slot_memory());
        Ok(())
    }

    fn create(
        table: &mut Table<Storage>,
        bar: BarIndex,
        span: Span,
        attribute: Attribute,
    ) -> Result<RegionId, Refusal> {
        let plan = table.plan(bar, span, attribute, PHYS)?;
        let id = plan.id();
        if let Some(entries) = table.lacks_room(bar) {
            give_room(table, bar, entries);
        }
        enter(table, plan).unwrap();
        Ok(id)
    }

    fn claim(table: &mut Table<Storage>, offset: u64, size: u64) -> Result<RegionId, Refusal> {
        let span = span(offset, size);
        create(table, bar(2), span, Attribute::WriteCombining)
    }

    // contract: rules.plan
    #[test]
    fn a_new_table_claims_nothing() {
        let table = Table::<Storage>::default();
        assert_eq!(table.len(), 0);
        assert_eq!(table.claim_kind(bar(0), span(0, 1 << 40)), None);
        assert_eq!(table.get(RegionId::new(0)), None);
        assert!(table.resolve(bar(0), span(0, 1)).is_none());
    }

    // contract: create.overlap
    #[test]
    fn an_overlap_names_the_first_subregion_that_it_meets() {
        let mut table = Table::default();
        let high = claim(&mut table, 0x8000, 0x2000).unwrap();
        let low = claim(&mut table, 0x2000, 0x2000).unwrap();
        let refused =
            |table: &mut Table<Storage>, offset, size| claim(table, offset, size).unwrap_err();
        assert_eq!(refused(&mut table, 0x2000, 0x2000), Refusal::Overlap(low));
        assert_eq!(refused(&mut table, 0x1000, 0x2000), Refusal::Overlap(low));
        assert_eq!(refused(&mut table, 0x3000, 0x2000), Refusal::Overlap(low));
        assert_eq!(refused(&mut table, 0, 0x10000), Refusal::Overlap(low));
        assert_eq!(refused(&mut table, 0x4000, 0x10000), Refusal::Overlap(high));
        assert_eq!(table.len(), 2);
    }

    // contract: create.touching
    #[test]
    fn touching_subregions_are_both_granted() {
        let mut table = Table::default();
        claim(&mut table, 0x2000, 0x1000).unwrap();
        claim(&mut table, 0x3000, 0x1000).unwrap();
        claim(&mut table, 0x1000, 0x1000).unwrap();
        assert_eq!(table.len(), 3);
    }

    // contract: create.touching
    #[test]
    fn the_same_range_of_another_bar_is_free() {
        let mut table = Table::default();
        claim(&mut table, 0, PAGE).unwrap();
        create(&mut table, bar(4), span(0, PAGE), Attribute::Device).unwrap();
        assert_eq!(table.overlapped(bar(4), span(0, 1)), Some(RegionId::new(1)));
        assert_eq!(table.overlapped(bar(3), span(0, 1)), None);
    }

    // contract: rules.plan
    #[test]
    fn a_plan_changes_nothing() {
        let mut table = Table::default();
        claim(&mut table, 0, PAGE).unwrap();
        let plan = table
            .plan(bar(2), span(PAGE, PAGE), Attribute::Device, PHYS)
            .unwrap();
        assert_eq!(plan.id(), RegionId::new(1));
        assert_eq!(table.len(), 1);
        assert_eq!(table.overlapped(bar(2), span(PAGE, PAGE)), None);
    }

    // contract: rules.plan
    #[test]
    fn without_room_a_plan_is_given_back() {
        let mut table = Table::<Storage>::default();
        let plan = table
            .plan(bar(2), span(0, PAGE), Attribute::Device, PHYS)
            .unwrap();
        let plan = enter(&mut table, plan).unwrap_err();
        assert_eq!(table.len(), 0);
        assert_eq!(table.overlapped(bar(2), span(0, PAGE)), None);
        give_room(&mut table, bar(2), 1);
        enter(&mut table, plan).unwrap();
        assert_eq!(table.len(), 1);
    }

    // contract: rules.plan
    #[test]
    fn an_outdated_plan_is_given_back() {
        let mut table = Table::<Storage>::default();
        give_room(&mut table, bar(2), 4);
        let plan = |table: &Table<Storage>| {
            table
                .plan(bar(2), span(0, PAGE), Attribute::Device, PHYS)
                .unwrap()
        };
        let (first, second) = (plan(&table), plan(&table));
        enter(&mut table, first).unwrap();
        assert!(enter(&mut table, second).is_err());
        assert_eq!(table.len(), 1);
    }

    // contract: create.slot-bytes
    #[test]
    fn a_slot_resolves_to_its_bytes_of_the_bar_and_no_others() {
        let mut table = Table::default();
        let first = claim(&mut table, 0x8000, 0x2000).unwrap();
        let second = claim(&mut table, 0x1000, 0x3000).unwrap();
        for id in [first, second] {
            let region = table.get(id).unwrap();
            let Target::Slot(bar, slot) = Target::of(region.file_offset()) else {
                panic!("the offset is in no slot");
            };
            assert_eq!(bar, region.bar());
            let size = region.span().len();
            let (found, _) = table.resolve(bar, span(slot, size)).unwrap();
            assert_eq!(found, region.span());
            let (found, _) = table.resolve(bar, span(slot + PAGE, 1)).unwrap();
            assert_eq!(found.start(), region.span().start() + PAGE);
            assert!(table.resolve(bar, span(slot, size + 1)).is_none());
            assert!(table.resolve(bar, span(slot + size, 1)).is_none() || id == first);
        }
    }

    // contract: create.limit
    #[test]
    fn the_limit_is_a_refusal() {
        let mut table = Table::default();
        for n in 0..u64::from(LIMIT) {
            claim(&mut table, n * PAGE, PAGE).unwrap();
        }
        let refused = claim(&mut table, u64::from(LIMIT) * PAGE, PAGE);
        assert_eq!(refused, Err(Refusal::Limit));
        assert_eq!(table.len(), LIMIT);
    }

    // contract: create.no-slots
    #[test]
    fn running_out_of_slots_is_a_refusal() {
        let mut table = Table::default();
        claim(&mut table, 0, SLOTS_SIZE).unwrap();
        let refused = claim(&mut table, SLOTS_SIZE, PAGE);
        assert_eq!(refused, Err(Refusal::Limit));
    }

    /// Returns a deterministic source of numbers for the test below (a linear congruential
    /// generator).
    fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) % below
        }
    }

    // contract: rules.model
    #[test]
    fn the_table_agrees_with_a_page_by_page_model() {
        const PAGES: u64 = 256;
        for seed in 0..50 {
            let mut next = numbers(seed);
            let mut table = Table::default();
            let mut model = [None; PAGES as usize];
            for _ in 0..200 {
                let first = next(PAGES);
                let pages = 1 + next(12.min(PAGES - first));
                let range = first as usize..(first + pages) as usize;
                let owner = model[range.clone()].iter().find_map(|owner| *owner);
                match (claim(&mut table, first * PAGE, pages * PAGE), owner) {
                    (Ok(id), None) => model[range].fill(Some(id)),
                    (Err(Refusal::Overlap(id)), Some(owner)) => assert_eq!(id, owner),
                    (outcome, owner) => {
                        panic!("seed {seed}: {outcome:?} but the model has {owner:?}")
                    }
                }
            }
            for (page, owner) in model.iter().enumerate() {
                let page = span(page as u64 * PAGE, PAGE);
                assert_eq!(table.overlapped(bar(2), page), *owner);
            }
            let slot = |number| {
                let region = table.get(RegionId::new(number)).unwrap();
                span(region.file_offset(), region.span().len())
            };
            for number in 1..table.len() {
                assert!(slot(number - 1).end() <= slot(number).start());
            }
        }
    }

    // contract: destroy.never-reused
    #[test]
    fn a_removed_subregion_leaves_its_pages_free_and_fresh_slots_come_first() {
        let mut table = Table::default();
        let old = claim(&mut table, 0x2000, 0x2000).unwrap();
        let beside = claim(&mut table, 0x4000, 0x1000).unwrap();
        let region = table.get(old).unwrap();
        assert_eq!(
            table.remove(old).map(|removed| removed.region),
            Some(region)
        );
        assert_eq!(table.len(), 1);
        assert_eq!(table.overlapped(bar(2), span(0, 0x4000)), None);
        assert_eq!(table.overlapped(bar(2), span(0, 0x4001)), Some(beside));
        let new = claim(&mut table, 0x2000, 0x2000).unwrap();
        assert_eq!(new, RegionId::new(2));
        assert!(table.get(old).is_none());
        assert!(table.resolve(bar(2), span(region.slot, 1)).is_none());
        assert!(table.get(new).unwrap().slot >= region.slot + region.span.len());
    }

    /// Returns the start of the slot of a new subregion of half the window.
    fn half(table: &mut Table<Storage>) -> Option<(RegionId, u64)> {
        let id = claim(table, 0, SLOTS_SIZE / 2).ok()?;
        Some((id, table.get(id)?.slot))
    }

    // contract: destroy.slots-again
    #[test]
    fn slots_are_used_again_in_their_order_when_no_fresh_one_is_left() {
        let mut table = Table::default();
        for n in 0..100 {
            let (id, slot) = half(&mut table).unwrap();
            assert_eq!(slot, n % 2 * SLOTS_SIZE / 2);
            assert_eq!(id, RegionId::new(n as u32));
            let removed = table.remove(id).unwrap();
            assert!(removed.slot.is_some());
            assert!(table.resolve(bar(2), span(slot, 1)).is_none());
        }
    }

    // contract: destroy.slots-again destroy.never-reused
    #[test]
    fn a_slot_is_not_used_again_while_a_vma_is_left() {
        let mut table = Table::default();
        let (old, first) = half(&mut table).unwrap();
        // Of two VMAs, one begins within the slot.
        assert!(table.add_vma(bar(2), first));
        assert!(table.add_vma(bar(2), first + SLOTS_SIZE / 2 - 1));
        assert!(!table.add_vma(bar(2), first + SLOTS_SIZE / 2));
        assert!(!table.add_vma(bar(3), first));
        assert!(table.remove(old).unwrap().slot.is_none());
        for _ in 0..5 {
            let (id, slot) = half(&mut table).unwrap();
            assert_eq!(slot, SLOTS_SIZE / 2);
            let other = claim(&mut table, SLOTS_SIZE / 2, SLOTS_SIZE / 2);
            assert_eq!(other, Err(Refusal::Limit));
            assert!(table.resolve(bar(2), span(first, 1)).is_none());
            table.remove(id).unwrap();
        }
        assert!(table.remove_vma(bar(2), first + 1).is_none());
        // A copy of the one that is left is counted, too.
        assert!(table.add_vma(bar(2), first));
        assert!(table.remove_vma(bar(2), first).is_none());
        let (id, slot) = half(&mut table).unwrap();
        assert_eq!(slot, SLOTS_SIZE / 2);
        table.remove(id).unwrap();
        assert!(table.remove_vma(bar(2), first).is_some());
        assert!(!table.add_vma(bar(2), first));
        let (_, slot) = half(&mut table).unwrap();
        assert_eq!(slot, first);
    }

    // contract: destroy.slots-again
    #[test]
    fn a_subregion_without_vmas_keeps_its_slot() {
        let mut table = Table::default();
        let (id, slot) = half(&mut table).unwrap();
        assert!(table.add_vma(bar(2), slot));
        assert!(table.remove_vma(bar(2), slot).is_none());
        assert_eq!(table.get(id).map(|region| region.slot), Some(slot));
        assert!(table.remove(id).unwrap().slot.is_some());
    }

    // contract: create.shared destroy.shared
    #[test]
    fn a_shared_subregion_counts_its_requests_and_an_exclusive_one_does_not() {
        let mut table = Table::<Storage>::default();
        give_room(&mut table, bar(2), 8);
        let plan = |table: &Table<Storage>, page: u64| {
            table
                .plan(bar(2), span(page * PAGE, PAGE), Attribute::Device, PHYS)
                .unwrap()
        };
        let first = plan(&table, 0).shared();
        let shared = first.id();
        enter(&mut table, first).unwrap();
        let second = plan(&table, 1);
        let exclusive = second.id();
        enter(&mut table, second).unwrap();
        assert_eq!(table.shares(exclusive), None);
        assert!(!table.unshare(exclusive));
        for count in 1..10 {
            assert_eq!(table.shares(shared), Some(count));
            table.share(shared);
        }
        // The count is part of the entry, so a larger array has it too.
        give_room(&mut table, bar(2), 16);
        for count in (1..10).rev() {
            assert!(table.unshare(shared));
            assert_eq!(table.shares(shared), Some(count));
        }
        assert!(!table.unshare(shared));
        assert!(table.remove(shared).is_some());
        assert_eq!(table.shares(shared), None);
        assert!(!table.unshare(shared));
        assert_eq!(table.len(), 1);
    }

    // contract: destroy.enoent
    #[test]
    fn an_absent_subregion_cannot_be_removed() {
        let mut table = Table::default();
        let id = claim(&mut table, 0, PAGE).unwrap();
        assert!(table.remove(RegionId::new(1)).is_none());
        assert!(table.remove(RegionId::new(u32::MAX)).is_none());
        assert!(table.remove(id).is_some());
        assert!(table.remove(id).is_none());
        assert_eq!(table.len(), 0);
        assert_eq!(table.created(), 1);
    }

    // contract: rules.plan
    #[test]
    fn a_plan_outlives_a_removal() {
        let mut table = Table::default();
        let low = claim(&mut table, 0, PAGE).unwrap();
        claim(&mut table, 9 * PAGE, PAGE).unwrap();
        let middle = span(5 * PAGE, PAGE);
        let plan = table.plan(bar(2), middle, Attribute::Device, PHYS).unwrap();
        let id = plan.id();
        table.remove(low).unwrap();
        enter(&mut table, plan).unwrap();
        assert_eq!(table.overlapped(bar(2), middle), Some(id));
        assert_eq!(table.len(), 2);
    }

    // contract: rules.storage
    #[test]
    fn a_move_omits_removed_subregions() {
        let mut table = Table::default();
        let ids: [_; 8] = core::array::from_fn(|n| claim(&mut table, n as u64 * PAGE, PAGE));
        assert_eq!(table.lacks_room(bar(2)), Some(16));
        for id in &ids[1..7] {
            table.remove(id.unwrap()).unwrap();
        }
        assert_eq!(table.lacks_room(bar(2)), Some(8));
        give_room(&mut table, bar(2), 3);
        assert_eq!(table.lacks_room(bar(2)), None);
        assert!([0, 7].iter().all(|n| table.get(ids[*n].unwrap()).is_some()));
        assert!(ids[1..7].iter().all(|id| table.get(id.unwrap()).is_none()));
        let new = claim(&mut table, 3 * PAGE, PAGE).unwrap();
        assert_eq!(new, RegionId::new(8));
        assert_eq!(table.lacks_room(bar(2)), Some(8));
    }

    // contract: rules.storage
    #[test]
    fn a_copy_of_a_table_that_changed_is_not_adopted() {
        let mut table = Table::default();
        let first = claim(&mut table, 0, PAGE).unwrap();
        let moved = table.moved_to(bar(2), entries(8));
        let second = claim(&mut table, PAGE, PAGE).unwrap();
        table.adopt(moved);
        assert!(table.get(second).is_some());
        let moved = table.moved_to(bar(2), entries(8));
        table.remove(first).unwrap();
        table.adopt(moved);
        assert!(table.get(first).is_none());
        assert!(table.resolve(bar(2), span(0, 1)).is_none());
    }

    // contract: rules.storage
    #[test]
    fn an_array_that_is_too_small_is_not_adopted() {
        let mut table = Table::default();
        let first = claim(&mut table, 0, PAGE).unwrap();
        let second = claim(&mut table, PAGE, PAGE).unwrap();
        give_room(&mut table, bar(2), 1);
        assert!(table.get(first).is_some() && table.get(second).is_some());
    }

    // contract: set-attr.subregions
    #[test]
    fn a_bar_whose_window_has_an_attribute_has_subregions_too() {
        let mut table = Table::default();
        assert_eq!(table.attribute(bar(2)), Attribute::Noncached);
        table.set_attribute(bar(2), Attribute::WriteCombining);
        assert_eq!(table.attribute(bar(2)), Attribute::WriteCombining);
        assert_eq!(table.attribute(bar(3)), Attribute::Noncached);
        let id = claim(&mut table, 0, PAGE).unwrap();
        let attribute = table.get(id).unwrap().attribute();
        table.set_attribute(bar(2), Attribute::Device);
        assert_eq!(table.get(id).unwrap().attribute(), attribute);
        assert_eq!(table.attribute(bar(2)), Attribute::Device);
    }

    // contract: stray.table
    #[test]
    fn a_stray_is_held_by_no_subregion_and_belongs_to_no_count() {
        let mut table = Table::<Storage>::default();
        table.add_stray(bar(2), span(PAGE, 2 * PAGE), memory());
        assert_eq!(
            table.claim_kind(bar(2), span(0, 2 * PAGE)),
            Some(ClaimKind::Stray)
        );
        assert_eq!(table.claim_kind(bar(2), span(0, PAGE)), None);
        assert_eq!(table.claim_kind(bar(3), span(PAGE, PAGE)), None);
        assert_eq!(table.stray_at(bar(2), PAGE), Some(span(PAGE, 2 * PAGE)));
        assert_eq!(table.stray_at(bar(2), 3 * PAGE), None);
        assert_eq!((table.len(), table.count(bar(2))), (0, 0));
        assert_eq!(table.claims(bar(2), 0).count(), 0);
    }

    // contract: stray.no-subregion
    #[test]
    fn a_subregion_over_a_stray_is_refused_and_one_beside_it_is_not() {
        let mut table = Table::default();
        table.add_stray(bar(2), span(PAGE, PAGE), memory());
        assert_eq!(
            claim(&mut table, 0, 2 * PAGE),
            Err(Refusal::Busy(Busy::Stray))
        );
        assert!(claim(&mut table, 0, PAGE).is_ok());
        assert!(claim(&mut table, 2 * PAGE, PAGE).is_ok());
    }

    // contract: stray.no-subregion
    #[test]
    fn a_subregion_behind_a_stray_is_the_reason_of_the_refusal() {
        let mut table = Table::default();
        table.add_stray(bar(2), span(0, PAGE), memory());
        let id = claim(&mut table, PAGE, PAGE).unwrap();
        assert_eq!(claim(&mut table, 0, 2 * PAGE), Err(Refusal::Overlap(id)));
    }

    // contract: stray.no-subregion
    #[test]
    fn a_plan_made_before_its_pages_became_a_stray_is_given_back() {
        let mut table = Table::<Storage>::default();
        give_room(&mut table, bar(2), 8);
        let plan = table
            .plan(bar(2), span(0, PAGE), Attribute::Device, PHYS)
            .unwrap();
        table.add_stray(bar(2), span(0, PAGE), memory());
        assert!(enter(&mut table, plan).is_err());
    }

    // contract: stray.table
    #[test]
    fn a_stray_that_was_split_is_released_part_by_part() {
        let mut table = Table::<Storage>::default();
        let whole = span(0, 4 * PAGE);
        let (low, high) = (span(0, PAGE), span(PAGE, 3 * PAGE));
        table.add_stray(bar(2), whole, memory());
        assert!(table.split_stray(bar(2), 0, memory()).is_err());
        assert!(table.split_stray(bar(2), 4 * PAGE, memory()).is_err());
        assert!(table.split_stray(bar(2), PAGE, memory()).is_ok());
        assert!(table.remove_stray(bar(2), whole).is_none());
        assert!(table.remove_stray(bar(2), low).is_some());
        assert!(table.remove_stray(bar(2), low).is_none());
        assert_eq!(table.claim_kind(bar(2), low), None);
        assert_eq!(table.stray_at(bar(2), 3 * PAGE), Some(high));
        assert!(table.remove_stray(bar(2), high).is_some());
        assert_eq!(table.claim_kind(bar(2), whole), None);
    }

    // contract: stray.table
    #[test]
    fn a_subregion_is_no_stray_to_be_released() {
        let mut table = Table::default();
        claim(&mut table, 0, PAGE).unwrap();
        assert!(table.remove_stray(bar(2), span(0, PAGE)).is_none());
        assert!(table.split_stray(bar(2), 0x800, memory()).is_err());
        assert_eq!(table.stray_at(bar(2), 0), None);
    }

    // contract: stray.table
    #[test]
    fn the_pages_of_a_removed_subregion_can_become_a_stray_by_its_memory() {
        let mut table = Table::default();
        let id = claim(&mut table, 0, PAGE).unwrap();
        let removed = table.remove(id).unwrap();
        table.add_stray(bar(2), removed.region.span(), removed.claim.unwrap());
        assert_eq!(table.stray_at(bar(2), 0), Some(span(0, PAGE)));
        assert_eq!(table.len(), 0);
    }
}
