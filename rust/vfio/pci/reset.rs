// SPDX-License-Identifier: GPL-2.0-only

//! Resets that VFIO does not start, and recoveries from PCIe errors.
//!
//! VFIO holds the memory lock for writing during its own resets, so no page-table entry for a BAR
//! is made then. A reset through sysfs or by another driver, and a recovery from an error, hold no
//! lock of VFIO. The PCI core calls the driver before and after them. In between, the [`Gate`] of
//! the device is closed.
//!
//! # Locks
//!
//! The PCI core makes these calls with the device's lock held. The device is therefore bound, and
//! no two calls for one device overlap. The caller may also hold the lock of the device's
//! configuration space.
//!
//! None of these calls waits until it gets the memory lock, because two kinds of threads hold it
//! for writing until after the call:
//!
//! - A thread that resets the device through VFIO, which is the calling thread, or a thread that
//!   resets another function of the same slot.
//! - A thread that writes the command register. It waits for the lock of configuration space.
//!
//! [`Gate::exclude_faults`] explains how the calls exclude faults without the lock. In a reset by
//! `VFIO_DEVICE_RESET` there is nothing to do: the core has taken the lock and removed all entries.
//!
//! A call must not depend on the user's threads either, which can hold the lock for reading in
//! turn, so that somebody always holds it. While a call tries to get the lock, other threads
//! therefore do not take it ([`Gate::give_way`]). Faults and ioeventfds look at the gate before
//! they take it.
//!
//! The caller may have stopped other devices of the same bus, such as a disk, so nobody may wait
//! for a disk while he holds the lock for reading. A fault allocates nothing then.
//!
//! Other drivers may wait in their calls for a lock that keeps others from their page faults, or
//! that a system call holds while it copies to a mapping. No fault therefore waits for long
//! (mmap.rs), and no thread that holds the mmap lock waits until a reset releases the memory lock
//! (lend.rs).
//!
//! The memory lock and the inode of the mappings exist from the allocation of the device to its
//! release. The calls therefore work whether the device is open or closed.

mod lend;

pub(super) use self::lend::InMmap;

use super::{
    memory::{
        self,
        MemoryLocked, //
    },
    CoreDevice, //
};
use crate::compat::read_once;
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        CondVar,
        Mutex, //
    },
    task::Task,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// The device is being reset.
const RESET: u32 = 1 << 0;
/// The device is recovering from an error. This may include a reset.
const RECOVERY: u32 = 1 << 1;
/// The recovery has failed.
const FAILED: u32 = 1 << 2;
/// The thread that resets the device holds the memory lock for writing. Set only together with
/// [`RESET`].
const MEMORY_LOCKED: u32 = 1 << 3;
/// A thread has closed the gate and tries to get the memory lock.
const CLOSING: u32 = 1 << 4;

/// The time in nanoseconds after which [`Gate::exclude_faults`] gives up if it finds that a thread
/// holds the memory lock for writing.
const WRITER_PATIENCE: i64 = 50_000_000;

/// The point at which accesses to the BARs wait while somebody other than VFIO resets the device.
///
/// While the gate is closed, no page-table entry is made, and faults are handled later. read() and
/// write() on BARs wait, before they begin and after every 4 KiB. A signalled ioeventfd waits for
/// the end of a reset, and does not write during a recovery.
///
/// # Invariants
///
/// While `MEMORY_LOCKED` is set, the thread between `reset_prepare` and `reset_done` holds for
/// writing the memory lock of the core device that it passed to `reset_prepare`, and has no
/// reference to the data that this lock protects. It has kept the lock by [`MemoryLocked::keep`].
#[pin_data]
pub(super) struct Gate {
    /// The reasons for which the gate is closed, as bits; 0 while it is open.
    reasons: Atomic<u32>,
    /// The time at which a reset or a recovery closed the gate, in nanoseconds of the monotonic
    /// clock.
    closed_at: Atomic<i64>,
    /// The address of the task of a thread that resets the device by `VFIO_DEVICE_RESET`, or 0.
    resetter: Atomic<usize>,
    /// The number of threads that wait for the memory lock and may hold the mmap lock.
    waiting: Atomic<i32>,
    /// Held by a thread that has borrowed the data of the memory lock, and while a reset takes back
    /// what it lends. No thread waits or allocates under this lock, since the end of a reset needs
    /// it.
    #[pin]
    lending: Mutex<()>,
    /// Held while `reasons` changes.
    #[pin]
    changing: Mutex<()>,
    #[pin]
    changed: CondVar,
}

impl Gate {
    /// Makes an open gate.
    pub(super) fn new() -> impl PinInit<Self> {
        // INVARIANT: No reset is in progress, and `MEMORY_LOCKED` is not set.
        pin_init!(Self {
            reasons: Atomic::new(0),
            closed_at: Atomic::new(0),
            resetter: Atomic::new(0),
            waiting: Atomic::new(0),
            lending <- Mutex::new((), c"vfio_gate_lending", static_lock_class!()),
            changing <- Mutex::new((), c"vfio_gate", static_lock_class!()),
            changed <- CondVar::new(c"vfio_gate_changed", static_lock_class!()),
        })
    }

    /// Returns whether the gate is closed.
    ///
    /// A thread that holds the memory lock and finds the gate open may make page-table entries
    /// until it releases the lock.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        read_once(&self.reasons) != 0
    }

    /// Returns for how long the reset or the recovery has taken that has closed the gate, in
    /// nanoseconds.
    pub(super) fn closed_for(&self) -> i64 {
        now().saturating_sub(self.closed_at.load(Relaxed))
    }

    /// Waits until the gate is open. The caller must not hold the memory lock.
    ///
    /// Fails with [`EIO`] if the recovery from an error has failed.
    #[inline]
    pub(super) fn pass(&self) -> Result {
        if self.is_closed() {
            return self.wait(RESET | RECOVERY);
        }
        Ok(())
    }

    /// Waits until no reset is in progress. The caller must not hold the memory lock.
    ///
    /// Fails with [`EIO`] if the device recovers from an error, or if the recovery has failed.
    pub(super) fn pass_reset(&self) -> Result {
        self.wait(RESET)
    }

    /// Returns whether the gate is open, without waiting.
    ///
    /// Fails with [`EIO`] if the recovery from an error has failed.
    pub(super) fn is_open(&self) -> Result<bool> {
        // Before `closed_for` reads the time.
        match self.reasons.load(Acquire) {
            0 => Ok(true),
            reasons if reasons & (RESET | RECOVERY) != 0 => Ok(false),
            _ => Err(EIO),
        }
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, awaited: u32) -> Result {
        match self.wait_without(awaited) {
            0 => Ok(()),
            _ => Err(EIO),
        }
    }

    /// Waits while the gate is closed for any of `reasons`. Returns the other reasons for which it
    /// is closed.
    #[cold]
    #[inline(never)]
    fn wait_without(&self, reasons: u32) -> u32 {
        let mut changing = self.changing.lock();
        loop {
            let left = self.reasons.load(Relaxed);
            if left & reasons == 0 {
                return left;
            }
            self.changed.wait(&mut changing);
        }
    }

    /// Waits while another thread, which has closed the gate, tries to get the memory lock. That
    /// does not take long, because the thread waits only for those that have the lock already.
    ///
    /// The caller must not hold the memory lock.
    #[inline]
    pub(super) fn give_way(&self) {
        if read_once(&self.reasons) & CLOSING != 0 {
            self.wait_without(CLOSING);
        }
    }

    /// Waits while the device is being reset, but not for a recovery from an error. The caller must
    /// not hold the memory lock.
    ///
    /// The core turns memory on and back off for some calls, by writing what it has read from the
    /// command register. During a reset it would read the register of a device in reset.
    #[inline]
    pub(super) fn let_reset_end(&self) {
        if read_once(&self.reasons) & (RESET | CLOSING) != 0 {
            self.wait_without(RESET | CLOSING);
        }
    }

    /// Adds the reasons `set`, removes the reasons `clear`, and returns the previous reasons.
    fn change(&self, set: u32, clear: u32) -> u32 {
        let changing = self.changing.lock();
        let before = self.reasons.load(Relaxed);
        if before & (RESET | RECOVERY) == 0 {
            self.closed_at.store(now(), Relaxed);
        }
        // The full ordering places the store before later reads of the memory lock; see
        // `exclude_faults`.
        self.reasons.xchg(before & !clear | set, Full);
        drop(changing);
        self.changed.notify_all();
        before
    }

    /// Waits until no fault that found the gate open can still make a page-table entry. Returns the
    /// memory lock, held for writing, or `None` if a thread, possibly the calling one, already
    /// holds it for writing and does not release it soon.
    ///
    /// The caller has closed the gate. A fault that takes the memory lock afterwards finds it
    /// closed. The faults that took the lock before have ended as soon as this function gets the
    /// lock, or finds that a thread holds it for writing. In the second case a later fault reads
    /// the gate after it has taken the lock from that writer, and this function reads the lock
    /// after it has closed the gate. All CPUs of the supported architectures (x86 and arm64) see
    /// stores in the same order, so that fault finds the gate closed.
    ///
    /// Most writers release the lock within microseconds, and the function then gets it. An ioctl
    /// of the user that was running takes the lock once for each interrupt, and [`WRITER_PATIENCE`]
    /// leaves it the time to end. The function does not wait longer, because others keep the lock
    /// until the reset is over.
    ///
    /// The loop ends, because readers of the memory lock wait neither for locks of the PCI core nor
    /// for a device, and because no thread of the user can take the lock again and again:
    /// [`Gate::give_way`] and the gate stop it. They hold it only while they look up a range, make
    /// an entry or access registers, and look at the gate after some accesses. A thread that is
    /// counted in `waiting` is in the queue for the lock, or gets there next, or sees `CLOSING` and
    /// is not counted again; the function does not return the lock before that.
    fn exclude_faults(&self, core: &CoreDevice) -> Option<MemoryLocked> {
        let begin = now();
        loop {
            // A thread that counts itself later than this sees `CLOSING`.
            let lock = MemoryLocked::try_new(core).filter(|_| self.waiting.load(Relaxed) == 0);
            if lock.is_some() {
                return lock;
            }
            if memory::is_write_locked(core) && now().saturating_sub(begin) > WRITER_PATIENCE {
                return None;
            }
            fsleep(Delta::from_micros(20));
        }
    }

    /// Closes the gate and removes all page-table entries, before a reset of the device.
    ///
    /// Keeps the memory lock for writing unless a thread holds it for writing already, so that a
    /// read() or write() in progress waits too.
    pub(super) fn reset_prepare(&self, core: &CoreDevice) {
        if self.resetter.load(Relaxed) == this_task() && memory::is_write_locked(core) {
            // This thread holds the memory lock, and has removed all entries.
            self.change(RESET, 0);
            return;
        }
        self.change(RESET | CLOSING, 0);
        match self.exclude_faults(core) {
            Some(lock) => {
                lock.keep();
                // INVARIANT: This thread holds the lock until `reset_done` releases it.
                self.change(MEMORY_LOCKED, CLOSING);
            }
            None => {
                self.change(0, CLOSING);
            }
        }
        // TODO(dma-buf): The importers of dma-bufs get no notice of this reset.
        memory::zap_bars(core);
    }

    /// Records that the calling thread resets the device by `VFIO_DEVICE_RESET`, until the guard is
    /// dropped. If several threads do so at the same time, some of the resets are treated as
    /// resets that VFIO did not start.
    pub(super) fn vfio_resets(&self) -> VfioReset<'_> {
        self.resetter.store(this_task(), Relaxed);
        VfioReset(self)
    }

    /// Opens the gate after a reset. A reset also ends the state after a failed recovery.
    ///
    /// # Safety
    ///
    /// The calling thread must have called `reset_prepare` with the same `core`.
    pub(super) unsafe fn reset_done(&self, core: &CoreDevice) {
        // A thread that has borrowed the data of the memory lock gives it back first.
        let lending = self.lending.lock();
        let before = self.change(0, RESET | FAILED | MEMORY_LOCKED);
        drop(lending);
        if before & MEMORY_LOCKED != 0 {
            // SAFETY: `MEMORY_LOCKED` was set, so the thread that called `reset_prepare` has kept
            // the lock, by the type's invariant, and has not made a guard since, because this is
            // the only place and the bit is cleared. The caller guarantees that it is this thread,
            // and that the lock is that of `core`.
            drop(unsafe { MemoryLocked::from_kept(core) });
        }
    }

    /// Closes the gate and removes all page-table entries after an error of the device. The
    /// recovery may include a reset.
    pub(super) fn recovery_begins(&self, core: &CoreDevice) {
        self.revoke(core, RECOVERY, 0);
    }

    /// Opens the gate after a successful recovery.
    pub(super) fn recovery_ends(&self) {
        self.change(0, RECOVERY);
    }

    /// Removes all page-table entries after a failed recovery, and refuses new ones until the next
    /// reset or the next first open.
    pub(super) fn recovery_fails(&self, core: &CoreDevice) {
        self.revoke(core, FAILED, RECOVERY);
    }

    fn revoke(&self, core: &CoreDevice, set: u32, clear: u32) {
        self.change(set | CLOSING, clear);
        let _lock = self.exclude_faults(core);
        self.change(0, CLOSING);
        memory::zap_bars(core);
    }

    /// Ends all waits for a recovery while the device is being unbound. Unbinding waits until all
    /// files of the device are closed, and the PCI core makes no further calls.
    pub(super) fn abandon_recovery(&self) {
        if self.reasons.load(Relaxed) & RECOVERY != 0 {
            self.change(FAILED, RECOVERY);
        }
    }

    /// Forgets a failed recovery while the device is being opened.
    pub(super) fn forget_failure(&self) {
        self.change(0, FAILED);
    }
}

/// Returns the time of the monotonic clock in nanoseconds.
pub(super) fn now() -> i64 {
    // SAFETY: The function may be called in any context but that of an NMI.
    unsafe { kernel::bindings::ktime_get() }
}

/// A reset by `VFIO_DEVICE_RESET`, which the calling thread does.
#[must_use = "the reset is forgotten with the guard"]
pub(super) struct VfioReset<'a>(&'a Gate);

impl Drop for VfioReset<'_> {
    fn drop(&mut self) {
        self.0.resetter.store(0, Relaxed);
    }
}

/// Returns the address of the task of the calling thread.
fn this_task() -> usize {
    core::ptr::from_ref::<Task>(current!()).addr()
}
