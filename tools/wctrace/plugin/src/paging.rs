// SPDX-License-Identifier: GPL-2.0-only

//! The memory types of a guest's pages, by its registers and page tables.

use crate::abi::{self, Register};
use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicU64, Ordering},
        OnceLock,
    },
};
use wctrace_model::walk::{Arm64, Entry, X86};

/// The kind of CPU that the guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    X86,
    Arm64,
}

static REGISTERS: OnceLock<HashMap<String, Register>> = OnceLock::new();

/// The last value that the guest gave to `IA32_PAT`, which QEMU does not show.
static PAT: AtomicU64 = AtomicU64::new(X86::PAT_AFTER_RESET);

const IA32_PAT: u64 = 0x277;

/// Remembers the registers of the CPUs, which all have the same.
pub fn find_registers() {
    REGISTERS.get_or_init(|| abi::registers().into_iter().collect());
}

/// Reads a register of the CPU that the callback is for; 0 if it has none of that name.
pub fn read(name: &str) -> u64 {
    let register = REGISTERS.get().and_then(|registers| registers.get(name));
    register.map_or(0, |register| register.read())
}

/// Writes a register of the CPU that the callback is for.
pub fn write(name: &str, value: u64) {
    if let Some(register) = REGISTERS.get().and_then(|registers| registers.get(name)) {
        register.write(value);
    }
}

/// Called before an instruction that writes to a model-specific register.
pub fn write_msr() {
    if read("rcx") & 0xffff_ffff == IA32_PAT {
        let value = read("rdx") << 32 | read("rax") & 0xffff_ffff;
        PAT.store(value, Ordering::Relaxed);
    }
}

/// The entry that maps `address` on the CPU that the callback is for.
pub fn walk(machine: Machine, address: u64) -> Option<Entry> {
    match machine {
        Machine::X86 => X86 {
            cr3: read("cr3"),
            cr4: read("cr4"),
            pat: PAT.load(Ordering::Relaxed),
        }
        .walk(address, abi::read_physical),
        Machine::Arm64 => {
            // HCR_EL2.E2H: the kernel runs at EL2, in a regime of its own.
            let level = if read("HCR_EL2") >> 34 & 1 == 1 {
                "EL2"
            } else {
                "EL1"
            };
            let register = |name| read(&format!("{name}_{level}"));
            Arm64 {
                ttbr0: register("TTBR0"),
                ttbr1: register("TTBR1"),
                tcr: register("TCR"),
                mair: register("MAIR"),
            }
            .walk(address, abi::read_physical)
        }
    }
}
