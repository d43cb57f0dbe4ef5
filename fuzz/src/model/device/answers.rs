// SPDX-License-Identifier: GPL-2.0-only

//! The results of this driver's ioctls, after the driver has checked for strays.

use super::super::export::Exported;
use super::super::facts::{overlap, Attribute, LIMIT, SLOTS};
use super::{busy, size, Device, Frame, Region, Request, SHARED};
use libc::{
    EBUSY, EEXIST, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP, EOVERFLOW, EPERM, O_CLOEXEC, O_RDWR,
};
use std::ops::Range;

/// The subregion that a request returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// A new subregion, without its offset.
    New(Region),
    /// The existing subregion with this index.
    Shared(u32),
}

impl Device {
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

    /// Returns whether an ioeventfd writes to a byte of `span`, and so keeps the type of its page.
    fn has_event(&self, bar: usize, span: &Range<u64>) -> bool {
        let mut events = self.events.iter().filter(|event| event.bar == bar);
        events.any(|event| overlap(&(event.at..event.at + u64::from(event.count)), span))
    }

    /// Returns whether pages with `attribute` have another type than the rest of the BAR.
    fn differs(&self, bar: usize, attribute: Attribute) -> bool {
        attribute.combines() != self.windows[bar].combines()
    }

    /// Returns the result of `VFIO_SUBREGION_CREATE`: a subregion, or an errno and the index of the
    /// conflicting subregion or the reason for EBUSY.
    pub fn create(&self, frame: &Frame, request: &Request) -> Result<Created, (i32, Option<u32>)> {
        let plain = |errno| (errno, None);
        let busy = |busy| {
            frame
                .can_answer()
                .map_or_else(plain, |()| (EBUSY, Some(busy)))
        };
        let shared = frame.flags & SHARED != 0;
        let known = Frame {
            flags: frame.flags & !SHARED,
            ..*frame
        };
        known.check(size::CREATE).map_err(plain)?;
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
            return match self.region(index) {
                Some(region)
                    if shared
                        && region.shares != 0
                        && (&region.span, region.attribute) == (&span, attribute) =>
                {
                    Ok(Created::Shared(index))
                }
                _ => Err((EEXIST, Some(index))),
            };
        }
        if self.keeps(bar, &span) {
            return Err(busy(busy::STRAY));
        }
        if self.live().count() >= usize::try_from(LIMIT).unwrap_or(0) {
            return Err(plain(ENOSPC));
        }
        if self.differs(bar, attribute) && self.has_event(bar, &span) {
            return Err(busy(busy::IOEVENTFD));
        }
        frame.can_answer().map_err(plain)?;
        if self.is_held(bar, &span, attribute) {
            return Err(busy(busy::TYPE));
        }
        Ok(Created::New(Region {
            bar,
            span,
            attribute,
            offset: 0,
            shares: u32::from(shared),
        }))
    }

    /// Returns the result of `VFIO_SUBREGION_DESTROY`.
    pub fn destroy(&self, frame: &Frame, index: u32) -> Result<&Region, i32> {
        frame.check(size::DESTROY)?;
        let region = self.region(index).ok_or(ENOENT)?;
        let ends = region.shares < 2 && self.differs(region.bar, region.attribute);
        if ends && self.has_event(region.bar, &region.span) {
            return Err(EBUSY);
        }
        Ok(region)
    }

    /// Returns the result of `VFIO_SUBREGION_EXPORT`.
    pub fn export(&self, frame: &Frame, index: u32, flags: u32) -> Result<Exported, i32> {
        frame.check(size::EXPORT)?;
        if flags & !(O_RDWR | O_CLOEXEC) as u32 != 0 {
            return Err(EINVAL);
        }
        self.region(index).ok_or(ENOENT)?;
        frame.can_answer()?;
        Ok(Exported {
            session: self.session,
            index,
            write: flags & O_RDWR as u32 != 0,
        })
    }

    /// Returns the result of `VFIO_SUBREGION_QUERY`: a bit for each attribute.
    pub fn query(&self, frame: &Frame, index: u32) -> Result<u32, i32> {
        frame.check(size::QUERY)?;
        let attributes = if index < 6 {
            match self.parent(index) {
                Ok(bar) if self.kept(bar).contains(&(0..self.facts.bars[bar].len)) => 0,
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

    /// Returns the reasons for EBUSY that `VFIO_SUBREGION_QUERY` reports; `mapped` says whether a
    /// BAR's own window is mapped.
    pub fn busy(&self, index: u32, mapped: impl Fn(usize) -> bool) -> u32 {
        let Ok(bar) = self.parent(index) else {
            return 0;
        };
        let whole = 0..self.facts.bars[bar].len;
        let reasons = [
            (!self.claims(bar).is_empty(), busy::SUBREGION),
            (!self.kept(bar).is_empty(), busy::STRAY),
            (self.has_event(bar, &whole), busy::IOEVENTFD),
            (mapped(bar), busy::MAPPED),
        ];
        let there = reasons.iter().filter(|(there, _)| *there);
        there.fold(0, |all, (_, reason)| all | reason)
    }

    /// Returns the result of `VFIO_REGION_SET_ATTR`, or an errno and the reason for EBUSY; `mapped`
    /// says whether a BAR's own window is mapped.
    pub fn set_attr(
        &self,
        frame: &Frame,
        index: u32,
        attribute: u32,
        mapped: impl Fn(usize) -> bool,
    ) -> Result<(usize, Attribute), (i32, Option<u32>)> {
        let plain = |errno| (errno, None);
        let busy = |busy| {
            frame
                .can_answer()
                .map_or_else(plain, |()| (EBUSY, Some(busy)))
        };
        // In place of a reserved field it has one for the reason, which may hold anything.
        let frame = &Frame {
            reserved: 0,
            ..*frame
        };
        frame.check(size::SET_ATTR).map_err(plain)?;
        let attribute = Attribute::of(attribute).ok_or(plain(EINVAL))?;
        let bar = self.parent(index).map_err(plain)?;
        if attribute.combines() && !self.facts.bars[bar].msix.is_empty() {
            return Err(plain(EPERM));
        }
        let before = self.windows[bar];
        if !self.kept(bar).is_empty() {
            return Err(busy(busy::STRAY));
        }
        if before == attribute {
            frame.can_answer().map_err(plain)?;
            return Ok((bar, attribute));
        }
        let changes_type = self.differs(bar, attribute);
        if changes_type && !self.claims(bar).is_empty() {
            return Err(busy(busy::SUBREGION));
        }
        if mapped(bar) {
            return Err(busy(busy::MAPPED));
        }
        let whole = 0..self.facts.bars[bar].len;
        if changes_type && self.has_event(bar, &whole) {
            return Err(busy(busy::IOEVENTFD));
        }
        frame.can_answer().map_err(plain)?;
        if changes_type && self.is_held(bar, &whole, attribute) {
            return Err(busy(busy::TYPE));
        }
        Ok((bar, attribute))
    }
}
