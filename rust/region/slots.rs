// SPDX-License-Identifier: GPL-2.0-only

//! The slots of a BAR.
//!
//! A VMA that maps a part of a slot must never lead to another subregion, so the VMAs of each slot
//! are counted. The slot of a removed subregion remains in use until its last VMA has ended.
//!
//! A program can also keep an offset without a VMA, and map it after the removal. Nothing can
//! detect that. The search for a free slot therefore begins at the end of the last one, and starts
//! again when the rest of the window is too small, so that offsets of small slots come again late.

use super::{
    attr::Attribute,
    span::Span,
    store::{
        Map,
        Stores, //
    },
    subregion::{
        RegionId,
        Subregion, //
    },
    window::{
        place_slot,
        BarIndex,
        SLOTS_SIZE, //
    }, //
};

/// The memory for one slot.
pub(crate) type SlotMemory<S> = <<S as Stores>::Map<Slot> as Map<Slot>>::Memory;

/// The slot of a subregion, or of one that was removed but still has VMAs. It is as long as its
/// subregion, and its end is its key. In the kernel, this fits into an allocation of 64 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The range of the subregion within the BAR.
    span: Span,
    id: RegionId,
    /// The number of VMAs that map a part of the slot. If it reaches the maximum, it stays there,
    /// and the slot is in use for ever.
    vmas: u32,
    /// The attribute, or `None` if the subregion was removed.
    attribute: Option<Attribute>,
}

impl Slot {
    /// Returns the number of VMAs that map a part of the slot.
    pub(super) fn vmas(&self) -> u32 {
        self.vmas
    }

    /// Returns the subregion of `bar` whose slot begins at `start`, or `None` if it was removed.
    pub(super) fn region(&self, bar: BarIndex, start: u64) -> Option<Subregion> {
        Some(Subregion {
            id: self.id,
            bar,
            attribute: self.attribute?,
            span: self.span,
            slot: start,
        })
    }
}

/// The slots of a BAR that are in use.
pub(super) struct Slots<S: Stores> {
    /// The key is the end of the slot.
    used: S::Map<Slot>,
    /// The end of the last new slot, where the search for the next one begins.
    cursor: u64,
    /// No slot in use has a byte from `cursor` to here, so that the search there needs no map.
    limit: u64,
}

impl<S: Stores> Default for Slots<S> {
    fn default() -> Self {
        Self {
            used: Default::default(),
            cursor: 0,
            limit: SLOTS_SIZE,
        }
    }
}

impl<S: Stores> Slots<S> {
    /// Returns the first slot that ends after `at`, with its bytes.
    fn from(&self, at: u64) -> Option<(Span, Slot)> {
        let (end, slot) = self.used.at_or_above(at.checked_add(1)?)?;
        let start = end.checked_sub(slot.span.len())?;
        Some((Span::between(start, end)?, slot))
    }

    /// Returns the slot that includes byte `at`, with its bytes, or `None`.
    pub(super) fn at(&self, at: u64) -> Option<(Span, Slot)> {
        self.from(at).filter(|(bytes, _)| bytes.start() <= at)
    }

    /// Returns the range of the BAR to which `slots` leads, and the subregion, or `None` unless all
    /// of `slots` is in the slot of one subregion that was not removed.
    // A page fault would spend 14 instructions on the call.
    #[inline(always)]
    pub(super) fn resolve(&self, bar: BarIndex, slots: Span) -> Option<(Span, Subregion)> {
        let (end, slot) = self.used.at_or_above(slots.after_start())?;
        // The slot is as long as the span, and both ends are equally far away.
        let rest = end.checked_sub(slots.start())?;
        let at = slot.span.end().checked_sub(rest)?;
        if at < slot.span.start() || rest < slots.len() {
            return None;
        }
        let start = end.wrapping_sub(slot.span.len());
        let region = slot.region(bar, start)?;
        Some((Span::new(at, slots.len()).ok()?, region))
    }

    /// Returns a free slot for `span` of a BAR at the physical address `phys`, or `None`.
    pub(super) fn free(&self, phys: u64, span: Span) -> Option<Span> {
        place_slot(self.cursor, phys, span)
            .filter(|slot| slot.end() <= self.limit)
            .or_else(|| self.free_from(self.cursor, phys, span))
            .or_else(|| self.free_from(0, phys, span))
    }

    fn free_from(&self, cursor: u64, phys: u64, span: Span) -> Option<Span> {
        let mut cursor = cursor;
        loop {
            let slot = place_slot(cursor, phys, span)?;
            match self.from(slot.start()) {
                Some((used, _)) if used.overlaps(slot) => cursor = used.end(),
                _ => return Some(slot),
            }
        }
    }

    /// Enters the slot of `region`, which must be free.
    pub(super) fn insert(&mut self, memory: SlotMemory<S>, region: &Subregion) {
        let slot = Slot {
            span: region.span,
            id: region.id,
            vmas: 0,
            attribute: Some(region.attribute),
        };
        // A slot lies within the window, so this does not saturate.
        let end = region.slot.saturating_add(region.span.len());
        if region.slot < self.cursor || end > self.limit {
            let above = self.from(end);
            self.limit = above.map_or(SLOTS_SIZE, |(above, _)| above.start());
        }
        self.used.insert(memory, end, slot);
        self.cursor = end;
    }

    /// Removes the subregion of `bar` whose slot ends at `end`, and returns it. Returns the memory
    /// of its slot too, if that is free now.
    pub(super) fn remove(
        &mut self,
        bar: BarIndex,
        end: u64,
    ) -> Option<(Subregion, Option<SlotMemory<S>>)> {
        let mut region = None;
        let memory = self.used.remove_if(end, |slot| {
            // A slot lies within the window, so this does not wrap.
            region = slot.region(bar, end.wrapping_sub(slot.span.len()));
            slot.attribute = None;
            slot.vmas == 0
        });
        Some((region?, memory))
    }

    /// Counts a VMA that maps byte `at`, and returns whether there is a slot.
    pub(super) fn add_vma(&mut self, at: u64) -> bool {
        let end = self.at(at).map(|(bytes, _)| bytes.end());
        let slot = end.and_then(|end| self.used.value_mut(end));
        slot.map(|slot| slot.vmas = slot.vmas.saturating_add(1))
            .is_some()
    }

    /// Takes back the count of a VMA that maps byte `at`. Returns the memory of the slot if that
    /// is free now.
    pub(super) fn remove_vma(&mut self, at: u64) -> Option<SlotMemory<S>> {
        let (bytes, _) = self.at(at)?;
        self.used.remove_if(bytes.end(), |slot| {
            if slot.vmas != u32::MAX {
                slot.vmas = slot.vmas.saturating_sub(1);
            }
            slot.vmas == 0 && slot.attribute.is_none()
        })
    }
}
