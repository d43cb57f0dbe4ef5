// SPDX-License-Identifier: GPL-2.0

//! How strays end.
//!
//! Whatever is done here is done under the memory lock, which the [`Claims`] are borrowed from, so that
//! segments and claims agree whenever a fault looks.

use super::{
    range,
    Held,
    Kind,
    Segments, //
};
use crate::{
    compat::{
        MemType, //
        TypeCheck,
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

/// How many times the type of some pages is looked at, at most, to find out which pages of strays
/// nobody else has. Each takes some microseconds, with the memory lock held.
const LOOKS: u32 = 256;

impl Segments {
    /// Ends all strays that can end, and of the others the pages that nobody else has, here and in
    /// the device's claims.
    pub(crate) fn settle(&mut self, bar: Bar<'_>, claims: &mut Claims) {
        let mut looks = LOOKS;
        let mut end = 0;
        while let Some(stray) = self.stray_behind(end) {
            end = stray.end();
            self.settle_with(bar, claims, stray, &mut looks);
        }
    }

    /// If `span` has become a stray, enters it in the claims, in `memory`, and does as
    /// [`Self::settle`] for it. Takes no longer the more parts there are.
    pub(crate) fn claim_stray(
        &mut self,
        bar: Bar<'_>,
        claims: &mut Claims,
        span: Span,
        memory: ClaimMemory<storage::Kernel>,
    ) {
        if self.is_stray(span) {
            claims.add_stray(self.parent, span, memory);
            let mut looks = LOOKS;
            self.settle_with(bar, claims, span, &mut looks);
        }
    }

    fn settle_with(&mut self, bar: Bar<'_>, claims: &mut Claims, stray: Span, looks: &mut u32) {
        match self.join(bar, stray) {
            Ok(()) => drop(claims.remove_stray(self.parent, stray)),
            Err(error) if error == EBUSY => {
                // Without memory for more parts it stays as it is.
                let _ = self.settle_pages(bar, claims, stray, looks);
            }
            Err(_) => (),
        }
    }

    /// Ends the stray that has byte `at`, or its page there, if it can end. This takes a fraction of the
    /// time that [`Self::settle`] may.
    pub(super) fn settle_page(&mut self, bar: Bar<'_>, claims: &mut Claims, at: u64) -> Result {
        let Some((stray, Kind::Stray)) = self.extent(at) else {
            return Ok(());
        };
        // CAST: `usize` has at most 64 bits.
        let page = Span::new(at, PAGE_SIZE as u64).map_err(|_| EINVAL)?;
        // What read() mapped has the other mapping's type, and would keep it.
        self.pieces.unmap(page);
        // Most touches of a stray are in vain.
        drop(TypeCheck::new(range(bar, page)?, MemType::Noncached)?);
        if self.join(bar, stray).is_ok() {
            drop(claims.remove_stray(self.parent, stray));
            return Ok(());
        }
        self.settle_part(bar, claims, page)
    }

    /// Ends what nobody else has of `stray`: what there is of that at its end and then, until `looks`
    /// are used up, between its other pages.
    fn settle_pages(
        &mut self,
        bar: Bar<'_>,
        claims: &mut Claims,
        stray: Span,
        looks: &mut u32,
    ) -> Result {
        let mut end = stray.end();
        let free = most_pages(stray, |len| {
            Span::between(stray.end().saturating_sub(len), stray.end())
                .is_some_and(|span| is_ordinary(bar, span, looks))
        });
        if let Some(free) = Span::between(end.saturating_sub(free), end) {
            self.settle_part(bar, claims, free)?;
            end = free.start();
        }
        let mut at = stray.start();
        while let Some(rest) = Span::between(at, end).filter(|_| *looks != 0) {
            let free = most_pages(rest, |len| {
                Span::new(at, len).is_ok_and(|span| is_ordinary(bar, span, looks))
            });
            match Span::new(at, free) {
                Ok(free) => {
                    self.settle_part(bar, claims, free)?;
                    at = free.end();
                }
                // CAST: `usize` has at most 64 bits.
                Err(_) => at = at.saturating_add(PAGE_SIZE as u64),
            }
        }
        Ok(())
    }

    /// Ends the part `span` of a stray.
    fn settle_part(&mut self, bar: Bar<'_>, claims: &mut Claims, span: Span) -> Result {
        self.split(claims, span.start())?;
        self.split(claims, span.end())?;
        self.join(bar, span)?;
        drop(claims.remove_stray(self.parent, span));
        Ok(())
    }

    /// Makes two strays of the one that has byte `at` and the one before it, if there is such a one.
    fn split(&mut self, claims: &mut Claims, at: u64) -> Result {
        let Some((stray, Kind::Stray)) = self.extent(at) else {
            return Ok(());
        };
        let (Some(below), Some(above)) = (stray.below(at), stray.above(at)) else {
            return Ok(());
        };
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let part = self.parts.get_mut(&above.end()).ok_or(EINVAL)?;
        let gap = part.gap.take();
        part.held = Held::Stray(above.len());
        self.stray = self.stray.saturating_sub(below.len());
        self.insert_stray(node, below, gap);
        let _ = claims.split_stray(self.parent, at, memory);
        Ok(())
    }

    /// Returns the first stray that ends behind `end`.
    fn stray_behind(&self, end: u64) -> Option<Span> {
        if self.stray == 0 {
            return None;
        }
        let mut end = end;
        loop {
            let cursor = self.parts.cursor_lower_bound(&end.checked_add(1)?)?;
            let (at, part) = cursor.current();
            if part.kind() == Kind::Stray {
                return Span::between(at.checked_sub(part.len())?, *at);
            }
            end = *at;
        }
    }
}

/// Returns how many bytes of `span`, in whole pages, can be taken at most for `is_free` to hold of
/// their number, when it holds of every smaller number too.
fn most_pages(span: Span, mut is_free: impl FnMut(u64) -> bool) -> u64 {
    // CAST: `usize` has at most 64 bits.
    let page = PAGE_SIZE as u64;
    // Most pages that are looked at are of a stray.
    if !is_free(page) {
        return 0;
    }
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

/// Looks at `span` and returns whether nobody has any of it with another type than an ordinary mapping
/// has; if no `looks` are left, says no.
fn is_ordinary(bar: Bar<'_>, span: Span, looks: &mut u32) -> bool {
    let Some(left) = looks.checked_sub(1) else {
        return false;
    };
    *looks = left;
    range(bar, span)
        .and_then(|range| TypeCheck::new(range, MemType::Noncached))
        .is_ok()
}
