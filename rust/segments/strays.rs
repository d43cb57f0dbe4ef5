// SPDX-License-Identifier: GPL-2.0-only

//! The end of strays.
//!
//! All of this happens under the memory lock, from which the caller borrows the [`Claims`]. A fault
//! therefore always finds the same strays in the segments and in the claims.

use super::{
    range,
    Content,
    SegmentKind,
    Segments, //
};
use crate::{
    compat::{
        MemType,
        TypeCheck, //
    },
    region::{
        ClaimMemory,
        Span, //
    },
    storage::{
        self,
        Claims, //
    },
    vfio::pci::Bar, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTreeNodeReservation, //
};

/// The maximum number of type checks in one attempt to find the pages that no other mapping covers.
/// Each check takes some microseconds under the memory lock.
pub(super) const MAX_CHECKS: u32 = 256;

/// The same for a BAR that the core could not map when the device was opened. Nothing waits for the
/// memory lock then, and the number is that of the pages of 256 MiB.
pub(super) const MAX_FIRST_CHECKS: u32 = 1 << 16;

impl Segments {
    /// Tries to end all strays by at most `checks` checks, in the segments and in the claims of the
    /// device. If a stray cannot end, its pages that no other mapping covers leave it.
    pub(super) fn end_strays(&mut self, bar: Bar<'_>, claims: &mut Claims, checks: u32) {
        let mut checks_left = checks;
        let mut end = 0;
        while let Some(stray) = self.stray_ending_after(end) {
            end = stray.end();
            self.end_stray(bar, claims, stray, &mut checks_left);
        }
    }

    /// If `span` is now a stray, does with it as [`Self::end_segment`] does with a segment.
    pub(crate) fn record_stray(
        &mut self,
        bar: Bar<'_>,
        claims: &mut Claims,
        span: Span,
        memory: ClaimMemory<storage::Kernel>,
    ) {
        if self.is_stray(span) {
            self.end_segment(bar, claims, span, memory);
        }
    }

    /// Joins the segment `span`, which is not a gap, to the gap between its neighbours. If it
    /// cannot, because another mapping gives a part of `span` another type, or because the kernel
    /// has no memory, `span` becomes a stray, which the claims record with `memory`. The pages that
    /// no other mapping covers leave the stray. The time does not depend on the number of other
    /// segments, except for searches.
    ///
    /// The caller must have removed all page-table entries for these pages.
    pub(crate) fn end_segment(
        &mut self,
        bar: Bar<'_>,
        claims: &mut Claims,
        span: Span,
        memory: ClaimMemory<storage::Kernel>,
    ) {
        // The driver chose the type of all these pages until now, so other mappings of them have
        // one type, and the kernel logs nothing.
        let Err(error) = self.join_gap(bar, span) else {
            return;
        };
        // No fault looks at the claims before the caller releases the memory lock.
        claims.add_stray(self.parent, span, memory);
        if error == EBUSY {
            let mut checks_left = MAX_CHECKS;
            self.end_stray(bar, claims, span, &mut checks_left);
        }
    }

    /// Tries to end `stray`, or else its pages that no other mapping covers.
    ///
    /// Other mappings can have given the pages of a stray several types, and the kernel logs a
    /// conflict when it is asked for pages of different types at once. A user can repeat an attempt
    /// that changes nothing. The pages of a stray for which `checks_left` suffices are therefore
    /// checked one by one. In a larger stray the driver asks for ranges that begin with a free
    /// page. Such an attempt does change something, because that page leaves the stray.
    fn end_stray(&mut self, bar: Bar<'_>, claims: &mut Claims, stray: Span, checks_left: &mut u32) {
        // A kernel mapping for read() has the type of the other mapping, and would preserve it.
        self.kernel_maps.unmap(stray);
        // CAST: `usize` has at most 64 bits.
        let pages = stray.len() / PAGE_SIZE as u64;
        // If the kernel has no memory for another segment, the rest stays a stray.
        let _ = if pages <= u64::from(*checks_left) {
            self.end_free_pages(bar, claims, stray, checks_left)
        } else {
            self.end_free_ranges(bar, claims, stray, checks_left)
        };
    }

    /// Tries to end the stray that includes byte `at`, or else the page at `at`. If another mapping
    /// covers that page, this takes one check only.
    pub(super) fn end_stray_page(&mut self, bar: Bar<'_>, claims: &mut Claims, at: u64) -> Result {
        let Some((stray, SegmentKind::Stray)) = self.segment_at(at) else {
            return Ok(());
        };
        // CAST: `usize` has at most 64 bits.
        let page = Span::new(at, PAGE_SIZE as u64).map_err(|_| EINVAL)?;
        // A kernel mapping for read() has the type of the other mapping, and would preserve it.
        self.kernel_maps.unmap(page);
        // Check the page first, because most accesses to a stray are to pages that another mapping
        // covers.
        drop(TypeCheck::new(range(bar, page)?, self.rest.mem_type())?);
        let mut checks_left = MAX_CHECKS;
        self.end_stray(bar, claims, stray, &mut checks_left);
        match self.segment_at(at) {
            Some((_, SegmentKind::Stray)) => self.end_part(bar, claims, page),
            _ => Ok(()),
        }
    }

    /// Removes from `stray` the pages that no other mapping covers, after a check of each page.
    fn end_free_pages(
        &mut self,
        bar: Bar<'_>,
        claims: &mut Claims,
        stray: Span,
        checks_left: &mut u32,
    ) -> Result {
        let mem = self.rest.mem_type();
        // The first page of the free ones before `at`.
        let mut first = None;
        let mut at = stray.start();
        while at < stray.end() {
            // CAST: `usize` has at most 64 bits.
            let page = Span::new(at, PAGE_SIZE as u64).map_err(|_| EINVAL)?;
            if has_type(bar, page, mem, checks_left) {
                first.get_or_insert(at);
            } else if let Some(free) = first.take().and_then(|first| Span::between(first, at)) {
                self.end_part(bar, claims, free)?;
            }
            at = page.end();
        }
        match first.and_then(|first| Span::between(first, at)) {
            Some(free) => self.end_part(bar, claims, free),
            None => Ok(()),
        }
    }

    /// Removes from `stray` the pages that no other mapping covers: all of them at once, or else
    /// first those at its end, then others from its start on while `checks_left` is not 0.
    fn end_free_ranges(
        &mut self,
        bar: Bar<'_>,
        claims: &mut Claims,
        stray: Span,
        checks_left: &mut u32,
    ) -> Result {
        let mem = self.rest.mem_type();
        // CAST: `usize` has at most 64 bits.
        let page = PAGE_SIZE as u64;
        let is_free = |start, end, checks_left: &mut u32| {
            Span::between(start, end).is_some_and(|span| has_type(bar, span, mem, checks_left))
        };
        let (mut at, mut end) = (stray.start(), stray.end());
        let first_is_free = is_free(at, at.saturating_add(page), checks_left);
        let last_is_free = is_free(end.saturating_sub(page), end, checks_left);
        if first_is_free && last_is_free && self.end_part(bar, claims, stray).is_ok() {
            return Ok(());
        }
        if last_is_free {
            let free = most_pages(stray, |len| {
                is_free(end.saturating_sub(len), end, checks_left)
            });
            let free = Span::between(end.saturating_sub(free), end).ok_or(EINVAL)?;
            self.end_part(bar, claims, free)?;
            end = free.start();
        }
        let mut checked = Some(first_is_free);
        while let Some(rest) = Span::between(at, end).filter(|_| *checks_left != 0) {
            let next = at.saturating_add(page);
            let page_is_free = checked.take();
            if !page_is_free.unwrap_or_else(|| is_free(at, next, checks_left)) {
                at = next;
                continue;
            }
            let free = most_pages(rest, |len| is_free(at, at.saturating_add(len), checks_left));
            let free = Span::new(at, free).map_err(|_| EINVAL)?;
            self.end_part(bar, claims, free)?;
            at = free.end();
        }
        Ok(())
    }

    /// Ends `span`, a part of a stray.
    fn end_part(&mut self, bar: Bar<'_>, claims: &mut Claims, span: Span) -> Result {
        self.split_stray(claims, span.start())?;
        self.split_stray(claims, span.end())?;
        self.join_gap(bar, span)?;
        drop(claims.remove_stray(self.parent, span));
        Ok(())
    }

    /// Splits the stray that includes the bytes before and at `at` into two strays. Does nothing if
    /// there is no such stray.
    fn split_stray(&mut self, claims: &mut Claims, at: u64) -> Result {
        let Some((stray, SegmentKind::Stray)) = self.segment_at(at) else {
            return Ok(());
        };
        let (Some(below), Some(above)) = (stray.below(at), stray.above(at)) else {
            return Ok(());
        };
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let segment = self.segments.get_mut(&above.end()).ok_or(EINVAL)?;
        let gap = segment.gap_below.take();
        segment.content = Content::Stray(above.len());
        self.stray_len = self.stray_len.saturating_sub(below.len());
        self.insert_stray(node, below, gap);
        let _ = claims.split_stray(self.parent, at, memory);
        Ok(())
    }

    /// Returns the first stray that ends after `end`.
    fn stray_ending_after(&self, end: u64) -> Option<Span> {
        if self.stray_len == 0 {
            return None;
        }
        let mut end = end;
        loop {
            let cursor = self.segments.cursor_lower_bound(&end.checked_add(1)?)?;
            let (at, segment) = cursor.current();
            if segment.kind() == SegmentKind::Stray {
                return Span::between(at.checked_sub(segment.len())?, *at);
            }
            end = *at;
        }
    }
}

/// Returns the largest length, in whole pages and at most that of `span`, for which `is_free`
/// returns `true`. If `is_free` is true for a length, it must be true for every smaller one. The
/// caller has checked that it is true for a page, because most pages of a stray are not free.
fn most_pages(span: Span, mut is_free: impl FnMut(u64) -> bool) -> u64 {
    // CAST: `usize` has at most 64 bits.
    let page = PAGE_SIZE as u64;
    let (mut free, mut limit) = (1, span.len() / page);
    while free < limit {
        let middle = free.saturating_add(limit).saturating_add(1) / 2;
        if is_free(middle.saturating_mul(page)) {
            free = middle;
        } else {
            limit = middle.saturating_sub(1);
        }
    }
    free.saturating_mul(page)
}

/// Checks whether no other mapping gives a page of `span` a type other than `mem`. Returns `false`
/// if `checks_left` is 0. The kernel logs a conflict if the others have different types.
fn has_type(bar: Bar<'_>, span: Span, mem: MemType, checks_left: &mut u32) -> bool {
    let Some(left) = checks_left.checked_sub(1) else {
        return false;
    };
    *checks_left = left;
    range(bar, span)
        .and_then(|range| TypeCheck::new(range, mem))
        .is_ok()
}
