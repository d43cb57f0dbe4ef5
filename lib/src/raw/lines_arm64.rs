// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lines on arm64.

use super::{LineStore, Lines};
use core::arch::asm;

const WORD: usize = size_of::<u64>();

routines!(stp, [
    "ldp {a}, {b}, [{from}]",
    "ldp {c}, {d}, [{from}, #16]",
    "ldp {e}, {f}, [{from}, #32]",
    "ldp {g}, {h}, [{from}, #48]",
    "stp {a}, {b}, [{to}]",
    "stp {c}, {d}, [{to}, #16]",
    "stp {e}, {f}, [{to}, #32]",
    "stp {g}, {h}, [{to}, #48]",
    "hint #6"
], a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
    e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,);

routines!(words, [
    "ldp {a}, {b}, [{from}]",
    "ldp {c}, {d}, [{from}, #16]",
    "ldp {e}, {f}, [{from}, #32]",
    "ldp {g}, {h}, [{from}, #48]",
    "str {a}, [{to}]",
    "str {b}, [{to}, #8]",
    "str {c}, [{to}, #16]",
    "str {d}, [{to}, #24]",
    "str {e}, [{to}, #32]",
    "str {f}, [{to}, #40]",
    "str {g}, [{to}, #48]",
    "str {h}, [{to}, #56]",
    "hint #6"
], a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
    e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,);

// The instruction is st64b x0, [x8]. Assemblers accept it only with the extension LS64 enabled.
routines!(st64b, [
    "mov x8, {to}",
    "ldp x0, x1, [{from}]",
    "ldp x2, x3, [{from}, #16]",
    "ldp x4, x5, [{from}, #32]",
    "ldp x6, x7, [{from}, #48]",
    ".inst 0xf83f9100"
], out("x8") _,
    out("x0") _, out("x1") _, out("x2") _, out("x3") _,
    out("x4") _, out("x5") _, out("x6") _, out("x7") _,);

/// Loads `N` bytes into registers and then stores them: of each power of two in `N` one word (two or
/// one pair of registers for 32 and 16), the largest first. The assembler leaves out the others.
unsafe fn run_of<const N: usize>(to: *mut u8, from: *const u8) {
    // SAFETY: the caller vouches for the `N` bytes at `from` and at `to`.
    unsafe {
        asm!(
            ".if {n} & 32",
            "ldp {a}, {b}, [{from}]",
            "ldp {c}, {d}, [{from}, #16]",
            ".endif",
            ".if {n} & 16",
            "ldp {e}, {f}, [{from}, #({n} & 32)]",
            ".endif",
            ".if {n} & 8",
            "ldr {g}, [{from}, #({n} & 48)]",
            ".endif",
            ".if {n} & 4",
            "ldr {h:w}, [{from}, #({n} & 56)]",
            ".endif",
            ".if {n} & 2",
            "ldrh {i:w}, [{from}, #({n} & 60)]",
            ".endif",
            ".if {n} & 1",
            "ldrb {j:w}, [{from}, #({n} & 62)]",
            ".endif",
            ".if {n} & 32",
            "stp {a}, {b}, [{to}]",
            "stp {c}, {d}, [{to}, #16]",
            ".endif",
            ".if {n} & 16",
            "stp {e}, {f}, [{to}, #({n} & 32)]",
            ".endif",
            ".if {n} & 8",
            "str {g}, [{to}, #({n} & 48)]",
            ".endif",
            ".if {n} & 4",
            "str {h:w}, [{to}, #({n} & 56)]",
            ".endif",
            ".if {n} & 2",
            "strh {i:w}, [{to}, #({n} & 60)]",
            ".endif",
            ".if {n} & 1",
            "strb {j:w}, [{to}, #({n} & 62)]",
            ".endif",
            n = const N,
            to = in(reg) to,
            from = in(reg) from,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _, e = out(reg) _,
            f = out(reg) _, g = out(reg) _, h = out(reg) _, i = out(reg) _, j = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
}

macro_rules! runs {
    ($($n:literal)*) => { [$(run_of::<$n>),*] };
}

/// By the number of bytes, the routine that stores them.
static RUNS: [unsafe fn(*mut u8, *const u8); super::LINE] = runs!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

/// Copies less than a line by stores without any other instruction between them.
pub(super) unsafe fn copy_run(to: *mut u8, from: *const u8, size: usize) {
    // SAFETY: the caller vouches for the memory, and `size` is less than a line.
    unsafe { RUNS[size % super::LINE](to, from) };
}

/// Loads `HEAD` bytes and the `REST` behind them into registers, and then stores them.
///
/// Of each power of two in `HEAD` it stores one word, the smallest first, then words of 8 bytes, and
/// then of each smaller power of two in `REST` one word, the largest first. No run has a head and
/// words of 8 bytes, so these share registers.
unsafe fn aligned_run_of<const HEAD: usize, const REST: usize>(to: *mut u8, from: *const u8) {
    // SAFETY: the caller vouches for the `HEAD + REST` bytes at `from` and at `to`.
    unsafe {
        asm!(
            ".if {head} & 1",
            "ldrb {a:w}, [{from}]",
            ".endif",
            ".if {head} & 2",
            "ldrh {b:w}, [{from}, #({head} & 1)]",
            ".endif",
            ".if {head} & 4",
            "ldr {c:w}, [{from}, #({head} & 3)]",
            ".endif",
            ".if {rest} > 7",
            "ldr {a}, [{from}]",
            ".endif",
            ".if {rest} > 15",
            "ldr {b}, [{from}, #8]",
            ".endif",
            ".if {rest} > 23",
            "ldr {c}, [{from}, #16]",
            ".endif",
            ".if {rest} > 31",
            "ldr {d}, [{from}, #24]",
            ".endif",
            ".if {rest} > 39",
            "ldr {e}, [{from}, #32]",
            ".endif",
            ".if {rest} > 47",
            "ldr {f}, [{from}, #40]",
            ".endif",
            ".if {rest} > 55",
            "ldr {g}, [{from}, #48]",
            ".endif",
            ".if {rest} & 4",
            "ldr {h:w}, [{from}, #({head} + ({rest} & 56))]",
            ".endif",
            ".if {rest} & 2",
            "ldrh {i:w}, [{from}, #({head} + ({rest} & 60))]",
            ".endif",
            ".if {rest} & 1",
            "ldrb {j:w}, [{from}, #({head} + ({rest} & 62))]",
            ".endif",
            ".if {head} & 1",
            "strb {a:w}, [{to}]",
            ".endif",
            ".if {head} & 2",
            "strh {b:w}, [{to}, #({head} & 1)]",
            ".endif",
            ".if {head} & 4",
            "str {c:w}, [{to}, #({head} & 3)]",
            ".endif",
            ".if {rest} > 7",
            "str {a}, [{to}]",
            ".endif",
            ".if {rest} > 15",
            "str {b}, [{to}, #8]",
            ".endif",
            ".if {rest} > 23",
            "str {c}, [{to}, #16]",
            ".endif",
            ".if {rest} > 31",
            "str {d}, [{to}, #24]",
            ".endif",
            ".if {rest} > 39",
            "str {e}, [{to}, #32]",
            ".endif",
            ".if {rest} > 47",
            "str {f}, [{to}, #40]",
            ".endif",
            ".if {rest} > 55",
            "str {g}, [{to}, #48]",
            ".endif",
            ".if {rest} & 4",
            "str {h:w}, [{to}, #({head} + ({rest} & 56))]",
            ".endif",
            ".if {rest} & 2",
            "strh {i:w}, [{to}, #({head} + ({rest} & 60))]",
            ".endif",
            ".if {rest} & 1",
            "strb {j:w}, [{to}, #({head} + ({rest} & 62))]",
            ".endif",
            head = const HEAD,
            rest = const REST,
            to = in(reg) to,
            from = in(reg) from,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _, e = out(reg) _,
            f = out(reg) _, g = out(reg) _, h = out(reg) _, i = out(reg) _, j = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
}

macro_rules! aligned_runs {
    ($($rest:literal)*) => { [$(aligned_run_of::<0, $rest>),*] };
}

/// By the number of bytes, the routine that stores them to a multiple of 8.
static ALIGNED_RUNS: [unsafe fn(*mut u8, *const u8); super::LINE] = aligned_runs!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

macro_rules! short_runs {
    ($($head:literal)*) => { [$(short_runs!($head: 0 1 2 3 4 5 6 7)),*] };
    ($head:literal: $($size:literal)*) => {
        [$(aligned_run_of::<$head, { usize::saturating_sub($size, $head) }>),*]
    };
}

/// By the number of bytes in a head, and by the number of all bytes, the routine that stores them.
static SHORT_RUNS: [[unsafe fn(*mut u8, *const u8); WORD]; WORD] = short_runs!(0 1 2 3 4 5 6 7);

/// Copies less than a line by the largest aligned stores, each of one register, which memory of every
/// type accepts, also if a hypervisor emulates it.
///
/// There is no other instruction between the stores if `to` is a multiple of 8 or `size` is less than
/// 8. Otherwise the bytes before the first multiple of 8 are a run of their own: a routine for each
/// alignment and size would be eight times the code.
pub(super) unsafe fn copy_aligned(to: *mut u8, from: *const u8, size: usize) {
    let mut head = to.addr().wrapping_neg() % WORD;
    if size < WORD {
        // The words of the head that are not too long.
        if size < head {
            head &= if size < head & 3 { 1 } else { 3 };
        }
        // SAFETY: the caller vouches for the memory, and head <= size.
        unsafe { SHORT_RUNS[head][size](to, from) };
        return;
    }
    if head > 0 {
        // SAFETY: as above.
        unsafe { SHORT_RUNS[head][head](to, from) };
    }
    let (to, from) = (to.wrapping_add(head), from.wrapping_add(head));
    // SAFETY: the caller vouches for the memory, and the rest is less than a line.
    unsafe { ALIGNED_RUNS[(size - head) % super::LINE](to, from) };
}

/// As [`super::copy_words`], with as few runs of stores as lines.
pub(super) unsafe fn copy_slot(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: the caller's obligations are the same.
    unsafe { super::copy_by(to, from, count * WORD, stp::ROUTINES, copy_run) };
}

/// Whether the kernel reports `FEAT_LS64`: by the bit `HWCAP3_LS64` of the entry `AT_HWCAP3` in the
/// auxiliary vector.
fn has_ls64() -> bool {
    const AT_HWCAP3: usize = 29;
    const HWCAP3_LS64: usize = 1 << 3;

    let word = |bytes: &[u8]| Some(usize::from_ne_bytes(bytes.try_into().ok()?));
    let vector = std::fs::read("/proc/self/auxv").unwrap_or_default();
    let mut entries = vector.chunks_exact(2 * WORD);
    entries.any(|entry| {
        let (kind, value) = entry.split_at(WORD);
        word(kind) == Some(AT_HWCAP3) && word(value).is_some_and(|bits| bits & HWCAP3_LS64 != 0)
    })
}

pub(super) const WORDS: Lines = words::ROUTINES;

pub(super) fn find(way: LineStore) -> Option<Lines> {
    Some(match way {
        LineStore::St64b if has_ls64() => st64b::ROUTINES,
        LineStore::Stp => stp::ROUTINES,
        LineStore::Words => WORDS,
        _ => return None,
    })
}
