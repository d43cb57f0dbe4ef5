// SPDX-License-Identifier: GPL-2.0-only

//! Accesses that may fault.

use super::check;
use std::arch::global_asm;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

// The first instruction of each function may fault. The handler then continues at fuzz_faulted,
// with the signal as the result of the function; without a fault the result is 0.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl fuzz_load32, fuzz_load64, fuzz_store32, fuzz_store64, fuzz_faulted",
    "fuzz_load32: mov eax, dword ptr [rdi]",
    "mov qword ptr [rsi], rax",
    "xor eax, eax",
    "ret",
    "fuzz_load64: mov rax, qword ptr [rdi]",
    "mov qword ptr [rsi], rax",
    "xor eax, eax",
    "ret",
    "fuzz_store32: mov dword ptr [rdi], esi",
    "sfence",
    "xor eax, eax",
    "ret",
    "fuzz_store64: mov qword ptr [rdi], rsi",
    "sfence",
    "xor eax, eax",
    "ret",
    "fuzz_faulted: ret",
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl fuzz_load32, fuzz_load64, fuzz_store32, fuzz_store64, fuzz_faulted",
    "fuzz_load32: ldr w9, [x0]",
    "str x9, [x1]",
    "mov w0, #0",
    "ret",
    "fuzz_load64: ldr x9, [x0]",
    "str x9, [x1]",
    "mov w0, #0",
    "ret",
    "fuzz_store32: str w1, [x0]",
    "dsb st",
    "mov w0, #0",
    "ret",
    "fuzz_store64: str x1, [x0]",
    "dsb st",
    "mov w0, #0",
    "ret",
    "fuzz_faulted: ret",
);

extern "C" {
    fn fuzz_load32(address: u64, value: *mut u64) -> c_int;
    fn fuzz_load64(address: u64, value: *mut u64) -> c_int;
    fn fuzz_store32(address: u64, value: u64) -> c_int;
    fn fuzz_store64(address: u64, value: u64) -> c_int;
    fn fuzz_faulted();
}

/// Loads 4 or 8 bytes, or returns the signal that this raised.
pub fn load(address: u64, width: u32) -> Result<u64, i32> {
    let mut value = 0;
    let signal = if width == 4 {
        // SAFETY: only device memory is mapped at the address; a fault is handled.
        unsafe { fuzz_load32(address, &raw mut value) }
    } else {
        // SAFETY: as above.
        unsafe { fuzz_load64(address, &raw mut value) }
    };
    if signal == 0 {
        Ok(value)
    } else {
        Err(signal)
    }
}

/// Stores 4 or 8 bytes, or returns the signal that this raised.
pub fn store(address: u64, width: u32, value: u64) -> Result<(), i32> {
    let signal = if width == 4 {
        // SAFETY: only device memory is mapped at the address; a fault is handled.
        unsafe { fuzz_store32(address, value) }
    } else {
        // SAFETY: as above.
        unsafe { fuzz_store64(address, value) }
    };
    if signal == 0 {
        Ok(())
    } else {
        Err(signal)
    }
}

extern "C" fn on_fault(signal: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let context: *mut libc::ucontext_t = context.cast();
    let may_fault = [
        fuzz_load32 as usize,
        fuzz_load64 as usize,
        fuzz_store32 as usize,
        fuzz_store64 as usize,
    ];
    let landing = fuzz_faulted as usize;
    // SAFETY: the kernel passes the handler its context.
    let context = unsafe { &mut (*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    {
        let at = &mut context.gregs[libc::REG_RIP as usize];
        if may_fault.contains(&(*at as usize)) {
            *at = landing as i64;
            context.gregs[libc::REG_RAX as usize] = i64::from(signal);
            return;
        }
    }
    #[cfg(target_arch = "aarch64")]
    if may_fault.contains(&(context.pc as usize)) {
        context.pc = landing as u64;
        context.regs[0] = signal as u64;
        return;
    }
    // SAFETY: it ends the process.
    unsafe { libc::_exit(100 + signal) };
}

/// Makes accesses return the signal that they raise.
pub fn catch_faults() -> io::Result<()> {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_flags = libc::SA_SIGINFO;
    action.sa_sigaction = on_fault as usize;
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the action is valid, and its handler changes only the context.
        check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }.into())?;
    }
    Ok(())
}
