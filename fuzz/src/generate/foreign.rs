// SPDX-License-Identifier: GPL-2.0-only

//! Foreign mappings through sysfs.

use super::Generator;
use crate::model::{
    foreign_type, window, Device, ForeignMapping, Vma, World, BARS, FOREIGN, FOREIGN_PAGES, LARGE,
};
use crate::op::{Access, Foreign, Op};
use std::ops::Range;

impl Generator {
    /// Returns a foreign operation before the device is opened, now and then.
    pub(super) fn before_open(&mut self, world: &World) -> Option<Op> {
        if world.device.is_some() {
            return None;
        }
        let number = u32::try_from(self.rng.index(FOREIGN)).ok()?;
        let free = world.foreign[number as usize].is_none();
        if !self.others || !free || self.rng.once_in(2) {
            return None;
        }
        self.foreign_map(world, number)
    }

    pub(super) fn foreign(&mut self, world: &World, _: u32) -> Option<Op> {
        if !self.others {
            return None;
        }
        let number = u32::try_from(self.rng.index(FOREIGN)).ok()?;
        let Some(mapping) = &world.foreign[number as usize] else {
            return self.foreign_map(world, number);
        };
        if self.rng.once_in(2) {
            return Some(Op::Foreign(Foreign::Unmap(number)));
        }
        // Only if an access reaches the memory: sysfs does not check this.
        let found = world.device.as_ref().is_some_and(Device::can_fault);
        if !found || !world.facts.bars[mapping.bar].ram {
            return None;
        }
        let pages = (mapping.span.end - mapping.span.start) / world.facts.page;
        let at = self.rng.below(pages) * world.facts.page + self.rng.pick(&[0, 8, 4080]);
        let access = if self.rng.once_in(2) {
            Access::Load(8)
        } else {
            Access::Store(8, self.rng.next())
        };
        Some(Op::Foreign(Foreign::Touch { number, at, access }))
    }

    /// Returns one of the foreign mappings.
    fn any_foreign<'a>(&mut self, world: &'a World) -> Option<&'a ForeignMapping> {
        let all: Vec<_> = world.foreign.iter().flatten().collect();
        (!all.is_empty()).then(|| all[self.rng.index(all.len())])
    }

    /// Returns an access to a page of a foreign mapping, through the BAR's own window.
    pub(super) fn touch_foreign(&mut self, world: &World, who: u32) -> Option<Op> {
        let foreign = self.any_foreign(world)?;
        let pages = (foreign.span.end - foreign.span.start) / world.facts.page;
        // Or to the page behind it.
        let byte = foreign.span.start + self.rng.below(pages + 1) * world.facts.page;
        let offset = window(foreign.bar, byte);
        let mut vmas = world.process(who)?.space.vmas();
        let shows = |vma: &&Vma| {
            vma.offset <= offset && offset < vma.offset + (vma.range.end - vma.range.start)
        };
        let vma = vmas.find(shows)?;
        let at = vma.range.start + (offset - vma.offset);
        let access = if world.facts.bars[foreign.bar].ram && self.rng.once_in(2) {
            Access::Store(8, self.rng.next())
        } else {
            Access::Load(4)
        };
        Some(Op::Touch { at, access })
    }

    /// Returns the index of a subregion that overlaps a foreign mapping.
    pub(super) fn subregion_of_foreign(&mut self, world: &World) -> Option<u32> {
        let foreign = self.any_foreign(world)?;
        let device = world.device.as_ref()?;
        device.claimed(foreign.bar, &foreign.span)
    }

    /// Returns the bytes of a BAR that foreign mappings have.
    pub(super) fn foreign_spans(
        world: &World,
        bar: usize,
    ) -> impl Iterator<Item = Range<u64>> + '_ {
        let all = world.foreign.iter().flatten();
        all.filter(move |other| other.bar == bar)
            .map(|other| other.span.clone())
    }

    fn foreign_map(&mut self, world: &World, number: u32) -> Option<Op> {
        let bars: Vec<usize> = (0..BARS)
            .filter(|&bar| world.facts.bars[bar].foreign)
            .collect();
        if bars.is_empty() {
            return None;
        }
        let bar = self.rng.pick(&bars);
        let span = self.foreign_span(world, bar)?;
        let device = world.device.as_ref();
        foreign_type(device, &world.foreign, bar, &span)?;
        Some(Op::Foreign(Foreign::Map {
            number,
            bar: u32::try_from(bar).ok()?,
            at: span.start,
            len: span.end - span.start,
        }))
    }

    /// Returns a few pages of a BAR: usually of a subregion, at an end or anywhere in it.
    fn foreign_span(&mut self, world: &World, bar: usize) -> Option<Range<u64>> {
        let page = world.facts.page;
        let len = world.facts.bars[bar].mappable;
        let pages = 1 + self.rng.below(FOREIGN_PAGES);
        let claims: Vec<Range<u64>> = world.device.iter().fold(Vec::new(), |mut all, device| {
            let claims = device.claims(bar);
            all.extend(claims.iter().map(|(_, region)| region.span.clone()));
            all
        });
        let within = if claims.is_empty() || self.rng.once_in(4) {
            let start = self.rng.below(len / LARGE + 1) * LARGE;
            start.min(len)..len
        } else {
            claims[self.rng.index(claims.len())].clone()
        };
        let room = (within.end - within.start) / page;
        let pages = pages.min(room);
        let skip = match self.rng.below(4) {
            0 => room - pages,
            1 => self.rng.below(room - pages + 1),
            _ => 0,
        };
        let start = within.start + skip * page;
        (pages != 0).then(|| start..start + pages * page)
    }
}
