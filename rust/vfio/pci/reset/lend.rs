// SPDX-License-Identifier: GPL-2.0-only

//! The data of the memory lock, for threads that hold the mmap lock.
//!
//! A reset that VFIO does not start keeps the memory lock until its end. In between, the PCI core
//! calls the drivers of other devices on the bus, and these wait for locks. The holder of such a
//! lock may be waiting for the mmap lock, in a copy to user memory. A thread that holds the mmap
//! lock must therefore not wait for the end of the reset.
//!
//! The thread that resets the device keeps the lock without using [`Operations::Locked`]. It lends
//! the data to threads that hold the mmap lock, one at a time. These only look up a range or change
//! a count.
//!
//! A thread that waits for the lock itself would not notice that a reset keeps it. It therefore
//! counts itself before it looks whether a reset keeps the lock or may be about to, and a reset
//! looks at the count after it has announced itself and has got the lock. If a thread is counted,
//! the reset releases the lock again, so that this thread gets it first.

use super::{
    super::{
        memory::MemoryHeld,
        OpenDevice,
        Operations, //
    },
    Gate,
    MemoryLocked,
    CLOSING,
    MEMORY_LOCKED, //
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::sync::{
    atomic::{
        Acquire,
        Full,
        Relaxed, //
    },
    MutexGuard, //
};

/// A memory lock that this thread holds, or that a reset keeps and whose data it lends.
enum Hold<'a, L> {
    Own { _lock: L },
    Lent { _lending: MutexGuard<'a, ()> },
}

impl Gate {
    /// Waits for the memory lock by `wait`, unless a reset keeps the lock or is about to.
    pub(in super::super) fn unless_kept<L>(&self, wait: impl FnOnce() -> L) -> Option<L> {
        if self.keeps_memory() {
            return None;
        }
        // The full ordering places the count before the second look; see `exclude_faults`.
        self.waiting.fetch_add(1, Full);
        let lock = (!self.keeps_memory()).then(wait);
        self.waiting.fetch_add(-1, Relaxed);
        lock
    }

    fn keeps_memory(&self) -> bool {
        self.reasons.load(Relaxed) & (CLOSING | MEMORY_LOCKED) != 0
    }

    /// Takes the memory lock by `attempt` or `wait`, or borrows its data from the reset that keeps
    /// it.
    #[inline]
    fn hold<L>(&self, attempt: impl Fn() -> Option<L>, wait: impl Fn() -> L) -> Hold<'_, L> {
        // Not while a reset tries to get the lock, since many threads could hinder it.
        if !self.keeps_memory() {
            if let Some(lock) = attempt() {
                return Hold::Own { _lock: lock };
            }
        }
        self.wait_or_borrow(wait)
    }

    #[cold]
    #[inline(never)]
    fn wait_or_borrow<L>(&self, wait: impl Fn() -> L) -> Hold<'_, L> {
        loop {
            self.give_way();
            if let Some(lock) = self.unless_kept(&wait) {
                return Hold::Own { _lock: lock };
            }
            let lending = self.lending.lock();
            // The acquire ordering pairs with `change`, which set the bit after the thread that
            // resets the device had got the memory lock. This thread therefore sees all earlier
            // changes of the data.
            if self.reasons.load(Acquire) & MEMORY_LOCKED != 0 {
                return Hold::Lent { _lending: lending };
            }
        }
    }
}

/// The data that the memory lock protects, for a thread that may hold the mmap lock.
///
/// # Invariants
///
/// `_hold` has a guard of the memory lock of `device`, or that of [`Gate::lending`] of its gate. In
/// the second case, `MEMORY_LOCKED` was set after the thread had taken that lock.
#[must_use = "the data is given back with the guard"]
pub(in super::super) struct InMmap<'a, T: Operations, L> {
    device: &'a OpenDevice<T>,
    _hold: Hold<'a, L>,
}

impl<'a, T: Operations> InMmap<'a, T, MemoryHeld> {
    /// Takes the memory lock of `device` for reading, or borrows its data.
    #[inline]
    pub(in super::super) fn shared(device: &'a OpenDevice<T>) -> Self {
        let attempt = || MemoryHeld::try_new(device);
        let wait = || MemoryHeld::new(device);
        // INVARIANT: `hold` returns a guard of this device.
        Self {
            device,
            _hold: device.gate().hold(attempt, wait),
        }
    }
}

impl<'a, T: Operations> InMmap<'a, T, MemoryLocked> {
    /// Takes the memory lock of `device` for writing, or borrows its data.
    #[inline]
    pub(in super::super) fn exclusive(device: &'a OpenDevice<T>) -> Self {
        let attempt = || MemoryLocked::if_free(device);
        let wait = || MemoryLocked::new(device);
        // INVARIANT: `hold` returns a guard of this device.
        Self {
            device,
            _hold: device.gate().hold(attempt, wait),
        }
    }
}

// A thread that has borrowed the data is the only one that uses it. It holds `lending`, which
// `reset_done` takes before it clears `MEMORY_LOCKED`. The bit therefore remains set, and the thread
// that resets the device holds the memory lock for writing without a reference to the data, by the
// invariant of `Gate`. `hold` explains why changes under the memory lock are visible; `reset_done`
// takes `lending` before it releases the memory lock, so later holders see those of borrowers.

impl<T: Operations, L> Deref for InMmap<'_, T, L> {
    type Target = T::Locked;

    fn deref(&self) -> &T::Locked {
        // SAFETY: The thread has borrowed the data, see above. Or it holds the lock for reading or
        // writing, so no other thread has a mutable reference to the data: nobody has borrowed it,
        // since no reset keeps the lock.
        unsafe { &*self.device.locked() }
    }
}

impl<T: Operations> DerefMut for InMmap<'_, T, MemoryLocked> {
    fn deref_mut(&mut self) -> &mut T::Locked {
        // SAFETY: The thread has borrowed the data, see above. Or it holds the lock for writing, so
        // no other reference to the data exists: nobody has borrowed it, since no reset keeps the
        // lock.
        unsafe { &mut *self.device.locked() }
    }
}
