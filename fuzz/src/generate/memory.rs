// SPDX-License-Identifier: GPL-2.0-only

//! Operations on memory, and on the bytes of BARs.

use super::Generator;
use crate::model::{window, Place, Vma, World, CONFIG, LARGE, SLOTS, WINDOW_SHIFT};
use crate::op::{Access, Advice, Fixed, Op, Via, BYTES};
use crate::oracle::ADDRESSES;
use std::ops::Range;

/// The approximate number of VMAs of a process.
pub(super) const VMAS: usize = 12;

/// Returns the offset and the length of an access to registers, which have a width, and of which
/// reading many takes long. An access of another width can crash an arm64 kernel, which takes the
/// device's refusal for a hardware error.
pub(super) fn register(offset: u64, len: u32) -> (u64, u32) {
    (offset & !3, if len == 0 { 0 } else { 4 })
}

impl Generator {
    /// Returns the offset of a few bytes in a BAR: one of a small number of offsets, so that
    /// several operations reach the same bytes.
    pub(super) fn cell(&mut self, len: u64) -> u64 {
        let block = match self.rng.below(4) {
            0 => 0,
            1 => self.rng.below(len / LARGE + 1) * LARGE,
            2 => self.rng.below(16) << 12,
            _ => self.rng.below(len / 4096 + 1) << 12,
        };
        let at = block + self.rng.pick(&[0, 8, 4080]);
        at.min(len.saturating_sub(16))
    }

    /// Returns an offset of the device file, and the number of bytes there.
    fn region(&mut self, world: &World) -> (u64, u64) {
        let Some(device) = &world.device else {
            return (window(2, 0), LARGE);
        };
        let live: Vec<_> = device.live().map(|(_, region)| region.slot()).collect();
        match self.rng.below(24) {
            0 => (window(2, SLOTS + (self.rng.below(64) << 12)), LARGE),
            1 => {
                let index = u64::from(self.small()) & 15;
                (index << WINDOW_SHIFT, 1 << 20)
            }
            2..13 if !live.is_empty() => {
                let slot = &live[self.rng.index(live.len())];
                (slot.start, slot.end - slot.start)
            }
            _ => {
                let bar = self.bar(world);
                (window(bar, 0), world.facts.bars[bar].len.max(1))
            }
        }
    }

    pub(super) fn map(&mut self, world: &World, who: u32) -> Option<Op> {
        let process = world.process(who)?;
        if process.space.len() >= VMAS && !self.rng.once_in(8) {
            return self.unmap(world, who);
        }
        let (start, len) = self.region(world);
        let len = len.next_multiple_of(world.facts.page);
        let part = match self.rng.below(3) {
            0 => 0..len,
            _ => self.part(world, len, &[]),
        };
        let mut len = part.end - part.start;
        let offset = start + part.start;
        match self.rng.below(40) {
            0 => len = 0,
            1 => len += world.facts.page,
            _ => (),
        }
        let at = self.address(world, offset, len);
        Some(Op::Map {
            via: Via::Device,
            at,
            len,
            offset,
            write: !self.rng.once_in(6),
            shared: !self.rng.once_in(30),
            fixed: self.rng.pick(&[Fixed::Over, Fixed::Free, Fixed::Free]),
        })
    }

    /// Returns an address for a mapping, usually one that allows large entries for the offset.
    pub(super) fn address(&mut self, world: &World, offset: u64, len: u64) -> u64 {
        let blocks = (ADDRESSES.end - ADDRESSES.start) / LARGE;
        // Most mappings are near each other, so that they overlap.
        let block = match self.rng.below(3) {
            0 => self.rng.below(blocks),
            _ => self.rng.below(16),
        };
        let shift = match self.rng.below(3) {
            0 => world.facts.page * self.rng.below(512),
            _ => offset % LARGE,
        };
        let at = ADDRESSES.start + block * LARGE + shift;
        at.min(ADDRESSES.end - len.min(ADDRESSES.end - ADDRESSES.start))
    }

    /// Returns a VMA of the process.
    fn vma<'a>(&mut self, world: &'a World, who: u32) -> Option<&'a Vma> {
        let space = &world.process(who)?.space;
        if space.is_empty() {
            return None;
        }
        space.vmas().nth(self.rng.index(space.len()))
    }

    /// Returns addresses related to a VMA: a part of it, all of it, or more.
    fn piece(&mut self, world: &World, who: u32) -> Option<Range<u64>> {
        let vma = self.vma(world, who)?.range.clone();
        let len = vma.end - vma.start;
        Some(match self.rng.below(8) {
            0 => vma,
            1 => {
                let more = world.facts.page * (1 + self.rng.below(1024));
                let start = vma.start.saturating_sub(more).max(ADDRESSES.start);
                start..(vma.end + more).min(ADDRESSES.end)
            }
            _ => {
                let part = self.part(world, len, &[]);
                vma.start + part.start..vma.start + part.end
            }
        })
    }

    pub(super) fn unmap(&mut self, world: &World, who: u32) -> Option<Op> {
        let piece = self.piece(world, who)?;
        let len = if self.rng.once_in(40) {
            0
        } else {
            piece.end - piece.start
        };
        Some(Op::Unmap {
            at: piece.start,
            len,
        })
    }

    pub(super) fn protect(&mut self, world: &World, who: u32) -> Option<Op> {
        let piece = self.piece(world, who)?;
        let (read, write) =
            self.rng
                .pick(&[(true, true), (true, true), (true, false), (false, false)]);
        Some(Op::Protect {
            at: piece.start,
            len: piece.end - piece.start,
            read,
            write,
        })
    }

    pub(super) fn advise(&mut self, world: &World, who: u32) -> Option<Op> {
        let piece = self.piece(world, who)?;
        let advice = self.rng.pick(&[
            Advice::DontFork,
            Advice::DontFork,
            Advice::DoFork,
            Advice::DontNeed,
            Advice::Populate,
        ]);
        Some(Op::Advise {
            at: piece.start,
            len: piece.end - piece.start,
            advice,
        })
    }

    pub(super) fn lock(&mut self, world: &World, who: u32) -> Option<Op> {
        let piece = self.piece(world, who)?;
        Some(Op::Lock {
            at: piece.start,
            len: piece.end - piece.start,
            on: self.rng.once_in(2),
        })
    }

    pub(super) fn bind(&mut self, world: &World, who: u32) -> Option<Op> {
        if !world.facts.nodes {
            return None;
        }
        let piece = self.piece(world, who)?;
        Some(Op::Bind {
            at: piece.start,
            len: piece.end - piece.start,
            node: self.rng.once_in(2),
        })
    }

    pub(super) fn remap(&mut self, world: &World, who: u32) -> Option<Op> {
        let vma = self.vma(world, who)?.clone();
        let page = world.facts.page;
        let len = vma.range.end - vma.range.start;
        let part = self.part(world, len, &[]);
        let (mut from, mut old) = (vma.range.start + part.start, part.end - part.start);
        let mut new = old;
        match self.rng.below(12) {
            0 => new += page,
            1 => old = 0,
            2 => new = 0,
            3 => from = ADDRESSES.start + self.rng.below(1 << 20) * page,
            // Beyond the VMA.
            4 => (old, new) = (old + 16 * page, old + 16 * page),
            5..8 => new = page * (1 + self.rng.below(old / page)),
            _ => (),
        }
        let to = self.address(
            world,
            vma.offset_of(vma.range.start) + part.start,
            new.max(old),
        );
        let room = to
            .checked_add(new.max(old))
            .is_some_and(|end| end <= ADDRESSES.end);
        let within = from + old <= ADDRESSES.end;
        let to = (!self.rng.once_in(4)).then_some(to);
        (room && within).then_some(Op::Remap { from, old, new, to })
    }

    pub(super) fn touch(&mut self, world: &World, who: u32) -> Option<Op> {
        if self.others && self.rng.once_in(8) {
            return self.touch_foreign(world, who);
        }
        if self.rng.once_in(30) {
            let at =
                ADDRESSES.start + (self.rng.below((ADDRESSES.end - ADDRESSES.start) >> 12) << 12);
            let space = &world.process(who)?.space;
            let access = Access::Load(4);
            return space.find(at).is_none().then_some(Op::Touch { at, access });
        }
        let vma = self.vma(world, who)?.clone();
        let len = vma.range.end - vma.range.start;
        let within = self.cell(len);
        let at = vma.range.start + within;
        let bar = match Place::of(vma.offset) {
            Place::Bar(bar, _) | Place::Slot(bar) => bar,
            Place::Other(..) => return None,
        };
        let facts = &world.facts.bars[bar];
        if facts.ram {
            let width = self.rng.pick(&[4, 8]);
            let access = if self.rng.once_in(2) {
                Access::Load(width)
            } else {
                Access::Store(width, self.rng.next())
            };
            return Some(Op::Touch { at, access });
        }
        // Registers are only read, and only where there are some.
        let at = at & !3;
        let short = facts.len < world.facts.page && at % world.facts.page >= facts.len;
        (!short).then_some(Op::Touch {
            at,
            access: Access::Load(4),
        })
    }

    /// Returns an offset and a length for `pread()` or `pwrite()`.
    fn bytes(&mut self, world: &World) -> (u64, u32) {
        let (start, size) = self.region(world);
        let (at, len) = self.bytes_within(size);
        let offset = start + at;
        if self.rng.once_in(100) {
            return (offset | 1 << 63, len);
        }
        (offset, len)
    }

    /// Returns an offset and a length for `pread()` or `pwrite()` of `size` bytes.
    pub(super) fn bytes_within(&mut self, size: u64) -> (u64, u32) {
        let len = match self.rng.below(16) {
            0 => 0,
            1 => u32::try_from(1 + self.rng.index(BYTES - 1)).unwrap_or(1),
            2 => 4096,
            _ => self.rng.pick(&[1, 2, 4, 8, 8, 8, 3, 12, 16, 24]),
        };
        let at = match self.rng.below(12) {
            0 => size,
            1 => size.saturating_sub(1),
            2 => size + self.rng.below(1 << 20),
            3 => size.saturating_sub(u64::from(len)),
            4 => self.cell(size) + self.rng.below(16),
            _ => self.cell(size),
        };
        (at, len)
    }

    pub(super) fn read(&mut self, world: &World, _: u32) -> Option<Op> {
        let (offset, len) = self.bytes(world);
        let (offset, len) = match Place::of(offset) {
            Place::Bar(bar, _) | Place::Slot(bar) if !world.facts.bars[bar].ram => {
                register(offset, len)
            }
            Place::Other(CONFIG, at) if at >= 256 => return None,
            _ => (offset, len),
        };
        let via = Via::Device;
        Some(Op::Read { via, offset, len })
    }

    pub(super) fn write(&mut self, world: &World, _: u32) -> Option<Op> {
        let (offset, len) = self.bytes(world);
        let may = match Place::of(offset) {
            Place::Bar(bar, _) | Place::Slot(bar) => world.facts.bars[bar].ram,
            Place::Other(index, _) => index != CONFIG,
        };
        let what = self.rng.next();
        may.then_some(Op::Write {
            via: Via::Device,
            offset,
            len,
            what,
        })
    }
}
