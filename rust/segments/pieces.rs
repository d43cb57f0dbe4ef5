// SPDX-License-Identifier: GPL-2.0

//! What of a BAR in segments the kernel has mapped, for read() and write().

use super::range;
use crate::{
    compat::{
        IoMap,
        MemType, //
    },
    region::Span,
    vfio::pci::Bar, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
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

/// The pieces of a BAR that are mapped.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: [Option<Piece>; PIECES],
    /// Which one goes when another one comes.
    oldest: usize,
}

impl Pieces {
    /// Returns the piece that has byte `at`, if that is mapped.
    pub(super) fn find(&self, at: u64) -> Option<&Piece> {
        let has = |piece: &&Piece| piece.span.start() <= at && at < piece.span.end();
        self.pieces.iter().flatten().find(has)
    }

    /// Maps a piece of `extent`, all of which has the type `mem`, that has byte `at` of it, unless
    /// there is one.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has the memory mapped with another
    /// type.
    pub(super) fn map(&mut self, bar: Bar<'_>, extent: Span, mem: MemType, at: u64) -> Result {
        if self.find(at).is_some() {
            return Ok(());
        }
        let phys = bar.phys().checked_add(at).ok_or(EINVAL)?;
        let above = PIECE.wrapping_sub(phys & PIECE.wrapping_sub(1));
        let end = at.saturating_add(above);
        let span = extent.above(end.saturating_sub(PIECE));
        let span = span.and_then(|span| span.below(end)).ok_or(EINVAL)?;
        let map = IoMap::with_type(range(bar, span)?, mem)?;
        self.enter(Piece { span, map });
        Ok(())
    }

    /// Maps the page of `extent` that has byte `at` of it, by whichever type it has, unless that is
    /// mapped.
    pub(super) fn map_page(&mut self, bar: Bar<'_>, extent: Span, at: u64) -> Result {
        if self.find(at).is_some() {
            return Ok(());
        }
        // CAST: `usize` has at most 64 bits.
        let page = PAGE_SIZE as u64;
        let start = at & !page.wrapping_sub(1);
        let span = extent.above(start);
        let span = span.and_then(|span| span.below(start.saturating_add(page)));
        let span = span.ok_or(EINVAL)?;
        let map = IoMap::new(range(bar, span)?, MemType::Noncached)?;
        self.enter(Piece { span, map });
        Ok(())
    }

    /// Keeps `piece`, in the place of the oldest one.
    fn enter(&mut self, piece: Piece) {
        if let Some(oldest) = self.pieces.get_mut(self.oldest) {
            *oldest = Some(piece);
        }
        self.oldest = self.oldest.wrapping_add(1) % PIECES;
    }

    /// Unmaps all that has bytes of `span`.
    pub(super) fn unmap(&mut self, span: Span) {
        for piece in &mut self.pieces {
            drop(piece.take_if(|piece| piece.span.overlaps(span)));
        }
    }
}
