// SPDX-License-Identifier: GPL-2.0-only

//! The subregions of an open device.

mod answers;
mod request;

pub use self::answers::Created;
use self::request::busy;
pub use self::request::{size, Frame, Request, Where, SHARED};

use super::facts::{overlap, Attribute, Facts, Mem, Place, LARGE, REGIONS, SLOTS};
use super::strays::Strays;
use std::ops::Range;
use std::sync::Arc;

/// A subregion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The parent.
    pub bar: usize,
    /// The range in the BAR.
    pub span: Range<u64>,
    /// Its attribute.
    pub attribute: Attribute,
    /// The offset of its first byte in the device file.
    pub offset: u64,
    /// The number of requests that share it, or 0 if it cannot be shared.
    pub shares: u32,
}

impl Region {
    /// Returns its bytes in the device file.
    #[must_use]
    pub fn slot(&self) -> Range<u64> {
        self.offset..self.offset + (self.span.end - self.span.start)
    }
}

/// An eventfd that writes to a BAR when it is signalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoEvent {
    /// The BAR.
    pub bar: usize,
    /// The offset in the BAR.
    pub at: u64,
    /// The number of bytes.
    pub count: u32,
    /// The value.
    pub data: u64,
    /// The number of the eventfd.
    pub eventfd: usize,
}

/// A device, from its first open to its last close.
#[derive(Clone, Debug)]
pub struct Device {
    facts: Arc<Facts>,
    /// The number of times that the device was opened before.
    pub session: u32,
    /// All existing and destroyed subregions, in the order of their indices.
    pub regions: Vec<Option<Region>>,
    /// The attribute of each BAR's own window.
    pub windows: [Attribute; 6],
    /// The foreign mappings of its BARs.
    pub(super) strays: Strays,
    /// Whether Memory Space is enabled in the command register.
    pub memory: bool,
    /// Whether the device is in D3hot.
    pub d3: bool,
    /// Whether the user has put it into low power.
    pub low_power: bool,
    /// The ioeventfds.
    pub events: Vec<IoEvent>,
}

impl Device {
    /// Returns a newly opened device.
    #[must_use]
    pub fn new(facts: Arc<Facts>) -> Self {
        Self {
            facts,
            session: 0,
            regions: Vec::new(),
            windows: [Attribute::Noncached; 6],
            strays: Strays::default(),
            memory: true,
            d3: false,
            low_power: false,
            events: Vec::new(),
        }
    }

    /// Returns the index that the next subregion gets.
    ///
    /// # Panics
    ///
    /// If the indices are used up.
    #[must_use]
    pub fn next_index(&self) -> u32 {
        REGIONS + u32::try_from(self.regions.len()).expect("few subregions")
    }

    /// Returns the subregion with the index, if it exists.
    #[must_use]
    pub fn region(&self, index: u32) -> Option<&Region> {
        let number = usize::try_from(index.checked_sub(REGIONS)?).ok()?;
        self.regions.get(number)?.as_ref()
    }

    /// Returns the existing subregions with their indices.
    pub fn live(&self) -> impl Iterator<Item = (u32, &Region)> {
        (REGIONS..)
            .zip(&self.regions)
            .filter_map(|(index, region)| Some((index, region.as_ref()?)))
    }

    /// Returns the subregions of a BAR in the order of their offsets.
    #[must_use]
    pub fn claims(&self, bar: usize) -> Vec<(u32, &Region)> {
        let mut claims: Vec<_> = self
            .live()
            .filter(|(_, region)| region.bar == bar)
            .collect();
        claims.sort_by_key(|(_, region)| region.span.start);
        claims
    }

    /// Returns the index of the first subregion that `span` of `bar` overlaps.
    #[must_use]
    pub fn claimed(&self, bar: usize, span: &Range<u64>) -> Option<u32> {
        let claims = self.claims(bar);
        let found = claims
            .iter()
            .find(|(_, region)| overlap(&region.span, span));
        found.map(|(index, _)| *index)
    }

    /// Returns the subregion whose slot contains `offsets`.
    #[must_use]
    pub fn resolve(&self, offsets: &Range<u64>) -> Option<&Region> {
        let inside = |region: &Region| {
            let slot = region.slot();
            slot.start <= offsets.start && offsets.end <= slot.end
        };
        self.live().map(|(_, region)| region).find(|r| inside(r))
    }

    /// Returns whether the memory can be read and written at all.
    #[must_use]
    pub fn is_decoded(&self) -> bool {
        self.memory && !self.d3
    }

    /// Returns whether an access reaches the memory.
    #[must_use]
    pub fn can_fault(&self) -> bool {
        self.is_decoded() && !self.low_power
    }

    /// Returns the byte of the BAR at `offset` of the file, and the type of entries there, if an
    /// access may reach all of the `len` bytes.
    #[must_use]
    pub fn extent(&self, offset: u64, len: u64) -> Option<(usize, u64, Mem)> {
        match Place::of(offset) {
            Place::Bar(bar, at) => {
                let span = at..at + len;
                let free = self.claimed(bar, &span).is_none() && !self.keeps(bar, &span);
                let there = span.end <= self.facts.bars[bar].mappable;
                (free && there).then(|| (bar, at, self.windows[bar].mem()))
            }
            Place::Slot(bar) => {
                let region = self.resolve(&(offset..offset + len))?;
                let at = region.span.start + (offset - region.offset);
                Some((bar, at, region.attribute.mem()))
            }
            Place::Other(..) => None,
        }
    }

    /// Adds a created subregion; returns an error if its offset is wrong. `is_mapped` says whether
    /// any process maps a part of a range of offsets.
    pub fn enter(
        &mut self,
        region: Region,
        is_mapped: impl Fn(&Range<u64>) -> bool,
    ) -> Result<(), String> {
        let slot = region.slot();
        let start = super::facts::window(region.bar, SLOTS);
        if slot.start < start || slot.end > start + SLOTS {
            return Err(format!("offset {:#x} is outside of the slots", slot.start));
        }
        if let Some((index, _)) = self.live().find(|(_, other)| overlap(&other.slot(), &slot)) {
            return Err(format!(
                "offset {:#x} is used by subregion {index}",
                slot.start
            ));
        }
        if is_mapped(&slot) {
            return Err(format!(
                "offset {:#x} still has a mapping of another subregion",
                slot.start
            ));
        }
        let phys = self.facts.bars[region.bar].phys + region.span.start;
        if slot.end - slot.start >= LARGE && slot.start % LARGE != phys % LARGE {
            return Err(format!(
                "offset {:#x} does not agree with the address {phys:#x} for large entries",
                slot.start
            ));
        }
        self.regions.push(Some(region));
        Ok(())
    }

    /// Ends one of several requests that share a subregion, and returns whether there were
    /// several.
    pub fn unshare(&mut self, index: u32) -> bool {
        match self.region_mut(index) {
            Some(region) if region.shares > 1 => {
                region.shares -= 1;
                true
            }
            _ => false,
        }
    }

    /// Counts one more request that shares a subregion.
    pub fn share(&mut self, index: u32) {
        if let Some(region) = self.region_mut(index) {
            region.shares += 1;
        }
    }

    fn region_mut(&mut self, index: u32) -> Option<&mut Region> {
        let number = usize::try_from(index.checked_sub(REGIONS)?).ok()?;
        self.regions.get_mut(number)?.as_mut()
    }

    /// Removes a subregion.
    pub fn remove(&mut self, index: u32) -> Option<Region> {
        let number = usize::try_from(index.checked_sub(REGIONS)?).ok()?;
        self.regions.get_mut(number)?.take()
    }
}

#[cfg(test)]
mod tests;
