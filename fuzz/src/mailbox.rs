// SPDX-License-Identifier: GPL-2.0-only

//! The process that knows the model makes others do operations: each has a mailbox in shared
//! memory.

#![allow(
    unsafe_code,
    reason = "Rust's rules do not cover memory that processes share"
)]

use crate::model::PROCESSES;
use crate::op::{Op, Outcome};
use crate::sys;
use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

/// Nothing to do.
const IDLE: u32 = 0;
/// An operation to do.
const POSTED: u32 = 1;

/// A mailbox; one with all bytes zero is empty.
#[repr(C)]
pub struct Mailbox {
    state: AtomicU32,
    op: UnsafeCell<MaybeUninit<Op>>,
    outcome: UnsafeCell<Outcome>,
}

// SAFETY: the operation belongs to the poster until the state changes; the operation and the
// outcome then belong to the other side until the state says that it is done.
unsafe impl Sync for Mailbox {}

/// Makes a mailbox for each process.
pub fn share() -> io::Result<&'static [Mailbox; PROCESSES]> {
    // SAFETY: a mailbox with all bytes zero is empty.
    unsafe { sys::share() }
}

impl Mailbox {
    /// Posts an operation and returns its outcome, or `None` after the given number of seconds, or
    /// if `lost` reports that the process is gone.
    pub fn call(&self, op: Op, seconds: u64, mut lost: impl FnMut() -> bool) -> Option<&Outcome> {
        // SAFETY: the state is IDLE, so it is the caller's.
        unsafe { self.op.get().write(MaybeUninit::new(op)) };
        sys::futex_set(&self.state, POSTED);
        let begin = std::time::Instant::now();
        while self.state.load(Ordering::SeqCst) == POSTED {
            sys::futex_wait(&self.state, POSTED, 1);
            let late = begin.elapsed().as_secs() >= seconds;
            if self.state.load(Ordering::SeqCst) == POSTED && (late || lost()) {
                return None;
            }
        }
        // SAFETY: the state is IDLE again.
        Some(unsafe { &*self.outcome.get() })
    }

    /// Posts an operation without an outcome.
    pub fn post(&self, op: Op) {
        // SAFETY: the state is IDLE, so it is the caller's.
        unsafe { self.op.get().write(MaybeUninit::new(op)) };
        sys::futex_set(&self.state, POSTED);
    }

    /// Records that the process of the mailbox is gone.
    pub fn reset(&self) {
        self.state.store(IDLE, Ordering::SeqCst);
    }

    /// Waits for an operation.
    pub fn wait(&self) -> Op {
        while self.state.load(Ordering::SeqCst) != POSTED {
            sys::futex_wait(&self.state, IDLE, 5);
            sys::end_with_first();
        }
        // SAFETY: the state is POSTED, so it was written and is this side's.
        unsafe { self.op.get().cast::<Op>().read() }
    }

    /// Lets `fill` write the outcome of the operation, and gives the mailbox back.
    pub fn answer(&self, fill: impl FnOnce(&mut Outcome)) {
        // SAFETY: the state is POSTED, so it is this side's; any bytes are an Outcome.
        fill(unsafe { &mut *self.outcome.get() });
        sys::futex_set(&self.state, IDLE);
    }
}
