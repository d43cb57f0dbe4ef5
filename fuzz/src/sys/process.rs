// SPDX-License-Identifier: GPL-2.0-only

//! Processes and their end.

use super::{check, descriptor, result};
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// The signal that asked this program to end, or 0.
static INTERRUPT: AtomicI32 = AtomicI32::new(0);

/// The main process.
static FIRST: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_interrupt(signal: c_int) {
    INTERRUPT.store(signal, Ordering::SeqCst);
}

/// Returns the signal that asked this program to end, if one has.
pub fn interrupt() -> Option<i32> {
    Some(INTERRUPT.load(Ordering::SeqCst)).filter(|&signal| signal != 0)
}

fn on(signal: c_int, handler: usize) -> io::Result<()> {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // A waiting call continues: the operation is completed.
    action.sa_flags = libc::SA_RESTART;
    action.sa_sigaction = handler;
    // SAFETY: the action is valid, and its handler only stores a number.
    check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }.into())?;
    Ok(())
}

/// Makes this program end between two operations when it is interrupted, and children end with it
/// or alone. A child ignores interruptions: it is told to end.
pub fn prepare() -> io::Result<()> {
    on(libc::SIGCHLD, libc::SIG_IGN)?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        on(signal, on_interrupt as usize)?;
    }
    FIRST.store(std::process::id(), Ordering::SeqCst);
    Ok(())
}

/// `fork()`: 0 in the child.
pub fn fork() -> i64 {
    // SAFETY: the calling processes have one thread, or make only system calls in the child.
    result(unsafe { libc::fork() }.into())
}

/// Ends the process without cleanup.
pub fn exit(status: c_int) -> ! {
    // SAFETY: it ends the process.
    unsafe { libc::_exit(status) }
}

/// Waits for a child, and returns its status.
pub fn wait_for(pid: i64) -> c_int {
    let mut status = -1;
    // SAFETY: the status is written.
    unsafe { libc::waitpid(pid as c_int, &raw mut status, 0) };
    status
}

/// Makes children wait until their status is read, as is usual.
pub fn keep_children() {
    // SAFETY: there is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Ends this process if the main process, which called [`prepare`], has ended.
pub fn end_with_first() {
    let first = FIRST.load(Ordering::SeqCst) as c_int;
    // SAFETY: the arguments are numbers, and no signal is sent.
    if unsafe { libc::kill(first, 0) } != 0 {
        exit(5);
    }
}

/// Kills a process.
pub fn kill(pid: i64) {
    // SAFETY: it is a child of this program.
    unsafe { libc::kill(pid as c_int, libc::SIGKILL) };
}

/// A descriptor of a process, which tells when it has ended.
pub fn pidfd(pid: i64) -> io::Result<OwnedFd> {
    // SAFETY: the arguments are numbers.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as c_int)
}

/// Waits until the process of a descriptor has ended, with a time limit in seconds.
pub fn wait_for_end(pidfd: &OwnedFd, seconds: i32) -> bool {
    let mut poll = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        // SAFETY: there is one structure.
        let ret = result(unsafe { libc::poll(&raw mut poll, 1, 1000 * seconds) }.into());
        // After an interruption, it waits again from the start.
        if ret != -i64::from(libc::EINTR) {
            return ret == 1;
        }
    }
}
