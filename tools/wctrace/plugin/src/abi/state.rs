// SPDX-License-Identifier: GPL-2.0-only

//! The registers and the memory of the guest.

use super::declared::{
    g_array_get_element_size, g_array_unref, g_byte_array_new, g_byte_array_set_size,
    g_byte_array_unref, qemu_plugin_get_registers, qemu_plugin_read_memory_hwaddr,
    qemu_plugin_read_memory_vaddr, qemu_plugin_read_register, qemu_plugin_write_register, Bytes,
    Descriptor,
};
use std::{
    ffi::{c_void, CStr},
    process,
    ptr::NonNull,
    slice,
};

/// An array of bytes that `GLib` manages.
struct Buffer(NonNull<Bytes>);

impl Buffer {
    fn new() -> Option<Self> {
        // SAFETY: it has no obligations.
        NonNull::new(unsafe { g_byte_array_new() }).map(Self)
    }

    /// The first `N` bytes, if there are so many.
    fn get<const N: usize>(&self) -> Option<[u8; N]> {
        // SAFETY: the pointer is of an array that lives as long as self.
        let bytes = unsafe { self.0.as_ref() };
        if bytes.data.is_null() || (bytes.length as usize) < N {
            return None;
        }
        // SAFETY: GLib's array has `length` bytes at `data`, which is not null.
        let data = unsafe { slice::from_raw_parts(bytes.data, N) };
        data.try_into().ok()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: new() made it, and nothing else has a reference to it.
        unsafe { g_byte_array_unref(self.0.as_ptr()) };
    }
}

/// A register of the guest's CPUs.
#[derive(Clone, Copy)]
pub struct Register(*mut c_void);

// SAFETY: QEMU's handle is a number, the same for all CPUs.
unsafe impl Send for Register {}
// SAFETY: as above.
unsafe impl Sync for Register {}

impl Register {
    /// Reads the lower 8 bytes on the CPU that the callback is for; 0 if QEMU refuses.
    pub fn read(self) -> u64 {
        let Some(buffer) = Buffer::new() else {
            return 0;
        };
        // SAFETY: the handle came from qemu_plugin_get_registers(), and the array lives.
        if !unsafe { qemu_plugin_read_register(self.0, buffer.0.as_ptr()) } {
            return 0;
        }
        let four = || {
            buffer
                .get::<4>()
                .map(|bytes| u32::from_le_bytes(bytes).into())
        };
        buffer
            .get::<8>()
            .map(u64::from_le_bytes)
            .or_else(four)
            .unwrap_or(0)
    }

    /// Writes a register of 8 bytes on the CPU that the callback is for.
    pub fn write(self, value: u64) {
        let Some(mut buffer) = Buffer::new() else {
            return;
        };
        // SAFETY: the array lives.
        unsafe { g_byte_array_set_size(buffer.0.as_ptr(), 8) };
        // SAFETY: the array lives, and nothing else refers to it.
        let bytes = unsafe { buffer.0.as_mut() };
        if bytes.data.is_null() || bytes.length != 8 {
            return;
        }
        // SAFETY: the array has 8 bytes at `data`.
        unsafe { bytes.data.cast::<[u8; 8]>().write(value.to_le_bytes()) };
        // SAFETY: the handle came from qemu_plugin_get_registers(), and the register is of 8 bytes.
        unsafe { qemu_plugin_write_register(self.0, buffer.0.as_ptr()) };
    }
}

/// All registers of the CPU that is being initialized, with their names.
pub fn registers() -> Vec<(String, Register)> {
    // SAFETY: it has no obligations.
    let array = unsafe { qemu_plugin_get_registers() };
    if array.is_null() {
        return Vec::new();
    }
    // SAFETY: it is an array that QEMU made for the caller.
    let size = unsafe { g_array_get_element_size(array) };
    if size as usize != size_of::<Descriptor>() {
        eprintln!("wctrace: error: QEMU describes a register by {size} bytes: use QEMU 11.1");
        process::exit(1);
    }
    // SAFETY: it is an array that QEMU made for the caller.
    let all = unsafe { &*array };
    let mut found = Vec::new();
    for number in 0..all.length as usize {
        // SAFETY: the array has `length` descriptors at `data`.
        let descriptor = unsafe { all.data.add(number) };
        // SAFETY: as above.
        let descriptor = unsafe { &*descriptor };
        if !descriptor.name.is_null() {
            // SAFETY: QEMU's names are strings that are never freed.
            let name = unsafe { CStr::from_ptr(descriptor.name) };
            let register = Register(descriptor.register);
            found.push((name.to_string_lossy().into_owned(), register));
        }
    }
    // SAFETY: QEMU leaves the array to the caller, who has no reference to it any more.
    unsafe { g_array_unref(array) };
    found
}

/// Reads 8 bytes of the guest's physical memory.
pub fn read_physical(address: u64) -> Option<u64> {
    let buffer = Buffer::new()?;
    // SAFETY: the array lives.
    let result = unsafe { qemu_plugin_read_memory_hwaddr(address, buffer.0.as_ptr(), 8) };
    (result == 0).then(|| buffer.get().map(u64::from_le_bytes))?
}

/// Reads memory of the program that runs on the CPU which the callback is for.
pub fn read_virtual<const N: usize>(address: u64) -> Option<[u8; N]> {
    let buffer = Buffer::new()?;
    // SAFETY: the array lives, and N is not zero for any caller.
    unsafe { qemu_plugin_read_memory_vaddr(address, buffer.0.as_ptr(), N) }.then(|| buffer.get())?
}
