// SPDX-License-Identifier: GPL-2.0

//! A BAR that the kernel maps in parts.
//!
//! Each write-combining subregion is a part of its own, mapped write-combining for as long as it
//! exists: on x86 that mapping is what gives its pages their type. What lies between, the gaps, is
//! mapped the ordinary way as far as there is memory for that, and else once read() or write()
//! touches it. A gap that is not mapped has no type reserved, which x86 takes as UC-, the type of an
//! ordinary mapping; so a lack of memory costs no page its type.
//!
//! The BAR's memory is reserved, so that no other driver maps these pages. The kernel itself may, for
//! a while: some devices are reset by way of their BAR 0 (drivers/pci/quirks.c). Where that meets a
//! write-combining part the mapping is refused, or write-combining too.

use crate::{
    driver::Driver,
    region::Span,
    vfio::{
        pci::{
            Bar,
            Io,
            IoExclusive,
            IoMap, //
        },
        MemType, //
    }, //
};
use kernel::prelude::*;

/// A part of a BAR and its mapping.
pub(crate) struct Segment {
    span: Span,
    mem: MemType,
    map: IoMap,
}

impl Segment {
    /// Returns which bytes of the BAR these are.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns the mapping.
    pub(crate) fn map(&self) -> &IoMap {
        &self.map
    }

    /// Maps `span` of `bar` and makes sure of the type.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has the memory mapped with another
    /// type.
    fn new(bar: Bar<'_>, span: Span, mem: MemType) -> Result<Self> {
        let map = bar.ioremap(span.start(), span.len(), mem)?;
        if !map.is_of(mem) {
            return Err(EBUSY);
        }
        Ok(Self { span, mem, map })
    }

    fn is_gap(&self) -> bool {
        self.mem != MemType::WriteCombining
    }
}

/// The parts of a BAR.
///
/// # Invariants
///
/// `parts` is ordered by offset, and no two overlap. A gap among them extends to the nearest
/// write-combining part, or the end of the BAR, on either side.
pub(crate) struct Segments {
    bar: Span,
    parts: KVVec<Segment>,
}

impl Segments {
    /// Makes the segments of a BAR of which no part is write-combining yet.
    pub(crate) fn new(bar: Bar<'_>) -> Result<Self> {
        let bar = Span::new(0, bar.len()).map_err(|_| EINVAL)?;
        Ok(Self {
            bar,
            parts: KVVec::new(),
        })
    }

    /// Returns whether no part is write-combining.
    pub(crate) fn is_plain(&self) -> bool {
        self.parts.iter().all(Segment::is_gap)
    }

    /// Returns where among the parts the first one is that ends behind byte `at`.
    fn position(&self, at: u64) -> usize {
        self.parts.partition_point(|part| part.span.end() <= at)
    }

    /// Returns the mapped part that has byte `at`.
    pub(crate) fn find(&self, at: u64) -> Option<&Segment> {
        let part = self.parts.get(self.position(at))?;
        (part.span.start() <= at).then_some(part)
    }

    fn insert(&mut self, segment: Segment) -> Result {
        let at = self.position(segment.span.start());
        self.parts.reserve(1, GFP_KERNEL_ACCOUNT)?;
        self.parts
            .insert_within_capacity(at, segment)
            .map_err(|_| ENOMEM)
    }

    /// Maps the gap that has byte `at`, unless it is mapped.
    pub(crate) fn map_gap(&mut self, bar: Bar<'_>, at: u64) -> Result {
        if self.find(at).is_some() {
            return Ok(());
        }
        let gap = self.bar.gap_around(at, &self.parts, Segment::span);
        // INVARIANT: Between two gaps is a write-combining part, so all that bounds an unmapped gap
        // is such parts.
        self.insert(Segment::new(bar, gap.ok_or(EINVAL)?, MemType::Noncached)?)
    }

    /// Maps the gaps beside `span`, as far as there are any and there is memory for them.
    pub(crate) fn map_neighbours(&mut self, bar: Bar<'_>, span: Span) {
        if let Some(below) = span.start().checked_sub(1) {
            let _ = self.map_gap(bar, below);
        }
        if span.end() < self.bar.end() {
            let _ = self.map_gap(bar, span.end());
        }
    }

    /// Makes room for one more write-combining part, so that [`Segments::combine`] need not.
    pub(crate) fn reserve(&mut self) -> Result {
        Ok(self.parts.reserve(1, GFP_KERNEL_ACCOUNT)?)
    }

    /// Maps `span`, which lies within a gap, write-combining. The gap is not mapped afterwards,
    /// whether this succeeds or fails.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry.
    pub(crate) fn combine(&mut self, bar: Bar<'_>, span: Span) -> Result {
        // The gap's mapping must go first: two mappings of a page cannot have two types.
        self.unmap_gap(span.start());
        self.insert(Segment::new(bar, span, MemType::WriteCombining)?)
    }

    /// Unmaps the gap that has byte `at`, if there is one and it is mapped.
    fn unmap_gap(&mut self, at: u64) {
        if self.find(at).is_some_and(Segment::is_gap) {
            let index = self.position(at);
            drop(self.parts.remove(index));
        }
    }

    /// Unmaps the write-combining part `span`, if there is one, and the gaps beside it: they are no
    /// longer whole.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry.
    pub(crate) fn separate(&mut self, span: Span) {
        let at = self.position(span.start());
        if self.parts.get(at).is_some_and(|part| part.span == span) {
            drop(self.parts.remove(at));
        }
        self.unmap_gap(span.end());
        if let Some(below) = span.start().checked_sub(1) {
            self.unmap_gap(below);
        }
    }
}

/// Runs `enter`, which is to make `span` of `bar` write-combining by the function that it is given,
/// once no userspace mapping has an entry for it. On failure all is as it was.
///
/// Fails with [`EBUSY`] when an ioeventfd may use the core's mapping of the BAR.
pub(crate) fn combine<E: From<Error>>(
    io: &mut IoExclusive<'_, Driver>,
    bar: Bar<'_>,
    span: Span,
    enter: impl FnOnce(&mut dyn FnMut() -> Result) -> Result<(), E>,
) -> Result<(), E> {
    if io.taken(bar).is_none() {
        io.take(bar, Segments::new(bar)?)?;
    }
    let segments = io.taken_mut(bar).ok_or(EBUSY)?;
    let done = match segments.reserve() {
        Ok(()) => enter(&mut || segments.combine(bar, span)),
        Err(error) => Err(error.into()),
    };
    if done.is_err() {
        segments.separate(span);
    }
    restore(io, bar, span);
    done
}

/// Runs `leave`, which is to undo [`combine`] by the function that it is given, once no userspace
/// mapping has an entry for `span`.
pub(crate) fn separate(
    io: &mut IoExclusive<'_, Driver>,
    bar: Bar<'_>,
    span: Span,
    leave: impl FnOnce(&mut dyn FnMut()),
) {
    match io.taken_mut(bar) {
        Some(segments) => leave(&mut || segments.separate(span)),
        None => leave(&mut || ()),
    }
    restore(io, bar, span);
}

/// Gives `bar` back to the core if no part of it is write-combining, or else maps the gaps at and
/// around `span` again.
///
/// If there is no memory for that, the BAR works all the same. But while it is not given back it
/// cannot have ioeventfds.
fn restore(io: &mut IoExclusive<'_, Driver>, bar: Bar<'_>, span: Span) {
    let Some(segments) = io.taken_mut(bar) else {
        return;
    };
    if segments.is_plain() {
        let _ = io.give_back(bar);
    } else {
        let _ = segments.map_gap(bar, span.start());
        segments.map_neighbours(bar, span);
    }
}
