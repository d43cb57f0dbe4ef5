// SPDX-License-Identifier: GPL-2.0-only

//! A thread's knowledge of the device: the subregions that it has seen, and its own bytes.

use super::Actor;
use crate::model::{Attribute, Mem, Place, Vma, REGIONS};
use crate::op::{Op, Via};
use crate::sys;
use std::ops::Range;

/// The number of subregions that a thread remembers, its own and those of others.
const KNOWN: usize = 24;
/// The number of its own bytes that it remembers.
const CELLS: usize = 64;

/// A subregion that a thread has seen.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub index: u32,
    pub slot: Range<u64>,
    pub mem: Mem,
    /// The BAR, and the offset in it.
    pub bar: usize,
    pub start: u64,
}

impl Actor {
    pub(super) fn remember(&mut self, known: Known) {
        self.known.retain(|other| other.index != known.index);
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(known);
    }

    /// Records a subregion after a query.
    pub(super) fn heard_of(&mut self, op: Op) {
        let Op::RegionInfo(_, index) = op else { return };
        let (offset, len) = (self.outcome.u64_at(24), self.outcome.u64_at(16));
        let cap = self.outcome.u32_at(12) as usize;
        if index < REGIONS || len == 0 || cap == 0 {
            return;
        }
        let Some(attribute) = Attribute::of(self.outcome.u32_at(cap + 12)) else {
            return self.complain(op, "the attribute is unknown");
        };
        self.remember(Known {
            index,
            slot: offset..offset + len,
            mem: attribute.mem(),
            bar: self.outcome.u32_at(cap + 8) as usize,
            start: self.outcome.u64_at(cap + 24),
        });
    }

    /// Returns the subregion at a file offset, if the thread remembers it.
    pub(super) fn slot(&self, offset: u64) -> Option<&Known> {
        self.known.iter().find(|known| known.slot.contains(&offset))
    }

    /// Records a new export, or closes it if the thread does not know the subregion.
    pub(super) fn exported(&mut self, index: u32) {
        let fd = self.outcome.u32_at(16) as i32;
        let known = self.known.iter().find(|known| known.index == index);
        match known {
            Some(known) => self.exports.push_back((fd, known.clone())),
            None => _ = sys::close(fd),
        }
    }

    /// Returns the subregion of an export.
    pub(super) fn export(&self, fd: i32) -> Option<&Known> {
        let found = self.exports.iter().find(|(other, _)| *other == fd);
        found.map(|(_, known)| known)
    }

    /// Returns the BAR and the byte at an offset of a file, if the thread remembers them.
    pub(super) fn byte_via(&self, via: Via, offset: u64) -> Option<(usize, u64)> {
        match via {
            Via::Device => self.byte(offset),
            Via::Export(fd) => {
                let known = self.export(fd)?;
                Some((known.bar, known.start + offset))
            }
        }
    }

    /// Returns the BAR and the byte at an address, if the thread remembers them. The offsets of a
    /// mapping of an export can be those of another subregion by now.
    pub(super) fn byte_at(&self, vma: &Vma, address: u64) -> Option<(usize, u64)> {
        let offset = vma.offset_of(address);
        let Some(to) = &vma.export else {
            return self.byte(offset);
        };
        let known = self.known.iter().find(|known| known.index == to.index)?;
        Some((known.bar, known.start + (offset - known.slot.start)))
    }

    /// Returns the BAR and the byte at a file offset, if the thread remembers them.
    pub(super) fn byte(&self, offset: u64) -> Option<(usize, u64)> {
        match Place::of(offset) {
            Place::Bar(bar, at) => Some((bar, at)),
            Place::Slot(_) => {
                let known = self.slot(offset)?;
                Some((known.bar, known.start + (offset - known.slot.start)))
            }
            Place::Other(..) => None,
        }
    }

    /// Queries the type of a BAR's own window, which cannot change while the window is mapped.
    pub(super) fn window(&mut self, bar: usize) -> Option<Mem> {
        self.perform(Op::RegionInfo(8192, bar as u32));
        let mut cap = self.outcome.u32_at(12) as usize;
        while cap != 0 {
            if self.outcome.u32_at(cap) & 0xffff == 0xd502 {
                return Attribute::of(self.outcome.u32_at(cap + 12)).map(Attribute::mem);
            }
            cap = self.outcome.u32_at(cap + 4) as usize;
        }
        Some(Mem::Noncached)
    }

    pub(super) fn wrote(&mut self, bar: usize, at: u64, value: u64) {
        self.cells.retain(|cell| (cell.0, cell.1) != (bar, at));
        if self.cells.len() == CELLS {
            self.cells.pop_front();
        }
        self.cells.push_back((bar, at, value));
    }

    pub(super) fn compare(&self, op: Op, bar: usize, at: u64, value: u64, width: u32) {
        let cell = self.cells.iter().find(|cell| (cell.0, cell.1) == (bar, at));
        let mask = u64::MAX >> (64 - 8 * width);
        match cell {
            Some((.., written)) if written & mask != value & mask => self.complain(
                op,
                &format!("byte {at:#x} is {value:#x}, but {written:#x} was written"),
            ),
            _ => (),
        }
    }
}
