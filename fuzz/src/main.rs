// SPDX-License-Identifier: GPL-2.0

//! Does random operations on devices of `subregion_vfio_pci`, and compares what comes of them with a
//! model and with the page tables.
//!
//! A run is a series of sequences, each of which depends on the seed and its number alone, begins with a
//! device that is closed, and can be repeated by itself.

#![deny(unsafe_code)]

mod abi;
mod actor;
mod concurrent;
mod exact;
mod failure;
mod generate;
mod mailbox;
mod model;
mod op;
mod oracle;
mod rng;
mod shared;
mod sys;
mod target;
mod worker;

use failure::{Failure, Log};
use rng::Rng;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use target::Target;

const HELP: &str = "\
usage: fuzz [--seed N] [--minutes N | --ops N] [--sequence N] [--device NAME] [--mode MODE] [--trace]

Does random operations on devices that are bound to subregion_vfio_pci, in sequences, until the time
is up or so many operations were done, and says in KTAP what was not as it must be.

  --seed N      what the operations depend on (default 1)
  --minutes N   how long (default 1)
  --ops N       how many operations, instead
  --sequence N  only that one; with --ops, the first operations of it
  --device NAME only on that device: one of DEV_* in the environment
  --mode MODE   exact: one operation at a time, and each outcome is known; or concurrent: four threads
                of two processes at once, and what is left is compared
  --trace       tells each operation before it is done
";

/// The devices, and how often each is taken.
const DEVICES: &[(&str, u32)] = &[
    ("IVSHMEM", 6),
    ("IVSHMEM_BIG", 2),
    ("TESTDEV", 2),
    ("NVME", 2),
    ("IGB", 1),
    ("PAIR_0", 1),
];

/// How many operations a sequence has.
const LENGTH: u64 = 2500;

/// What the command line says.
struct Options {
    seed: u64,
    minutes: u64,
    ops: Option<u64>,
    sequence: Option<u64>,
    device: Option<String>,
    concurrent: Option<bool>,
    trace: bool,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self {
            seed: 1,
            minutes: 1,
            ops: None,
            sequence: None,
            device: None,
            concurrent: None,
            trace: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--trace" {
                options.trace = true;
                continue;
            }
            let value = words
                .next()
                .ok_or(format!("{word}: unknown, or without a value"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{value} is no number"))
            };
            match word.as_str() {
                "--seed" => options.seed = number()?,
                "--minutes" => options.minutes = number()?,
                "--ops" => options.ops = Some(number()?),
                "--sequence" => options.sequence = Some(number()?),
                "--mode" if value == "exact" => options.concurrent = Some(false),
                "--mode" if value == "concurrent" => options.concurrent = Some(true),
                "--device" => options.device = Some(value),
                _ => return Err(format!("{word}: unknown")),
            }
        }
        Ok(options)
    }
}

/// Does sequence `number`, of `count` operations.
fn sequence(options: &Options, number: u64, count: u64) -> Result<u64, Failure> {
    let mut rng = Rng::new(options.seed, number);
    let weights: Vec<u32> = DEVICES.iter().map(|(_, weight)| *weight).collect();
    let chosen = DEVICES[rng.weighted(&weights)].0;
    let concurrent = options.concurrent.unwrap_or(rng.once_in(3));
    let device = options.device.as_deref().unwrap_or(chosen);
    let mut words = format!("SEED={} SEQUENCE={number}", options.seed);
    if options.device.is_some() {
        words += &format!(" DEVICE={device}");
    }
    let mode = if concurrent { "concurrent" } else { "exact" };
    if options.concurrent.is_some() {
        words += &format!(" MODE={mode}");
    }
    let name = format!(
        "sequence {number} of seed {}, {mode}, on {device}",
        options.seed
    );
    let log = Log::new(name.clone(), words, options.trace);
    let fail = |error: std::io::Error| Failure {
        what: format!("{name}: {error}"),
        more: Vec::new(),
    };
    let target = Target::find(device).map_err(fail)?;
    let facts = Arc::new(target.facts().map_err(fail)?);
    if concurrent {
        let mut all =
            concurrent::Concurrent::start(target, facts, rng.next(), log).map_err(fail)?;
        return all.run(rng, count);
    }
    let mut exact = exact::Exact::start(target, facts, log).map_err(fail)?;
    exact.run(rng, 400, count).map(|()| count)
}

/// Does sequences until there is no more time, or so many operations were done; returns how many were.
fn sequences(options: &Options) -> Result<u64, Failure> {
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    if let Some(number) = options.sequence {
        let count = options.ops.unwrap_or(LENGTH);
        return sequence(options, number, count);
    }
    let mut done = 0;
    let mut told = Instant::now();
    for number in 0.. {
        let count = match options.ops {
            Some(ops) if done >= ops => break,
            Some(ops) => LENGTH.min(ops - done),
            None if Instant::now() >= end => break,
            None => LENGTH,
        };
        done += sequence(options, number, count)?;
        if told.elapsed().as_secs() >= 10 {
            told = Instant::now();
            println!("# {done} operations, {} sequences", number + 1);
        }
    }
    Ok(done)
}

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("fuzz: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = sys::prepare_signals() {
        eprintln!("fuzz: {error}");
        return ExitCode::from(2);
    }
    println!("KTAP version 1\n1..1");
    let begin = Instant::now();
    match sequences(&options) {
        Ok(done) => {
            let seconds = begin.elapsed().as_secs_f64();
            println!("# {done} operations in {seconds:.0} s");
            println!("ok 1 fuzz.every_operation_gives_what_the_model_says");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("# {}", failure.what);
            for line in failure.more {
                println!("# {line}");
            }
            println!("not ok 1 fuzz.every_operation_gives_what_the_model_says");
            ExitCode::FAILURE
        }
    }
}
