// SPDX-License-Identifier: GPL-2.0-only

//! Waits for a change of memory that several processes share.

use std::sync::atomic::{AtomicU32, Ordering};

/// Waits until `word` differs from `value`, with a time limit in seconds; may return early.
pub fn futex_wait(word: &AtomicU32, value: u32, seconds: i64) {
    let timeout = libc::timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let (word, timeout) = (word.as_ptr(), &raw const timeout);
    // SAFETY: the word and the time are valid.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, value, timeout) };
}

/// Changes `word` and wakes all waiters.
pub fn futex_set(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::SeqCst);
    futex_wake(word);
}

/// Wakes all waiters for a change of `word`.
pub fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word is valid.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
