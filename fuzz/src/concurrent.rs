// SPDX-License-Identifier: GPL-2.0-only

//! Several threads of several processes at the same time. After each round all of them stop, and
//! the state of the device is compared with their operations, in whatever order these ran.

mod stranger;

use self::stranger::Stranger;
use crate::actor::Actor;
use crate::exact::Hand;
use crate::failure::{Failure, Log};
use crate::model::{
    overlap, Attribute, Content, Device, Facts, Process, Region, World, BARS, REGIONS,
};
use crate::op::{Access, Fixed, Op, Outcome, Step, Via};
use crate::oracle::{Oracle, ADDRESSES};
use crate::rng::{mix, Rng};
use crate::shared::{Record, Shared, ACTORS, GROUPS, QUIT, THREADS};
use crate::sys;
use crate::target::Target;
use crate::worker::{Common, Worker};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// The time limit of a round on the slowest machine, in seconds.
const PATIENCE: u64 = 300;
/// The number of the process that compares.
const JUDGE: u32 = 4;
/// The number of subregions that are queried after each round, the newest first.
const ASKED: usize = 40;

/// The state of one sequence.
pub struct Concurrent {
    shared: &'static Shared,
    hands: Vec<Hand>,
    stranger: Option<Stranger>,
    oracle: Oracle,
    world: World,
    judge: Worker,
    outcome: Box<Outcome>,
    log: Log,
}

impl Concurrent {
    /// Opens the device and starts the processes, whose operations depend on `seed`.
    pub fn start(target: Target, facts: Arc<Facts>, seed: u64, log: Log) -> io::Result<Self> {
        let mut rng = Rng::new(seed, 0);
        let sleepy = facts.pm.is_some() && rng.once_in(2);
        let common = Arc::new(Common::new(target, &facts)?);
        let shared = Shared::new()?;
        let mut hands = Vec::new();
        for group in 0..GROUPS {
            let pid = sys::fork();
            if pid == 0 {
                act(group, &facts, &common, shared, (seed, sleepy));
            }
            hands.push(Hand::new(pid)?);
        }
        let stranger = if rng.once_in(2) {
            Stranger::new(&common.target, &facts, rng)?
        } else {
            None
        };
        let mut world = World::new(facts.clone());
        world.processes = Default::default();
        world.device = Some(Device::new(facts));
        Ok(Self {
            shared,
            hands,
            stranger,
            oracle: Oracle::open()?,
            world,
            judge: Worker::new(common)?,
            outcome: Box::new(Outcome::EMPTY),
            log,
        })
    }

    /// Does rounds until `count` operations were done, and stops at the first one that leaves an
    /// error.
    pub fn run(&mut self, mut rng: Rng, count: u64) -> Result<u64, Failure> {
        self.judge.perform(Op::Open, &mut self.outcome);
        let mut done = 0;
        let mut result = Ok(());
        let mut round = 0;
        while done < count && result.is_ok() && sys::interrupt().is_none() {
            round += 1;
            result = self
                .round(round, &mut rng)
                .map(|operations| done += operations);
        }
        self.shared.quit();
        for hand in self.hands.drain(..) {
            if !sys::wait_for_end(&hand.pidfd, 30) {
                sys::kill(hand.pid);
                sys::wait_for_end(&hand.pidfd, 30);
            }
        }
        self.judge.perform(Op::Close, &mut self.outcome);
        self.stranger = None;
        let end = result.and_then(|()| self.log.closed(&self.world.facts));
        end.map(|()| done).map_err(|what| self.log.failure(&what))
    }

    /// Does a round and returns the number of its operations.
    fn round(&mut self, round: u32, rng: &mut Rng) -> Result<u64, String> {
        self.log.round(round);
        let (ended, stranger) = self.work(round);
        let records: Vec<Record> = (0..ACTORS).map(|actor| self.shared.record(actor)).collect();
        for (actor, record) in records.iter().enumerate() {
            self.log.acted(actor, &record.ops);
        }
        if let Some(complaint) = self.shared.complaint() {
            return Err(complaint);
        }
        if !ended {
            return Err("a process died, or hangs".into());
        }
        stranger?;
        self.take_in(&records)?;
        self.compare(rng)?;
        self.log.kernel()?;
        Ok(records.iter().map(|record| record.ops.len() as u64).sum())
    }

    /// Lets all threads do the operations of a round. Returns whether they have ended, and the
    /// errors of the foreign mappings made meanwhile.
    fn work(&mut self, round: u32) -> (bool, Result<(), String>) {
        let (hands, shared) = (&self.hands, self.shared);
        let facts = &self.world.facts;
        let lost = || hands.iter().any(|hand| sys::wait_for_end(&hand.pidfd, 0));
        let Some(stranger) = &mut self.stranger else {
            return (shared.begin(round, PATIENCE, lost), Ok(()));
        };
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let working = scope.spawn(|| stranger.work(facts, &stop));
            let ended = shared.begin(round, PATIENCE, lost);
            stop.store(true, Ordering::SeqCst);
            let done = working.join();
            let done = done.unwrap_or_else(|_| Err("the stranger panicked".into()));
            (ended, done)
        })
    }

    /// Enters the foreign mapping into the model.
    fn see_stranger(&mut self) -> Result<(), String> {
        let page = self.world.facts.page;
        self.world.foreign[0] = self.stranger.as_ref().and_then(|some| some.mapping(page));
        let device = self.world.device.as_mut().ok_or("the device is closed")?;
        device.see(&self.world.foreign);
        match &self.world.foreign[0] {
            Some(mapping) if device.has_two_types(mapping) => {
                Err(format!("{mapping:x?} is of another type than the device's"))
            }
            _ => Ok(()),
        }
    }

    /// Enters the operations into the model, in whatever order they ran.
    fn take_in(&mut self, records: &[Record]) -> Result<(), String> {
        let device = self.world.device.as_mut().ok_or("the device is closed")?;
        let mut made: Vec<_> = records
            .iter()
            .flat_map(|record| record.made.clone())
            .collect();
        made.sort_by_key(|made| made.index);
        for made in made {
            if made.index != device.next_index() {
                let next = device.next_index();
                return Err(format!("index {} was used, not {next}", made.index));
            }
            let region = Region {
                bar: made.bar,
                span: made.start..made.end,
                attribute: made.attribute,
                offset: made.offset,
                shares: 0,
            };
            // The mappings at that moment are not known.
            device.enter(region, |_| false)?;
        }
        for index in records.iter().flat_map(|record| &record.destroyed) {
            if device.remove(*index).is_none() {
                return Err(format!(
                    "subregion {index} was destroyed twice, or never made"
                ));
            }
        }
        for bar in 0..BARS {
            let claims = device.claims(bar);
            for pair in claims.windows(2) {
                let [(first, a), (second, b)] = pair else {
                    continue;
                };
                if overlap(&a.span, &b.span) {
                    return Err(format!("subregions {first} and {second} overlap"));
                }
            }
        }
        for group in 0..GROUPS {
            let mut process = Process::default();
            for record in &records[group * THREADS..(group + 1) * THREADS] {
                for vma in &record.vmas {
                    process.space.map(vma.clone());
                }
            }
            process.space.may_all_be_live();
            self.world.processes[group] = Some(process);
        }
        self.world.processes[JUDGE as usize] = Some(Process {
            open: true,
            ..Process::default()
        });
        Ok(())
    }

    /// Does an operation as the process that compares.
    fn step(&mut self, op: Op) -> Result<(), String> {
        let step = Step { who: JUDGE, op };
        self.judge.perform(op, &mut self.outcome);
        let verdict = self.world.judge(&step, &self.outcome);
        verdict.map_err(|what| format!("after the round, {step}: {what}"))
    }

    /// Compares the device and the page tables with the model.
    fn compare(&mut self, rng: &mut Rng) -> Result<(), String> {
        if self.world.facts.pm.is_some() {
            self.step(Op::Sleep(false))?;
        }
        self.step(Op::LowPower(false))?;
        self.step(Op::Memory(true))?;
        self.windows()?;
        self.see_stranger()?;
        self.world.content = Content::default();
        let mut pids = [0; crate::model::PROCESSES];
        for (pid, hand) in pids.iter_mut().zip(&self.hands) {
            *pid = hand.pid;
        }
        pids[JUDGE as usize] = i64::from(std::process::id());
        self.oracle.check(&self.world, &pids)?;

        self.step(Op::Info(24))?;
        for bar in 0..BARS as u32 {
            self.step(Op::RegionInfo(8192, bar))?;
        }
        let next = self
            .world
            .device
            .as_ref()
            .map_or(REGIONS, Device::next_index);
        for index in (REGIONS..next).rev().take(ASKED) {
            self.step(Op::RegionInfo(8192, index))?;
        }
        let device = self.world.device.as_ref();
        let live: Vec<Region> = device
            .iter()
            .flat_map(|device| device.live())
            .map(|(_, region)| region.clone())
            .collect();
        for _ in 0..3.min(live.len()) {
            let region = &live[rng.index(live.len())];
            self.touch(region.offset)?;
            // The BAR's own window does not reach the same page.
            self.touch(crate::model::window(region.bar, region.span.start))?;
        }
        self.oracle.check(&self.world, &pids)
    }

    /// Maps a page and touches it.
    fn touch(&mut self, offset: u64) -> Result<(), String> {
        let at = ADDRESSES.start;
        let len = self.world.facts.page;
        self.step(Op::Map {
            via: Via::Device,
            at,
            len,
            offset,
            write: false,
            shared: true,
            fixed: Fixed::Over,
        })?;
        let access = Access::Load(4);
        self.step(Op::Touch { at, access })?;
        self.step(Op::Unmap { at, len })
    }

    /// Queries the attributes of the BARs' own windows: the last of several settings is unknown.
    fn windows(&mut self) -> Result<(), String> {
        for bar in 0..BARS {
            let op = Op::RegionInfo(8192, bar as u32);
            self.judge.perform(op, &mut self.outcome);
            let mut attribute = Attribute::Noncached;
            let mut cap = self.outcome.u32_at(12) as usize;
            while cap != 0 {
                if self.outcome.u32_at(cap) & 0xffff == 0xd502 {
                    let number = self.outcome.u32_at(cap + 12);
                    attribute = Attribute::of(number).ok_or("the attribute is unknown")?;
                }
                cap = self.outcome.u32_at(cap + 4) as usize;
            }
            let device = self.world.device.as_mut().ok_or("the device is closed")?;
            device.windows[bar] = attribute;
        }
        Ok(())
    }
}

/// Runs as one of the processes.
fn act(
    group: usize,
    facts: &Arc<Facts>,
    common: &Arc<Common>,
    shared: &'static Shared,
    (seed, sleepy): (u64, bool),
) -> ! {
    sys::keep_children();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let number = group * THREADS + thread;
            let (facts, common) = (facts.clone(), common.clone());
            std::thread::spawn(move || {
                let Ok(mut actor) = Actor::new(number, facts, common, shared, sleepy) else {
                    sys::exit(3);
                };
                let mut last = 0;
                loop {
                    last = shared.wait(last);
                    if last == QUIT {
                        return;
                    }
                    let stream = u64::from(last) * ACTORS as u64 + number as u64;
                    actor.round(Rng::new(mix(seed), stream));
                }
            })
        })
        .collect();
    for thread in threads {
        if thread.join().is_err() {
            sys::exit(4);
        }
    }
    sys::exit(0);
}
