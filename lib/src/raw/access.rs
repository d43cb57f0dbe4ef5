// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Loads and stores of device memory, each by one instruction of its own.
//!
//! `read_volatile()` is specified for memory whose accesses do not trap, and an access to device
//! memory may raise SIGBUS. It also leaves the instruction to the compiler, which may choose one that
//! a hypervisor cannot emulate. Inline assembly has neither problem.

#[cfg(not(miri))]
use core::arch::asm;

/// Implemented for the words that one access can load or store.
pub trait Access: Copy {
    /// Loads the word at `from`.
    ///
    /// # Safety
    ///
    /// `from` must be aligned and lie in memory that stays mapped during the call. Other threads and
    /// devices may change that memory at the same time.
    unsafe fn load(from: *const Self) -> Self;

    /// Stores `value` at `to`.
    ///
    /// # Safety
    ///
    /// As for [`Access::load`].
    unsafe fn store(to: *mut Self, value: Self);
}

/// Implements [`Access`] by the instructions `$load` and `$store`, of the operands {0}, the value in a
/// register of `$class`, and {1}, the address.
#[cfg(not(miri))]
macro_rules! by_instructions {
    ($word:ty, $class:ident, $load:literal, $store:literal) => {
        impl Access for $word {
            #[inline]
            unsafe fn load(from: *const Self) -> Self {
                let value;
                // SAFETY: the instruction reads one word at `from`, which the caller allows.
                unsafe {
                    asm!($load, lateout($class) value, in(reg) from, options(nostack, preserves_flags));
                }
                value
            }

            #[inline]
            unsafe fn store(to: *mut Self, value: Self) {
                // SAFETY: the instruction writes one word at `to`, which the caller allows.
                unsafe {
                    asm!($store, in($class) value, in(reg) to, options(nostack, preserves_flags));
                }
            }
        }
    };
}

#[cfg(all(not(miri), any(target_arch = "x86_64", target_arch = "x86")))]
mod x86 {
    use super::{asm, Access};

    by_instructions!(
        u8,
        reg_byte,
        "mov {0}, byte ptr [{1}]",
        "mov byte ptr [{1}], {0}"
    );
    by_instructions!(
        u16,
        reg,
        "mov {0:x}, word ptr [{1}]",
        "mov word ptr [{1}], {0:x}"
    );
    by_instructions!(
        u32,
        reg,
        "mov {0:e}, dword ptr [{1}]",
        "mov dword ptr [{1}], {0:e}"
    );
    #[cfg(target_arch = "x86_64")]
    by_instructions!(
        u64,
        reg,
        "mov {0:r}, qword ptr [{1}]",
        "mov qword ptr [{1}], {0:r}"
    );

    /// Two accesses, of the lower half first: there are no registers of 64 bits.
    #[cfg(target_arch = "x86")]
    impl Access for u64 {
        #[inline]
        unsafe fn load(from: *const Self) -> Self {
            let half = from.cast::<u32>();
            // SAFETY: this half is within the word that the caller vouches for.
            let low = unsafe { u32::load(half) };
            // SAFETY: as above.
            let high = unsafe { u32::load(half.wrapping_add(1)) };
            u64::from(high) << 32 | u64::from(low)
        }

        #[inline]
        unsafe fn store(to: *mut Self, value: Self) {
            let half = to.cast::<u32>();
            let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
            // SAFETY: this half is within the word that the caller vouches for.
            unsafe { u32::store(half, u32::from_le_bytes([a, b, c, d])) };
            // SAFETY: as above.
            unsafe { u32::store(half.wrapping_add(1), u32::from_le_bytes([e, f, g, h])) };
        }
    }
}

#[cfg(all(not(miri), target_arch = "aarch64"))]
mod arm64 {
    use super::{asm, Access};

    by_instructions!(u8, reg, "ldrb {0:w}, [{1}]", "strb {0:w}, [{1}]");
    by_instructions!(u16, reg, "ldrh {0:w}, [{1}]", "strh {0:w}, [{1}]");
    by_instructions!(u32, reg, "ldr {0:w}, [{1}]", "str {0:w}, [{1}]");
    by_instructions!(u64, reg, "ldr {0:x}, [{1}]", "str {0:x}, [{1}]");
}

/// Miri interprets no assembly. It can run programs on a [fake](crate::Mapping::fake) only, which is
/// memory that does not trap.
#[cfg(miri)]
mod interpreted {
    use super::Access;
    use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed};

    // Threads may access a word at the same time, which only atomic operations may do.
    macro_rules! by_atomics {
        ($($word:ty, $atomic:ident;)*) => {
            $(impl Access for $word {
                unsafe fn load(from: *const Self) -> Self {
                    // SAFETY: the caller vouches for the word and its alignment.
                    unsafe { $atomic::from_ptr(from.cast_mut()) }.load(Relaxed)
                }

                unsafe fn store(to: *mut Self, value: Self) {
                    // SAFETY: the caller vouches for the word and its alignment.
                    unsafe { $atomic::from_ptr(to) }.store(value, Relaxed);
                }
            })*
        };
    }

    by_atomics!(u8, AtomicU8; u16, AtomicU16; u32, AtomicU32; u64, AtomicU64;);
}
