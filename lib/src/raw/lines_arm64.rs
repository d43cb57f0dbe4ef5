// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lines on arm64.

use super::{
    CopyLines,
    LineStore, //
};
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

// The instruction is st64b x0, [x8]. Assemblers know it only if they are told of FEAT_LS64.
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
