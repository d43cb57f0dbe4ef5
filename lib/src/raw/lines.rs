// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Copies to device memory by whole lines of 64 bytes.
//!
//! A line leaves the CPU as one burst if nothing comes between its stores. Each routine here loads a
//! whole line into registers and then stores it by consecutive instructions; `rig/bursts` checks
//! this in the compiled code. `vfio_subregion_lines.h` has the same routines in C.

use super::access::Access;
use std::sync::OnceLock;

/// The size of a line, and of the buffers in which x86 and arm64 combine stores.
pub(crate) const LINE: usize = 64;

/// Copies `count` lines from any memory to device memory.
///
/// # Safety
///
/// Both ranges must be mapped, and `to` must be aligned to a line. The destination may be memory that
/// other threads and devices access at the same time.
pub(crate) type CopyLines = unsafe fn(to: *mut u8, from: *const u8, count: usize);

/// The routines of one way to store lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// Copies any number of lines.
    pub(super) many: CopyLines,
    /// Copies one line; its `count` is 1.
    pub(super) one: CopyLines,
}

/// Copies `size` bytes, less than a line, from any memory to device memory.
///
/// # Safety
///
/// Both ranges must be mapped, and the memory at `to` must accept the stores. It may be memory that
/// other threads and devices access at the same time.
type CopyPart = unsafe fn(to: *mut u8, from: *const u8, size: usize);

/// How a line of 64 bytes is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LineStore {
    /// x86: MOVDIR64B, one store that the CPU does not split.
    ///
    /// It keeps no order to other stores, to memory of any type, so it is chosen only for
    /// write-combining memory, which keeps none either.
    Movdir64b,
    /// x86: one store of 64 bytes (AVX-512F).
    Avx512,
    /// x86: two stores of 32 bytes.
    Avx,
    /// x86: four stores of 16 bytes.
    Sse2,
    /// arm64: ST64B, one store that the CPU does not split.
    ///
    /// [`LineStore::detect`] does not choose it: the CPU having it (`HWCAP3_LS64`) is not sufficient.
    /// The memory must accept such stores too, and if it does not they raise SIGBUS. A driver whose
    /// device accepts them chooses it by
    /// [`Data::with_line_store`](crate::Data::with_line_store).
    St64b,
    /// arm64: four stores of two registers each, and the hint DGH, which ends the gathering.
    Stp,
    /// Eight stores of 8 bytes; on arm64 with the hint DGH.
    Words,
}

impl LineStore {
    /// All ways, the best one of each architecture first.
    pub const ALL: &'static [Self] = &[
        Self::Movdir64b,
        Self::Avx512,
        Self::Avx,
        Self::Sse2,
        Self::St64b,
        Self::Stp,
        Self::Words,
    ];

    /// Returns the best way that this CPU has for write-combining memory of any device.
    ///
    /// For memory of other types, the best one that keeps the order of stores is taken. The CPU is
    /// asked once; later calls return the same.
    #[must_use]
    pub fn detect() -> Self {
        detected().0
    }

    /// Returns whether this CPU, and the kernel, support this way.
    #[must_use]
    pub fn is_available(self) -> bool {
        self.routines().is_some()
    }

    /// Whether lines that are stored in this way to strict memory arrive in their order.
    fn keeps_order(self) -> bool {
        !matches!(self, Self::Movdir64b | Self::St64b)
    }

    /// The routines that store lines in this way, if this CPU supports it.
    pub(crate) fn routines(self) -> Option<Lines> {
        routines::find(self)
    }
}

/// Returns the result of [`LineStore::detect`], with its routines.
fn detected() -> (LineStore, Lines) {
    static DETECTED: OnceLock<(LineStore, Lines)> = OnceLock::new();
    *DETECTED.get_or_init(|| best(|way| way != LineStore::St64b))
}

/// The best way of this CPU that keeps the order of stores, with its routines.
fn ordered() -> (LineStore, Lines) {
    static ORDERED: OnceLock<(LineStore, Lines)> = OnceLock::new();
    *ORDERED.get_or_init(|| best(LineStore::keeps_order))
}

fn best(accepts: impl Fn(LineStore) -> bool) -> (LineStore, Lines) {
    let ways = LineStore::ALL.iter().copied();
    ways.filter(|&way| accepts(way))
        .find_map(|way| Some((way, way.routines()?)))
        .unwrap_or((LineStore::Words, routines::WORDS))
}

/// The routines that copy to a mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routines {
    /// They are for write-combining memory.
    combining: bool,
    /// Copies lines.
    pub(super) lines: Lines,
    /// Copies the bytes before and behind them.
    part: CopyPart,
    /// Copies words of 8 bytes, for descriptors that do not consist of lines.
    pub(super) slot: CopyLines,
}

impl Routines {
    /// For write-combining memory: the stores to a line follow each other.
    pub(crate) fn combining() -> Self {
        Self {
            combining: true,
            lines: detected().1,
            part: routines::copy_run,
            slot: routines::copy_slot,
        }
    }

    /// For memory of any type: aligned stores in ascending order.
    pub(crate) fn ordered() -> Self {
        Self {
            combining: false,
            lines: ordered().1,
            part: routines::copy_aligned,
            slot: copy_words,
        }
    }

    /// The same with another way to store lines; `None` if this CPU does not support it.
    pub(crate) fn with_line_store(self, way: LineStore) -> Option<Self> {
        let lines = way.routines()?;
        // With words, no store is longer than a word. The way that was chosen before does not matter.
        let others = if self.combining && way != LineStore::Words {
            Self::combining()
        } else {
            Self::ordered()
        };
        Some(Self {
            combining: self.combining,
            lines,
            ..others
        })
    }

    /// Copies `size` bytes to device memory in ascending order.
    ///
    /// # Safety
    ///
    /// Both ranges must be mapped, and the destination must be of the type that these routines are
    /// for. It may be memory that other threads and devices access at the same time.
    #[inline]
    pub(super) unsafe fn copy(self, to: *mut u8, from: *const u8, size: usize) {
        // SAFETY: the caller's obligations are the same.
        unsafe { copy_by(to, from, size, self.lines, self.part) };
    }
}

/// Copies `size` bytes to device memory in ascending order: lines by `lines`, and the bytes before and
/// behind them by `part`. The memory and the routines decide whether the stores arrive in that order.
///
/// # Safety
///
/// As for [`CopyLines`] and [`CopyPart`], without an alignment.
#[inline]
unsafe fn copy_by(to: *mut u8, from: *const u8, size: usize, lines: Lines, part: CopyPart) {
    if (to.addr() | size) % LINE != 0 {
        // SAFETY: the caller's obligations are the same.
        unsafe { copy_parts(to, from, size, lines.many, part) };
    } else if size == LINE {
        // SAFETY: `to` is aligned.
        unsafe { (lines.one)(to, from, 1) };
    } else {
        // SAFETY: `to` is aligned, and `size` is that of so many lines.
        unsafe { (lines.many)(to, from, size / LINE) };
    }
}

/// As [`copy_by`]. It is not inlined, so that callers have only the common path, of whole lines.
///
/// # Safety
///
/// As for [`copy_by`].
#[inline(never)]
unsafe fn copy_parts(to: *mut u8, from: *const u8, size: usize, lines: CopyLines, part: CopyPart) {
    let head = (to.addr().wrapping_neg() % LINE).min(size);
    let count = (size - head) / LINE;
    let behind = head + count * LINE;
    if head > 0 {
        // SAFETY: head <= size, and it is less than a line.
        unsafe { part(to, from, head) };
    }
    if count > 0 {
        // SAFETY: the lines end within `size`, and `to` is aligned after the head.
        unsafe { lines(to.wrapping_add(head), from.wrapping_add(head), count) };
    }
    if behind < size {
        let (to, from) = (to.wrapping_add(behind), from.wrapping_add(behind));
        // SAFETY: behind < size, and the rest is less than a line.
        unsafe { part(to, from, size - behind) };
    }
}

/// Copies less than a line by the largest aligned stores, which memory of every type accepts.
///
/// # Safety
///
/// As for [`CopyPart`].
#[cfg(any(miri, not(target_arch = "aarch64")))]
unsafe fn copy_end(mut to: *mut u8, mut from: *const u8, mut size: usize) {
    while size > 0 {
        // The largest word to which `to` is aligned and that is not too long.
        let step = 1 << (to.addr() | 8).trailing_zeros().min(size.ilog2());
        match step {
            8 => {
                // SAFETY: 8 <= size, and `to` is a multiple of 8.
                unsafe { copy_word::<u64>(to, from) };
            }
            4 => {
                // SAFETY: 4 <= size, and `to` is a multiple of 4.
                unsafe { copy_word::<u32>(to, from) };
            }
            2 => {
                // SAFETY: 2 <= size, and `to` is a multiple of 2.
                unsafe { copy_word::<u16>(to, from) };
            }
            _ => {
                // SAFETY: 1 <= size.
                unsafe { copy_word::<u8>(to, from) };
            }
        }
        to = to.wrapping_add(step);
        from = from.wrapping_add(step);
        size -= step;
    }
}

/// Copies one word.
///
/// # Safety
///
/// As for [`CopyPart`], and `to` must be aligned.
#[inline]
unsafe fn copy_word<T: Access>(to: *mut u8, from: *const u8) {
    // SAFETY: the caller vouches for the range; the source may have any alignment.
    let word = unsafe { from.cast::<T>().read_unaligned() };
    // SAFETY: the caller vouches for the range and its alignment.
    unsafe { T::store(to.cast(), word) };
}

/// Copies `count` words of 8 bytes in ascending order, for descriptors that do not consist of lines.
///
/// # Safety
///
/// As for [`CopyLines`], with an alignment of 8.
unsafe fn copy_words(to: *mut u8, from: *const u8, count: usize) {
    for at in (0..count).map(|word| word * size_of::<u64>()) {
        // SAFETY: the caller vouches for the range and its alignment.
        unsafe { copy_word::<u64>(to.wrapping_add(at), from.wrapping_add(at)) };
    }
}

/// Defines the module `$way` with the routines that store each line by the instructions `$store`, and
/// call `$end` after the last. Operands are the addresses {to} and {from}, and `$operand`.
#[cfg(not(any(miri, target_arch = "x86")))]
macro_rules! routines {
    ($way:ident $(then $end:ident)?, [$($store:tt),*], $($operand:tt)*) => {
        mod $way {
            use super::super::{Lines, LINE};
            use core::arch::asm;

            pub(super) const ROUTINES: Lines = Lines {
                many: lines,
                one: line,
            };

            #[inline]
            unsafe fn store(to: *mut u8, from: *const u8) {
                // SAFETY: the caller vouches for the 64 bytes at `from` and at `to`, for the
                // alignment of `to`, and for the CPU, which find() has asked.
                unsafe {
                    asm!(
                        $($store),*,
                        to = in(reg) to,
                        from = in(reg) from,
                        $($operand)*
                        options(nostack, preserves_flags),
                    );
                }
            }

            unsafe fn lines(mut to: *mut u8, mut from: *const u8, count: usize) {
                for _ in 0..count {
                    // SAFETY: the caller vouches for all lines.
                    unsafe { store(to, from) };
                    to = to.wrapping_add(LINE);
                    from = from.wrapping_add(LINE);
                }
                $(
                    // SAFETY: the caller vouches for the CPU.
                    unsafe { super::$end() };
                )?
            }

            unsafe fn line(to: *mut u8, from: *const u8, _: usize) {
                // SAFETY: the caller's obligations are the same.
                unsafe { store(to, from) };
                $(
                    // SAFETY: the caller vouches for the CPU.
                    unsafe { super::$end() };
                )?
            }
        }
    };
}

#[cfg(all(not(miri), target_arch = "x86_64"))]
#[path = "lines_x86_64.rs"]
mod routines;
#[cfg(all(not(miri), target_arch = "aarch64"))]
#[path = "lines_arm64.rs"]
mod routines;

/// Miri, and x86 of 32 bits, where a word is two stores.
#[cfg(any(miri, target_arch = "x86"))]
mod routines {
    pub(super) use super::{
        copy_end as copy_aligned, copy_end as copy_run, copy_words as copy_slot,
    };
    use super::{LineStore, Lines, LINE};

    pub(super) const WORDS: Lines = Lines {
        many: words,
        one: words,
    };

    /// As [`super::copy_words`], of lines.
    unsafe fn words(to: *mut u8, from: *const u8, count: usize) {
        // SAFETY: the caller vouches for all of the lines.
        unsafe { super::copy_words(to, from, count * LINE / size_of::<u64>()) };
    }

    pub(super) fn find(way: LineStore) -> Option<Lines> {
        (way == LineStore::Words).then_some(WORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    #[repr(align(64))]
    struct Aligned([u8; 8 * LINE]);

    // contract: userspace.lines
    #[test]
    fn every_way_that_this_cpu_has_copies_whole_lines() {
        let from: Vec<u8> = (0..=255).cycle().take(6 * LINE + 3).collect();
        // Only memory of a device that accepts them has stores by ST64B.
        let ways = LineStore::ALL.iter().copied();
        for way in ways.filter(|&way| way != LineStore::St64b) {
            let Some(lines) = way.routines() else {
                continue;
            };
            for count in 0..5 {
                let mut to = Aligned([0xee; 8 * LINE]);
                let mut want = vec![0xee; 8 * LINE];
                want[LINE..][..count * LINE].copy_from_slice(&from[3..][..count * LINE]);
                let first = to.0.as_mut_ptr().wrapping_add(LINE);
                // SAFETY: both ranges are within their arrays, and the first is aligned.
                unsafe { (lines.many)(first, from.as_ptr().wrapping_add(3), count) };
                crate::flush_stores();
                assert_eq!(to.0[..], want, "{way:?} {count}");
                if count == 1 {
                    to.0.fill(0xee);
                    // SAFETY: as above.
                    unsafe { (lines.one)(first, from.as_ptr().wrapping_add(3), 1) };
                    crate::flush_stores();
                    assert_eq!(to.0[..], want, "one line: {way:?}");
                }
            }
        }
    }

    // contract: userspace.lines
    #[test]
    fn the_way_that_is_chosen_is_there_and_asks_nothing_of_the_memory() {
        assert!(LineStore::detect().is_available());
        assert_ne!(LineStore::detect(), LineStore::St64b);
        assert!(ordered().0.keeps_order());
        assert!(LineStore::Words.is_available());
    }
}
