// SPDX-License-Identifier: GPL-2.0

//! A thread that does operations while others do theirs.
//!
//! What its own memory looks like it knows exactly, since nobody else changes that. What the device says
//! depends on the others, so it is one of several things; but no entry ever has another type than its
//! VMA, and what the thread wrote to its own bytes it reads there.

use crate::model::{
    size, window, Attribute, Facts, Frame, Mem, Place, Request, Space, Vma, Where, BARS, LARGE,
    REGIONS,
};
use crate::op::{pattern, Access, Advice, Fixed, Op, Outcome};
use crate::oracle::{Oracle, ADDRESSES};
use crate::rng::Rng;
use crate::shared::{Made, Record, Shared, ACTORS, ROUND, VMAS};
use crate::sys;
use crate::worker::{Common, Worker};
use libc::{EAGAIN, EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENOENT, ENOTTY, SIGBUS, SIGSEGV};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// How many subregions a thread remembers, its own and others that it found.
const KNOWN: usize = 24;
/// How many of its own bytes it remembers.
const CELLS: usize = 64;

/// A subregion that a thread has heard of.
#[derive(Clone, Debug)]
struct Known {
    index: u32,
    slot: Range<u64>,
    mem: Mem,
    /// The BAR, and where it begins there.
    bar: usize,
    start: u64,
}

/// A thread.
pub struct Actor {
    number: usize,
    facts: Arc<Facts>,
    worker: Worker,
    oracle: Oracle,
    outcome: Box<Outcome>,
    shared: &'static Shared,
    rng: Rng,
    space: Space,
    known: VecDeque<Known>,
    /// What it wrote to its own bytes of which BAR, and where.
    cells: VecDeque<(usize, u64, u64)>,
    record: Record,
}

impl Actor {
    /// Makes one; it is to do [`Self::round`] for each round.
    pub fn new(
        number: usize,
        facts: Arc<Facts>,
        common: Arc<Common>,
        shared: &'static Shared,
    ) -> std::io::Result<Self> {
        let mut actor = Self {
            number,
            facts,
            worker: Worker::new(common)?,
            oracle: Oracle::open()?,
            outcome: Box::new(Outcome::EMPTY),
            shared,
            rng: Rng::new(0, 0),
            space: Space::default(),
            known: VecDeque::new(),
            cells: VecDeque::new(),
            record: Record::default(),
        };
        actor.perform(Op::Open);
        Ok(actor)
    }

    /// Does the operations of a round, which depend on `rng` and on what comes of them.
    pub fn round(&mut self, rng: Rng) {
        self.rng = rng;
        self.record = Record::default();
        for _ in 0..ROUND {
            if self.shared.is_bad() {
                break;
            }
            if let Some(op) = self.choose() {
                self.step(op);
            }
        }
        self.record.vmas = self.space.vmas().cloned().collect();
        self.shared.end(self.number, &self.record);
    }

    /// Does an operation and returns what it returned.
    fn perform(&mut self, op: Op) -> i64 {
        self.worker.perform(op, &mut self.outcome);
        let told = match self.outcome.signal {
            0 => self.outcome.ret,
            signal => i64::from(signal),
        };
        self.record.ops.push((op, told));
        self.outcome.ret
    }

    fn complain(&self, op: Op, what: &str) {
        self.shared
            .complain(&format!("thread {}: {op:x?}: {what}", self.number));
    }

    /// Complains unless a call returned 0 or one of some errors; returns whether it succeeded.
    fn expect(&self, op: Op, ret: i64, errors: &[i32]) -> bool {
        let allowed = ret >= 0 || errors.iter().any(|errno| ret == -i64::from(*errno));
        if !allowed {
            self.complain(op, &format!("it gave {ret}"));
        }
        ret >= 0
    }

    fn step(&mut self, op: Op) {
        if let Op::Fork(_) = op {
            return self.fork(op);
        }
        let ret = self.perform(op);
        match op {
            Op::Create(_, request) => self.created(op, ret, &request),
            Op::Destroy(_, index) => {
                if self.expect(op, ret, &[ENOENT]) {
                    self.record.destroyed.push(index);
                    self.known.retain(|known| known.index != index);
                }
            }
            Op::Query(..) | Op::RegionInfo(..) => {
                if self.expect(op, ret, &[EINVAL]) {
                    self.heard_of(op);
                }
            }
            Op::SetAttr(..) => _ = self.expect(op, ret, &[EBUSY]),
            Op::Reset => _ = self.expect(op, ret, &[EAGAIN, EINVAL]),
            Op::SysfsReset => _ = self.expect(op, ret, &[EAGAIN, ENOTTY]),
            Op::HotReset => _ = self.expect(op, ret, &[EAGAIN, EBUSY, ENOTTY]),
            Op::LowPower(true) => _ = self.expect(op, ret, &[EINVAL]),
            Op::IoEventfd { .. } => {
                _ = self.expect(op, ret, &[EBUSY, EEXIST, ENODEV]);
            }
            Op::Map {
                at,
                len,
                offset,
                write,
                ..
            } => self.mapped(op, ret, &(at..at + len), offset, write),
            Op::Unmap { at, len } => {
                self.space.unmap(&(at..at + len));
                self.exactly(op, ret, Ok(0));
            }
            Op::Remap { from, old, new, to } => {
                let expected = self.space.remap(from, old, new, to);
                self.exactly(op, ret, expected.map(|at| at as i64));
            }
            Op::Protect {
                at,
                len,
                read,
                write,
            } => {
                let expected = self.space.protect(&(at..at + len), read, write);
                self.exactly(op, ret, expected.map(|()| 0));
            }
            Op::Advise { at, len, .. } => {
                let expected = self.space.dont_fork(&(at..at + len));
                self.exactly(op, ret, expected.map(|()| 0));
            }
            Op::Touch { at, access } => self.touched(op, at, access),
            Op::Read { offset, .. } => {
                let done = self.expect(op, ret, &[EINVAL, EIO]);
                if let (true, Some((bar, at))) = (done, self.byte(offset)) {
                    let value = self.outcome.u64_at(0);
                    self.compare(op, bar, at, value, 8);
                }
            }
            Op::Write { offset, what, .. } => {
                let done = self.expect(op, ret, &[EINVAL, EIO]);
                if let (true, Some((bar, at))) = (done, self.byte(offset)) {
                    let bytes = pattern(what, 8);
                    let value = u64::from_le_bytes(std::array::from_fn(|n| bytes[n]));
                    self.wrote(bar, at, value);
                }
            }
            _ => _ = self.expect(op, ret, &[]),
        }
    }

    /// Complains unless a call gave exactly what it must.
    fn exactly(&self, op: Op, ret: i64, expected: Result<i64, i32>) {
        let expected = expected.unwrap_or_else(|errno| -i64::from(errno));
        if ret != expected {
            self.complain(op, &format!("it gave {ret:#x}, not {expected:#x}"));
        }
    }

    fn created(&mut self, op: Op, ret: i64, request: &Request) {
        let index = self.outcome.u32_at(40);
        if ret == -i64::from(EEXIST) && index < REGIONS {
            self.complain(op, "the index in the way is none");
        }
        if !self.expect(op, ret, &[EBUSY, EEXIST]) {
            return;
        }
        let Some(attribute) = Attribute::of(request.attribute) else {
            return self.complain(op, "the attribute is none");
        };
        if self.outcome.u32_at(44) != self.facts.arch.number(attribute.mem()) {
            self.complain(op, "the type is not the one asked for");
        }
        let offset = self.outcome.u64_at(48);
        self.record.made.push(Made {
            index,
            bar: request.parent as usize,
            start: request.offset,
            end: request.offset + request.size,
            attribute,
            offset,
        });
        self.remember(Known {
            index,
            slot: offset..offset + request.size,
            mem: attribute.mem(),
            bar: request.parent as usize,
            start: request.offset,
        });
    }

    fn remember(&mut self, known: Known) {
        self.known.retain(|other| other.index != known.index);
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(known);
    }

    /// Takes note of a subregion that was asked about.
    fn heard_of(&mut self, op: Op) {
        let Op::RegionInfo(_, index) = op else { return };
        let (offset, len) = (self.outcome.u64_at(24), self.outcome.u64_at(16));
        let cap = self.outcome.u32_at(12) as usize;
        if index < REGIONS || len == 0 || cap == 0 {
            return;
        }
        let Some(attribute) = Attribute::of(self.outcome.u32_at(cap + 12)) else {
            return self.complain(op, "the attribute is none");
        };
        self.remember(Known {
            index,
            slot: offset..offset + len,
            mem: attribute.mem(),
            bar: self.outcome.u32_at(cap + 8) as usize,
            start: self.outcome.u64_at(cap + 24),
        });
    }

    fn mapped(&mut self, op: Op, ret: i64, range: &Range<u64>, offset: u64, write: bool) {
        self.space.unmap(range);
        if !self.expect(op, ret, &[EINVAL]) {
            return;
        }
        let mem = match Place::of(offset) {
            Place::Bar(bar, _) => self.window(bar),
            _ => self.slot(offset).map(|known| known.mem),
        };
        let Some(mem) = mem else {
            return self.complain(op, "what was mapped is not known");
        };
        self.space.map(Vma {
            range: range.clone(),
            offset,
            mem,
            read: true,
            write,
            inherited: true,
        });
    }

    /// Returns the subregion that has a file offset, if the thread remembers it.
    fn slot(&self, offset: u64) -> Option<&Known> {
        self.known.iter().find(|known| known.slot.contains(&offset))
    }

    /// Returns the byte of which BAR is at a file offset, as far as the thread remembers.
    fn byte(&self, offset: u64) -> Option<(usize, u64)> {
        match Place::of(offset) {
            Place::Bar(bar, at) => Some((bar, at)),
            Place::Slot(_) => {
                let known = self.slot(offset)?;
                Some((known.bar, known.start + (offset - known.slot.start)))
            }
            Place::Other(..) => None,
        }
    }

    /// Asks for the type of a BAR's own window, which cannot change while that is mapped.
    fn window(&mut self, bar: usize) -> Option<Mem> {
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

    fn touched(&mut self, op: Op, at: u64, access: Access) {
        let signal = self.outcome.signal;
        let vma = self.space.find(at).cloned();
        let allowed = vma.as_ref().is_some_and(|vma| match access {
            Access::Load(_) => vma.read || vma.write,
            Access::Store(..) => vma.write,
        });
        if (signal == SIGSEGV) == allowed || ![0, SIGBUS, SIGSEGV].contains(&signal) {
            return self.complain(op, &format!("it raised signal {signal}"));
        }
        let Some(vma) = vma else { return };
        self.look(op, at, vma.mem);
        if signal != 0 {
            return;
        }
        let Some((bar, byte)) = self.byte(vma.offset_of(at)) else {
            return;
        };
        match access {
            Access::Load(width) => self.compare(op, bar, byte, self.outcome.value, width),
            Access::Store(_, value) => self.wrote(bar, byte, value),
        }
    }

    /// Looks at the entry of an address of this process.
    fn look(&self, op: Op, at: u64, mem: Mem) {
        let expected = self.facts.arch.name(mem);
        match self.oracle.name_at(at) {
            Ok(Some(name)) if name != expected => {
                self.complain(op, &format!("the entry is {name} and not {expected}"));
            }
            Err(errno) => self.complain(op, &format!("the oracle gives {errno}")),
            _ => (),
        }
    }

    fn wrote(&mut self, bar: usize, at: u64, value: u64) {
        self.cells.retain(|cell| (cell.0, cell.1) != (bar, at));
        if self.cells.len() == CELLS {
            self.cells.pop_front();
        }
        self.cells.push_back((bar, at, value));
    }

    fn compare(&self, op: Op, bar: usize, at: u64, value: u64, width: u32) {
        let cell = self.cells.iter().find(|cell| (cell.0, cell.1) == (bar, at));
        let mask = u64::MAX >> (64 - 8 * width);
        match cell {
            Some((.., written)) if written & mask != value & mask => self.complain(
                op,
                &format!("{value:#x} is at byte {at:#x} where {written:#x} was written"),
            ),
            _ => (),
        }
    }

    /// Forks a child that touches what it has and has not, and looks at its entries.
    fn fork(&mut self, op: Op) {
        let child = self.space.fork();
        let mut touches: Vec<(u64, Option<Mem>)> = Vec::new();
        for vma in self.space.vmas() {
            let pages = (vma.range.end - vma.range.start) / self.facts.page;
            for page in [0, pages - 1, self.rng.below(pages)] {
                let at = vma.range.start + page * self.facts.page;
                let mem = child.find(at).filter(|vma| vma.read).map(|vma| vma.mem);
                touches.push((at, mem));
            }
        }
        let pid = sys::fork();
        if pid == 0 {
            for (at, mem) in touches {
                let signal = sys::load(at, 4).err().unwrap_or(0);
                if (signal == SIGSEGV) != mem.is_none() {
                    self.complain(op, &format!("in a child {at:#x} raised signal {signal}"));
                } else if let Some(mem) = mem {
                    self.look(op, at, mem);
                }
            }
            sys::exit(0);
        }
        self.record.ops.push((op, pid));
        if pid < 0 {
            return self.complain(op, &format!("it gave {pid}"));
        }
        let status = sys::wait_for(pid);
        if status != 0 {
            self.complain(op, &format!("the child ended with status {status:#x}"));
        }
    }
}

#[path = "actor_choice.rs"]
mod choice;
