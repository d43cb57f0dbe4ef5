// SPDX-License-Identifier: GPL-2.0-only

//! Exports, and operations through them.

use super::{
    memory::{self, VMAS},
    Generator, CLOSES,
};
use crate::model::{size, Export, Region, World, LARGE};
use crate::op::{Fixed, Op, Step, Via};
use libc::{O_CLOEXEC, O_RDONLY, O_RDWR, O_WRONLY};

/// The maximum number of exports that a process has.
const EXPORTS: usize = 6;

impl Generator {
    /// Returns the next step of the last close, of which only exports remain.
    pub(super) fn last_close(&mut self, world: &World) -> Option<Step> {
        if world.device.is_none() {
            self.closing = false;
            return None;
        }
        if !self.closing {
            let mut exports = world.present().flat_map(|(_, process)| &process.exports);
            self.closing = exports.next().is_some() && self.rng.once_in(CLOSES);
        }
        if !self.closing {
            return None;
        }
        world.present().find_map(|(who, process)| {
            let op = if process.open {
                Op::Close
            } else {
                let mut vmas = process.space.vmas();
                let range = &vmas.find(|vma| vma.export.is_none())?.range;
                Op::Unmap {
                    at: range.start,
                    len: range.end - range.start,
                }
            };
            Some(Step { who, op })
        })
    }

    pub(super) fn export(&mut self, world: &World, who: u32) -> Option<Op> {
        if world.process(who)?.exports.len() >= EXPORTS {
            return self.close_export(world, who);
        }
        let flags = if self.rng.once_in(12) {
            let bit = 1 << self.rng.below(32);
            self.rng
                .pick(&[O_WRONLY, O_WRONLY | O_RDWR, bit, bit | O_RDWR])
        } else {
            self.rng
                .pick(&[O_RDWR, O_RDWR | O_CLOEXEC, O_RDONLY, O_RDONLY | O_CLOEXEC])
        };
        let frame = self.frame(size::EXPORT);
        Some(Op::Export(frame, self.subregion(world), flags as u32))
    }

    /// Returns one of the exports of a process.
    fn any_export(&mut self, world: &World, who: u32) -> Option<Export> {
        let exports = &world.process(who)?.exports;
        (!exports.is_empty()).then(|| exports[self.rng.index(exports.len())])
    }

    pub(super) fn close_export(&mut self, world: &World, who: u32) -> Option<Op> {
        Some(Op::CloseExport(self.any_export(world, who)?.fd))
    }

    /// Returns the operation that takes an export of another process.
    pub(super) fn take_export(&mut self, world: &World, who: u32) -> Option<Op> {
        let others: Vec<u32> = world
            .present()
            .map(|(other, _)| other)
            .filter(|other| *other != who)
            .collect();
        if others.is_empty() || world.process(who)?.exports.len() >= EXPORTS {
            return None;
        }
        let from = self.rng.pick(&others);
        let fd = self.any_export(world, from)?.fd;
        let pid = world.process(from)?.pid;
        Some(Op::Take { pid, fd })
    }

    /// Returns the subregion of an export that has not ended.
    fn exported<'a>(world: &'a World, export: &Export) -> Option<&'a Region> {
        world.device.as_ref()?.exported(&export.to)
    }

    pub(super) fn map_export(&mut self, world: &World, who: u32) -> Option<Op> {
        let process = world.process(who)?;
        if process.space.len() >= VMAS && !self.rng.once_in(8) {
            return self.unmap(world, who);
        }
        let export = self.any_export(world, who)?;
        let slot = Self::exported(world, &export).map_or(0..LARGE, Region::slot);
        let size = slot.end - slot.start;
        let part = match self.rng.below(3) {
            0 => 0..size,
            _ => self.part(world, size, &[]),
        };
        let (mut offset, mut len) = (part.start, part.end - part.start);
        match self.rng.below(24) {
            0 => len = 0,
            1 => len += world.facts.page,
            2 => offset = size,
            // The offset of the subregion in the device file is none of the export.
            3 => offset += slot.start,
            _ => (),
        }
        let at = self.address(world, slot.start + part.start, len);
        Some(Op::Map {
            via: Via::Export(export.fd),
            at,
            len,
            offset,
            write: !self.rng.once_in(3),
            shared: !self.rng.once_in(24),
            fixed: self.rng.pick(&[Fixed::Over, Fixed::Free, Fixed::Free]),
        })
    }

    /// Returns an export, and an offset and a length for `pread()` or `pwrite()` of it.
    fn export_bytes(&mut self, world: &World, who: u32) -> Option<(Export, u64, u32)> {
        let export = self.any_export(world, who)?;
        let region = Self::exported(world, &export);
        let size = region.map_or(LARGE, |region| region.span.end - region.span.start);
        let (at, len) = self.bytes_within(size);
        let ram = region.is_none_or(|region| world.facts.bars[region.bar].ram);
        let (at, len) = if ram {
            (at, len)
        } else {
            memory::register(at, len)
        };
        Some((export, at, len))
    }

    pub(super) fn read_export(&mut self, world: &World, who: u32) -> Option<Op> {
        let (export, offset, len) = self.export_bytes(world, who)?;
        Some(Op::Read {
            via: Via::Export(export.fd),
            offset,
            len,
        })
    }

    pub(super) fn write_export(&mut self, world: &World, who: u32) -> Option<Op> {
        let (export, offset, len) = self.export_bytes(world, who)?;
        let region = Self::exported(world, &export);
        let ram = region.is_none_or(|region| world.facts.bars[region.bar].ram);
        let what = self.rng.next();
        ram.then_some(Op::Write {
            via: Via::Export(export.fd),
            offset,
            len,
            what,
        })
    }
}
