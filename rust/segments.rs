// SPDX-License-Identifier: GPL-2.0-only

//! The segments of a BAR that has write-combining pages or strays.
//!
//! A *segment* is a range of a BAR whose pages have one memory type and one reservation. The *rest
//! type* of the BAR is the type that its attribute gives to the pages without a subregion: strict
//! or write-combining. Each subregion of the other type is a segment. A *gap* is a segment of the
//! rest type: the range between two neighbouring other segments, or between one and an end of the
//! BAR. A subregion of the rest type is a part of a gap. On x86 a [`Reservation`] determines the
//! type of a segment, for as long as the segment exists. A reservation needs no kernel mapping.
//! Only read() and write() do, so the kernel maps the ranges that they access ([`KernelMaps`]).
//!
//! When a subregion is destroyed, its segment joins the gap between its neighbours. This fails if
//! another mapping gives the pages another type, or if the kernel has no memory for the
//! reservation. The segment then becomes a *stray*: a range whose memory type this driver cannot
//! choose. On x86 a stray has the type of the other mapping, or UC-. There are two other causes of
//! strays: other mappings have made a part of the BAR write-combining, or even write-back, before
//! the device was opened ([`divide_unless_strict`], [`divide_unmapped`]), or the conversion of a
//! range to another type fails halfway.
//!
//! Userspace cannot map a page of a stray. Strays are also recorded among the claims of the device,
//! where a fault finds them. read() and write() access a stray page by page, with the type that the
//! page has. Every operation on segments first tries to end all strays ([`strays`]). If a stray
//! cannot end, its pages that no other mapping covers leave it.
//!
//! The BAR is reserved for this driver, so no other driver maps these pages. The kernel itself may
//! map them for a short time: it resets some devices through their BAR 0 (drivers/pci/quirks.c). If
//! such a mapping includes a write-combining segment, it fails or is write-combining too
//! (TODO(bar0-reset)).

mod change;
mod kernel_maps;
mod strays;

pub(crate) use self::change::{
    divide_unless_strict,
    divide_unmapped,
    end_strays,
    try_end_stray_page,
    Change, //
};

use self::kernel_maps::{
    map_of_page,
    KernelMaps, //
};
use crate::{
    compat::{
        MemType,
        PhysRange,
        Reservation,
        TypeCheck, //
    },
    region::{
        Attribute,
        BarIndex,
        Span, //
    },
    vfio::pci::{
        Bar,
        BarMap,
        MappedBytes, //
    }, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    }, //
};

/// The content of a [`Segment`].
enum Content {
    /// A range that does not have the rest type, and its reservation.
    Other(Reservation),
    /// A stray of this length in bytes.
    Stray(u64),
}

/// A segment other than a gap, together with the gap below it.
struct Segment {
    content: Content,
    /// The reservation of the gap, or `None` if there is no gap.
    gap_below: Option<Reservation>,
}

impl Segment {
    /// Returns the length of the segment in bytes, without the gap.
    fn len(&self) -> u64 {
        match &self.content {
            Content::Other(reservation) => reservation.size(),
            Content::Stray(len) => *len,
        }
    }

    fn kind(&self) -> SegmentKind {
        match self.content {
            Content::Other(_) => SegmentKind::Other,
            Content::Stray(_) => SegmentKind::Stray,
        }
    }
}

/// The kind of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SegmentKind {
    Gap,
    Other,
    Stray,
}

/// The two memory types that the kernel distinguishes in a BAR. All strict attributes have the
/// same type for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestType {
    Strict,
    WriteCombining,
}

impl RestType {
    /// Returns the type of a BAR or a subregion with `attribute`.
    pub(crate) fn of(attribute: Attribute) -> Self {
        if attribute.is_write_combining() {
            Self::WriteCombining
        } else {
            Self::Strict
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Strict => Self::WriteCombining,
            Self::WriteCombining => Self::Strict,
        }
    }

    fn mem_type(self) -> MemType {
        match self {
            Self::Strict => MemType::Noncached,
            Self::WriteCombining => MemType::WriteCombining,
        }
    }
}

/// The segments of a BAR.
///
/// # Invariants
///
/// - No two segments overlap.
/// - Each gap is reserved with the type `rest`.
/// - Each kernel mapping in `kernel_maps` lies within one segment and has its type.
/// - `stray_len` is the total length of all strays. The claims of the device have the same strays
///   whenever the memory lock is not held.
pub(crate) struct Segments {
    parent: BarIndex,
    bar: Span,
    /// The type of the gaps.
    rest: RestType,
    /// The segments other than gaps. The key is the end of the segment.
    segments: RBTree<u64, Segment>,
    /// The reservation of the gap above all other segments, or `None` if there is no such gap.
    top_gap: Option<Reservation>,
    /// The total length of all strays in bytes.
    stray_len: u64,
    kernel_maps: KernelMaps,
}

impl Segments {
    fn empty(bar: Bar<'_>) -> Result<Self> {
        // CAST: `usize` has at most 64 bits.
        let parent = BarIndex::new(bar.index() as u64).ok_or(EINVAL)?;
        Ok(Self {
            parent,
            bar: Span::new(0, bar.size()).map_err(|_| EINVAL)?,
            rest: RestType::Strict,
            segments: RBTree::new(),
            top_gap: None,
            stray_len: 0,
            kernel_maps: KernelMaps::default(),
        })
    }

    /// Makes the segments of a BAR that has a single gap, a strict one. The core must still have a
    /// strict mapping of the BAR.
    ///
    /// Fails with [`EBUSY`] if another mapping gives a part of the BAR another type. Fails with
    /// [`ENOMEM`] if the kernel has no memory.
    fn new(bar: Bar<'_>) -> Result<Self> {
        let mut segments = Self::empty(bar)?;
        segments.top_gap = Some(Reservation::new(
            range(bar, segments.bar)?,
            MemType::Noncached,
        )?);
        Ok(segments)
    }

    /// Makes the segments of a BAR that has a single stray, because the types of its pages are
    /// unknown.
    fn all_stray(bar: Bar<'_>) -> Result<Self> {
        let mut segments = Self::empty(bar)?;
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        segments.insert_stray(node, segments.bar, None);
        Ok(segments)
    }

    /// Returns whether all pages of the BAR have the type of a strict mapping.
    fn is_strict(&self) -> bool {
        self.rest == RestType::Strict && self.segments.is_empty()
    }

    /// Returns the memory type of the pages of a segment, or `None` if other mappings determine it.
    fn mem_type(&self, kind: SegmentKind) -> Option<MemType> {
        match kind {
            SegmentKind::Gap => Some(self.rest.mem_type()),
            SegmentKind::Other => Some(self.rest.other().mem_type()),
            SegmentKind::Stray => None,
        }
    }

    /// Returns the memory type of the pages of `bytes`.
    ///
    /// Fails with [`EBUSY`] if a page is in a stray. Fails with [`EINVAL`] if `bytes` is empty or
    /// leaves the BAR, or if its first and its last page have different types.
    pub(crate) fn mem_type_of(&self, bytes: Range<u64>) -> Result<MemType> {
        let of = |at| {
            let (_, kind) = self.segment_at(at).ok_or(EINVAL)?;
            self.mem_type(kind).ok_or(EBUSY)
        };
        let first = of(bytes.start)?;
        let last = of(bytes.end.checked_sub(1).ok_or(EINVAL)?)?;
        if first != last {
            return Err(EINVAL);
        }
        Ok(first)
    }

    /// Returns whether the BAR has strays.
    pub(crate) fn has_strays(&self) -> bool {
        self.stray_len != 0
    }

    /// Returns whether all pages of the BAR are in strays.
    pub(crate) fn is_all_stray(&self) -> bool {
        self.stray_len == self.bar.len()
    }

    /// Returns the segment that includes byte `at` of the BAR, and its kind.
    fn segment_at(&self, at: u64) -> Option<(Span, SegmentKind)> {
        let above = self.segments.cursor_lower_bound(&at.checked_add(1)?);
        let (below, limit) = match &above {
            Some(cursor) => {
                let (end, segment) = cursor.current();
                let start = end.checked_sub(segment.len())?;
                if start <= at {
                    return Some((Span::between(start, *end)?, segment.kind()));
                }
                (cursor.peek_prev().map(|(end, _)| *end), start)
            }
            None => {
                let last = self.segments.cursor_back();
                (last.map(|last| *last.current().0), self.bar.end())
            }
        };
        let gap = Span::between(below.unwrap_or(self.bar.start()), limit)?;
        (at < gap.end()).then_some((gap, SegmentKind::Gap))
    }

    /// Calls `change` with the gap that includes byte `at`, and its reservation.
    ///
    /// Fails with [`EBUSY`] if the byte is not in a gap, and with the errors of `change`.
    fn change_gap<R>(
        &mut self,
        at: u64,
        change: impl FnOnce(Span, &mut Option<Reservation>) -> Result<R>,
    ) -> Result<R> {
        let after = at.checked_add(1).ok_or(EINVAL)?;
        let Some(mut above) = self.segments.cursor_lower_bound_mut(&after) else {
            let below = self.segments.cursor_back().map(|last| *last.current().0);
            let gap = Span::between(below.unwrap_or(self.bar.start()), self.bar.end());
            return change(gap.ok_or(EBUSY)?, &mut self.top_gap);
        };
        let below = above.peek_prev().map(|(end, _)| *end);
        let (end, segment) = above.current_mut();
        let start = end.checked_sub(segment.len()).ok_or(EINVAL)?;
        let gap = Span::between(below.unwrap_or(self.bar.start()), start);
        let gap = gap.filter(|gap| at < gap.end()).ok_or(EBUSY)?;
        change(gap, &mut segment.gap_below)
    }

    /// Checks that `span` lies within one gap, so that it has the rest type.
    ///
    /// Fails with [`EBUSY`] otherwise.
    pub(crate) fn expect_gap(&self, span: Span) -> Result {
        match self.segment_at(span.start()) {
            Some((gap, SegmentKind::Gap)) if gap.contains(span) => Ok(()),
            _ => Err(EBUSY),
        }
    }

    /// Returns the bytes of the BAR from `at` on that the kernel has mapped, or `None` if byte `at`
    /// has no mapping.
    #[inline]
    pub(crate) fn mapped_bytes(&self, at: u64) -> Option<MappedBytes<'_>> {
        self.kernel_maps.find(at)
    }

    /// Makes a kernel mapping that includes byte `at`, unless there is one.
    ///
    /// Fails with [`EBUSY`] if another mapping gives the memory another type. Fails with [`ENOMEM`]
    /// if the kernel has no memory.
    pub(crate) fn map_at(&mut self, bar: Bar<'_>, at: u64) -> Result {
        let (segment, kind) = self.segment_at(at).ok_or(EINVAL)?;
        // INVARIANT: The mapping lies within one segment. It has the type of the segment; in a
        // stray every page has the type that other mappings give it.
        match self.mem_type(kind) {
            Some(mem) => self.kernel_maps.map(bar, segment, mem, at),
            None => self.kernel_maps.map_page(bar, segment, at),
        }
    }

    /// Makes a kernel mapping of the page that includes byte `at`, for one access. The io lock must
    /// be held until it is dropped, because the types of pages change without it.
    ///
    /// Fails with [`EBUSY`] if another mapping gives the memory another type. Fails with [`ENOMEM`]
    /// if the kernel has no memory.
    pub(crate) fn temporary_map(&self, bar: Bar<'_>, at: u64) -> Result<BarMap> {
        let (segment, kind) = self.segment_at(at).ok_or(EINVAL)?;
        map_of_page(bar, segment, self.mem_type(kind), at)
    }

    /// Adds the segment `span` with the reservation of the gap below it.
    fn insert(
        &mut self,
        node: RBTreeNodeReservation<u64, Segment>,
        span: Span,
        content: Content,
        gap_below: Option<Reservation>,
    ) {
        let segment = Segment { content, gap_below };
        self.segments.insert(node.into_node(span.end(), segment));
    }

    /// Adds the stray `span`, which is in no segment yet, with the reservation of the gap below it.
    fn insert_stray(
        &mut self,
        node: RBTreeNodeReservation<u64, Segment>,
        span: Span,
        gap_below: Option<Reservation>,
    ) {
        self.insert(node, span, Content::Stray(span.len()), gap_below);
        self.stray_len = self.stray_len.saturating_add(span.len());
    }

    /// Makes `span`, a part of a gap, a segment that does not have the rest type.
    ///
    /// The caller must have removed all page-table entries for these pages. On failure `span` is
    /// unchanged or a stray. The caller must then pass it to [`Self::record_stray`].
    ///
    /// Fails with [`EBUSY`] if `span` is not within a gap, or if another mapping gives a part of it
    /// another type. Fails with [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn leave_gap(&mut self, bar: Bar<'_>, span: Span) -> Result {
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let below = self.change_gap(span.start(), |gap, reservation| {
            let whole = reservation.as_ref().filter(|_| gap.contains(span));
            let whole = whole.ok_or(EBUSY)?;
            // The remainders are reserved before the reservation of the whole gap ends, so they are
            // never without one.
            let like = |rest: Option<Span>| {
                rest.map(|rest| Reservation::with_type_of(range(bar, rest)?, whole))
                    .transpose()
            };
            let below = like(Span::between(gap.start(), span.start()))?;
            let above = like(Span::between(span.end(), gap.end()))?;
            // The old reservation and the kernel mappings of `span` end first, because a page
            // cannot have two types.
            *reservation = above;
            Ok(below)
        })?;
        self.kernel_maps.unmap(span);
        // INVARIANT: The remainders of the gap are reserved, and no kernel mapping overlaps `span`,
        // which becomes a segment.
        match reserve(bar, span, self.rest.other()) {
            Ok(reservation) => {
                self.insert(node, span, Content::Other(reservation), below);
                Ok(())
            }
            Err(error) => {
                self.insert_stray(node, span, below);
                Err(error)
            }
        }
    }

    /// Changes the rest type of the BAR, which must have a single gap, to `rest`.
    ///
    /// The caller must have removed all page-table entries for the BAR. On failure the BAR has its
    /// previous type. If even that fails, it is a stray. The caller must then pass the BAR to
    /// [`Self::record_stray`].
    ///
    /// Fails with [`EBUSY`] if the BAR does not have a single gap, or if another mapping gives a
    /// part of it another type. Fails with [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn set_rest(&mut self, bar: Bar<'_>, rest: RestType) -> Result {
        if !self.segments.is_empty() {
            return Err(EBUSY);
        }
        if self.rest == rest {
            return Ok(());
        }
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let whole = self.bar;
        // INVARIANT: The BAR is a stray, and no kernel mapping is left.
        self.kernel_maps.unmap(whole);
        self.top_gap = None;
        self.insert_stray(node, whole, None);
        let before = core::mem::replace(&mut self.rest, rest);
        self.join_gap(bar, whole).inspect_err(|_| {
            self.rest = before;
            let _ = self.join_gap(bar, whole);
        })
    }

    /// Returns whether `span` is a stray.
    fn is_stray(&self, span: Span) -> bool {
        self.segment_at(span.start()) == Some((span, SegmentKind::Stray))
    }

    /// Joins the segment `span`, which is not a gap, to the gap between its neighbours. On failure
    /// it is a stray.
    ///
    /// The caller must have removed all page-table entries for these pages.
    ///
    /// Fails with [`EBUSY`] if another mapping gives a part of `span` another type. Fails with
    /// [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn join_gap(&mut self, bar: Bar<'_>, span: Span) -> Result {
        // A kernel mapping for read() has the type of the other mapping, and would preserve it.
        // INVARIANT: No kernel mapping overlaps the range that changes its type.
        self.kernel_maps.unmap(span);
        let cursor = self.segments.cursor_lower_bound_mut(&span.end());
        let cursor = cursor.filter(|cursor| *cursor.current().0 == span.end());
        let mut cursor = cursor.ok_or(EINVAL)?;
        let (_, segment) = cursor.current_mut();
        if segment.kind() == SegmentKind::Other {
            segment.content = Content::Stray(span.len());
            self.stray_len = self.stray_len.saturating_add(span.len());
        }
        // This keeps the type until the whole gap is reserved.
        let _check = TypeCheck::new(range(bar, span)?, self.rest.mem_type())?;
        let below = cursor.peek_prev().map(|(end, _)| *end);
        let above = cursor.peek_next();
        let above = above.map(|(end, segment)| end.saturating_sub(segment.len()));
        let gap = Span::between(
            below.unwrap_or(self.bar.start()),
            above.unwrap_or(self.bar.end()),
        );
        // INVARIANT: The type of `span` has been checked, and the rest of the gap is reserved until
        // the new reservation exists.
        let whole = Reservation::with_present_type(range(bar, gap.ok_or(EINVAL)?)?)?;
        match cursor.peek_next_mut() {
            Some((_, above)) => above.gap_below = Some(whole),
            None => self.top_gap = Some(whole),
        }
        self.stray_len = self.stray_len.saturating_sub(span.len());
        drop(cursor.remove_current());
        Ok(())
    }
}

/// Reserves `span`, a part of `bar`, with the type `to`.
fn reserve(bar: Bar<'_>, span: Span, to: RestType) -> Result<Reservation> {
    let (range, mem) = (range(bar, span)?, to.mem_type());
    // The kernel would log a conflict between the first page and another one.
    let _check = match to {
        RestType::Strict => Some(TypeCheck::new(range, mem)?),
        RestType::WriteCombining => None,
    };
    Reservation::new(range, mem)
}

/// Returns the physical addresses of `span`, a part of `bar`.
fn range(bar: Bar<'_>, span: Span) -> Result<PhysRange> {
    bar.range(span.start()..span.end())
}
