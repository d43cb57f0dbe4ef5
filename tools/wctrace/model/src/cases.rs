// SPDX-License-Identifier: GPL-2.0-only

//! Small programs whose writes were derived by hand from the rules in `Documentation/wctrace.rst`.
//!
//! A program is a list of words: `8@16` stores 8 bytes at 16; `4@0+64` stores 4 bytes at a time, from
//! 0 up, until 64 bytes are stored, and `4@60-64` does so downwards from 60. `,` before a store says
//! that another instruction came before it. `!4@4096` is a store to strict memory, `?8@0` a load from
//! gathering memory, `?!4@4096` one from strict memory. `on1` continues on another CPU. Any other
//! word is an ordering event.
//!
//! The expectation has a word for each write, in order: address, `/`, bytes, `:`, reason.

use crate::{Cpu, Departure, MemoryType, Order, Place, Policy, Reason, Store, Totals};

struct Run {
    policy: Policy,
    cpus: Vec<Cpu>,
    cpu: usize,
    writes: Vec<String>,
    totals: Totals,
}

fn order(word: &str) -> Order {
    match word {
        "sfence" | "dmb-st" | "dsb-st" => Order::StoreFence,
        "mfence" | "dmb-sy" => Order::FullFence,
        "lfence" | "dmb-ld" => Order::LoadFence,
        "dgh" => Order::Hint,
        "lock" => Order::Locked,
        "stlr" => Order::Release,
        "cpuid" => Order::Serializing,
        "out" => Order::Port,
        "interrupt" => Order::Interrupt,
        "syscall" => Order::Trap,
        _ => panic!("{word} is no event"),
    }
}

impl Run {
    fn new(policy: &str) -> Self {
        let policy: Policy = policy.parse().unwrap();
        Self {
            policy,
            cpus: vec![Cpu::new(policy)],
            cpu: 0,
            writes: Vec::new(),
            totals: Totals::default(),
        }
    }

    fn with(&mut self, action: impl FnOnce(&mut Cpu, &mut dyn FnMut(Departure))) {
        let (writes, totals) = (&mut self.writes, &mut self.totals);
        action(&mut self.cpus[self.cpu], &mut |departure| {
            totals.add(&departure);
            for write in departure.writes() {
                let reason = departure.reason.name();
                writes.push(format!("{}/{}:{reason}", write.address, write.bytes));
            }
        });
    }

    fn access(&mut self, word: &str) {
        let load = word.starts_with('?');
        let follows = !word.starts_with(',');
        let word = word.trim_start_matches(['?', ',']);
        let kind = if word.starts_with('!') {
            MemoryType::Strict
        } else {
            MemoryType::Gathering
        };
        let (size, place) = word.trim_start_matches('!').split_once('@').unwrap();
        let size: u64 = size.parse().unwrap();
        let (start, total, down) = match (place.split_once('+'), place.split_once('-')) {
            (Some((start, total)), _) => (start, total.parse().unwrap(), false),
            (_, Some((start, total))) => (start, total.parse().unwrap(), true),
            _ => (place, size, false),
        };
        let start: u64 = start.parse().unwrap();
        for step in (0..total).step_by(usize::try_from(size).unwrap()) {
            let address = if down { start - step } else { start + step };
            self.with(|cpu, mut left| {
                if load {
                    cpu.load(address, size, kind, 0, &mut left);
                } else {
                    let data = vec![1; usize::try_from(size).unwrap()];
                    let store = Store {
                        address,
                        data: &data,
                        place: 0,
                        follows,
                    };
                    cpu.store(&store, kind, &mut left);
                }
            });
        }
    }

    fn word(&mut self, word: &str) {
        if word.contains('@') {
            self.access(word);
        } else if let Some(number) = word.strip_prefix("on") {
            self.cpu = number.parse().unwrap();
            while self.cpus.len() <= self.cpu {
                self.cpus.push(Cpu::new(self.policy));
            }
        } else {
            self.with(|cpu, mut left| cpu.order(order(word), 0, &mut left));
        }
    }

    fn program(policy: &str, program: &str) -> Self {
        let mut run = Self::new(policy);
        for word in program.split_whitespace() {
            run.word(word);
        }
        run
    }
}

/// Name, policy, program, writes.
#[rustfmt::skip]
const CASES: &[(&str, &str, &str, &str)] = &[
    // Stores that fill a line leave as one write.
    ("sixteen stores of 4 bytes", "x86", "4@0+64", "0/64:full"),
    ("sixty-four stores of 1 byte", "x86", "1@0+64", "0/64:full"),
    ("thirty-two stores of 2 bytes", "x86", "2@64+64", "64/64:full"),
    ("eight stores of 8 bytes", "x86", "8@0+64", "0/64:full"),
    ("four stores of 16 bytes", "x86", "16@0+64", "0/64:full"),
    ("two stores of 32 bytes", "x86", "32@0+64", "0/64:full"),
    ("one store of 64 bytes", "x86", "64@0", "0/64:full"),
    ("descending stores", "x86", "4@60-64", "0/64:full"),
    ("stores in disorder", "x86", "16@32 16@0 16@48 16@16", "0/64:full"),
    ("other instructions between", "x86", "8@0+32 ,8@32 ,8@40 ,8@48 ,8@56", "0/64:full"),
    ("two lines", "x86", "8@0+128", "0/64:full 64/64:full"),
    ("two lines, alternating", "x86", "32@0 32@64 32@32 32@96", "0/64:full 64/64:full"),
    ("two CPUs, a line each", "x86", "8@0+32 on1 8@64+64 on0 8@32+32", "64/64:full 0/64:full"),
    // Stores that do not fill it leave in parts of 8 bytes.
    ("a fence after three stores of 4 bytes", "x86", "4@0+12 sfence", "0/8:fence 8/4:fence"),
    ("a fence in the middle", "x86", "8@0+32 sfence 8@32+32 sfence",
        "0/8:fence 8/8:fence 16/8:fence 24/8:fence 32/8:fence 40/8:fence 48/8:fence 56/8:fence"),
    ("a line without its last byte", "x86", "8@0+56 1@56+7 sfence",
        "0/8:fence 8/8:fence 16/8:fence 24/8:fence 32/8:fence 40/8:fence 48/8:fence 56/7:fence"),
    ("first and last byte", "x86", "1@0 1@63 mfence", "0/1:fence 63/1:fence"),
    ("a hole within 8 bytes", "x86", "1@0 1@7 sfence", "0/2:fence"),
    ("a store over two words", "x86", "8@4 sfence", "4/4:fence 8/4:fence"),
    ("a store over two lines", "x86", "8@60 sfence", "60/4:fence 64/4:fence"),
    ("a straddling copy", "x86", "8@32+64 sfence",
        "32/8:fence 40/8:fence 48/8:fence 56/8:fence 64/8:fence 72/8:fence 80/8:fence 88/8:fence"),
    ("a copy that begins in the middle", "x86", "8@32+96 sfence",
        "64/64:full 32/8:fence 40/8:fence 48/8:fence 56/8:fence"),
    ("two CPUs, one line", "x86", "32@0 on1 32@32 sfence on0 sfence",
        "32/8:fence 40/8:fence 48/8:fence 56/8:fence 0/8:fence 8/8:fence 16/8:fence 24/8:fence"),
    ("a fence on another CPU", "x86", "8@0 on1 sfence", ""),
    ("runs leave whole by choice", "x86-runs", "4@0+12 1@20 sfence", "0/12:fence 20/1:fence"),
    // The same byte twice.
    ("a byte that is stored twice", "x86", "4@0 4@0 sfence", "0/4:fence"),
    ("a line that is stored twice", "x86", "8@0+64 8@0+64", "0/64:full 0/64:full"),
    // The events of Intel's list.
    ("a load fence", "x86", "8@0 lfence", ""),
    ("a locked instruction", "x86", "8@0 lock", "0/8:locked"),
    ("a serializing instruction", "x86", "8@0 cpuid", "0/8:serializing"),
    ("a port", "x86", "8@0 out", "0/8:port"),
    ("an interrupt", "x86", "8@0 interrupt", "0/8:interrupt"),
    ("a system call", "x86", "8@0 syscall", "0/8:trap"),
    ("a strict store", "x86", "8@0 !4@4096", "0/8:strict 4096/4:type"),
    ("a strict load", "x86", "8@0 ?!4@4096", "0/8:strict"),
    ("a doorbell after a full line", "x86", "8@0+64 !4@4096", "0/64:full 4096/4:type"),
    ("a doorbell after a fence", "x86", "8@0 sfence !4@4096", "0/8:fence 4096/4:type"),
    ("a load from the line", "x86", "8@0 ?4@32", "0/8:load"),
    ("a load from another line", "x86", "8@0 ?4@64", ""),
    ("a load from the line before", "x86", "8@64 ?4@0", ""),
    ("a load over two lines", "x86", "8@0 8@64 ?8@60", "0/8:load 64/8:load"),
    ("the hints of arm64 are not x86's", "x86", "8@0 dgh stlr", ""),
    // The number of buffers.
    ("twelve lines at a time", "x86",
        "8@0 8@64 8@128 8@192 8@256 8@320 8@384 8@448 8@512 8@576 8@640 8@704", ""),
    ("a thirteenth line", "x86",
        "8@0 8@64 8@128 8@192 8@256 8@320 8@384 8@448 8@512 8@576 8@640 8@704 8@768", "0/8:line"),
    ("the oldest leaves, though used last", "x86:buffers=2", "8@0 8@64 8@8 8@128",
        "0/8:line 8/8:line"),
    ("one buffer, alternating", "x86-one", "8@0 8@64 8@8", "0/8:line 64/8:line"),
    ("a full line frees its buffer", "x86:buffers=2", "8@64 8@0+64 8@128", "0/64:full"),
    // The size of a buffer.
    ("buffers of 32 bytes", "x86:line=32", "8@0+64", "0/32:full 32/32:full"),
    ("half a line in buffers of 32 bytes", "x86:line=32", "8@0+40 sfence", "0/32:full 32/8:fence"),
    ("a store over two buffers", "x86:line=32:buffers=1", "8@28", "28/4:line"),
    ("a load from the other half", "x86:line=32", "8@0 ?8@32", ""),
    ("adjacent stores in buffers of 16 bytes", "arm64:line=16", "8@0+32", "0/16:full 16/16:full"),
    ("strict memory has no buffers", "x86:line=32", "!64@0", "0/64:type"),
    // Strict memory.
    ("strict stores of 16 bytes", "x86", "!16@0+64", "0/16:type 16/16:type 32/16:type 48/16:type"),
    ("a strict store over two lines", "x86", "!8@60", "60/4:type 64/4:type"),
    ("a strict store that is not aligned", "x86", "!8@3", "3/8:type"),
    // arm64: adjacent store instructions gather.
    ("eight adjacent stores", "arm64", "8@0+64", "0/64:full"),
    ("four adjacent pairs", "arm64", "16@0+64", "0/64:full"),
    ("a copy loop", "arm64", ",8@0 ,8@8 ,8@16 dmb-st", "0/8:between 8/8:between 16/8:fence"),
    ("descending stores on arm64", "arm64", "8@24-32 dmb-st", "24/8:gap 16/8:gap 8/8:gap 0/8:fence"),
    ("a gap", "arm64", "8@0 8@16 dsb-st", "0/8:gap 16/8:fence"),
    ("the same byte again", "arm64", "8@0 8@0 dmb-sy", "0/8:gap 0/8:fence"),
    ("another line", "arm64", "8@0 8@64 dmb-st", "0/8:line 64/8:fence"),
    ("a run over two lines", "arm64", "8@48+32 dmb-st", "48/16:line 64/16:fence"),
    ("one store over two lines", "arm64", ",16@56 dmb-st", "56/8:line 64/8:fence"),
    ("the hint", "arm64", "8@0+16 dgh 8@16+16 dgh", "0/16:hint 16/16:hint"),
    ("a release", "arm64", "8@0 stlr", "0/8:release"),
    ("a load fence on arm64", "arm64", "8@0+32 dmb-ld 8@32+32", "0/64:full"),
    ("what only x86 has", "arm64", "8@0 lock cpuid out interrupt", ""),
    ("a doorbell overtakes", "arm64", "8@0 !4@4096 dmb-st", "4096/4:type 0/8:fence"),
    ("a strict load waits for nothing", "arm64", "8@0 ?!4@4096", ""),
    ("a load from the line on arm64", "arm64", "8@0 ?8@0", "0/8:load"),
    ("merging in any order", "arm64-merge", ",8@56 ,8@48 ,8@0 ,32@8 ,8@40", "0/64:full"),
    ("five lines in four buffers", "arm64-merge", "8@0 8@64 8@128 8@192 8@256", "0/8:line"),
];

// contract: wctrace.model
#[test]
fn small_programs_have_the_writes_that_were_derived_by_hand() {
    assert!(CASES.len() >= 40);
    for (name, policy, program, expected) in CASES {
        let run = Run::program(policy, program);
        assert_eq!(run.writes.join(" "), *expected, "{name}: {program}");
    }
}

// contract: wctrace.model
#[test]
fn cached_memory_is_not_modelled() {
    let mut cpu = Cpu::new(Policy::X86);
    let store = Store {
        address: 0,
        data: &[1; 8],
        place: 0,
        follows: false,
    };
    let mut none = |departure: Departure| panic!("{departure:?}");
    cpu.store(&store, MemoryType::Gathering, &mut none);
    cpu.store(&store, MemoryType::Cached, &mut none);
    cpu.load(0, 8, MemoryType::Cached, 0, &mut none);
    assert!(cpu.is_waiting());
}

// contract: wctrace.model
#[test]
fn bytes_on_the_link_are_those_of_the_table_in_performance() {
    let sums = |program| {
        let totals = Run::program("x86", program).totals;
        (totals.writes, totals.bytes, totals.link_bytes)
    };
    assert_eq!(sums("!8@0+64"), (8, 64, 256));
    assert_eq!(sums("!4@0+64"), (16, 64, 448));
    assert_eq!(sums("8@0+64"), (1, 64, 88));
    assert_eq!(sums("8@0+1024"), (16, 1024, 1408));
    // A packet carries whole double words.
    assert_eq!(sums("!1@3"), (1, 1, 28));
    assert_eq!(sums("!2@3"), (1, 2, 32));
    assert_eq!(sums("1@0 1@7 sfence"), (1, 2, 32));
}

// contract: wctrace.model
#[test]
fn writes_are_counted_by_their_size() {
    let sizes = |program| Run::program("x86", program).totals.sizes;
    let expected = [(4, 2), (8, 1), (64, 1)];
    assert_eq!(sizes("8@0+64 4@64+12 sfence !4@4096"), expected.into());
    // Bytes that are left out between do not count.
    assert_eq!(sizes("1@0 1@7 sfence"), [(2, 1)].into());
    let mut both = Run::program("x86", "8@0+64").totals;
    both.merge(&Run::program("x86", "8@0+64 8@64 sfence").totals);
    assert_eq!(both.sizes, [(8, 1), (64, 2)].into());
}

// contract: wctrace.model
#[test]
fn a_broken_line_is_counted_at_its_break() {
    let mut totals = Totals::default();
    let mut cpu = Cpu::new(Policy::X86);
    let mut add = |departure| totals.add(&departure);
    for (address, place) in [(0, 10), (8, 11), (64, 12)] {
        let store = Store {
            address,
            data: &[0; 8],
            place,
            follows: false,
        };
        cpu.store(&store, MemoryType::Gathering, &mut add);
    }
    cpu.order(Order::StoreFence, 13, &mut add);
    let place = |last_store| Place {
        place: 13,
        last_store,
        reason: Reason::Fence,
    };
    let expected = [(place(11), (1, 2)), (place(12), (1, 1))];
    assert_eq!(totals.places, expected.into());
    assert_eq!((totals.full, totals.broken), (0, 2));
    for reason in Reason::ALL {
        let expected = if reason == Reason::Fence { 3 } else { 0 };
        assert_eq!(totals.writes_by(reason), expected);
    }
}

// contract: wctrace.model
#[test]
fn fences_without_stores_and_doorbells_without_fences_are_counted() {
    let counts = |policy, program| {
        let run = Run::program(policy, program);
        let cpu = &run.cpus[0];
        (
            cpu.fences(),
            cpu.idle_fences(),
            cpu.unfenced_doorbells(),
            cpu.overtaking_doorbells(),
        )
    };
    assert_eq!(
        counts("x86", "8@0 sfence sfence mfence lfence"),
        (3, 2, 0, 0)
    );
    assert_eq!(counts("x86", "8@0+64 sfence !4@4096"), (1, 0, 0, 0));
    assert_eq!(counts("x86", "8@0+64 !4@4096"), (0, 0, 1, 0));
    assert_eq!(counts("arm64", "8@0 !4@4096 dmb-st !4@4096"), (1, 0, 1, 1));
    // The hint ends gathering and orders nothing.
    assert_eq!(counts("arm64", "8@0 dgh !4@4096"), (0, 0, 1, 0));
}
