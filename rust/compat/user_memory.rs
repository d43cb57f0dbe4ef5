// SPDX-License-Identifier: GPL-2.0-only

//! Anonymous memory of the current process. Upstream home: rust/kernel/mm.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::bindings;
use core::ffi::c_void;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    types::NotThreadSafe,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceWriter, //
    }, //
};

/// Memory of the current process for the argument of a function that reads user memory only.
///
/// Other threads of the process can change it at any time, like all memory of the process.
pub(crate) struct UserMemory {
    address: *mut c_void,
    len: usize,
    // The memory must be unmapped in the address space in which it was mapped.
    _thread: NotThreadSafe,
}

impl UserMemory {
    /// Maps `len` bytes, which contain zeroes. The caller must not hold the mmap lock.
    ///
    /// Fails with [`ENOMEM`] if the process has no room, or with [`EINTR`] if a fatal signal
    /// arrives.
    pub(crate) fn new(len: usize) -> Result<Self> {
        if current!().mm().is_none() {
            return Err(EINVAL);
        }
        // CAST: The constants are small.
        let prot = (bindings::PROT_READ | bindings::PROT_WRITE) as c_ulong;
        let flags = (bindings::MAP_PRIVATE | bindings::MAP_ANONYMOUS) as c_ulong;
        // SAFETY: The thread has an address space. Without a file and an address, the function maps
        // new memory.
        let address =
            unsafe { kernel::bindings::vm_mmap(core::ptr::null_mut(), 0, len, prot, flags, 0) };
        Ok(Self {
            address: from_err_ptr(core::ptr::without_provenance_mut(address))?,
            len,
            _thread: NotThreadSafe,
        })
    }

    /// Returns the address.
    pub(crate) fn address(&self) -> *mut c_void {
        self.address
    }

    /// Returns a writer of the memory.
    pub(crate) fn writer(&self) -> UserSliceWriter {
        UserSlice::new(UserPtr::from_ptr(self.address), self.len).writer()
    }
}

impl Drop for UserMemory {
    fn drop(&mut self) {
        // This can fail if a fatal signal arrives, or if the process has as many VMAs as it may
        // have. The memory then remains until the process ends.
        // SAFETY: The function may be called for any range of the thread's address space, in which
        // `new` has mapped this one.
        let _ = unsafe { kernel::bindings::vm_munmap(self.address.addr(), self.len) };
    }
}
