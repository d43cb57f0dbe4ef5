// SPDX-License-Identifier: GPL-2.0-only

//! The memory of a process: its mappings of the device, and the memory it shares with others.

use super::{check, descriptor, page_size, result};
use std::ffi::{c_int, c_long, c_void, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

/// `mmap()` at an address that is reserved for device memory.
pub fn map(at: u64, len: u64, prot: c_int, flags: c_int, fd: RawFd, offset: u64) -> i64 {
    let (at, len) = (at as *mut c_void, len as usize);
    // SAFETY: nothing else is mapped at these addresses.
    let ret = unsafe { libc::mmap(at, len, prot, flags, fd, offset as i64) };
    result(ret as i64)
}

/// `munmap()` of addresses that are reserved for device memory.
pub fn unmap(at: u64, len: u64) -> i64 {
    // SAFETY: nothing else is mapped at these addresses.
    result(unsafe { libc::munmap(at as *mut c_void, len as usize) }.into())
}

/// `mremap()` of addresses that are reserved for device memory.
pub fn remap(from: u64, old: u64, new: u64, to: Option<u64>) -> i64 {
    let from = from as *mut c_void;
    let (old, new) = (old as usize, new as usize);
    let ret = match to {
        Some(to) => {
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            // SAFETY: nothing else is mapped at these addresses.
            unsafe { libc::mremap(from, old, new, flags, to as *mut c_void) }
        }
        // SAFETY: as above.
        None => unsafe { libc::mremap(from, old, new, 0) },
    };
    result(ret as i64)
}

/// `mprotect()` of addresses that are reserved for device memory.
pub fn protect(at: u64, len: u64, prot: c_int) -> i64 {
    // SAFETY: nothing else is mapped at these addresses.
    result(unsafe { libc::mprotect(at as *mut c_void, len as usize, prot) }.into())
}

/// `madvise()` of addresses that are reserved for device memory.
pub fn advise(at: u64, len: u64, advice: c_int) -> i64 {
    // SAFETY: nothing else is mapped at these addresses.
    result(unsafe { libc::madvise(at as *mut c_void, len as usize, advice) }.into())
}

/// `mlock()` or `munlock()` of addresses that are reserved for device memory.
pub fn lock(at: u64, len: u64, on: bool) -> i64 {
    let (at, len) = (at as *const c_void, len as usize);
    if on {
        // SAFETY: the arguments are numbers.
        result(unsafe { libc::mlock(at, len) }.into())
    } else {
        // SAFETY: the arguments are numbers.
        result(unsafe { libc::munlock(at, len) }.into())
    }
}

/// `mbind()` of addresses that are reserved for device memory: to node 0, or to none.
pub fn bind(at: u64, len: u64, node: bool) -> i64 {
    // MPOL_BIND and MPOL_DEFAULT
    let mode: c_long = if node { 2 } else { 0 };
    let nodes = 1u64;
    let set = if node { &raw const nodes } else { ptr::null() };
    let (bits, flags): (c_long, c_long) = (64, 0);
    // SAFETY: the set of nodes has the given number of bits.
    let ret = unsafe { libc::syscall(libc::SYS_mbind, at, len, mode, set, bits, flags) };
    result(ret)
}

/// Returns whether the kernel has memory policies.
pub fn has_nodes() -> bool {
    let (none, zero): (*const c_void, c_long) = (ptr::null(), 0);
    // SAFETY: the kernel writes nothing.
    let ret = unsafe { libc::syscall(libc::SYS_get_mempolicy, none, none, zero, none, zero) };
    ret == 0
}

/// Memory that all children share, as a `T` of zeroes. It is never unmapped.
///
/// # Safety
///
/// All zero is a valid `T`.
pub unsafe fn share<T>() -> io::Result<&'static T> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel chooses the addresses.
    let memory = unsafe { libc::mmap(ptr::null_mut(), size_of::<T>(), prot, flags, -1, 0) };
    check(memory as i64)?;
    // SAFETY: it is as long as a T, aligned to pages, and zero, which the caller guarantees to be
    // valid.
    Ok(unsafe { &*memory.cast() })
}

/// Memory for the structures of ioctls: writable pages, one that cannot be accessed, and the same
/// writable pages again, read-only.
#[derive(Clone, Copy)]
pub struct Arena {
    base: u64,
    page: u64,
}

impl Arena {
    /// The number of writable pages.
    const PAGES: u64 = 4;

    /// Makes the memory; it is never unmapped, and a child gets one of its own.
    pub fn new() -> io::Result<Self> {
        let page = page_size();
        let name = CString::default();
        // SAFETY: the name is a string.
        let file = descriptor(unsafe { libc::memfd_create(name.as_ptr(), 0) })?;
        File::from(file.try_clone()?).set_len(Self::PAGES * page)?;
        let size = (Self::PAGES * page) as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let room = 2 * size + page as usize;
        // SAFETY: the kernel chooses the addresses.
        let hole = unsafe { libc::mmap(ptr::null_mut(), room, libc::PROT_NONE, flags, -1, 0) };
        let base = check(hole as i64)? as u64;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        check(map(base, size as u64, both, flags, fd, 0))?;
        check(map(
            base + size as u64 + page,
            size as u64,
            libc::PROT_READ,
            flags,
            fd,
            0,
        ))?;
        Ok(Self { base, page })
    }

    /// Returns the address of the structure.
    pub fn good(&self) -> u64 {
        self.base
    }

    /// Returns the read-only address of the same structure.
    pub fn read_only(&self) -> u64 {
        self.base + (Self::PAGES + 1) * self.page
    }

    /// Returns the address of a structure whose last 4 bytes cannot be accessed.
    pub fn cut(&self, size: u32) -> u64 {
        self.base + Self::PAGES * self.page - u64::from(size) + 4
    }

    /// Copies bytes to an address from [`Self::good`] or [`Self::cut`], as far as there is room.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        let room = (self.base + Self::PAGES * self.page - at) as usize;
        let len = bytes.len().min(room);
        // SAFETY: this number of bytes is mapped there, and there are no references to them.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, len) };
    }

    /// Copies the structure to `bytes`.
    pub fn get(&self, bytes: &mut [u8]) {
        let len = bytes.len().min((Self::PAGES * self.page) as usize);
        // SAFETY: this number of bytes is mapped there, and there are no references to them.
        unsafe { ptr::copy_nonoverlapping(self.base as *const u8, bytes.as_mut_ptr(), len) };
    }
}
