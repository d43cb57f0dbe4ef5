// SPDX-License-Identifier: GPL-2.0-only

//! The choice of a BAR and of a range of it.

use super::Generator;
use crate::model::{World, BARS, LARGE};
use std::ops::Range;

impl Generator {
    /// Returns a small number, or sometimes a large one.
    pub(super) fn small(&mut self) -> u32 {
        match self.rng.below(10) {
            0 => self.rng.pick(&[u32::MAX, 1 << 31, 255, 256]),
            _ => u32::try_from(self.rng.below(12)).unwrap_or(0),
        }
    }

    /// Returns a BAR, usually one that can have subregions and keeps the values written to it.
    pub(super) fn bar(&mut self, world: &World) -> usize {
        let bars = &world.facts.bars;
        let likely: Vec<usize> = (0..BARS)
            .filter(|&bar| bars[bar].is_parent(world.facts.page))
            .collect();
        match self.rng.below(8) {
            0 => self.rng.index(BARS),
            1 | 2 if !likely.is_empty() => self.rng.pick(&likely),
            _ => (0..BARS).find(|&bar| bars[bar].ram).unwrap_or(2),
        }
    }

    /// Returns a multiple of the page size within `0..=len`, often an end of something.
    pub(super) fn edge(&mut self, world: &World, len: u64, others: &[Range<u64>]) -> u64 {
        let page = world.facts.page;
        let near = match self.rng.below(8) {
            0 => 0,
            1 => len,
            2 | 3 => self.rng.below(len / LARGE + 1) * LARGE,
            4 | 5 if !others.is_empty() => {
                let other = &others[self.rng.index(others.len())];
                if self.rng.once_in(2) {
                    other.start
                } else {
                    other.end
                }
            }
            // A few pages are chosen often.
            6 => self.rng.below(32) * page,
            _ => self.rng.below(len / page + 1) * page,
        };
        let at = match self.rng.below(4) {
            0 => near.saturating_sub(page * self.rng.below(3)),
            1 => near.saturating_add(page * self.rng.below(3)),
            _ => near,
        };
        at.min(len)
    }

    /// Returns a range of `len` bytes that is not empty unless `len` is 0.
    pub(super) fn part(&mut self, world: &World, len: u64, others: &[Range<u64>]) -> Range<u64> {
        let page = world.facts.page;
        let start = self.edge(world, len, others);
        let end = match self.rng.below(6) {
            0 | 1 => self.edge(world, len, others),
            2 => start + LARGE,
            3 => start + 2 * LARGE,
            _ => start + page * (1 + self.rng.below(4)),
        };
        let (start, end) = (start.min(end), start.max(end).min(len));
        if start < end {
            start..end
        } else {
            start.saturating_sub(page)..start.max(page).min(len)
        }
    }
}
