// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lines on arm64.

use super::{CopyLines, LineStore};
use core::arch::asm;

routine!(stp, [
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

routine!(words, [
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
routine!(st64b, [
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
pub(super) unsafe fn run(to: *mut u8, from: *const u8, size: usize) {
    // SAFETY: the caller vouches for the memory, and `size` is less than a line.
    unsafe { RUNS[size % super::LINE](to, from) };
}

/// As [`super::copy_words`], with as few runs of stores as lines.
pub(super) unsafe fn slot(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: the caller's obligations are the same.
    unsafe { super::copy_by(to, from, count * size_of::<u64>(), stp, run) };
}

/// Whether the kernel reports `FEAT_LS64`: by the bit `HWCAP3_LS64` of the entry `AT_HWCAP3` in the
/// auxiliary vector.
fn has_ls64() -> bool {
    const WORD: usize = size_of::<usize>();
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

pub(super) fn find(way: LineStore) -> Option<CopyLines> {
    Some(match way {
        LineStore::St64b if has_ls64() => st64b,
        LineStore::Stp => stp,
        LineStore::Words => words,
        _ => return None,
    })
}
