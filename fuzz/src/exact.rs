// SPDX-License-Identifier: GPL-2.0-only

//! One operation at a time, by several processes: the model knows each result in advance.

use crate::failure::{Failure, Log};
use crate::foreign::Mappings;
use crate::generate::Generator;
use crate::model::{are_mixed, Facts, World, PROCESSES};
use crate::op::{Op, Outcome, Step};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::sys;
use crate::target::Target;
use crate::worker::{Common, Worker};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The time limit of an operation on the slowest machine, in seconds. On the debug kernel, an open
/// takes a minute if the device has a BAR of 2 GiB and another process maps a part of it.
const PATIENCE: u64 = 300;
/// The number of operations between two checks of all page tables, unless one removes entries.
const LOOK: u64 = 8;

/// A process that does operations.
pub struct Hand {
    /// Its number.
    pub pid: i64,
    /// Becomes readable when the process has ended.
    pub pidfd: OwnedFd,
}

impl Hand {
    /// Adds a child.
    pub fn new(pid: i64) -> io::Result<Self> {
        let pidfd = sys::pidfd(pid)?;
        Ok(Self { pid, pidfd })
    }
}

/// The state of one sequence.
pub struct Exact {
    common: Arc<Common>,
    world: World,
    hands: [Option<Hand>; PROCESSES],
    oracle: Oracle,
    foreign: Mappings,
    outcome: Box<Outcome>,
    log: Log,
}

impl Exact {
    /// Starts the first process.
    pub fn start(target: Target, facts: Arc<Facts>, log: Log) -> io::Result<Self> {
        let common = Arc::new(Common::new(target, &facts)?);
        let mut worker = Worker::new(common.clone())?;
        let pid = sys::fork();
        if pid == 0 {
            worker.serve(0);
        }
        let mut hands: [Option<Hand>; PROCESSES] = Default::default();
        hands[0] = Some(Hand::new(pid)?);
        let mut world = World::new(facts);
        if let Some(first) = &mut world.processes[0] {
            first.pid = pid;
        }
        Ok(Self {
            foreign: Mappings::new(&common.target),
            common,
            world,
            hands,
            oracle: Oracle::open()?,
            outcome: Box::new(Outcome::EMPTY),
            log,
        })
    }

    /// Does `count` random operations, and stops at the first one with a wrong result, or when this
    /// program is interrupted. Returns the number of operations done.
    pub fn run(&mut self, rng: Rng, slow: u64, count: u64) -> Result<u64, Failure> {
        let mut generator = Generator::new(rng, slow);
        let result = self
            .steps(&mut generator, count)
            .and_then(|done| self.end().map(|()| done));
        for hand in self.hands.iter_mut().filter_map(Option::take) {
            // Processes exist here only after a failure.
            sys::kill(hand.pid);
            sys::wait_for_end(&hand.pidfd, 60);
        }
        result.map_err(|what| self.log.failure(&what))
    }

    fn steps(&mut self, generator: &mut Generator, count: u64) -> Result<u64, String> {
        let mut done = 0;
        for number in 0..count {
            if sys::interrupt().is_some() {
                break;
            }
            let step = generator.next(&self.world);
            self.log.note(number, &step);
            self.step(&step)?;
            if number % LOOK == 0 || changes_entries(step.op) {
                self.look()?;
            }
            done += 1;
        }
        self.look().map(|()| done)
    }

    /// Checks the page tables of all processes, and the kernel's log.
    fn look(&mut self) -> Result<(), String> {
        let pids = std::array::from_fn::<i64, PROCESSES, _>(|who| {
            self.hands[who].as_ref().map_or(0, |hand| hand.pid)
        });
        self.oracle.check(&self.world, &pids)?;
        self.log.kernel()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let who = step.who as usize;
        let mailbox = &self.common.mailboxes[who];
        if step.op == Op::Exit {
            return self.exit(step);
        }
        if let Op::Foreign(what) = step.op {
            let outcome = &mut *self.outcome;
            self.foreign.perform(what, &self.oracle, outcome);
            return self.world.judge(step, &self.outcome);
        }
        if let Op::Fork(child) = step.op {
            self.common.mailboxes[child as usize].reset();
        }
        let hand = self.hands[who].as_ref().ok_or("there is no such process")?;
        let lost = || sys::wait_for_end(&hand.pidfd, 0);
        let conflicts =
            step.op == Op::Open && self.world.device.is_none() && are_mixed(&self.world.foreign);
        if conflicts {
            self.log.expect_conflicts(true)?;
        }
        let outcome = mailbox
            .call(step.op, PATIENCE, lost)
            .ok_or("the process died, or hangs")?;
        if conflicts {
            self.log.expect_conflicts(false)?;
        }
        if let Op::Fork(child) = step.op {
            let hand = Hand::new(outcome.ret).map_err(|error| format!("fork: {error}"))?;
            self.hands[child as usize] = Some(hand);
        }
        self.world.judge(step, outcome)
    }

    fn exit(&mut self, step: &Step) -> Result<(), String> {
        let who = step.who as usize;
        let hand = self.hands[who].take().ok_or("there is no such process")?;
        self.common.mailboxes[who].post(Op::Exit);
        if !sys::wait_for_end(&hand.pidfd, 60) {
            return Err("the process does not end".into());
        }
        self.common.mailboxes[who].reset();
        self.world.judge(step, &Outcome::EMPTY)
    }

    /// Ends all processes, after which nothing of the device remains.
    fn end(&mut self) -> Result<(), String> {
        let present: Vec<u32> = self.world.present().map(|(who, _)| who).collect();
        for who in present {
            self.exit(&Step { who, op: Op::Exit })?;
        }
        self.foreign.drop_all();
        self.log.closed(&self.world.facts)
    }
}

/// Returns whether an operation may remove entries or change their type.
fn changes_entries(op: Op) -> bool {
    matches!(
        op,
        Op::Create(..)
            | Op::Destroy(..)
            | Op::SetAttr(..)
            | Op::Reset
            | Op::HotReset
            | Op::SiblingReset
            | Op::Bind { .. }
            | Op::SysfsReset
            | Op::FunctionReset
            | Op::Memory(false)
            | Op::Sleep(_)
            | Op::LowPower(_)
            | Op::Remap { .. }
            | Op::Fork(_)
    )
}
