// SPDX-License-Identifier: GPL-2.0-only

//! A thread that does operations while others do theirs.
//!
//! The thread knows its own memory exactly, because no other thread changes that. The device's
//! answers depend on the other threads, so several are possible. But an entry never has a type
//! other than its VMA's, and the thread reads back what it wrote to its own bytes.

mod choice;
mod known;
mod memory;

use self::known::Known;
use crate::model::{Attribute, Facts, Request, Space, REGIONS};
use crate::op::{pattern, Advice, Op, Outcome, Via};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::shared::{Made, Record, Shared, ROUND};
use crate::worker::{Common, Worker};
use libc::{EAGAIN, EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENOENT, ENOTTY};
use std::collections::VecDeque;
use std::sync::Arc;

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
    /// The exports that it has: the descriptor and the subregion.
    exports: VecDeque<(i32, Known)>,
    /// The values that it wrote to its own bytes: the BAR, the offset and the value.
    cells: VecDeque<(usize, u64, u64)>,
    record: Record,
    /// Whether the device goes to D3hot and back. It is then not reset by others than VFIO, or put
    /// into low power: VFIO does not restore the state that these find.
    sleepy: bool,
}

impl Actor {
    /// Makes a thread, which then calls [`Self::round`] for each round.
    pub fn new(
        number: usize,
        facts: Arc<Facts>,
        common: Arc<Common>,
        shared: &'static Shared,
        sleepy: bool,
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
            exports: VecDeque::new(),
            cells: VecDeque::new(),
            record: Record::default(),
            sleepy,
        };
        actor.perform(Op::Open);
        Ok(actor)
    }

    /// Does the operations of a round, which depend on `rng` and on their results.
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

    /// Does an operation and returns its result.
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

    /// Complains unless a call returned 0 or one of the given errors; returns whether it succeeded.
    fn expect(&self, op: Op, ret: i64, errors: &[i32]) -> bool {
        let allowed = ret >= 0 || errors.iter().any(|errno| ret == -i64::from(*errno));
        if !allowed {
            self.complain(op, &format!("it returned {ret}"));
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
                if self.expect(op, ret, &[EBUSY, ENOENT]) {
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
            Op::HotReset | Op::SiblingReset => _ = self.expect(op, ret, &[EAGAIN, EBUSY, ENOTTY]),
            Op::LowPower(true) => _ = self.expect(op, ret, &[EINVAL]),
            Op::IoEventfd { .. } => {
                _ = self.expect(op, ret, &[EBUSY, EEXIST, ENODEV]);
            }
            Op::Export(_, index, _) => {
                if self.expect(op, ret, &[ENOENT]) {
                    self.exported(index);
                }
            }
            Op::CloseExport(fd) => {
                self.exports.retain(|(other, _)| *other != fd);
                self.exactly(op, ret, Ok(0));
            }
            Op::Map {
                via,
                at,
                len,
                offset,
                write,
                ..
            } => self.mapped((op, ret), via, &(at..at + len), offset, write),
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
            Op::Advise { at, len, advice } => {
                let expected = match advice {
                    Advice::DontFork => self.space.dont_fork(&(at..at + len)),
                    // The kernel refuses device memory.
                    _ => Err(EINVAL),
                };
                self.exactly(op, ret, expected.map(|()| 0));
            }
            Op::Lock { at, len, .. } => {
                let expected = self.space.lock(&(at..at + len));
                self.exactly(op, ret, expected.map(|()| 0));
            }
            Op::Bind { at, len, node } => {
                let expected = self.space.bind(&(at..at + len), node);
                self.exactly(op, ret, expected.map(|()| 0));
            }
            Op::Touch { at, access } => self.touched(op, at, access),
            Op::Read { via, offset, .. } => {
                let done = self.expect(op, ret, errors(via));
                if let (true, Some((bar, at))) = (done, self.byte_via(via, offset)) {
                    let value = self.outcome.u64_at(0);
                    self.compare(op, bar, at, value, 8);
                }
            }
            Op::Write {
                via, offset, what, ..
            } => {
                let done = self.expect(op, ret, errors(via));
                if let (true, Some((bar, at))) = (done, self.byte_via(via, offset)) {
                    let bytes = pattern(what, 8);
                    let value = u64::from_le_bytes(std::array::from_fn(|n| bytes[n]));
                    self.wrote(bar, at, value);
                }
            }
            _ => _ = self.expect(op, ret, &[]),
        }
    }

    /// Complains unless a call returned exactly `expected`.
    fn exactly(&self, op: Op, ret: i64, expected: Result<i64, i32>) {
        let expected = expected.unwrap_or_else(|errno| -i64::from(errno));
        if ret != expected {
            self.complain(op, &format!("it returned {ret:#x}, not {expected:#x}"));
        }
    }

    fn created(&mut self, op: Op, ret: i64, request: &Request) {
        let index = self.outcome.u32_at(40);
        if ret == -i64::from(EEXIST) && index < REGIONS {
            self.complain(op, "the conflicting index is no region");
        }
        if !self.expect(op, ret, &[EBUSY, EEXIST]) {
            return;
        }
        let Some(attribute) = Attribute::of(request.attribute) else {
            return self.complain(op, "the attribute is unknown");
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
}

/// Returns the errors of `pread()` and `pwrite()`.
fn errors(via: Via) -> &'static [i32] {
    match via {
        Via::Device => &[EINVAL, EIO],
        Via::Export(_) => &[ENODEV, EIO],
    }
}
