// SPDX-License-Identifier: GPL-2.0-only

//! The functions and structures of `qemu-plugin.h`, and of `GLib`, which QEMU has.

use std::ffi::{c_char, c_int, c_uint, c_void};

#[repr(C)]
pub struct Info {
    pub target: *const c_char,
    pub lowest_version: c_int,
    pub version: c_int,
    pub is_system: bool,
    pub cpus: c_int,
    pub max_cpus: c_int,
}

#[repr(C)]
pub struct Bytes {
    pub data: *mut u8,
    pub length: c_uint,
}

#[repr(C)]
pub struct Array {
    pub data: *mut Descriptor,
    pub length: c_uint,
}

#[repr(C)]
pub struct Descriptor {
    pub register: *mut c_void,
    pub name: *const c_char,
    pub feature: *const c_char,
    pub is_read_only: bool,
}

#[repr(C)]
pub struct Value {
    pub kind: c_uint,
    pub data: [u64; 2],
}

pub type OnCpu = extern "C" fn(c_uint, *mut c_void);
pub type OnMemory = extern "C" fn(c_uint, u32, u64, *mut c_void);
pub type OnBlock = extern "C" fn(*mut c_void, *mut c_void);
pub type OnDiscontinuity = extern "C" fn(c_uint, c_int, u64, u64, *mut c_void);
pub type OnEvent = extern "C" fn(*mut c_void);

extern "C" {
    pub fn qemu_plugin_register_vcpu_init_cb(id: u64, call: OnCpu, data: *mut c_void);
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, call: OnBlock, data: *mut c_void);
    pub fn qemu_plugin_register_vcpu_discon_cb(
        id: u64,
        kind: c_int,
        call: OnDiscontinuity,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_atexit_cb(id: u64, call: OnEvent, data: *mut c_void);
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut c_void,
        call: OnCpu,
        flags: c_uint,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut c_void,
        call: OnMemory,
        flags: c_uint,
        accesses: c_uint,
        data: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
    pub fn qemu_plugin_insn_data(instruction: *const c_void, to: *mut c_void, size: usize)
        -> usize;
    pub fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    pub fn qemu_plugin_mem_size_shift(access: u32) -> c_uint;
    pub fn qemu_plugin_mem_is_store(access: u32) -> bool;
    pub fn qemu_plugin_mem_get_value(access: u32) -> Value;
    pub fn qemu_plugin_get_hwaddr(access: u32, address: u64) -> *mut c_void;
    pub fn qemu_plugin_hwaddr_is_io(place: *const c_void) -> bool;
    pub fn qemu_plugin_hwaddr_phys_addr(place: *const c_void) -> u64;
    pub fn qemu_plugin_get_registers() -> *mut Array;
    pub fn qemu_plugin_read_register(register: *mut c_void, to: *mut Bytes) -> bool;
    pub fn qemu_plugin_write_register(register: *mut c_void, from: *mut Bytes) -> bool;
    pub fn qemu_plugin_read_memory_vaddr(address: u64, to: *mut Bytes, size: usize) -> bool;
    pub fn qemu_plugin_read_memory_hwaddr(address: u64, to: *mut Bytes, size: usize) -> c_int;

    // GLib, which QEMU is linked with.
    pub fn g_byte_array_new() -> *mut Bytes;
    pub fn g_byte_array_set_size(bytes: *mut Bytes, size: c_uint) -> *mut Bytes;
    pub fn g_byte_array_unref(bytes: *mut Bytes);
    pub fn g_array_get_element_size(array: *mut Array) -> c_uint;
    pub fn g_array_unref(array: *mut Array);
}
