// SPDX-License-Identifier: GPL-2.0

//! A BAR that the driver holds in parts, because some of it is write-combining.
//!
//! Each write-combining subregion is a part of its own; what lies between two of them, or one and an
//! end of the BAR, is a gap. On x86 the pages of either have their type because they are reserved
//! under it ([`Reservation`]), for as long as the part or the gap exists. None of that takes a mapping.
//! read() and write() do, and get one of what they touch ([`Pieces`]).
//!
//! A part that stops being write-combining joins the gap between its neighbours. That cannot be
//! done while somebody else has its pages mapped by another type, or when there is no memory for
//! the reservation. It then stays apart as a *stray*: pages of which the driver does not choose the
//! type. On x86 they have that of the other mapping, or UC-. A stray is found in two other ways: when a
//! device is opened while somebody has part of a BAR write-combining ([`adopt`]), and when a part
//! cannot become write-combining after all.
//!
//! No page of a stray can be mapped: it is entered in the claims of the device too, where a fault
//! looks. read() and write() reach it by the page, by whichever type it has. Whatever looks at segments
//! next tries to end all strays ([`strays`]); of one that cannot end, the pages that nobody else has
//! do.
//!
//! The BAR's memory is reserved, so that no other driver maps these pages. The kernel itself may, for
//! a while: some devices are reset by way of their BAR 0 (drivers/pci/quirks.c). Where that meets a
//! write-combining part the mapping is refused, or write-combining too.

mod change;
mod pieces;
mod strays;

pub(crate) use self::change::{
    adopt,
    is_settled,
    settle,
    settle_page,
    Change, //
};

use self::pieces::{
    Piece,
    Pieces, //
};
use crate::{
    compat::{
        MemType,
        PhysRange,
        Reservation, //
        TypeCheck,
    },
    region::{
        self,
        Span, //
    },
    vfio::pci::Bar, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    }, //
};

/// What a part is.
enum Held {
    /// Write-combining, and reserved as that.
    WriteCombining(Reservation),
    /// A stray of so many bytes.
    Stray(u64),
}

/// A part, and the gap below it.
struct Part {
    held: Held,
    /// Keeps the type of the gap, if there is one.
    gap: Option<Reservation>,
}

impl Part {
    /// Returns the length of the part in bytes.
    fn len(&self) -> u64 {
        match &self.held {
            Held::WriteCombining(held) => held.len(),
            Held::Stray(len) => *len,
        }
    }

    fn kind(&self) -> Kind {
        match self.held {
            Held::WriteCombining(_) => Kind::WriteCombining,
            Held::Stray(_) => Kind::Stray,
        }
    }
}

/// What a byte of the BAR lies in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gap,
    WriteCombining,
    Stray,
}

/// The parts of a BAR.
///
/// # Invariants
///
/// - No two parts overlap.
/// - Each gap is reserved.
/// - Each of `pieces` lies within one part or one gap, and has its type.
/// - `stray` is the length of all strays, and these are the strays of the claims of the device, as
///   soon as the memory lock is released.
pub(crate) struct Segments {
    parent: region::Bar,
    bar: Span,
    /// The parts, by where they end.
    parts: RBTree<u64, Part>,
    /// Keeps the type of the gap above all parts, if there is one.
    gap: Option<Reservation>,
    /// How many bytes the strays have.
    stray: u64,
    pieces: Pieces,
}

impl Segments {
    fn empty(bar: Bar<'_>) -> Result<Self> {
        // CAST: `usize` has at most 64 bits.
        let parent = region::Bar::new(bar.index() as u64).ok_or(EINVAL)?;
        Ok(Self {
            parent,
            bar: Span::new(0, bar.len()).map_err(|_| EINVAL)?,
            parts: RBTree::new(),
            gap: None,
            stray: 0,
            pieces: Pieces::default(),
        })
    }

    /// Makes the segments of a BAR of which no part is write-combining yet, and which the core still
    /// holds by a mapping of the ordinary type.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has any of it with another type than
    /// an ordinary mapping has.
    fn new(bar: Bar<'_>) -> Result<Self> {
        let mut segments = Self::empty(bar)?;
        segments.gap = Some(Reservation::new(
            range(bar, segments.bar)?,
            MemType::Noncached,
        )?);
        Ok(segments)
    }

    /// Makes the segments of a BAR of whose types nothing is known: all of it is one stray.
    fn unknown(bar: Bar<'_>) -> Result<Self> {
        let mut segments = Self::empty(bar)?;
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        segments.insert_stray(node, segments.bar, None);
        Ok(segments)
    }

    /// Returns whether all of the BAR is one gap.
    fn is_plain(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns whether any page is a stray.
    pub(crate) fn has_strays(&self) -> bool {
        self.stray != 0
    }

    /// Returns whether all pages are strays.
    pub(crate) fn is_stray_only(&self) -> bool {
        self.stray == self.bar.len()
    }

    /// Returns the part or the gap that has byte `at` of the BAR, and which it is.
    fn extent(&self, at: u64) -> Option<(Span, Kind)> {
        let behind = self.parts.cursor_lower_bound(&at.checked_add(1)?);
        let (below, limit) = match &behind {
            Some(cursor) => {
                let (end, part) = cursor.current();
                let start = end.checked_sub(part.len())?;
                if start <= at {
                    return Some((Span::between(start, *end)?, part.kind()));
                }
                (cursor.peek_prev().map(|(end, _)| *end), start)
            }
            None => {
                let last = self.parts.cursor_back();
                (last.map(|last| *last.current().0), self.bar.end())
            }
        };
        let gap = Span::between(below.unwrap_or(self.bar.start()), limit)?;
        (at < gap.end()).then_some((gap, Kind::Gap))
    }

    /// Returns what keeps the type of `gap`.
    fn owner(&mut self, gap: Span) -> &mut Option<Reservation> {
        // The part above it, if there is one, is the first that ends behind it.
        let above = self.parts.cursor_lower_bound(&gap.end());
        let above = above.map(|above| *above.current().0);
        match above.and_then(|end| self.parts.get_mut(&end)) {
            Some(part) => &mut part.gap,
            None => &mut self.gap,
        }
    }

    /// Fails with [`EBUSY`] unless `span` lies within one gap, and so has the type of an ordinary
    /// mapping.
    pub(crate) fn expect_gap(&self, span: Span) -> Result {
        match self.extent(span.start()) {
            Some((gap, Kind::Gap)) if gap.contains(span) => Ok(()),
            _ => Err(EBUSY),
        }
    }

    /// Returns the piece that has byte `at`, if that is mapped.
    pub(crate) fn find(&self, at: u64) -> Option<&Piece> {
        self.pieces.find(at)
    }

    /// Maps a piece that has byte `at`, unless there is one.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has the memory mapped with another
    /// type.
    pub(crate) fn map(&mut self, bar: Bar<'_>, at: u64) -> Result {
        let (extent, kind) = self.extent(at).ok_or(EINVAL)?;
        // INVARIANT: It is in `extent`, and of its type, which for a stray is any.
        match kind {
            Kind::Gap => self.pieces.map(bar, extent, MemType::Noncached, at),
            Kind::WriteCombining => self.pieces.map(bar, extent, MemType::WriteCombining, at),
            Kind::Stray => self.pieces.map_page(bar, extent, at),
        }
    }

    /// Enters the stray `span`, which is nothing yet, and what keeps the type of the gap below it.
    fn insert_stray(
        &mut self,
        node: RBTreeNodeReservation<u64, Part>,
        span: Span,
        gap: Option<Reservation>,
    ) {
        let held = Held::Stray(span.len());
        self.parts
            .insert(node.into_node(span.end(), Part { held, gap }));
        self.stray = self.stray.saturating_add(span.len());
    }

    /// Makes `span`, which lies within a gap, write-combining.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry. On failure
    /// `span` is what it was, or a stray, which is to be entered in the claims and settled.
    pub(crate) fn set_wc(&mut self, bar: Bar<'_>, span: Span) -> Result {
        let (gap, kind) = self.extent(span.start()).ok_or(EINVAL)?;
        if !gap.contains(span) || kind != Kind::Gap {
            return Err(EBUSY);
        }
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let owner = self.owner(gap);
        let whole = owner.as_ref().ok_or(EBUSY)?;
        // What remains of the gap is reserved while the whole of it is, so that it always was.
        let like = |rest: Option<Span>| {
            rest.map(|rest| Reservation::with_type_of(range(bar, rest)?, whole))
                .transpose()
        };
        let below = like(Span::between(gap.start(), span.start()))?;
        let above = like(Span::between(span.end(), gap.end()))?;
        // These go first: a page cannot have two types.
        *owner = above;
        self.pieces.unmap(span);
        // INVARIANT: `span` lies within a gap, the rest of which is reserved, and nothing of it is
        // mapped.
        self.insert_stray(node, span, below);
        self.reserve_wc(bar, span)
    }

    /// Makes the stray `span` write-combining.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has any of it with another type.
    pub(crate) fn reserve_wc(&mut self, bar: Bar<'_>, span: Span) -> Result {
        let held = Reservation::new(range(bar, span)?, MemType::WriteCombining)?;
        let part = self.parts.get_mut(&span.end()).ok_or(EINVAL)?;
        part.held = Held::WriteCombining(held);
        self.stray = self.stray.saturating_sub(span.len());
        Ok(())
    }

    /// Makes a stray of the write-combining part `span`, to be entered in the claims and settled.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry.
    pub(crate) fn clear_wc(&mut self, span: Span) {
        // INVARIANT: Nothing of what changes its type is mapped.
        self.pieces.unmap(span);
        if let Some(part) = self.parts.get_mut(&span.end()) {
            part.held = Held::Stray(span.len());
            self.stray = self.stray.saturating_add(span.len());
        }
    }

    /// Does away with the write-combining part `span`, as [`Self::clear_wc`], and joins it to the gap
    /// between its neighbours. On failure it is write-combining as it was.
    ///
    /// If there is no memory for either it is a stray, to be entered in the claims and settled, and
    /// that is no failure.
    pub(crate) fn try_clear_wc(&mut self, bar: Bar<'_>, span: Span) -> Result {
        self.clear_wc(span);
        let Err(error) = self.join(bar, span) else {
            return Ok(());
        };
        match self.reserve_wc(bar, span) {
            Ok(()) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Returns whether `span` is a stray.
    fn is_stray(&self, span: Span) -> bool {
        self.extent(span.start()) == Some((span, Kind::Stray))
    }

    /// Joins the stray `span` to the gap between its neighbours; on failure all is as it was.
    ///
    /// Fails with [`EBUSY`] when something else has any of it with another type.
    pub(crate) fn join(&mut self, bar: Bar<'_>, span: Span) -> Result {
        // What read() mapped has the other mapping's type, and would keep it.
        self.pieces.unmap(span);
        // Kept until all is reserved.
        let _look = TypeCheck::new(range(bar, span)?, MemType::Noncached)?;
        let part = self.parts.get_mut(&span.end()).ok_or(EINVAL)?;
        let below = part.gap.take();
        let node = self.parts.remove_node(&span.end()).ok_or(EINVAL)?;
        let node = node.into_reservation();
        self.stray = self.stray.saturating_sub(span.len());
        // What is neither a part nor reserved is a gap between the two beside it.
        let gap = self.extent(span.start()).map(|(gap, _)| gap);
        let whole = gap.ok_or(EINVAL).and_then(|gap| {
            // INVARIANT: All of it has been looked at, or is reserved below or above.
            let whole = Reservation::with_present_type(range(bar, gap)?)?;
            *self.owner(gap) = Some(whole);
            Ok(())
        });
        if whole.is_err() {
            self.insert_stray(node, span, below);
        }
        whole
    }
}

/// Returns the physical addresses of `span`, which is part of `bar`.
fn range(bar: Bar<'_>, span: Span) -> Result<PhysRange> {
    bar.range(span.start()..span.end())
}
