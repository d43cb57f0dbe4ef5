// SPDX-License-Identifier: GPL-2.0-only

//! Does random operations on devices of `subregion_vfio_pci`, and compares their results with a
//! model and with the page tables.
//!
//! A run is a series of sequences. Each depends only on the seed and its number, begins with a
//! closed device, and can be repeated alone.

#![deny(unsafe_code)]

mod abi;
mod actor;
mod concurrent;
mod exact;
mod failure;
mod foreign;
mod generate;
mod mailbox;
mod model;
mod op;
mod options;
mod oracle;
mod rng;
mod shared;
mod sys;
mod target;
mod worker;

use failure::{Failure, Log};
use options::{Options, HELP};
use rng::Rng;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use target::Target;

/// The devices and their weights.
const DEVICES: &[(&str, u32)] = &[
    ("IVSHMEM", 6),
    ("IVSHMEM_BIG", 2),
    ("TESTDEV", 2),
    ("NVME", 2),
    ("IGB", 1),
    ("PAIR_0", 2),
];

/// The number of operations of a sequence.
const LENGTH: u64 = 2500;
/// One in this number of operations takes a tenth of a second.
const SLOW: u64 = 400;

/// Does sequence `number`, of `count` operations, and returns the number done.
fn sequence(options: &Options, number: u64, count: u64) -> Result<u64, Failure> {
    let mut rng = Rng::new(options.seed, number);
    let weights: Vec<u32> = DEVICES.iter().map(|(_, weight)| *weight).collect();
    let chosen = DEVICES[rng.weighted(&weights)].0;
    let by_chance = rng.once_in(3);
    let concurrent = options.concurrent.unwrap_or(by_chance);
    // A device with a character device of its own cannot be opened by several threads.
    let own = rng.once_in(3) && !concurrent;
    let device = options.device.as_deref().unwrap_or(chosen);
    let name = format!(
        "sequence {number} of seed {}, {}, on {device}{}",
        options.seed,
        if concurrent { "concurrent" } else { "exact" },
        if own { " by its character device" } else { "" },
    );
    let command = format!("{} SEQUENCE={number}", options.command());
    let log = Log::new(name.clone(), command, options.trace);
    let fail = |error: std::io::Error| Failure {
        what: format!("{name}: {error}"),
        more: Vec::new(),
    };
    let target = Target::find(device, own).map_err(fail)?;
    let facts = Arc::new(target.facts().map_err(fail)?);
    if concurrent {
        let mut all =
            concurrent::Concurrent::start(target, facts, rng.next(), log).map_err(fail)?;
        return all.run(rng, count);
    }
    let mut exact = exact::Exact::start(target, facts, log).map_err(fail)?;
    exact.run(rng, SLOW, count)
}

/// The operations and sequences done.
#[derive(Default)]
struct Done {
    operations: u64,
    sequences: u64,
}

/// Does sequences until the time is over, the number of operations is reached, or the program is
/// interrupted.
fn sequences(options: &Options, done: &mut Done) -> Result<(), Failure> {
    if let Some(number) = options.sequence {
        done.operations = sequence(options, number, options.ops.unwrap_or(LENGTH))?;
        done.sequences = 1;
        return Ok(());
    }
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    let mut told = Instant::now();
    while sys::interrupt().is_none() {
        let count = match options.ops {
            Some(ops) if done.operations >= ops => break,
            Some(ops) => LENGTH.min(ops - done.operations),
            None if Instant::now() >= end => break,
            None => LENGTH,
        };
        done.operations += sequence(options, done.sequences, count)?;
        done.sequences += 1;
        if told.elapsed().as_secs() >= 10 {
            told = Instant::now();
            println!(
                "# {} operations, {} sequences",
                done.operations, done.sequences
            );
        }
    }
    Ok(())
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
    let mut done = Done::default();
    let result = sequences(&options, &mut done);
    println!(
        "# {} operations, {} sequences in {:.0} s",
        done.operations,
        done.sequences,
        begin.elapsed().as_secs_f64()
    );
    let test = "1 fuzz.every_operation_has_the_result_of_the_model";
    if let Err(failure) = result {
        println!("# {}", failure.what);
        for line in failure.more {
            println!("# {line}");
        }
        println!("not ok {test}");
        return ExitCode::FAILURE;
    }
    if let Some(signal) = sys::interrupt() {
        let only = options
            .sequence
            .map_or(String::new(), |number| format!(" SEQUENCE={number}"));
        println!(
            "# interrupted; to do the same operations: {}{only} OPS={}",
            options.command(),
            done.operations
        );
        println!("ok {test} # SKIP interrupted");
        return ExitCode::from(u8::try_from(128 + signal).unwrap_or(1));
    }
    println!("ok {test}");
    ExitCode::SUCCESS
}
