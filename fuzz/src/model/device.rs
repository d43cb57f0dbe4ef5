// SPDX-License-Identifier: GPL-2.0

//! The subregions of an open device, and what its ioctls answer.

use super::facts::{overlap, Attribute, Facts, Mem, Place, LARGE, LIMIT, REGIONS, SLOTS};
use libc::{E2BIG, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP, EOVERFLOW, EPERM};
use std::ops::Range;
use std::sync::Arc;

/// The longest structure that is taken.
const LONGEST: u32 = 4096;

/// Where the structure of an ioctl lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In ordinary memory.
    Good,
    /// Nowhere.
    Null,
    /// Its last bytes are on a page that cannot be accessed.
    Cut,
    /// In memory that cannot be written.
    ReadOnly,
}

/// What the structures of this driver's ioctls have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it lies.
    pub place: Where,
    /// The length that is given for it.
    pub argsz: u32,
    /// The flags.
    pub flags: u32,
    /// What is to be zero.
    pub reserved: u32,
    /// Whether the byte behind the structure is not zero.
    pub tail: bool,
}

impl Frame {
    /// Returns the errno that a structure of `size` bytes is refused with.
    fn check(&self, size: u32) -> Result<(), i32> {
        if matches!(self.place, Where::Null | Where::Cut) {
            return Err(EFAULT);
        }
        if self.argsz < size {
            return Err(EINVAL);
        }
        if self.argsz > LONGEST || (self.tail && self.argsz > size) {
            return Err(E2BIG);
        }
        if self.flags != 0 || self.reserved != 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    fn can_answer(&self) -> Result<(), i32> {
        if self.place == Where::ReadOnly {
            return Err(EFAULT);
        }
        Ok(())
    }
}

/// The lengths of the structures.
pub mod size {
    /// `struct vfio_subregion_create`
    pub const CREATE: u32 = 56;
    /// `struct vfio_subregion_destroy`
    pub const DESTROY: u32 = 16;
    /// `struct vfio_subregion_query`
    pub const QUERY: u32 = 40;
    /// `struct vfio_region_set_attr`
    pub const SET_ATTR: u32 = 24;
}

/// A subregion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The BAR that it is a part of.
    pub bar: usize,
    /// Which bytes of the BAR it is.
    pub span: Range<u64>,
    /// Its attribute.
    pub attribute: Attribute,
    /// Where its first byte is in the device file.
    pub offset: u64,
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
    /// Where it writes.
    pub at: u64,
    /// How many bytes.
    pub count: u32,
    /// What.
    pub data: u64,
    /// The number of the eventfd.
    pub eventfd: usize,
}

/// A device from its first open to its last close.
#[derive(Clone, Debug)]
pub struct Device {
    facts: Arc<Facts>,
    /// All subregions that there are or were, in the order of their indices.
    pub regions: Vec<Option<Region>>,
    /// The slots that were ever given out.
    slots: Vec<Range<u64>>,
    /// The attribute of each BAR's own window.
    pub windows: [Attribute; 6],
    /// Whether the command register has Memory Space on.
    pub memory: bool,
    /// Whether the device is in D3hot.
    pub d3: bool,
    /// Whether the user has put it into low power.
    pub low_power: bool,
    /// The ioeventfds.
    pub events: Vec<IoEvent>,
}

/// The parts of a request for a subregion that are about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The index of the BAR.
    pub parent: u32,
    /// The attribute's number.
    pub attribute: u32,
    /// The first byte within the BAR.
    pub offset: u64,
    /// The length.
    pub size: u64,
}

impl Device {
    /// Returns a device that was just opened.
    #[must_use]
    pub fn new(facts: Arc<Facts>) -> Self {
        Self {
            facts,
            regions: Vec::new(),
            slots: Vec::new(),
            windows: [Attribute::Noncached; 6],
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
    /// With more subregions than there are indices.
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

    /// Returns the subregions that exist, with their indices.
    pub fn live(&self) -> impl Iterator<Item = (u32, &Region)> {
        (REGIONS..)
            .zip(&self.regions)
            .filter_map(|(index, region)| Some((index, region.as_ref()?)))
    }

    /// Returns the subregions of a BAR by their offsets.
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

    /// Returns the subregion whose slot has all of `offsets`.
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

    /// Returns whether a touch finds the memory.
    #[must_use]
    pub fn can_fault(&self) -> bool {
        self.is_decoded() && !self.low_power
    }

    /// Returns whether the driver holds the BAR in segments.
    #[must_use]
    pub fn is_taken(&self, bar: usize) -> bool {
        let combines =
            |(_, region): (u32, &Region)| region.bar == bar && region.attribute.combines();
        self.windows[bar].combines() || self.live().any(combines)
    }

    /// Returns the byte of the BAR that is at `offset` of the file, and the type that entries have there,
    /// if a touch may find all of `len` bytes.
    #[must_use]
    pub fn extent(&self, offset: u64, len: u64) -> Option<(usize, u64, Mem)> {
        match Place::of(offset) {
            Place::Bar(bar, at) => {
                let span = at..at + len;
                let free = self.claimed(bar, &span).is_none();
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

    fn parent(&self, index: u32) -> Result<usize, i32> {
        let number = usize::try_from(index).map_err(|_| EINVAL)?;
        let bar = self.facts.bars.get(number).ok_or(EINVAL)?;
        if !bar.is_parent(self.facts.page) {
            return Err(EINVAL);
        }
        if bar.len > SLOTS {
            return Err(EOPNOTSUPP);
        }
        Ok(number)
    }

    /// Returns whether write combining in the BAR is kept away by an ioeventfd.
    fn is_in_use(&self, bar: usize) -> bool {
        !self.is_taken(bar) && !self.events.is_empty()
    }

    /// Says what `VFIO_SUBREGION_CREATE` answers: the subregion without its offset, or an errno and the
    /// index of the one in the way.
    pub fn create(&self, frame: &Frame, request: &Request) -> Result<Region, (i32, Option<u32>)> {
        let plain = |errno| (errno, None);
        frame.check(size::CREATE).map_err(plain)?;
        let attribute = Attribute::of(request.attribute).ok_or(plain(EINVAL))?;
        let page = self.facts.page;
        if request.parent >= 6
            || request.size == 0
            || request.offset % page != 0
            || request.size % page != 0
        {
            return Err(plain(EINVAL));
        }
        let end = request.offset.checked_add(request.size);
        let span = request.offset..end.ok_or(plain(EOVERFLOW))?;
        let bar = self.parent(request.parent).map_err(plain)?;
        let facts = &self.facts.bars[bar];
        if span.end > facts.len {
            return Err(plain(EINVAL));
        }
        let msix = facts.msix.start / page * page..facts.msix.end.next_multiple_of(page);
        if attribute.combines() && overlap(&msix, &span) && !facts.msix.is_empty() {
            return Err(plain(EPERM));
        }
        if let Some(index) = self.claimed(bar, &span) {
            frame.can_answer().map_err(plain)?;
            return Err((EEXIST, Some(index)));
        }
        if self.windows[bar] != Attribute::Noncached {
            return Err(plain(EBUSY));
        }
        if self.live().count() >= usize::try_from(LIMIT).unwrap_or(0) {
            return Err(plain(ENOSPC));
        }
        if attribute.combines() && self.is_in_use(bar) {
            return Err(plain(EBUSY));
        }
        frame.can_answer().map_err(plain)?;
        Ok(Region {
            bar,
            span,
            attribute,
            offset: 0,
        })
    }

    /// Enters a subregion that was created; says what is wrong with the offset that it was given.
    pub fn enter(&mut self, region: Region) -> Result<(), String> {
        let slot = region.slot();
        let start = super::facts::window(region.bar, SLOTS);
        if slot.start < start || slot.end > start + SLOTS {
            return Err(format!("offset {:#x} is outside of the slots", slot.start));
        }
        if let Some(other) = self.slots.iter().find(|other| overlap(other, &slot)) {
            return Err(format!(
                "offset {:#x} was given out before, as {other:x?}",
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
        self.slots.push(slot);
        self.regions.push(Some(region));
        Ok(())
    }

    /// Says what `VFIO_SUBREGION_DESTROY` answers.
    pub fn destroy(&self, frame: &Frame, index: u32) -> Result<&Region, i32> {
        frame.check(size::DESTROY)?;
        self.region(index).ok_or(ENOENT)
    }

    /// Takes a subregion out.
    pub fn remove(&mut self, index: u32) -> Option<Region> {
        let number = usize::try_from(index.checked_sub(REGIONS)?).ok()?;
        self.regions.get_mut(number)?.take()
    }

    /// Says what `VFIO_SUBREGION_QUERY` answers: a bit for each attribute.
    pub fn query(&self, frame: &Frame, index: u32) -> Result<u32, i32> {
        frame.check(size::QUERY)?;
        let attributes = if index < 6 {
            match self.parent(index) {
                Ok(bar) if self.windows[bar] != Attribute::Noncached => 0,
                Ok(bar) if self.is_in_use(bar) => 0b1011,
                Ok(_) => 0b1111,
                Err(_) => 0,
            }
        } else {
            let region = self.region(index).ok_or(EINVAL)?;
            1 << region.attribute as u32
        };
        frame.can_answer()?;
        Ok(attributes)
    }

    /// Says what `VFIO_REGION_SET_ATTR` answers; `mapped` is whether a BAR's own window is mapped.
    pub fn set_attr(
        &self,
        frame: &Frame,
        index: u32,
        attribute: u32,
        mapped: impl Fn(usize) -> bool,
    ) -> Result<(usize, Attribute), i32> {
        frame.check(size::SET_ATTR)?;
        let attribute = Attribute::of(attribute).ok_or(EINVAL)?;
        let bar = self.parent(index)?;
        if attribute.combines() && !self.facts.bars[bar].msix.is_empty() {
            return Err(EPERM);
        }
        let before = self.windows[bar];
        if before == attribute {
            frame.can_answer()?;
            return Ok((bar, attribute));
        }
        let is_claimed = self.live().any(|(_, region)| region.bar == bar);
        if is_claimed || mapped(bar) {
            return Err(EBUSY);
        }
        let in_use = attribute.combines() && self.is_in_use(bar);
        if before == Attribute::Noncached && in_use {
            return Err(EBUSY);
        }
        frame.can_answer()?;
        if in_use {
            return Err(EBUSY);
        }
        Ok((bar, attribute))
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
