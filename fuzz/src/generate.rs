// SPDX-License-Identifier: GPL-2.0-only

//! Chooses the next operation: usually a valid one, often an edge case, sometimes nonsense.

mod exports;
mod foreign;
mod ioctls;
mod memory;
mod ranges;

use crate::model::{World, PROCESSES};
use crate::op::{Op, Step, Via};
use crate::oracle::ADDRESSES;
use crate::rng::Rng;

/// The approximate number of subregions at a time.
const CROWD: usize = 20;
/// While there are exports, one operation in this number begins the last close of the device.
const CLOSES: u64 = 400;

/// Chooses operations.
pub struct Generator {
    rng: Rng,
    /// One in this number of operations takes a tenth of a second.
    slow: u64,
    /// Whether there are foreign mappings of BARs too.
    others: bool,
    /// Whether the processes are closing the device.
    closing: bool,
}

/// The weight of an operation, and the function that chooses its arguments.
type Choice = (u32, fn(&mut Generator, &World, u32) -> Option<Op>);

/// All operations except the slow ones.
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
    (24, Generator::export),
    (6, Generator::close_export),
    (8, Generator::take_export),
    (50, Generator::map_export),
    (30, Generator::read_export),
    (30, Generator::write_export),
    (90, Generator::map),
    (40, Generator::unmap),
    (40, Generator::remap),
    (30, Generator::protect),
    (24, Generator::advise),
    (8, Generator::lock),
    (16, Generator::bind),
    (40, Generator::foreign),
    (300, Generator::touch),
    (80, Generator::read),
    (80, Generator::write),
    (16, Generator::fork),
    (14, Generator::exit),
];

impl Generator {
    /// Makes a generator whose choices depend only on `rng` and on the world.
    #[must_use]
    pub fn new(mut rng: Rng, slow: u64) -> Self {
        let others = rng.once_in(2);
        Self {
            rng,
            slow,
            others,
            closing: false,
        }
    }

    /// Chooses the next operation.
    ///
    /// # Panics
    ///
    /// If there is no process.
    pub fn next(&mut self, world: &World) -> Step {
        if let Some(step) = self.last_close(world) {
            return step;
        }
        let present: Vec<u32> = world.present().map(|(who, _)| who).collect();
        let who = self.rng.pick(&present);
        let op = self
            .before_open(world)
            .or_else(|| self.repair(world, who))
            .or_else(|| self.slow(world))
            .unwrap_or_else(|| self.any(world, who));
        Step { who, op }
    }

    fn any(&mut self, world: &World, who: u32) -> Op {
        let weights: Vec<u32> = CHOICES.iter().map(|(weight, _)| *weight).collect();
        loop {
            let (_, choose) = CHOICES[self.rng.weighted(&weights)];
            let Some(op) = choose(self, world, who) else {
                continue;
            };
            // Without a descriptor, and without a way to get one, most operations fail.
            let open = world.process(who).is_some_and(|process| process.open);
            if open || world.can_open() || !needs_descriptor(op) || self.rng.once_in(16) {
                return op;
            }
        }
    }

    /// Undoes states in which most other operations do nothing.
    fn repair(&mut self, world: &World, who: u32) -> Option<Op> {
        let process = world.process(who)?;
        let often = match world.device {
            _ if !world.can_open() => 1,
            // Exports that have ended are used for a while.
            None if !process.exports.is_empty() => 8,
            _ => 48,
        };
        if !process.open && self.rng.below(64) < often {
            return Some(Op::Open);
        }
        let nobody = world.present().all(|(_, process)| !process.open);
        if nobody && !world.can_open() && self.rng.once_in(4) {
            // Only mappings keep the device open.
            let (at, len) = (ADDRESSES.start, ADDRESSES.end - ADDRESSES.start);
            return Some(Op::Unmap { at, len });
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
        match self.rng.below(6) {
            0 => Some(Op::Reset),
            1 if world.facts.hot_reset => Some(Op::HotReset),
            // These two find a device in D3hot in a state that VFIO does not restore.
            2 if world.facts.sysfs_reset && !device.d3 && !device.low_power => Some(Op::SysfsReset),
            3 if world.facts.flr.is_some() && !device.d3 && !device.low_power => {
                Some(Op::FunctionReset)
            }
            4 => Some(Op::Close),
            5 if world.facts.sibling => Some(Op::SiblingReset),
            _ => None,
        }
    }

    fn fork(&mut self, world: &World, _: u32) -> Option<Op> {
        let free = (0..PROCESSES).find(|&who| world.processes[who].is_none())?;
        Some(Op::Fork(u32::try_from(free).ok()?))
    }

    fn exit(&mut self, world: &World, who: u32) -> Option<Op> {
        // The last process stays, and usually the only one that keeps the device open.
        let others = world.present().filter(|(other, _)| *other != who);
        let open = others.filter(|(_, process)| process.open).count();
        (open > 0).then_some(Op::Exit)
    }
}

/// Returns whether an operation uses a descriptor of the device.
fn needs_descriptor(op: Op) -> bool {
    let is_map = matches!(
        op,
        Op::Map {
            via: Via::Device,
            ..
        }
    );
    let needs_none = matches!(
        op,
        Op::Touch { .. }
            | Op::Fork(_)
            | Op::Exit
            | Op::Foreign(_)
            | Op::CloseExport(_)
            | Op::Take { .. }
            | Op::Read {
                via: Via::Export(_),
                ..
            }
            | Op::Write {
                via: Via::Export(_),
                ..
            }
    );
    is_map || !(op.is_of_memory() || needs_none)
}
