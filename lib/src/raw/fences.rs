// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The fences, which have the same names and instructions in `vfio_subregion_io.h`.

#[cfg(not(miri))]
use core::arch::asm;

/// Executes an instruction that has no operands and only orders memory accesses.
#[cfg(not(miri))]
macro_rules! fence {
    ($instruction:literal) => {
        // SAFETY: the instruction has no operands, and changes nothing but the order of accesses.
        unsafe { asm!($instruction, options(nostack, preserves_flags)) }
    };
}

/// Miri runs programs without devices, for which a fence of the language is enough.
#[cfg(miri)]
macro_rules! fence {
    ($instruction:literal) => {
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst)
    };
}

/// Orders stores: every store before it, to memory of any type, reaches the device before any store
/// after it.
///
/// A driver needs it at three moments:
///
/// - between descriptors and their doorbell:
///   [`Register::write_ordered`](crate::Register::write_ordered) and [`Queue`](crate::Queue)
///   do it;
/// - between a doorbell and the next store to a descriptor slot that is used again: `Queue` does
///   it;
/// - before a store to a slot that the device acts on without a doorbell (it looks for a valid
///   bit, or takes the slot itself as the doorbell), if the slot announces other stores, for
///   example to a buffer in memory.
///
/// x86: `sfence`, which empties the write-combining buffers before any later store. arm64:
/// `dmb oshst`, because the device is an observer in the outer shareable domain. It does not wait for
/// the stores to complete; [`flush_stores`] does.
#[inline]
pub fn order_stores() {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    fence!("sfence");
    #[cfg(target_arch = "aarch64")]
    fence!("dmb oshst");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    compile_error!("no store fence is known for this architecture");
}

/// Orders stores as [`order_stores`] does, and pushes them out of the CPU even if no store follows.
///
/// A driver needs it before it releases a lock that protects a queue (unlocking does not order
/// write-combining stores, not even on x86), for a queue without a doorbell, and before a reset,
/// [`Device::destroy`](crate::Device::destroy) or giving the device to another user.
///
/// x86: `sfence`. arm64: `dsb st`, which completes only when the stores have. `dmb` would order them,
/// but a store could remain in a buffer of the CPU.
#[inline]
pub fn flush_stores() {
    #[cfg(not(target_arch = "aarch64"))]
    order_stores();
    #[cfg(target_arch = "aarch64")]
    fence!("dsb st");
}

/// Orders loads of ordinary memory, to which the device writes by DMA: every load before it is done
/// before any load after it.
///
/// A driver needs it between the load of a flag that the device has set and the loads of the data
/// that the flag announces.
///
/// x86 orders these loads, so only the compiler has to. arm64: `dmb oshld`, because the device is in the
/// outer shareable domain, which [`fence`](core::sync::atomic::fence) does not reach.
#[inline]
pub fn order_loads() {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    fence!("");
    #[cfg(target_arch = "aarch64")]
    fence!("dmb oshld");
}
