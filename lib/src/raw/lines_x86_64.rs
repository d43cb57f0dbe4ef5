// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lines on x86-64.

pub(super) use super::{copy_end as copy_aligned, copy_end as copy_run, copy_words as copy_slot};
use super::{LineStore, Lines};
use core::arch::{asm, x86_64};

routines!(movdir64b, ["movdir64b {to}, [{from}]"],);

routines!(avx512 then end_vectors, [
    "vmovdqu64 zmm0, [{from}]",
    "vmovdqa64 [{to}], zmm0"
], out("xmm0") _,);

routines!(avx then end_vectors, [
    "vmovdqu ymm0, [{from}]",
    "vmovdqu ymm1, [{from} + 32]",
    "vmovdqa [{to}], ymm0",
    "vmovdqa [{to} + 32], ymm1"
], out("xmm0") _, out("xmm1") _,);

routines!(sse2, [
    "movdqu xmm0, [{from}]",
    "movdqu xmm1, [{from} + 16]",
    "movdqu xmm2, [{from} + 32]",
    "movdqu xmm3, [{from} + 48]",
    "movdqa [{to}], xmm0",
    "movdqa [{to} + 16], xmm1",
    "movdqa [{to} + 32], xmm2",
    "movdqa [{to} + 48], xmm3"
], out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,);

routines!(words, [
    "mov {a}, [{from}]",
    "mov {b}, [{from} + 8]",
    "mov {c}, [{from} + 16]",
    "mov {d}, [{from} + 24]",
    "mov {e}, [{from} + 32]",
    "mov {f}, [{from} + 40]",
    "mov {g}, [{from} + 48]",
    "mov {h}, [{from} + 56]",
    "mov [{to}], {a}",
    "mov [{to} + 8], {b}",
    "mov [{to} + 16], {c}",
    "mov [{to} + 24], {d}",
    "mov [{to} + 32], {e}",
    "mov [{to} + 40], {f}",
    "mov [{to} + 48], {g}",
    "mov [{to} + 56], {h}"
], a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
    e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,);

/// Ends the use of the upper halves of vector registers; until then, SSE code would be slow.
///
/// # Safety
///
/// The CPU must have AVX.
unsafe fn end_vectors() {
    // SAFETY: only registers change, and the operands declare all of them.
    unsafe {
        asm!(
            "vzeroupper",
            clobber_abi("sysv64"),
            options(nostack, nomem, preserves_flags)
        );
    }
}

/// Whether the CPU has MOVDIR64B (CPUID 7.0, bit 28 of ECX), which needs no support of the kernel.
#[allow(
    unused_unsafe,
    reason = "newer versions of Rust have these as safe functions"
)]
fn has_movdir64b() -> bool {
    // SAFETY: every x86-64 CPU has CPUID.
    let (leaves, _) = unsafe { x86_64::__get_cpuid_max(0) };
    // SAFETY: as above.
    leaves >= 7 && unsafe { x86_64::__cpuid_count(7, 0) }.ecx & 1 << 28 != 0
}

pub(super) const WORDS: Lines = words::ROUTINES;

pub(super) fn find(way: LineStore) -> Option<Lines> {
    Some(match way {
        LineStore::Movdir64b if has_movdir64b() => movdir64b::ROUTINES,
        LineStore::Avx512 if std::is_x86_feature_detected!("avx512f") => avx512::ROUTINES,
        LineStore::Avx if std::is_x86_feature_detected!("avx") => avx::ROUTINES,
        LineStore::Sse2 => sse2::ROUTINES,
        LineStore::Words => WORDS,
        _ => return None,
    })
}
