// SPDX-License-Identifier: GPL-2.0-only

//! The report of a failure: the failure, the operations before it, and how to repeat it.

use crate::model::Facts;
use crate::op::{Op, Step};
use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;

/// The number of operations before a failure that the report lists.
const LAST: usize = 24;

/// Messages of the kernel that indicate an error.
const COMPLAINTS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "rust_kernel: panicked",
    "Oops",
    "Call Trace:",
    "Call trace:",
    "bad pud",
    "bad pmd",
    "bad pte",
    "BAD page",
    "Bad page",
    "Bad rss",
    "KASAN:",
    "UBSAN:",
    "conflicting memory types",
    "freeing invalid memtype",
    "map pfn expected",
    "ioremap error",
    "refcount_t:",
    "DMAR:",
    "possible circular lock",
    "possible recursive lock",
];

/// The report of a failure.
#[derive(Debug)]
pub struct Failure {
    /// The failure in one line.
    pub what: String,
    /// The details, in lines.
    pub more: Vec<String>,
}

/// The kernel's log from now on.
struct KernelLog(fs::File);

impl KernelLog {
    fn open() -> Option<Self> {
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg");
        let mut log = Self(file.ok()?);
        while log.next().is_some() {}
        Some(log)
    }

    fn next(&mut self) -> Option<String> {
        let mut line = [0; 8192];
        let len = self.0.read(&mut line).ok()?;
        Some(String::from_utf8_lossy(&line[..len]).into_owned())
    }
}

/// The operations of a sequence, as they are done.
pub struct Log {
    /// The name of the sequence.
    name: String,
    /// The command that repeats it, except for the number of operations.
    command: String,
    last: VecDeque<(u64, Step)>,
    round: u32,
    acted: Vec<String>,
    trace: bool,
    kernel: Option<KernelLog>,
    /// Whether messages about conflicting memory types are expected.
    conflicts: bool,
}

impl Log {
    /// Begins a sequence; with `trace`, prints each operation before it is done.
    #[must_use]
    pub fn new(name: String, command: String, trace: bool) -> Self {
        let _ = fs::write("/dev/kmsg", format!("fuzz: {name}"));
        Self {
            name,
            command,
            last: VecDeque::new(),
            round: 0,
            acted: Vec::new(),
            trace,
            kernel: KernelLog::open(),
            conflicts: false,
        }
    }

    /// Records that an operation is about to be done.
    pub fn note(&mut self, number: u64, step: &Step) {
        if self.trace {
            println!("# {number} {step}");
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back((number, *step));
    }

    /// Returns an error if the kernel has logged an error since the last call.
    pub fn kernel(&mut self) -> Result<(), String> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(());
        };
        while let Some(line) = kernel.next() {
            if self.conflicts && line.contains("conflicting memory types") {
                continue;
            }
            if COMPLAINTS.iter().any(|complaint| line.contains(complaint)) {
                return Err(format!("the kernel logged: {}", line.trim_end()));
            }
        }
        Ok(())
    }

    /// Tells whether messages about conflicting memory types are no errors from now on, because
    /// vfio-pci-core asks for a mapping of a BAR to which others have given two types. rig/log reads
    /// the same line.
    ///
    /// Returns an error if the kernel has logged an error since the last call, other than such a
    /// message if they were none.
    pub fn expect_conflicts(&mut self, begin: bool) -> Result<(), String> {
        let result = self.kernel();
        let when = if begin { "begin" } else { "end" };
        let _ = fs::write(
            "/dev/kmsg",
            format!("selftest: conflicts of memory types {when}"),
        );
        self.conflicts = begin;
        result
    }

    /// Records the start of a round in which several threads do operations.
    pub fn round(&mut self, number: u32) {
        self.round = number;
        self.acted.clear();
    }

    /// Records an operation of one thread in a round, and its result.
    pub fn acted(&mut self, actor: usize, ops: &[(Op, i64)]) {
        let begin = ops.len().saturating_sub(LAST / 2);
        for (op, ret) in &ops[begin..] {
            self.acted
                .push(format!("  thread {actor}: {op:x?} returned {ret:#x}"));
        }
    }

    /// Returns an error if a closed device leaves reservations.
    pub fn closed(&mut self, facts: &Facts) -> Result<(), String> {
        for bar in &facts.bars {
            if let Some(line) = reservations(bar.phys..bar.phys + bar.len).first() {
                return Err(format!(
                    "the device is closed, but this reservation remains: {line}"
                ));
            }
        }
        self.kernel()
    }

    /// Makes the report of a failure.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        let mut more = vec!["the last operations:".to_string()];
        if self.round != 0 {
            more.extend(self.acted.iter().cloned());
            more.push(format!("to repeat it, in another order: {}", self.command));
            return Failure {
                what: format!("{}, round {}: {what}", self.name, self.round),
                more,
            };
        }
        let number = self.last.back().map_or(0, |(number, _)| *number);
        more.extend(
            self.last
                .iter()
                .map(|(number, step)| format!("  {number} {step}")),
        );
        more.push(format!("to repeat it: {} OPS={}", self.command, number + 1));
        Failure {
            what: format!("{}, operation {number}: {what}", self.name),
            more,
        }
    }
}

/// Returns the lines of x86's list of memory types in a physical range.
fn reservations(range: Range<u64>) -> Vec<String> {
    let list = fs::read_to_string("/sys/kernel/debug/x86/pat_memtype_list").unwrap_or_default();
    let address = |text: &str| {
        let digits = text.trim_start_matches("0x");
        let digits = digits.split(|c: char| !c.is_ascii_hexdigit()).next()?;
        u64::from_str_radix(digits, 16).ok()
    };
    let inside = |line: &&str| {
        let Some((_, rest)) = line.split_once("[mem ") else {
            return false;
        };
        let Some((start, end)) = rest.split_once('-') else {
            return false;
        };
        match (address(start), address(end)) {
            (Some(start), Some(end)) => start < range.end && range.start < end,
            _ => false,
        }
    };
    list.lines().filter(inside).map(str::to_owned).collect()
}
