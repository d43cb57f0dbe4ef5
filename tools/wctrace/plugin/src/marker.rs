// SPDX-License-Identifier: GPL-2.0-only

//! Requests of a program in the guest (`tools/wctrace/wctrace.h`).

use crate::{
    abi,
    paging::{self, Machine},
    trace,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wctrace_model::Reason;

/// The load address of the traced program.
pub static BASE: AtomicU64 = AtomicU64::new(0);

/// On how many entries the oracle and this plugin agreed, and on how many they did not.
static AGREED: AtomicU64 = AtomicU64::new(0);
static DISAGREED: AtomicU64 = AtomicU64::new(0);

/// Says how often the oracle and this plugin agreed.
pub fn tell_agreement() {
    let (agreed, disagreed) = (AGREED.load(Relaxed), DISAGREED.load(Relaxed));
    if agreed + disagreed > 0 {
        eprintln!("wctrace: {agreed} page-table entries as the oracle found them, {disagreed} not");
    }
}

/// The sum that `number` stands for in `tools/wctrace/wctrace.h`.
fn count(number: u64) -> u64 {
    let mut sum = 0;
    trace::for_each_cpu(|traced| {
        let (model, totals) = (&traced.model, &traced.totals);
        sum += match number {
            0 => totals.writes,
            1 => totals.bytes,
            2 => totals.link_bytes,
            3 => totals.full,
            4 => totals.broken,
            5 => model.fences(),
            6 => model.idle_fences(),
            7 => model.unfenced_doorbells(),
            8 => model.overtaking_doorbells(),
            9 => traced.stores.iter().map(|(_, sums)| sums.0).sum(),
            _ => number
                .checked_sub(16)
                .and_then(|index| Reason::ALL.get(usize::try_from(index).ok()?))
                .map_or(0, |&reason| totals.writes_by(reason)),
        };
    });
    sum
}

/// Compares the entry that maps `address` with the one that the oracle wrote to `answer`.
fn check(machine: Machine, address: u64, answer: u64) -> u64 {
    let Some(bytes) = abi::read_virtual::<48>(answer) else {
        return 0;
    };
    // struct pte_oracle: pfn at 8, present at 24, shift at 28, name at 32.
    let number = |at: usize| {
        bytes[at..at + 4]
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    };
    let (pfn, present) = (number(12) << 32 | number(8), number(24));
    let name: Vec<u8> = bytes[32..48]
        .iter()
        .copied()
        .take_while(|&byte| byte != 0)
        .collect();
    let entry = paging::walk(machine, address);
    let same = match &entry {
        None => present == 0,
        Some(entry) => {
            present == 1
                && entry.address >> 12 == pfn
                && u64::from(entry.shift) == number(28)
                && entry.name.as_bytes() == name
        }
    };
    if same {
        AGREED.fetch_add(1, Relaxed);
    } else {
        DISAGREED.fetch_add(1, Relaxed);
        eprintln!(
            "wctrace: at {address:#x} the oracle found {} at page {pfn:#x} (present: {present}), and this \
             plugin {entry:x?}",
            String::from_utf8_lossy(&name)
        );
    }
    u64::from(same)
}

/// Called before each marker: does what the guest asks for, and leaves the answer in a register.
pub fn on_marker() {
    let Some(settings) = trace::settings() else {
        return;
    };
    let (names, result) = match settings.machine {
        Machine::X86 => (["rdi", "rsi", "rdx"], "rax"),
        Machine::Arm64 => (["x0", "x1", "x2"], "x3"),
    };
    let [operation, first, second] = names.map(paging::read);
    let answer = match operation {
        0 => 1 + u64::from(trace::is_ready()),
        1 => trace::start(first, second),
        2 => trace::stop(),
        3 => trace::clear(),
        4 => count(first),
        5 => check(settings.machine, first, second),
        6 => {
            BASE.store(first, Relaxed);
            1
        }
        _ => 0,
    };
    paging::write(result, answer);
}
