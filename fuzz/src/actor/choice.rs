// SPDX-License-Identifier: GPL-2.0-only

//! The choice of a thread's next operation.

use super::Actor;
use crate::model::{size, window, Frame, Request, Vma, Where, BARS, LARGE, REGIONS};
use crate::op::{Access, Advice, Fixed, Op, Via};
use crate::oracle::ADDRESSES;
use crate::shared::{ACTORS, VMAS};
use std::ops::Range;

/// The weights of the operations: see [`Actor::choose`].
const WEIGHTS: &[u32] = &[
    70, 50, 10, 40, 20, 60, 30, 20, 14, 10, 160, 40, 40, 8, 16, 10, 8, 10, 12, 8, 2, 4, 8, 16, 30,
    30,
];

/// The maximum number of exports of a thread.
const EXPORTS: usize = 4;

impl Actor {
    /// Chooses an operation.
    pub(super) fn choose(&mut self) -> Option<Op> {
        Some(match self.rng.weighted(WEIGHTS) {
            0 => self.create()?,
            1 => Op::Destroy(frame(size::DESTROY), self.index()),
            2 => Op::Query(frame(size::QUERY), self.index()),
            3 => Op::RegionInfo(8192, self.index()),
            4 => {
                let bar = self.bar()?;
                let attribute = self.rng.pick(&[0, 0, 0, 1, 2, 3]);
                // The MSI-X table is never write-combining.
                let has_table = !self.facts.bars[bar].msix.is_empty();
                let attribute = if has_table && attribute == 2 {
                    1
                } else {
                    attribute
                };
                Op::SetAttr(frame(size::SET_ATTR), bar as u32, attribute)
            }
            5 => self.map()?,
            6 => {
                let piece = self.piece()?;
                Op::Unmap {
                    at: piece.start,
                    len: piece.end - piece.start,
                }
            }
            7 => self.remap()?,
            8 => {
                let piece = self.piece()?;
                let write = self.rng.once_in(2);
                Op::Protect {
                    at: piece.start,
                    len: piece.end - piece.start,
                    read: write || !self.rng.once_in(3),
                    write,
                }
            }
            9 => {
                let piece = self.piece()?;
                Op::Advise {
                    at: piece.start,
                    len: piece.end - piece.start,
                    advice: self.rng.pick(&[
                        Advice::DontFork,
                        Advice::DontFork,
                        Advice::DoFork,
                        Advice::DontNeed,
                    ]),
                }
            }
            10 => self.touch()?,
            11 => {
                let bar = self.ram()?;
                let offset = window(bar, self.cell(bar));
                let via = Via::Device;
                Op::Read {
                    via,
                    offset,
                    len: 8,
                }
            }
            12 => {
                let bar = self.ram()?;
                let offset = window(bar, self.cell(bar));
                let what = self.rng.next();
                Op::Write {
                    via: Via::Device,
                    offset,
                    len: 8,
                    what,
                }
            }
            13 if self.sleepy && self.rng.once_in(2) => Op::Sleep(true),
            13 => Op::Memory(false),
            14 if self.sleepy && self.rng.once_in(2) => Op::Sleep(false),
            14 => Op::Memory(true),
            15 => self.io_eventfd()?,
            16 => Op::Signal(self.number as u32),
            17 => self.dma_buf()?,
            18 => Op::Fork(0),
            19 => Op::DropDmaBufs,
            20 => self.slow(),
            21 => {
                let piece = self.piece()?;
                Op::Lock {
                    at: piece.start,
                    len: piece.end - piece.start,
                    on: self.rng.once_in(2),
                }
            }
            22 => {
                let piece = self.piece().filter(|_| self.facts.nodes)?;
                Op::Bind {
                    at: piece.start,
                    len: piece.end - piece.start,
                    node: self.rng.once_in(2),
                }
            }
            23 => self.export_or_close(),
            24 => self.map_export()?,
            _ => self.transfer_export()?,
        })
    }

    fn export_or_close(&mut self) -> Op {
        match self.exports.front() {
            Some((fd, _)) if self.exports.len() == EXPORTS => Op::CloseExport(*fd),
            _ => Op::Export(frame(size::EXPORT), self.index(), libc::O_RDWR as u32),
        }
    }

    /// One of the exports: the descriptor, the BAR, and the number of bytes.
    fn any_export(&mut self) -> Option<(Via, usize, u64)> {
        if self.exports.is_empty() {
            return None;
        }
        let (fd, known) = &self.exports[self.rng.index(self.exports.len())];
        let len = known.slot.end - known.slot.start;
        Some((Via::Export(*fd), known.bar, len))
    }

    fn map_export(&mut self) -> Option<Op> {
        let (via, _, len) = self.any_export().filter(|_| self.space.len() + 4 <= VMAS)?;
        self.map_end(via, 0, len)
    }

    /// `pread()` or `pwrite()` of its own bytes on a page of an export.
    fn transfer_export(&mut self) -> Option<Op> {
        let (via, bar, len) = self.any_export()?;
        if !self.facts.bars[bar].ram {
            return None;
        }
        let page = self.facts.page;
        let offset = self.rng.below(len / page) * page + 64 + 8 * self.number as u64;
        let what = self.rng.next();
        Some(if self.rng.once_in(2) {
            Op::Read {
                via,
                offset,
                len: 8,
            }
        } else {
            Op::Write {
                via,
                offset,
                len: 8,
                what,
            }
        })
    }

    fn slow(&mut self) -> Op {
        match self.rng.below(6) {
            0 if self.facts.hot_reset => Op::HotReset,
            1 if self.facts.sibling => Op::SiblingReset,
            2 if self.facts.sysfs_reset && !self.sleepy => Op::SysfsReset,
            3 if self.facts.flr.is_some() && !self.sleepy => Op::FunctionReset,
            4 if !self.sleepy => {
                // All threads are without memory for a moment.
                self.step(Op::LowPower(true));
                Op::LowPower(false)
            }
            _ => Op::Reset,
        }
    }

    /// A BAR that can have subregions.
    fn bar(&mut self) -> Option<usize> {
        let page = self.facts.page;
        let bars: Vec<usize> = (0..BARS)
            .filter(|&bar| self.facts.bars[bar].is_parent(page))
            .collect();
        if bars.is_empty() {
            return None;
        }
        Some(match self.ram() {
            Some(bar) if !self.rng.once_in(6) => bar,
            _ => self.rng.pick(&bars),
        })
    }

    /// A BAR that keeps the values written to it.
    fn ram(&self) -> Option<usize> {
        (0..BARS).find(|&bar| self.facts.bars[bar].ram)
    }

    /// Bytes of a BAR that no other thread writes.
    fn cell(&mut self, bar: usize) -> u64 {
        let len = self.facts.bars[bar].len;
        let block = self.rng.below((len / LARGE).clamp(1, 4)) * LARGE;
        let page = self.rng.below(4) * self.facts.page;
        (block + page) % len + 64 + 8 * self.number as u64
    }

    fn create(&mut self) -> Option<Op> {
        let bar = self.bar()?;
        let len = self.facts.bars[bar].len;
        let page = self.facts.page;
        // A page that other threads use as well.
        let block = self.rng.below((len / LARGE).clamp(1, 4)) * LARGE;
        let (start, size) = match self.rng.below(4) {
            0 => (block, LARGE),
            1 => (block, 2 * LARGE),
            _ => {
                let start = block + self.rng.below(8) * page;
                (start, (1 + self.rng.below(4)) * page)
            }
        };
        let end = (start + size).min(len);
        let mut request = Request {
            parent: bar as u32,
            attribute: self.rng.pick(&[0, 1, 2, 2, 2, 3]),
            offset: start,
            size: end.checked_sub(start)?,
        };
        if request.attribute == 2 && !self.facts.bars[bar].msix.is_empty() {
            request.attribute = 1;
        }
        (request.size != 0).then_some(Op::Create(frame(size::CREATE), request))
    }

    /// The index of a subregion, or one near it.
    fn index(&mut self) -> u32 {
        let newest = self
            .known
            .iter()
            .map(|known| known.index)
            .max()
            .unwrap_or(REGIONS);
        if self.known.is_empty() || self.rng.once_in(3) {
            // A subregion that another thread made recently.
            return REGIONS.max(newest.saturating_sub(8)) + self.rng.below(16) as u32;
        }
        self.known[self.rng.index(self.known.len())].index
    }

    /// The addresses that only this thread uses.
    fn home(&self) -> Range<u64> {
        let size = (ADDRESSES.end - ADDRESSES.start) / ACTORS as u64;
        let start = ADDRESSES.start + size * self.number as u64;
        start..start + size
    }

    fn address(&mut self, offset: u64, len: u64) -> Option<u64> {
        let home = self.home();
        let block = self.rng.below(12) * LARGE;
        let shift = match self.rng.below(3) {
            0 => self.rng.below(512) * self.facts.page,
            _ => offset % LARGE,
        };
        let at = home.start + block + shift;
        (at + len <= home.end).then_some(at)
    }

    fn map(&mut self) -> Option<Op> {
        if self.space.len() + 4 > VMAS {
            let home = self.home();
            return Some(Op::Unmap {
                at: home.start,
                len: home.end - home.start,
            });
        }
        let (offset, len) = if self.known.is_empty() || self.rng.once_in(3) {
            let bar = self.bar()?;
            (window(bar, 0), self.facts.bars[bar].len.min(4 * LARGE))
        } else {
            let known = &self.known[self.rng.index(self.known.len())];
            (known.slot.start, known.slot.end - known.slot.start)
        };
        self.map_end(Via::Device, offset, len)
    }

    /// A mapping of `len` bytes of a file from `offset` on, or of the end of them.
    fn map_end(&mut self, via: Via, offset: u64, len: u64) -> Option<Op> {
        let page = self.facts.page;
        let skip = match self.rng.below(3) {
            0 => self.rng.below(len / page) * page,
            _ => 0,
        };
        let (offset, len) = (offset + skip, len - skip);
        let at = self.address(offset, len)?;
        Some(Op::Map {
            via,
            at,
            len,
            offset,
            write: !self.rng.once_in(8),
            shared: true,
            fixed: Fixed::Over,
        })
    }

    fn vma(&mut self) -> Option<Vma> {
        if self.space.is_empty() {
            return None;
        }
        self.space
            .vmas()
            .nth(self.rng.index(self.space.len()))
            .cloned()
    }

    /// A range of a VMA; the number of VMAs stays limited.
    fn piece(&mut self) -> Option<Range<u64>> {
        let vma = self.vma()?.range;
        if self.space.len() + 4 > VMAS || self.rng.once_in(3) {
            return Some(vma);
        }
        let pages = (vma.end - vma.start) / self.facts.page;
        let start = self.rng.below(pages);
        let count = 1 + self.rng.below(pages - start);
        let at = vma.start + start * self.facts.page;
        Some(at..at + count * self.facts.page)
    }

    fn remap(&mut self) -> Option<Op> {
        let piece = self.piece()?;
        let old = piece.end - piece.start;
        let page = self.facts.page;
        let new = match self.rng.below(3) {
            0 => (1 + self.rng.below(old / page)) * page,
            _ => old,
        };
        let offset = self.space.find(piece.start)?.offset_of(piece.start);
        let to = self.address(offset, old)?;
        Some(Op::Remap {
            from: piece.start,
            old,
            new,
            to: (!self.rng.once_in(4)).then_some(to),
        })
    }

    fn touch(&mut self) -> Option<Op> {
        let vma = self.vma()?;
        let len = vma.range.end - vma.range.start;
        let page = self.facts.page;
        let mine = self
            .byte_at(&vma, vma.range.start)
            .filter(|(bar, _)| self.facts.bars[*bar].ram);
        let Some((bar, from)) = mine else {
            let at = vma.range.start + self.rng.below(len / page) * page;
            return Some(Op::Touch {
                at,
                access: Access::Load(4),
            });
        };
        // Its own bytes, on a page that others use, or any bytes of this VMA.
        let within = match self.cell(bar).checked_sub(from) {
            Some(within) if within < len => within,
            _ => self.rng.below(len / page) * page + 64 + 8 * self.number as u64,
        };
        let access = if self.rng.once_in(2) {
            Access::Store(8, self.rng.next())
        } else {
            Access::Load(8)
        };
        Some(Op::Touch {
            at: vma.range.start + within,
            access,
        })
    }

    fn io_eventfd(&mut self) -> Option<Op> {
        let bar = self.ram()?;
        // Bytes that no thread compares.
        let offset = window(bar, 128 + 8 * self.number as u64);
        let eventfd = self.rng.once_in(4).then_some(self.number as u32);
        Some(Op::IoEventfd {
            offset,
            count: 8,
            data: 1,
            eventfd,
        })
    }

    fn dma_buf(&mut self) -> Option<Op> {
        if !self.facts.dma_buf {
            return None;
        }
        let bar = self.bar()?;
        Some(Op::DmaBuf {
            region: bar as u32,
            offset: 0,
            len: self.facts.page,
        })
    }
}

fn frame(argsz: u32) -> Frame {
    Frame {
        place: Where::Good,
        argsz,
        flags: 0,
        reserved: 0,
        tail: false,
    }
}
