// SPDX-License-Identifier: GPL-2.0

//! A BAR that the driver holds in parts, because some of it is write-combining.
//!
//! Each write-combining subregion is a part of its own; what lies between two of them, or one and an
//! end of the BAR, is a gap. On x86 the pages of either have their type because they are reserved
//! under it ([`Reservation`]), for as long as the part or the gap exists. None of that takes a mapping.
//! read() and write() do, and get one of what they touch ([`Pieces`]).
//!
//! A part that stops being write-combining joins the gap between its neighbours. That cannot be
//! done while somebody else has its pages mapped write-combining, or when there is no memory for
//! the reservation. It then stays apart as a *stray*, which has no type of its own: on x86 that of
//! the other mapping, or UC-. What lies beside it stays reserved as it was, no subregion can be
//! created in it, and whatever changes segments next tries again.
//!
//! The BAR's memory is reserved, so that no other driver maps these pages. The kernel itself may, for
//! a while: some devices are reset by way of their BAR 0 (drivers/pci/quirks.c). Where that meets a
//! write-combining part the mapping is refused, or write-combining too.

mod pieces;

use self::pieces::{
    Piece,
    Pieces, //
};
use crate::{
    driver::Driver,
    region::Span,
    vfio::{
        pci::{
            Bar,
            Io,
            IoExclusive,
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

/// What a part is.
enum Held {
    /// Write-combining, and reserved as that.
    Combining(Reservation),
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
            Held::Combining(held) => held.len(),
            Held::Stray(len) => *len,
        }
    }

    fn kind(&self) -> Kind {
        match self.held {
            Held::Combining(_) => Kind::Combining,
            Held::Stray(_) => Kind::Stray,
        }
    }
}

/// What a byte of the BAR lies in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gap,
    Combining,
    Stray,
}

impl Kind {
    /// Returns the type by which the kernel is to map it.
    fn mem(self) -> MemType {
        match self {
            Self::Gap | Self::Stray => MemType::Noncached,
            Self::Combining => MemType::WriteCombining,
        }
    }
}

/// The parts of a BAR.
///
/// # Invariants
///
/// - No two parts overlap.
/// - Each gap is reserved.
/// - Each of `pieces` lies within one part or one gap, and has its type.
pub(crate) struct Segments {
    bar: Span,
    /// The parts, by where they end.
    parts: RBTree<u64, Part>,
    /// Keeps the type of the gap above all parts, if there is one.
    gap: Option<Reservation>,
    /// How many of the parts are strays.
    strays: usize,
    pieces: Pieces,
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
            strays: 0,
            pieces: Pieces::default(),
        })
    }

    /// Returns whether all of the BAR is one gap.
    fn is_plain(&self) -> bool {
        self.parts.is_empty()
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
    fn holder(&mut self, gap: Span) -> &mut Option<Reservation> {
        // The part above it, if there is one, is the first that ends behind it.
        let above = self.parts.cursor_lower_bound(&gap.end());
        let above = above.map(|above| *above.current().0);
        match above.and_then(|end| self.parts.get_mut(&end)) {
            Some(part) => &mut part.gap,
            None => &mut self.gap,
        }
    }

    /// Makes sure that `span`, none of which is write-combining, lies within one gap, and so has the
    /// type of an ordinary mapping.
    ///
    /// Fails with [`EBUSY`] when any of it is in a stray that has to stay one.
    pub(crate) fn expect_gap(&mut self, bar: Bar<'_>, span: Span) -> Result {
        self.join_all(bar);
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
        // INVARIANT: It is in `extent`, and of its type.
        self.pieces.map(bar, extent, kind.mem(), at)
    }

    /// Makes `span`, which lies within a gap, write-combining; on failure it is that or a stray.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry.
    fn combine(&mut self, bar: Bar<'_>, span: Span) -> Result {
        let (gap, kind) = self.extent(span.start()).ok_or(EINVAL)?;
        if !gap.contains(span) || kind != Kind::Gap {
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
        *holder = above;
        self.pieces.unmap(span);
        let (held, done) = match reserve(bar, span, MemType::WriteCombining) {
            Ok(held) => (Held::Combining(held), Ok(())),
            Err(error) => (Held::Stray(span.len()), Err(error)),
        };
        let part = Part { held, gap: below };
        // INVARIANT: `span` lies within a gap, the rest of which is reserved, and nothing of it is
        // mapped.
        self.parts.insert(node.into_node(span.end(), part));
        if done.is_err() {
            self.strays = self.strays.saturating_add(1);
            let _ = self.join(bar, span.end());
        }
        done
    }

    /// Joins the write-combining part `span`, if there is one, to the gap between its neighbours; on
    /// failure it is a stray.
    ///
    /// The caller has seen to it that no userspace mapping of these pages has an entry.
    fn separate(&mut self, bar: Bar<'_>, span: Span) -> Result {
        let Some(part) = self.parts.get_mut(&span.end()) else {
            return Ok(());
        };
        part.held = Held::Stray(span.len());
        self.strays = self.strays.saturating_add(1);
        // INVARIANT: Nothing of what changes its type is mapped.
        self.pieces.unmap(span);
        self.join(bar, span.end())
    }

    /// Does as [`Self::separate`]; on failure the part is write-combining as it was.
    fn try_separate(&mut self, bar: Bar<'_>, span: Span) -> Result {
        let Err(error) = self.separate(bar, span) else {
            return Ok(());
        };
        let Ok(held) = reserve(bar, span, MemType::WriteCombining) else {
            // There is no memory for either, so nobody holds these pages, which makes them UC-.
            return Ok(());
        };
        if let Some(part) = self.parts.get_mut(&span.end()) {
            part.held = Held::Combining(held);
            self.strays = self.strays.saturating_sub(1);
        }
        Err(error)
    }

    /// Joins the stray that ends at `end` to the gap between its neighbours; on failure all is as it
    /// was.
    fn join(&mut self, bar: Bar<'_>, end: u64) -> Result {
        let Some(part) = self.parts.get_mut(&end) else {
            return Ok(());
        };
        let len = part.len();
        let below = part.gap.take();
        let Some(node) = self.parts.remove_node(&end) else {
            return Ok(());
        };
        let node = node.into_reservation();
        let (gap, _) = self.extent(end.saturating_sub(len)).ok_or(EINVAL)?;
        let holder = self.holder(gap);
        // Reserved while what lies on either side is, so that this always was.
        let whole = match below.as_ref().or(holder.as_ref()) {
            Some(other) => reserve_like(bar, gap, other),
            None => reserve(bar, gap, MemType::Noncached),
        };
        match whole {
            Ok(whole) => {
                *holder = Some(whole);
                self.strays = self.strays.saturating_sub(1);
                Ok(())
            }
            Err(error) => {
                let held = Held::Stray(len);
                self.parts
                    .insert(node.into_node(end, Part { held, gap: below }));
                Err(error)
            }
        }
    }

    /// Joins to gaps all strays that can be.
    fn join_all(&mut self, bar: Bar<'_>) {
        let mut end = 0u64;
        let mut left = self.strays;
        while left != 0 {
            let Some(cursor) = self.parts.cursor_lower_bound(&end) else {
                return;
            };
            let (at, part) = cursor.current();
            let (at, kind) = (*at, part.kind());
            if kind == Kind::Stray {
                let _ = self.join(bar, at);
                left = left.saturating_sub(1);
            }
            end = at.saturating_add(1);
        }
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
/// else in the kernel has any of `span`, or of a BAR that is not in segments yet, with another type.
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
    let done = match segments.expect_gap(bar, span) {
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
        Some(segments) => leave(&mut || {
            // On failure it is a stray, and tried again.
            let _ = segments.separate(bar, span);
        }),
        None => leave(&mut || ()),
    }
    restore(io, bar);
}

/// Does as [`separate`] for what must not lose its type without getting another; on failure all is
/// as it was.
///
/// Fails with [`EBUSY`] when something else in the kernel has any of `span` write-combining.
pub(crate) fn try_separate<E>(
    io: &mut IoExclusive<'_, Driver>,
    bar: Bar<'_>,
    span: Span,
    leave: impl FnOnce(&mut dyn FnMut() -> Result) -> Result<(), E>,
) -> Result<(), E> {
    let done = match io.taken_mut(bar) {
        Some(segments) => leave(&mut || segments.try_separate(bar, span)),
        None => leave(&mut || Ok(())),
    };
    restore(io, bar);
    done
}

/// Gives `bar` back to the core if no part of it is write-combining, and none a stray.
///
/// If there is no memory for that, the BAR works all the same, but cannot have ioeventfds.
fn restore(io: &mut IoExclusive<'_, Driver>, bar: Bar<'_>) {
    let Some(segments) = io.taken_mut(bar) else {
        return;
    };
    segments.join_all(bar);
    if segments.is_plain() {
        // The core's mapping is UC-, since all of the BAR is reserved as that until it is made.
        let _ = io.give_back(bar);
    }
}
