// SPDX-License-Identifier: GPL-2.0

//! Resets that VFIO does not start, and recovery from PCIe errors.
//!
//! VFIO holds the memory lock for writing from before its own resets begin until they are over, so no
//! page-table entry for a BAR is made meanwhile. A reset by sysfs or by another driver, and the
//! recovery from an error, hold none of VFIO's locks. The PCI core calls the driver before and after
//! these; in between the [`Gate`] of the device is closed.
//!
//! # Locks
//!
//! The PCI core calls with the device's lock held, so no two of these calls overlap for one device, and
//! the device is bound. It may hold the lock of the device's configuration space as well.
//!
//! None of these calls waits for the memory lock. Two kinds of threads hold it for writing until after
//! the call: one that resets the device through VFIO, which then is the calling thread itself, or one
//! that resets another function of the same slot; and one that writes the command register, which waits
//! for the lock of configuration space. [`exclude_faults`] says what is done instead.
//!
//! The memory lock, and the inode whose mappings are removed, exist from the allocation of the device to
//! its release. So the calls need not know whether the device is open.

use super::{
    memory::{
        self,
        MemoryLocked, //
    },
    CoreDevice, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        CondVar,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// The device is being reset.
const RESET: u32 = 1 << 0;
/// The device recovers from an error, which may include a reset.
const RECOVERY: u32 = 1 << 1;
/// The recovery failed.
const FAILED: u32 = 1 << 2;
/// The thread that resets the device holds the memory lock for writing; with [`RESET`] only.
const MEMORY_LOCKED: u32 = 1 << 3;

/// Keeps userspace from the BARs of a device while somebody other than VFIO resets it.
///
/// While it is closed no page-table entry is made: faults wait until it is open. read() and write()
/// of BARs wait as well, before they begin and after each page of bytes.
///
/// # Invariants
///
/// `MEMORY_LOCKED` is set if and only if the thread between `reset_prepare` and `reset_done` holds
/// the memory lock for writing.
#[pin_data]
pub(super) struct Gate {
    /// Why it is closed, by the bits above; 0 while it is open.
    reasons: Atomic<u32>,
    /// Held while `reasons` changes.
    #[pin]
    changing: Mutex<()>,
    #[pin]
    changed: CondVar,
}

impl Gate {
    /// Makes an open gate.
    pub(super) fn new() -> impl PinInit<Self> {
        // INVARIANT: There is no reset.
        pin_init!(Self {
            reasons: Atomic::new(0),
            changing <- Mutex::new((), c"vfio_gate", static_lock_class!()),
            changed <- CondVar::new(c"vfio_gate_changed", static_lock_class!()),
        })
    }

    /// Returns whether it is closed.
    ///
    /// Whoever holds the memory lock and finds it open may make page-table entries until the lock
    /// is released.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.reasons.load(Relaxed) != 0
    }

    /// Waits until it is open; fails with [`EIO`] if the recovery from an error failed.
    ///
    /// The caller must not hold the memory lock.
    #[inline]
    pub(super) fn pass(&self) -> Result {
        if self.is_closed() {
            return self.wait();
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) -> Result {
        let mut changing = self.changing.lock();
        loop {
            let reasons = self.reasons.load(Relaxed);
            if reasons & (RESET | RECOVERY) != 0 {
                self.changed.wait(&mut changing);
            } else if reasons != 0 {
                return Err(EIO);
            } else {
                return Ok(());
            }
        }
    }

    /// Adds the reasons `set`, takes `clear` away, and returns those that there were.
    fn change(&self, set: u32, clear: u32) -> u32 {
        let changing = self.changing.lock();
        let before = self.reasons.load(Relaxed);
        // Ordered before whatever is asked about the memory lock now; see `exclude_faults`.
        self.reasons.xchg(before & !clear | set, Full);
        drop(changing);
        self.changed.notify_all();
        before
    }

    /// Closes the gate and removes all page-table entries: somebody is about to reset the device.
    ///
    /// Keeps the memory lock for writing if it can be had, so that read() and write() that have
    /// begun wait, too.
    pub(super) fn reset_prepare(&self, core: &CoreDevice) {
        self.change(RESET, 0);
        let lock = exclude_faults(core);
        memory::zap_bars(core);
        if let Some(lock) = lock {
            lock.keep();
            // INVARIANT: The lock is held, and `reset_done` releases it.
            self.change(MEMORY_LOCKED, 0);
        }
    }

    /// Opens the gate: the reset is over. It also ends the state after a recovery that failed.
    ///
    /// # Safety
    ///
    /// The calling thread is the one that called `reset_prepare`.
    pub(super) unsafe fn reset_done(&self, core: &CoreDevice) {
        let before = self.change(0, RESET | FAILED | MEMORY_LOCKED);
        if before & MEMORY_LOCKED != 0 {
            // SAFETY: The type's invariant, and the caller says that this is the thread.
            drop(unsafe { MemoryLocked::from_kept(core) });
        }
    }

    /// Closes the gate and removes all page-table entries: the device has an error, and recovering
    /// from it may include a reset.
    pub(super) fn recovery_begins(&self, core: &CoreDevice) {
        self.revoke(core, RECOVERY, 0);
    }

    /// Opens the gate: the device has recovered.
    pub(super) fn recovery_ends(&self) {
        self.change(0, RECOVERY);
    }

    /// Removes all page-table entries and refuses new ones until the next reset or first open: the
    /// device has not recovered.
    pub(super) fn recovery_fails(&self, core: &CoreDevice) {
        self.revoke(core, FAILED, RECOVERY);
    }

    fn revoke(&self, core: &CoreDevice, set: u32, clear: u32) {
        self.change(set, clear);
        let _lock = exclude_faults(core);
        memory::zap_bars(core);
    }

    /// Lets all go that wait for a recovery: the device is being unbound, which waits until they
    /// have closed it, and the PCI core tells nothing any more.
    pub(super) fn abandon_recovery(&self) {
        if self.reasons.load(Relaxed) & RECOVERY != 0 {
            self.change(FAILED, RECOVERY);
        }
    }

    /// Forgets that a recovery failed: the device is being opened.
    pub(super) fn forget_failure(&self) {
        self.change(0, FAILED);
    }
}

/// Returns once no fault is left that could enter a page-table entry and has not seen the gate closed,
/// with the memory lock if it can be had without waiting.
///
/// The gate was closed before. So a fault that takes the memory lock from now on finds it closed, and
/// those that took it before are over as soon as the lock can be had, or anybody has it for writing.
/// A fault reads the gate after it has acquired the lock from that writer, and this function reads the
/// lock after it has closed the gate; as all CPUs of the architectures that there are (x86 and arm64)
/// see stores in the same order, the fault finds the gate closed.
///
/// Readers of the lock do not wait for locks of PCI's. They hold it while an entry is made, or while a
/// register is accessed.
fn exclude_faults(core: &CoreDevice) -> Option<MemoryLocked> {
    loop {
        if let Some(lock) = MemoryLocked::try_new(core) {
            return Some(lock);
        }
        if memory::is_write_locked(core) {
            return None;
        }
        fsleep(Delta::from_micros(20));
    }
}
