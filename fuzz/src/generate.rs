// SPDX-License-Identifier: GPL-2.0

//! Chooses the next operation: mostly one that works, often one at the edge of that, sometimes nonsense.

use crate::model::{
    size, window, Device, Frame, Place, Request, Vma, Where, World, BARS, CONFIG, EVENTFDS, LARGE,
    PROCESSES, REGIONS, SLOTS, WINDOW_SHIFT,
};
use crate::op::{Access, Advice, Fixed, Op, Step, BYTES};
use crate::oracle::ADDRESSES;
use crate::rng::Rng;
use std::ops::Range;

/// How many subregions there are at a time, more or less.
const CROWD: usize = 20;
/// How many VMAs a process has, more or less.
const VMAS: usize = 12;

/// Chooses operations.
pub struct Generator {
    rng: Rng,
    /// One in so many is something that takes a tenth of a second.
    slow: u64,
}

/// How often an operation is chosen, and what chooses its arguments.
type Choice = (u32, fn(&mut Generator, &World, u32) -> Option<Op>);

/// All operations but the slow ones.
const CHOICES: &[Choice] = &[
    (90, Generator::create),
    (60, Generator::destroy),
    (12, Generator::query),
    (20, Generator::set_attr),
    (8, |generator, _, _| {
        Some(Op::Info(generator.rng.pick(&[24, 20, 16, 15, 0, 32])))
    }),
    (30, Generator::region_info),
    (4, |generator, _, _| Some(Op::IrqInfo(generator.small()))),
    (4, Generator::irqs),
    (16, Generator::memory_space),
    (8, Generator::sleep),
    (8, Generator::low_power),
    (24, Generator::io_eventfd),
    (16, Generator::signal),
    (12, Generator::dma_buf),
    (4, |_, _, _| Some(Op::DropDmaBufs)),
    (90, Generator::map),
    (40, Generator::unmap),
    (40, Generator::remap),
    (30, Generator::protect),
    (24, Generator::advise),
    (300, Generator::touch),
    (80, Generator::read),
    (80, Generator::write),
    (16, Generator::fork),
    (14, Generator::exit),
];

impl Generator {
    /// Makes one whose choices depend on `rng` alone, and on the world.
    #[must_use]
    pub fn new(rng: Rng, slow: u64) -> Self {
        Self { rng, slow }
    }

    /// Chooses the next operation.
    ///
    /// # Panics
    ///
    /// When there is no process.
    pub fn next(&mut self, world: &World) -> Step {
        let present: Vec<u32> = world.present().map(|(who, _)| who).collect();
        let who = self.rng.pick(&present);
        let op = self
            .repair(world, who)
            .or_else(|| self.slow(world))
            .unwrap_or_else(|| self.any(world, who));
        Step { who, op }
    }

    fn any(&mut self, world: &World, who: u32) -> Op {
        let weights: Vec<u32> = CHOICES.iter().map(|(weight, _)| *weight).collect();
        loop {
            let (_, choose) = CHOICES[self.rng.weighted(&weights)];
            if let Some(op) = choose(self, world, who) {
                return op;
            }
        }
    }

    /// Undoes what would keep most other operations from doing something.
    fn repair(&mut self, world: &World, who: u32) -> Option<Op> {
        let process = world.process(who)?;
        if !process.open && !self.rng.once_in(4) {
            return Some(Op::Open);
        }
        let device = world.device.as_ref()?;
        if !self.rng.once_in(6) || !process.open {
            return None;
        }
        if device.d3 {
            return Some(Op::Sleep(false));
        }
        if device.low_power {
            return Some(Op::LowPower(false));
        }
        (!device.memory).then_some(Op::Memory(true))
    }

    fn slow(&mut self, world: &World) -> Option<Op> {
        if !self.rng.once_in(self.slow) {
            return None;
        }
        let device = world.device.as_ref()?;
        match self.rng.below(5) {
            0 => Some(Op::Reset),
            1 if world.facts.hot_reset => Some(Op::HotReset),
            // These two find a device in D3hot in a state that VFIO does not restore.
            2 if world.facts.sysfs_reset && !device.d3 && !device.low_power => Some(Op::SysfsReset),
            3 if world.facts.flr.is_some() && !device.d3 && !device.low_power => {
                Some(Op::FunctionReset)
            }
            4 => Some(Op::Close),
            _ => None,
        }
    }

    /// Returns a small number, sometimes a large one.
    fn small(&mut self) -> u32 {
        match self.rng.below(10) {
            0 => self.rng.pick(&[u32::MAX, 1 << 31, 255, 256]),
            _ => u32::try_from(self.rng.below(12)).unwrap_or(0),
        }
    }

    fn frame(&mut self, size: u32) -> Frame {
        let mut frame = Frame {
            place: Where::Good,
            argsz: size,
            flags: 0,
            reserved: 0,
            tail: false,
        };
        if !self.rng.once_in(12) {
            return frame;
        }
        match self.rng.below(7) {
            0 => frame.place = self.rng.pick(&[Where::Null, Where::Cut, Where::ReadOnly]),
            1 => frame.argsz = self.rng.pick(&[0, size - 1, size - 8, 8]),
            2 => frame.argsz = self.rng.pick(&[4097, u32::MAX, 1 << 31]),
            3 => frame.argsz = self.rng.pick(&[size + 1, size + 8, 4096]),
            4 => {
                frame.tail = true;
                frame.argsz = self.rng.pick(&[size, size + 1, 4096]);
            }
            5 => frame.flags = 1 << self.rng.below(32),
            _ => frame.reserved = 1 << self.rng.below(32),
        }
        frame
    }

    /// Returns a BAR, mostly one that can have subregions and keeps what is written to it.
    fn bar(&mut self, world: &World) -> usize {
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

    /// Returns a multiple of the page size within `0..=len`, likely one where something begins or ends.
    fn edge(&mut self, world: &World, len: u64, others: &[Range<u64>]) -> u64 {
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
            // A few pages are met again and again.
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

    /// Returns a part of `len` bytes that is not empty if `len` is not.
    fn part(&mut self, world: &World, len: u64, others: &[Range<u64>]) -> Range<u64> {
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

    fn create(&mut self, world: &World, _: u32) -> Option<Op> {
        let frame = self.frame(size::CREATE);
        let bar = self.bar(world);
        let device = world.device.as_ref();
        let spans: Vec<_> = device.map_or(Vec::new(), |device| {
            device
                .claims(bar)
                .iter()
                .map(|(_, r)| r.span.clone())
                .collect()
        });
        let len = world.facts.bars[bar].len.max(world.facts.page);
        let part = self.part(world, len, &spans);
        let mut request = Request {
            parent: u32::try_from(bar).ok()?,
            attribute: u32::try_from(self.rng.pick(&[0, 1, 2, 2, 2, 3])).ok()?,
            offset: part.start,
            size: part.end - part.start,
        };
        if self.rng.once_in(12) {
            let page = world.facts.page;
            match self.rng.below(6) {
                0 => request.parent = self.small(),
                1 => request.attribute = self.small().saturating_add(4),
                2 => request.offset += 1 + self.rng.below(page - 1),
                3 => request.size = self.rng.pick(&[0, 1, page - 1, len + page, page + 8]),
                4 => request.size = page.wrapping_neg() - self.rng.below(2) * len,
                _ => request.offset = self.rng.pick(&[len, page.wrapping_neg(), 1 << 63, SLOTS]),
            }
        }
        Some(Op::Create(frame, request))
    }

    /// Returns the index of a subregion, sometimes of one that was destroyed, or any.
    fn subregion(&mut self, world: &World) -> u32 {
        let Some(device) = &world.device else {
            return self.small();
        };
        let live: Vec<u32> = device.live().map(|(index, _)| index).collect();
        match self.rng.below(16) {
            0 => self.small(),
            1 => REGIONS + u32::try_from(self.rng.index(device.regions.len() + 2)).unwrap_or(0),
            _ if live.is_empty() => REGIONS,
            _ => self.rng.pick(&live),
        }
    }

    fn destroy(&mut self, world: &World, _: u32) -> Option<Op> {
        let count = world.device.as_ref()?.live().count();
        if self.rng.index(CROWD) > count {
            return None;
        }
        Some(Op::Destroy(
            self.frame(size::DESTROY),
            self.subregion(world),
        ))
    }

    fn query(&mut self, world: &World, _: u32) -> Option<Op> {
        let frame = self.frame(size::QUERY);
        let index = self.any_index(world);
        Some(Op::Query(frame, index))
    }

    fn any_index(&mut self, world: &World) -> u32 {
        match self.rng.below(3) {
            0 => u32::try_from(self.bar(world)).unwrap_or(0),
            1 => self.subregion(world),
            _ => self.small(),
        }
    }

    fn set_attr(&mut self, world: &World, _: u32) -> Option<Op> {
        let frame = self.frame(size::SET_ATTR);
        let bar = u32::try_from(self.bar(world)).ok()?;
        let index = if self.rng.once_in(10) {
            self.any_index(world)
        } else {
            bar
        };
        // A BAR with an attribute has no subregions, so it does not keep it for long.
        let attribute = self.rng.pick(&[0, 0, 0, 0, 1, 2, 2, 3]);
        let attribute = if self.rng.once_in(16) {
            self.small()
        } else {
            attribute
        };
        Some(Op::SetAttr(frame, index, attribute))
    }

    fn region_info(&mut self, world: &World, _: u32) -> Option<Op> {
        let argsz = self
            .rng
            .pick(&[4096, 4096, 8192, 32, 31, 0, 56, 64, 88, 200]);
        Some(Op::RegionInfo(argsz, self.any_index(world)))
    }

    fn irqs(&mut self, world: &World, _: u32) -> Option<Op> {
        let index = u32::try_from(self.rng.below(5)).ok()?;
        let on = self.rng.once_in(2);
        let awake = world.device.as_ref().is_some_and(Device::can_fault);
        awake.then_some(Op::SetIrqs { index, on })
    }

    fn memory_space(&mut self, _: &World, _: u32) -> Option<Op> {
        Some(Op::Memory(self.rng.once_in(2)))
    }

    fn sleep(&mut self, world: &World, _: u32) -> Option<Op> {
        // What comes of a device in D3hot that is put into low power depends on when the kernel does it.
        let device = world.device.as_ref()?;
        let can = world.facts.pm.is_some() && !device.low_power;
        can.then(|| Op::Sleep(self.rng.once_in(2)))
    }

    fn low_power(&mut self, world: &World, _: u32) -> Option<Op> {
        let enter = self.rng.once_in(2);
        let device = world.device.as_ref()?;
        (!device.d3).then_some(Op::LowPower(enter))
    }

    fn io_eventfd(&mut self, world: &World, _: u32) -> Option<Op> {
        // Whether one writes to a device in low power depends on when the kernel puts it there.
        let device = world.device.as_ref().filter(|device| !device.low_power)?;
        // They keep write combining away, so there are few, and not for long.
        if let Some(event) = device.events.first().filter(|_| !self.rng.once_in(3)) {
            return Some(Op::IoEventfd {
                offset: window(event.bar, event.at),
                count: event.count,
                data: event.data,
                eventfd: self.rng.once_in(10).then_some(0),
            });
        }
        let count = self.rng.pick(&[1, 2, 4, 8]);
        let data = self.rng.next();
        let free = (0..EVENTFDS).find(|&fd| device.events.iter().all(|event| event.eventfd != fd));
        let ram = (0..BARS).find(|&bar| world.facts.bars[bar].ram)?;
        let bar = &world.facts.bars[ram];
        let (offset, eventfd) = match self.rng.below(6) {
            0 => (window(ram, bar.len - u64::from(count) + 1), free),
            1 => (window(ram, SLOTS + bar.len), free),
            2 => (window(6, 0), free),
            3 => (window(ram, 0), None),
            _ => (window(ram, self.cell(bar.len)), free),
        };
        let eventfd = eventfd.and_then(|fd| u32::try_from(fd).ok());
        Some(Op::IoEventfd {
            offset,
            count,
            data,
            eventfd,
        })
    }

    fn signal(&mut self, world: &World, _: u32) -> Option<Op> {
        let device = world.device.as_ref()?;
        let fd = u32::try_from(self.rng.index(EVENTFDS)).ok()?;
        (!device.low_power).then_some(Op::Signal(fd))
    }

    fn dma_buf(&mut self, world: &World, _: u32) -> Option<Op> {
        if !world.facts.dma_buf {
            return None;
        }
        let bar = self.bar(world);
        let len = world.facts.bars[bar].len.max(world.facts.page);
        let part = self.part(world, len, &[]);
        let (mut offset, mut size) = (part.start, part.end - part.start);
        let mut region = u32::try_from(bar).ok()?;
        match self.rng.below(12) {
            0 => offset += 1,
            1 => size = self.rng.pick(&[0, 1, 1 << 63, len + world.facts.page]),
            2 => region = self.any_index(world),
            3 => {
                offset = self
                    .rng
                    .pick(&[1 << 63, world.facts.page.wrapping_neg(), len]);
            }
            _ => (),
        }
        Some(Op::DmaBuf {
            region,
            offset,
            len: size,
        })
    }

    fn fork(&mut self, world: &World, _: u32) -> Option<Op> {
        let free = (0..PROCESSES).find(|&who| world.processes[who].is_none())?;
        Some(Op::Fork(u32::try_from(free).ok()?))
    }

    fn exit(&mut self, world: &World, who: u32) -> Option<Op> {
        // The last one stays, and so does one that alone keeps the device open, mostly.
        let others = world.present().filter(|(other, _)| *other != who);
        let open = others.filter(|(_, process)| process.open).count();
        (open > 0).then_some(Op::Exit)
    }
}

#[path = "generate_memory.rs"]
mod memory;
