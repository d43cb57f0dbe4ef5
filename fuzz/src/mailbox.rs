// SPDX-License-Identifier: GPL-2.0-only

//! How the process that knows the model has others do operations: each has a mailbox in memory that all
//! share.

#![allow(
    unsafe_code,
    reason = "memory that processes share is outside of Rust's rules"
)]

use crate::model::PROCESSES;
use crate::op::{Op, Outcome};
use crate::sys;
use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

/// Nothing is to be done.
const IDLE: u32 = 0;
/// There is an operation.
const POSTED: u32 = 1;

/// A mailbox; all zero is one that is empty.
#[repr(C)]
pub struct Mailbox {
    state: AtomicU32,
    op: UnsafeCell<MaybeUninit<Op>>,
    outcome: UnsafeCell<Outcome>,
}

// SAFETY: the operation belongs to whoever posts it until the state says so, then the operation and the
// outcome to the other side until the state says that it is done.
unsafe impl Sync for Mailbox {}

/// Makes a mailbox for each process.
pub fn share() -> io::Result<&'static [Mailbox; PROCESSES]> {
    // SAFETY: all zero is a mailbox that is empty.
    unsafe { sys::share() }
}

impl Mailbox {
    /// Has an operation done and returns what came of it, or `None` if nothing has in so many seconds,
    /// or if `lost` says that nothing will.
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

    /// Posts an operation that nothing comes of.
    pub fn post(&self, op: Op) {
        // SAFETY: the state is IDLE, so it is the caller's.
        unsafe { self.op.get().write(MaybeUninit::new(op)) };
        sys::futex_set(&self.state, POSTED);
    }

    /// Notes that whoever has emptied the mailbox is gone.
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

    /// Has `fill` say what came of the operation, and gives it back.
    pub fn answer(&self, fill: impl FnOnce(&mut Outcome)) {
        // SAFETY: the state is POSTED, so it is this side's; any bytes are an Outcome.
        fill(unsafe { &mut *self.outcome.get() });
        sys::futex_set(&self.state, IDLE);
    }
}
