// SPDX-License-Identifier: GPL-2.0-only

//! All unsafe code: system calls, memory that several processes share, accesses that may fault.

#![allow(unsafe_code, reason = "this is where it is")]

mod futex;
mod memory;
mod process;
mod touch;

pub use self::{
    futex::{futex_set, futex_wait, futex_wake},
    memory::{advise, bind, has_nodes, lock, map, protect, remap, share, unmap, Arena},
    process::{
        end_with_first, exit, fork, interrupt, keep_children, kill, pidfd, wait_for, wait_for_end,
    },
    touch::{load, store},
};

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Makes accesses return the signal that they raise, and ensures that no child outlives this
/// program.
pub fn prepare_signals() -> io::Result<()> {
    touch::catch_faults()?;
    process::prepare()
}

fn check(ret: i64) -> io::Result<i64> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// Returns the result of a system call, or the negative errno.
fn result(ret: i64) -> i64 {
    match check(ret) {
        Ok(ret) => ret,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// Returns the descriptor from a system call.
fn descriptor(ret: c_int) -> io::Result<OwnedFd> {
    check(ret.into())?;
    // SAFETY: it is a new descriptor without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(ret) })
}

/// `ioctl()` with a pointer that may be invalid.
pub fn ioctl(fd: RawFd, request: u32, arg: u64) -> i64 {
    // SAFETY: the argument is a number, or an address whose memory this program may lose.
    result(unsafe { libc::ioctl(fd, c_ulong::from(request) as _, arg) }.into())
}

/// `pread()` into a buffer.
pub fn read_at(fd: RawFd, buffer: &mut [u8], offset: u64) -> i64 {
    // SAFETY: the buffer has the given length.
    let ret = unsafe { libc::pread64(fd, buffer.as_mut_ptr().cast(), buffer.len(), offset as i64) };
    result(ret as i64)
}

/// `pwrite()` from a buffer.
pub fn write_at(fd: RawFd, buffer: &[u8], offset: u64) -> i64 {
    // SAFETY: the buffer has the given length.
    let ret = unsafe { libc::pwrite64(fd, buffer.as_ptr().cast(), buffer.len(), offset as i64) };
    result(ret as i64)
}

/// `write()` of 8 bytes, the size for an eventfd.
pub fn signal(fd: RawFd) -> i64 {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the buffer has the given length.
    result(unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) } as i64)
}

/// Closes a descriptor.
pub fn close(fd: RawFd) -> i64 {
    // SAFETY: descriptors of devices are kept as numbers, without an owner.
    result(unsafe { libc::close(fd) }.into())
}

/// The file status flags of a descriptor, and the flags of the descriptor in the upper half.
pub fn file_flags(fd: RawFd) -> u64 {
    // SAFETY: the arguments are numbers.
    let status = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: the arguments are numbers.
    let own = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    u64::from(status as u32) | u64::from(own as u32) << 32
}

/// A copy of a descriptor of another process.
pub fn take(pid: i64, fd: RawFd) -> i64 {
    let Ok(process) = pidfd(pid) else {
        return -i64::from(libc::ESRCH);
    };
    let (process, flags) = (process.as_raw_fd(), 0);
    // SAFETY: the arguments are numbers.
    result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, fd, flags) })
}

/// An eventfd that no thread waits for.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the arguments are numbers.
    descriptor(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) })
}

/// The size of a page.
pub fn page_size() -> u64 {
    // SAFETY: the argument is a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}
