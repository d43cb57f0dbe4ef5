// SPDX-License-Identifier: GPL-2.0

//! Processes, and how they end.

use super::{check, descriptor, result};
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// The process that all others work for.
static FIRST: AtomicU32 = AtomicU32::new(0);

/// Has children go when they end, or when this process has.
pub fn prepare() -> io::Result<()> {
    // SAFETY: all zero is a valid action.
    let mut ignore: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    ignore.sa_sigaction = libc::SIG_IGN;
    // SAFETY: the action is valid.
    check(unsafe { libc::sigaction(libc::SIGCHLD, &raw const ignore, ptr::null_mut()) }.into())?;
    FIRST.store(std::process::id(), Ordering::SeqCst);
    Ok(())
}

/// `fork()`: 0 in the child.
pub fn fork() -> i64 {
    // SAFETY: the processes that do so have one thread, or go on in the child with system calls only.
    result(unsafe { libc::fork() }.into())
}

/// Ends the process at once.
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

/// Has children wait to be asked for their status, as is usual.
pub fn keep_children() {
    // SAFETY: there is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Ends this process if the first one has ended, which [`prepare`] was called in.
pub fn end_with_first() {
    let first = FIRST.load(Ordering::SeqCst) as c_int;
    // SAFETY: it takes numbers, and sends nothing.
    if unsafe { libc::kill(first, 0) } != 0 {
        exit(5);
    }
}

/// Kills a process.
pub fn kill(pid: i64) {
    // SAFETY: it is a child of this program.
    unsafe { libc::kill(pid as c_int, libc::SIGKILL) };
}

/// A descriptor of a process, to see when it has ended.
pub fn pidfd(pid: i64) -> io::Result<OwnedFd> {
    // SAFETY: it takes numbers.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as c_int)
}

/// Waits until the process of a descriptor has ended, for some seconds at most.
pub fn wait_for_end(pidfd: &OwnedFd, seconds: i32) -> bool {
    let mut poll = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        // SAFETY: there is one structure.
        let ret = result(unsafe { libc::poll(&raw mut poll, 1, 1000 * seconds) }.into());
        // One that is interrupted waits once more, from the beginning.
        if ret != -i64::from(libc::EINTR) {
            return ret == 1;
        }
    }
}
