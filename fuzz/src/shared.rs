// SPDX-License-Identifier: GPL-2.0-only

//! Memory that concurrent threads share with the process that compares their results.

#![allow(
    unsafe_code,
    reason = "Rust's rules do not cover memory that processes share"
)]

use crate::model::{Attribute, Vma};
use crate::op::Op;
use crate::sys;
use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of processes.
pub const GROUPS: usize = 2;
/// The number of threads of each.
pub const THREADS: usize = 2;
/// The number of all threads.
pub const ACTORS: usize = GROUPS * THREADS;
/// The maximum number of VMAs of a thread.
pub const VMAS: usize = 24;
/// The number of operations of a thread in a round.
pub const ROUND: usize = 48;
/// The number of the round that ends the sequence.
pub const QUIT: u32 = u32::MAX;
/// The maximum length of a complaint in bytes.
const COMPLAINT: usize = 400;

/// A subregion that a thread made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Its region index.
    pub index: u32,
    /// The BAR.
    pub bar: usize,
    /// The start of the range in the BAR.
    pub start: u64,
    /// The end of the range.
    pub end: u64,
    /// Its attribute.
    pub attribute: Attribute,
    /// Its offset in the file.
    pub offset: u64,
}

/// The operations of a thread in a round, and its mappings at the end.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The subregions that it made.
    pub made: Vec<Made>,
    /// The indices of the subregions that it destroyed.
    pub destroyed: Vec<u32>,
    /// Its VMAs.
    pub vmas: Vec<Vma>,
    /// The operations of the round and their results.
    pub ops: Vec<(Op, i64)>,
}

/// An array of at most `N` elements in shared memory.
struct List<T, const N: usize> {
    len: AtomicU32,
    items: [UnsafeCell<MaybeUninit<T>>; N],
}

impl<T: Clone, const N: usize> List<T, N> {
    fn put(&self, items: &[T]) {
        let mut len = 0;
        for (cell, item) in self.items.iter().zip(items) {
            // SAFETY: during a round the list belongs to its thread.
            unsafe { (*cell.get()).write(item.clone()) };
            len += 1;
        }
        self.len.store(len, Ordering::SeqCst);
    }

    fn get(&self) -> Vec<T> {
        let len = self.len.load(Ordering::SeqCst) as usize;
        let items = self.items.iter().take(len);
        let item = |cell: &UnsafeCell<MaybeUninit<T>>| {
            let item = cell.get().cast::<T>();
            // SAFETY: no thread changes the list between rounds, and `len` elements were written.
            unsafe { &*item }.clone()
        };
        items.map(item).collect()
    }
}

/// The record of one thread.
struct Slot {
    made: List<Made, ROUND>,
    destroyed: List<u32, ROUND>,
    vmas: List<Vma, VMAS>,
    ops: List<(Op, i64), ROUND>,
}

/// The shared memory; its initial state is all zero.
pub struct Shared {
    round: AtomicU32,
    working: AtomicU32,
    complained: AtomicU32,
    complaint: UnsafeCell<[u8; COMPLAINT]>,
    slots: [Slot; ACTORS],
}

// SAFETY: fields that are not atomic belong to one thread during a round, and are read between
// rounds; the complaint belongs to the thread that set its flag first.
unsafe impl Sync for Shared {}

impl Shared {
    /// Makes the shared memory.
    pub fn new() -> io::Result<&'static Self> {
        // SAFETY: all zero is its initial state.
        unsafe { sys::share() }
    }

    /// Starts a round and waits until all threads have ended it, with a time limit in seconds;
    /// `lost` reports whether a process is gone.
    pub fn begin(&self, round: u32, seconds: u64, mut lost: impl FnMut() -> bool) -> bool {
        self.working.store(ACTORS as u32, Ordering::SeqCst);
        sys::futex_set(&self.round, round);
        let begin = std::time::Instant::now();
        loop {
            let working = self.working.load(Ordering::SeqCst);
            if working == 0 {
                return true;
            }
            sys::futex_wait(&self.working, working, 1);
            if begin.elapsed().as_secs() >= seconds || lost() {
                return self.working.load(Ordering::SeqCst) == 0;
            }
        }
    }

    /// Tells all threads to end.
    pub fn quit(&self) {
        sys::futex_set(&self.round, QUIT);
    }

    /// Waits for the round after `last`.
    pub fn wait(&self, last: u32) -> u32 {
        loop {
            let round = self.round.load(Ordering::SeqCst);
            if round != last {
                return round;
            }
            sys::futex_wait(&self.round, last, 5);
            sys::end_with_first();
        }
    }

    /// Records the operations of the thread `actor`, and that it has ended the round.
    pub fn end(&self, actor: usize, record: &Record) {
        let slot = &self.slots[actor];
        slot.made.put(&record.made);
        slot.destroyed.put(&record.destroyed);
        slot.vmas.put(&record.vmas);
        slot.ops.put(&record.ops);
        self.working.fetch_sub(1, Ordering::SeqCst);
        sys::futex_wake(&self.working);
    }

    /// Returns the record of a thread.
    pub fn record(&self, actor: usize) -> Record {
        let slot = &self.slots[actor];
        Record {
            made: slot.made.get(),
            destroyed: slot.destroyed.get(),
            vmas: slot.vmas.get(),
            ops: slot.ops.get(),
        }
    }

    /// Records the first error; works in a child too.
    pub fn complain(&self, what: &str) {
        if self
            .complained
            .compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            return;
        }
        let bytes = what.as_bytes();
        let len = bytes.len().min(COMPLAINT);
        // SAFETY: the thread that set the flag owns the array.
        unsafe { (&mut *self.complaint.get())[..len].copy_from_slice(&bytes[..len]) };
        self.complained.store(2, Ordering::SeqCst);
    }

    /// Returns whether there is a complaint.
    pub fn is_bad(&self) -> bool {
        self.complained.load(Ordering::SeqCst) != 0
    }

    /// Returns the complaint, if there is one.
    pub fn complaint(&self) -> Option<String> {
        if self.complained.load(Ordering::SeqCst) != 2 {
            return None;
        }
        // SAFETY: it was written, and no thread changes it any more.
        let bytes = unsafe { &*self.complaint.get() };
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }
}
