// SPDX-License-Identifier: GPL-2.0-only

//! The interface of QEMU's plugins, version 7, and nothing else that is unsafe.
//!
//! No package has the header. QEMU compares the version that a plugin exports with its own and refuses
//! to load an older or a newer one.

use std::{
    ffi::{c_char, c_int, c_uint, c_void, CStr},
    ptr::null_mut,
};

mod declared;
mod state;

use crate::{marker, trace};
use declared::{
    qemu_plugin_get_hwaddr, qemu_plugin_hwaddr_is_io, qemu_plugin_hwaddr_phys_addr,
    qemu_plugin_insn_data, qemu_plugin_insn_vaddr, qemu_plugin_mem_get_value,
    qemu_plugin_mem_is_store, qemu_plugin_mem_size_shift, qemu_plugin_register_atexit_cb,
    qemu_plugin_register_vcpu_discon_cb, qemu_plugin_register_vcpu_init_cb,
    qemu_plugin_register_vcpu_insn_exec_cb, qemu_plugin_register_vcpu_mem_cb,
    qemu_plugin_register_vcpu_tb_trans_cb, qemu_plugin_tb_get_insn, qemu_plugin_tb_n_insns, Info,
    OnCpu,
};

pub use state::{read_physical, read_virtual, registers, Register};

/// The version of the interface that is declared here.
pub const VERSION: c_int = 7;

/// Read by QEMU before it calls [`qemu_plugin_install`].
#[no_mangle]
#[allow(non_upper_case_globals, reason = "QEMU looks for this name")]
pub static qemu_plugin_version: c_int = VERSION;

const NO_REGISTERS: c_uint = 0;
const READS_REGISTERS: c_uint = 1;
const WRITES_REGISTERS: c_uint = 2;
const LOADS_AND_STORES: c_uint = 3;
const ALL_DISCONTINUITIES: c_int = -1;

/// An access to memory, during the callback for it.
pub struct Access {
    handle: u32,
    /// The virtual address.
    pub address: u64,
}

impl Access {
    pub fn size(&self) -> u64 {
        // SAFETY: it has no obligations.
        1 << unsafe { qemu_plugin_mem_size_shift(self.handle) }
    }

    pub fn is_store(&self) -> bool {
        // SAFETY: it has no obligations.
        unsafe { qemu_plugin_mem_is_store(self.handle) }
    }

    /// Returns the stored bytes; QEMU passes 16 at most.
    pub fn value(&self) -> [u8; 16] {
        // SAFETY: this is the callback of the access.
        let value = unsafe { qemu_plugin_mem_get_value(self.handle) };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&value.data[0].to_le_bytes());
        bytes[8..].copy_from_slice(&value.data[1].to_le_bytes());
        bytes
    }

    /// The physical address, and whether a device answers there rather than memory of QEMU's.
    pub fn physical(&self) -> Option<(u64, bool)> {
        // SAFETY: this is the callback of the access.
        let place = unsafe { qemu_plugin_get_hwaddr(self.handle, self.address) };
        if place.is_null() {
            return None;
        }
        // SAFETY: the place is valid until the callback ends.
        let address = unsafe { qemu_plugin_hwaddr_phys_addr(place) };
        // SAFETY: as above.
        let is_io = unsafe { qemu_plugin_hwaddr_is_io(place) };
        Some((address, is_io))
    }
}

/// An instruction, while QEMU translates it.
pub struct Translated(*mut c_void);

impl Translated {
    pub fn address(&self) -> u64 {
        // SAFETY: the handle is valid during the callback.
        unsafe { qemu_plugin_insn_vaddr(self.0) }
    }

    /// The first bytes, and how many there are.
    pub fn bytes(&self) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        // SAFETY: the handle is valid during the callback, and there is room for 16 bytes.
        let size = unsafe { qemu_plugin_insn_data(self.0, bytes.as_mut_ptr().cast(), 16) };
        (bytes, size.min(16))
    }

    /// Calls [`trace::on_order`] whenever it is executed.
    pub fn trace_order(&self, code: &'static trace::Code) {
        self.trace_execution(on_order, NO_REGISTERS, code);
    }

    /// Calls [`marker::on_marker`] whenever it is executed.
    pub fn trace_marker(&self, code: &'static trace::Code) {
        self.trace_execution(on_marker, WRITES_REGISTERS, code);
    }

    /// Calls [`trace::on_msr`] whenever it is executed.
    pub fn trace_msr(&self, code: &'static trace::Code) {
        self.trace_execution(on_msr, READS_REGISTERS, code);
    }

    /// Calls [`trace::on_access`] for every access to memory.
    pub fn trace_accesses(&self, code: &'static trace::Code) {
        let data = std::ptr::from_ref(code).cast_mut().cast();
        // SAFETY: the handle is valid during the callback, and `code` lives for ever.
        unsafe {
            qemu_plugin_register_vcpu_mem_cb(
                self.0,
                on_access,
                READS_REGISTERS,
                LOADS_AND_STORES,
                data,
            );
        }
    }

    fn trace_execution(&self, call: OnCpu, flags: c_uint, code: &'static trace::Code) {
        let data = std::ptr::from_ref(code).cast_mut().cast();
        // SAFETY: the handle is valid during the callback, and `code` lives for ever.
        unsafe { qemu_plugin_register_vcpu_insn_exec_cb(self.0, call, flags, data) };
    }
}

fn code(data: *mut c_void) -> &'static trace::Code {
    // SAFETY: all callbacks that call this one are registered with a &'static Code.
    unsafe { &*data.cast::<trace::Code>() }
}

extern "C" fn on_order(cpu: c_uint, data: *mut c_void) {
    trace::on_order(cpu as usize, code(data));
}

extern "C" fn on_marker(_cpu: c_uint, _data: *mut c_void) {
    marker::on_marker();
}

extern "C" fn on_msr(_cpu: c_uint, _data: *mut c_void) {
    trace::on_msr();
}

extern "C" fn on_access(cpu: c_uint, handle: u32, address: u64, data: *mut c_void) {
    trace::on_access(cpu as usize, &Access { handle, address }, code(data));
}

extern "C" fn on_cpu(_cpu: c_uint, _data: *mut c_void) {
    trace::on_cpu();
}

extern "C" fn on_block(block: *mut c_void, _data: *mut c_void) {
    // SAFETY: the handle is valid during the callback.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    let instruction = |index| {
        // SAFETY: the handle is valid during the callback, and the block has `count` instructions.
        Translated(unsafe { qemu_plugin_tb_get_insn(block, index) })
    };
    trace::on_block((0..count).map(instruction));
}

extern "C" fn on_discontinuity(cpu: c_uint, kind: c_int, from: u64, _to: u64, _data: *mut c_void) {
    match kind {
        1 => trace::on_interrupt(cpu as usize, from),
        2 => trace::on_exception(cpu as usize, from),
        _ => {}
    }
}

extern "C" fn on_exit(_data: *mut c_void) {
    trace::on_exit();
}

/// Called by QEMU when it loads the plugin.
///
/// # Safety
///
/// As QEMU's documentation says: `info` is valid, and there are `count` strings at `arguments`.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    info: *const Info,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU passes a structure that lives during the call.
    let info = unsafe { &*info };
    // SAFETY: the target's name is a string.
    let target = unsafe { CStr::from_ptr(info.target) };
    let mut words = Vec::new();
    for number in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: QEMU passes `count` arguments.
        let argument = unsafe { arguments.add(number) };
        // SAFETY: as above.
        let argument = unsafe { *argument };
        // SAFETY: each is a string.
        let argument = unsafe { CStr::from_ptr(argument) };
        words.push(argument.to_string_lossy().into_owned());
    }
    if info.version < VERSION || info.lowest_version > VERSION || !info.is_system {
        eprintln!(
            "wctrace: error: QEMU has plugin interface {} to {} and this is for {VERSION}: use QEMU 11, \
             and a system emulator",
            info.lowest_version, info.version
        );
        return 1;
    }
    if let Err(message) = trace::install(&target.to_string_lossy(), &words) {
        eprintln!("wctrace: error: {message}");
        return 1;
    }
    // SAFETY: QEMU has the plugin with this number; the function has the type that version 7 asks for.
    unsafe { qemu_plugin_register_vcpu_init_cb(id, on_cpu, null_mut()) };
    // SAFETY: as above.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, on_block, null_mut()) };
    // SAFETY: as above.
    unsafe {
        qemu_plugin_register_vcpu_discon_cb(id, ALL_DISCONTINUITIES, on_discontinuity, null_mut());
    };
    // SAFETY: as above.
    unsafe { qemu_plugin_register_atexit_cb(id, on_exit, null_mut()) };
    0
}
