// SPDX-License-Identifier: GPL-2.0

//! A BAR that the driver holds in parts, because some of it is write-combining.
//!
//! Each write-combining subregion is a part of its own; what lies between two of them, or one and an
//! end of the BAR, is a gap. On x86 the pages of either have their type because they are reserved
//! under it ([`Reservation`]), for as long as the part or the gap exists. None of that takes a mapping.
//! read() and write() do, and get one of what they touch: a few pieces of at most [`PIECE`] bytes,
//! none of which has bytes of two parts.
//!
//! A gap is left without a reservation in one case: when something that cannot fail has made it, and
//! there was no memory for one. x86 takes pages that nobody has reserved as UC-, which is what an
//! ordinary mapping has, so that alone costs no page its type. Whatever creates a subregion in such a
//! gap reserves it first, or fails.
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
            IoMap,
            Reservation, //
        },
        MemType, //
    }, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    }, //
};

/// How many bytes are mapped at most for one read() or write(), from a multiple of it on: what one
/// entry of the kernel's page tables can map.
const PIECE: u64 = 2 << 20;

/// How many pieces of a BAR stay mapped. A program that is in no hurry to map a BAR reads registers
/// in a place or two.
const PIECES: usize = 8;

/// Some bytes of a BAR that the kernel has mapped.
pub(crate) struct Piece {
    span: Span,
    map: IoMap,
}

impl Piece {
    /// Returns which bytes of the BAR these are.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns the mapping.
    pub(crate) fn map(&self) -> &IoMap {
        &self.map
    }
}

/// A write-combining part, and the gap below it.
struct Part {
    /// Keeps the type of the part, and has its length.
    held: Reservation,
    /// Keeps the type of the gap, if there is one.
    gap: Option<Reservation>,
}

/// The parts of a BAR.
///
/// # Invariants
///
/// - No two parts overlap.
/// - Each of `pieces` lies within one part or one gap, and has its type.
pub(crate) struct Segments {
    bar: Span,
    /// The parts, by where they end.
    parts: RBTree<u64, Part>,
    /// Keeps the type of the gap above all parts, if there is one.
    gap: Option<Reservation>,
    pieces: [Option<Piece>; PIECES],
    /// Which piece goes when another one comes.
    oldest: usize,
}

impl Segments {
    /// Makes the segments of a BAR of which no part is write-combining yet, and which the core still
    /// holds.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has any of it with another type than
    /// an ordinary mapping has.
    fn new(bar: Bar<'_>) -> Result<Self> {
        let whole = Span::new(0, bar.len()).map_err(|_| EINVAL)?;
        Ok(Self {
            bar: whole,
            parts: RBTree::new(),
            gap: Some(reserve(bar, whole, MemType::Noncached)?),
            pieces: [const { None }; PIECES],
            oldest: 0,
        })
    }

    /// Returns whether no part is write-combining.
    fn is_plain(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the part or the gap that has byte `at` of the BAR, and its type.
    fn extent(&self, at: u64) -> Option<(Span, MemType)> {
        let behind = self.parts.cursor_lower_bound(&at.checked_add(1)?);
        let (below, limit) = match &behind {
            Some(cursor) => {
                let (end, part) = cursor.current();
                let start = end.checked_sub(part.held.len())?;
                if start <= at {
                    return Some((Span::between(start, *end)?, MemType::WriteCombining));
                }
                (cursor.peek_prev().map(|(end, _)| *end), start)
            }
            None => {
                let last = self.parts.cursor_back();
                (last.map(|last| *last.current().0), self.bar.end())
            }
        };
        let gap = Span::between(below.unwrap_or(self.bar.start()), limit)?;
        (at < gap.end()).then_some((gap, MemType::Noncached))
    }

    /// Returns what keeps the type of `gap`.
    fn holder(&mut self, gap: Span) -> &mut Option<Reservation> {
        // The part above it, if there is one, is the first that ends behind it.
        let above = self.parts.cursor_lower_bound(&gap.end());
        let above = above.map(|above| *above.current().0);
        match above.and_then(|end| self.parts.get_mut(&end)) {
            Some(part) => &mut part.gap,
            None => &mut self.gap,
        }
    }

    /// Makes sure that the gap that has byte `at` has the type of an ordinary mapping.
    ///
    /// Fails with [`EBUSY`] when the byte is in no gap, or when something else in the kernel has any
    /// of the gap with another type.
    pub(crate) fn hold_gap(&mut self, bar: Bar<'_>, at: u64) -> Result {
        let (gap, mem) = self.extent(at).ok_or(EINVAL)?;
        if mem == MemType::WriteCombining {
            return Err(EBUSY);
        }
        let holder = self.holder(gap);
        if holder.is_none() {
            *holder = Some(reserve(bar, gap, mem)?);
        }
        Ok(())
    }

    /// Returns the piece that has byte `at`, if that is mapped.
    pub(crate) fn find(&self, at: u64) -> Option<&Piece> {
        let has = |piece: &&Piece| piece.span.start() <= at && at < piece.span.end();
        self.pieces.iter().flatten().find(has)
    }

    /// Maps a piece that has byte `at`, unless there is one.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has the memory mapped with another
    /// type.
    pub(crate) fn map(&mut self, bar: Bar<'_>, at: u64) -> Result {
        if self.find(at).is_some() {
            return Ok(());
        }
        let (extent, mem) = self.extent(at).ok_or(EINVAL)?;
        let phys = bar.phys().checked_add(at).ok_or(EINVAL)?;
        let above = PIECE.wrapping_sub(phys & PIECE.wrapping_sub(1));
        let end = at.saturating_add(above);
        let span = extent.above(end.saturating_sub(PIECE));
        let span = span.and_then(|span| span.below(end)).ok_or(EINVAL)?;
        let map = bar.ioremap(span.start(), span.len(), mem)?;
        if !map.is_of(mem) {
            return Err(EBUSY);
        }
        // INVARIANT: It is in `extent`, and of its type.
        if let Some(oldest) = self.pieces.get_mut(self.oldest) {
            *oldest = Some(Piece { span, map });
        }
        self.oldest = self.oldest.wrapping_add(1) % PIECES;
        Ok(())
    }

    /// Unmaps all that has bytes of `span`.
    fn unmap(&mut self, span: Span) {
        for piece in &mut self.pieces {
            drop(piece.take_if(|piece| piece.span.overlaps(span)));
        }
    }

    /// Makes `span`, which lies within a gap that is held, write-combining. On failure all is as it
    /// was, except that the gap may be without a reservation if there is no memory for that either.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry.
    fn combine(&mut self, bar: Bar<'_>, span: Span) -> Result {
        let (gap, mem) = self.extent(span.start()).ok_or(EINVAL)?;
        if !gap.contains(span) || mem == MemType::WriteCombining {
            return Err(EBUSY);
        }
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let holder = self.holder(gap);
        let whole = holder.as_ref().ok_or(EBUSY)?;
        // What remains of the gap is reserved while the whole of it is, so that it always was.
        let like = |rest: Option<Span>| rest.map(|rest| reserve_like(bar, rest, whole)).transpose();
        let below = like(Span::between(gap.start(), span.start()))?;
        let above = like(Span::between(span.end(), gap.end()))?;
        // These go first: a page cannot have two types.
        drop(holder.take());
        self.unmap(span);
        match reserve(bar, span, MemType::WriteCombining) {
            Ok(held) => {
                *self.holder(gap) = above;
                let part = Part { held, gap: below };
                // INVARIANT: `span` lies within a gap, and nothing of it is mapped.
                self.parts.insert(node.into_node(span.end(), part));
                Ok(())
            }
            Err(error) => {
                *self.holder(gap) = rejoin(bar, gap, [&below, &above]);
                Err(error)
            }
        }
    }

    /// Makes the write-combining part `span`, if there is one, a part of the gap between its
    /// neighbours.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry.
    fn separate(&mut self, bar: Bar<'_>, span: Span) {
        // INVARIANT: Nothing of what changes its type is mapped.
        self.unmap(span);
        let Some(Part { held, gap: below }) = self.parts.remove(&span.end()) else {
            return;
        };
        drop(held);
        let Some((gap, _)) = self.extent(span.start()) else {
            return;
        };
        let holder = self.holder(gap);
        let above = holder.take();
        *holder = rejoin(bar, gap, [&below, &above]);
    }
}

/// Reserves `gap`, of which `rest` has what is reserved, as far as there is memory for that.
fn rejoin(bar: Bar<'_>, gap: Span, rest: [&Option<Reservation>; 2]) -> Option<Reservation> {
    match rest.into_iter().flatten().next() {
        Some(part) => reserve_like(bar, gap, part).ok(),
        None => reserve(bar, gap, MemType::Noncached).ok(),
    }
}

fn reserve(bar: Bar<'_>, span: Span, mem: MemType) -> Result<Reservation> {
    bar.reserve(span.start(), span.len(), mem)
}

fn reserve_like(bar: Bar<'_>, span: Span, other: &Reservation) -> Result<Reservation> {
    bar.reserve_like(span.start(), span.len(), other)
}

/// Runs `enter`, which is to make `span` of `bar` write-combining by the function that it is given,
/// once no userspace mapping has an entry for it. On failure all is as it was.
///
/// Fails with [`EBUSY`] when an ioeventfd may use the core's mapping of the BAR, or when something
/// else in the kernel has any of the gap that `span` is in with another type.
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
    let done = match segments.hold_gap(bar, span.start()) {
        Ok(()) => enter(&mut || segments.combine(bar, span)),
        Err(error) => Err(error.into()),
    };
    restore(io, bar);
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
        Some(segments) => leave(&mut || segments.separate(bar, span)),
        None => leave(&mut || ()),
    }
    restore(io, bar);
}

/// Gives `bar` back to the core if no part of it is write-combining.
///
/// If there is no memory for that, the BAR works all the same, but cannot have ioeventfds.
fn restore(io: &mut IoExclusive<'_, Driver>, bar: Bar<'_>) {
    if io.taken(bar).is_some_and(Segments::is_plain) {
        let _ = io.give_back(bar);
    }
}
