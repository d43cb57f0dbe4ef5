// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The producer of a ring, with the fences that it needs.

use crate::{flush_stores, order_stores, raw::Slots, Register, Word};
use std::sync::{Mutex, PoisonError};
use zerocopy::{Immutable, IntoBytes};

/// The producer of a ring of descriptors: writes them in order and rings the doorbell.
///
/// It issues the fences between descriptors, doorbell and the next descriptors, so that its user
/// needs none between them. A device that acts on a descriptor before the doorbell needs
/// [`order_stores`] before a push that announces other stores.
///
/// ```
/// use vfio_subregion::{Attribute, Mapping};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let data = Mapping::fake(4096, Attribute::WriteCombining).ok_or("no memory")?;
/// # let registers = Mapping::fake(4096, Attribute::Noncached).ok_or("no memory")?;
/// let doorbell = registers.registers()?.register::<u32>(0)?;
/// let mut queue = data.data().ring::<[u64; 8]>(0, 64)?.queue(doorbell);
/// queue.push(&[1; 8]);
/// queue.push(&[2; 8]);
/// queue.submit(2);
/// # Ok(())
/// # }
/// ```
///
/// It does not know which descriptors the device has consumed: the driver must not push to a slot
/// that is still in use. A queue that several threads use belongs in a [`SharedQueue`].
#[derive(Debug)]
pub struct Queue<'a, T, D> {
    slots: Slots<'a, T>,
    doorbell: Register<'a, D>,
    /// Whether the doorbell was rung and no fence has followed.
    rung: bool,
}

impl<'a, T: IntoBytes + Immutable, D: Word> Queue<'a, T, D> {
    pub(crate) const fn new(slots: Slots<'a, T>, doorbell: Register<'a, D>) -> Self {
        Self {
            slots,
            doorbell,
            rung: false,
        }
    }

    /// Returns the index of the slot that the next [`push`](Queue::push) writes.
    #[must_use]
    pub const fn next(&self) -> usize {
        self.slots.next()
    }

    /// Writes a descriptor to the next slot; after the last slot comes the first.
    ///
    /// The first push after a doorbell is ordered behind it, so that the device does not see the new
    /// descriptor in place of an old one that the doorbell announced.
    #[inline]
    pub fn push(&mut self, entry: &T) {
        if self.rung {
            order_stores();
            self.rung = false;
        }
        self.slots.push(entry);
    }

    /// Rings the doorbell: writes `value` to it after all descriptors that were pushed.
    #[inline]
    pub fn submit(&mut self, value: D) {
        self.doorbell.write_ordered(value);
        self.rung = true;
    }

    /// Makes all stores leave the CPU, before another thread gets the queue.
    ///
    /// Unlocking a mutex does not order stores to write-combining memory, not even on x86.
    /// [`SharedQueue::with`] calls this before it unlocks.
    #[inline]
    pub fn release(&mut self) {
        flush_stores();
        self.rung = false;
    }
}

/// A [`Queue`] that several threads use, behind a lock.
#[derive(Debug)]
pub struct SharedQueue<'a, T, D>(Mutex<Queue<'a, T, D>>);

impl<'a, T: IntoBytes + Immutable, D: Word> SharedQueue<'a, T, D> {
    /// Makes a queue shared.
    #[must_use]
    pub const fn new(queue: Queue<'a, T, D>) -> Self {
        Self(Mutex::new(queue))
    }

    /// Calls `work` with the queue while no other thread has it.
    ///
    /// The stores of `work` have left the CPU when the lock is released, also if `work` panics. A
    /// panic does not lock out other threads: the queue has no state that it could break.
    pub fn with<R>(&self, work: impl FnOnce(&mut Queue<'a, T, D>) -> R) -> R {
        /// Releases the queue on drop, which is before its lock is released.
        struct Released<'q, 'a, T: IntoBytes + Immutable, D: Word>(&'q mut Queue<'a, T, D>);

        impl<T: IntoBytes + Immutable, D: Word> Drop for Released<'_, '_, T, D> {
            fn drop(&mut self) {
                self.0.release();
            }
        }

        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let released = Released(&mut queue);
        work(released.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Attribute, Mapping, SharedQueue};

    // contract: userspace.queue
    #[test]
    fn a_queue_goes_round_and_its_doorbell_is_rung() {
        let data = Mapping::fake(4096, Attribute::WriteCombining).unwrap();
        let registers = Mapping::fake(4096, Attribute::Noncached).unwrap();
        let doorbell = registers.registers().unwrap().register::<u32>(8).unwrap();
        let ring = data.data().ring::<[u64; 8]>(64, 3).unwrap();
        let mut queue = ring.queue(doorbell);
        for (number, slot) in (1..=4).zip([0, 1, 2, 0]) {
            assert_eq!(queue.next(), slot);
            queue.push(&[number; 8]);
        }
        queue.submit(4);
        queue.push(&[5; 8]);
        queue.release();
        assert_eq!(registers.read::<u32>(8), Ok(4));
        let words: [u64; 5] = [56, 64, 128 + 56, 192, 256].map(|offset| data.read(offset).unwrap());
        assert_eq!(words, [0, 4, 5, 3, 0]);
    }

    // contract: userspace.queue
    #[test]
    fn threads_share_a_queue_and_no_descriptor_is_lost() {
        const EACH: u64 = 100;
        let data = Mapping::fake(64 * 1024, Attribute::WriteCombining).unwrap();
        let registers = Mapping::fake(4096, Attribute::Noncached).unwrap();
        let doorbell = registers.registers().unwrap().register::<u64>(0).unwrap();
        let ring = data.data().ring::<[u64; 8]>(0, 1000).unwrap();
        let queue = SharedQueue::new(ring.queue(doorbell));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let queue = &queue;
                scope.spawn(move || {
                    for number in 1..=EACH {
                        queue.with(|queue| {
                            queue.push(&[thread * EACH + number; 8]);
                            queue.submit(queue.next() as u64);
                        });
                    }
                });
            }
        });
        assert_eq!(registers.read::<u64>(0), Ok(4 * EACH));
        let sum: u64 = (0..1000)
            .map(|slot| data.read::<u64>(slot * 64).unwrap())
            .sum();
        assert_eq!(sum, (1..=4 * EACH).sum::<u64>());
    }

    // contract: userspace.queue
    #[test]
    fn a_panic_does_not_lock_others_out_of_a_queue() {
        let memory = Mapping::fake(4096, Attribute::Noncached).unwrap();
        let doorbell = memory.registers().unwrap().register::<u32>(0).unwrap();
        let ring = memory.data().ring::<u64>(64, 4).unwrap();
        let queue = SharedQueue::new(ring.queue(doorbell));
        let panics = std::panic::AssertUnwindSafe(|| {
            queue.with(|queue| {
                queue.push(&1);
                panic!("on purpose");
            });
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(queue.with(|queue| queue.next()), 1);
    }
}
