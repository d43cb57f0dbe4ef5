// SPDX-License-Identifier: GPL-2.0-only

//! Page tables, read from outside of the guest.
//!
//! This shares no code with the test module `oracle/`, which reads them from inside.

use crate::MemoryType;

/// A page-table entry that maps an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The physical address.
    pub address: u64,
    /// log2 of the size of the entry.
    pub shift: u32,
    /// The memory type, as the oracle names it.
    pub name: &'static str,
}

impl Entry {
    /// Returns the memory type, as far as stores are concerned.
    #[must_use]
    pub fn memory_type(&self) -> MemoryType {
        match self.name {
            "WC" | "Normal-NC" | "Device-GRE" => MemoryType::Gathering,
            "UC" | "UC-" | "Device-nGnRnE" | "Device-nGnRE" | "Device-nGRE" => MemoryType::Strict,
            _ => MemoryType::Cached,
        }
    }
}

const TABLE_BITS: u32 = 9;
const PAGE_SHIFT: u32 = 12;

fn index(address: u64, shift: u32) -> u64 {
    address >> shift & ((1 << TABLE_BITS) - 1)
}

fn entry(address: u64, output: u64, shift: u32, name: &'static str) -> Entry {
    let offset = (1 << shift) - 1;
    Entry {
        address: output & !offset | address & offset,
        shift,
        name,
    }
}

/// The registers of x86-64 that paging depends on.
#[derive(Clone, Copy, Debug)]
pub struct X86 {
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// The model-specific register `IA32_PAT`.
    pub pat: u64,
}

impl X86 {
    /// `IA32_PAT` after a reset.
    pub const PAT_AFTER_RESET: u64 = 0x0007_0406_0007_0406;

    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    const LA57: u64 = 1 << 12;

    /// Finds the entry that maps `address`; `read` reads 8 bytes of physical memory.
    pub fn walk(&self, address: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Entry> {
        let levels = if self.cr4 & Self::LA57 == 0 { 4 } else { 5 };
        let mut table = self.cr3 & Self::ADDRESS;
        for level in (1..=levels).rev() {
            let shift = PAGE_SHIFT + (level - 1) * TABLE_BITS;
            let value = read(table + index(address, shift) * 8)?;
            if value & 1 == 0 {
                return None;
            }
            let large = value & 1 << 7 != 0;
            if level == 1 || level <= 3 && large {
                let pat_bit = if level == 1 { 7 } else { 12 };
                let kind = value >> 3 & 3 | (value >> pat_bit & 1) << 2;
                let name = match self.pat >> (kind * 8) & 7 {
                    0 => "UC",
                    1 => "WC",
                    4 => "WT",
                    5 => "WP",
                    6 => "WB",
                    7 => "UC-",
                    _ => "?",
                };
                return Some(entry(address, value & Self::ADDRESS, shift, name));
            }
            table = value & Self::ADDRESS;
        }
        None
    }
}

/// The registers of arm64 that the translation of a program's or the kernel's addresses depends on.
#[derive(Clone, Copy, Debug)]
pub struct Arm64 {
    /// TTBR0 of the translation regime.
    pub ttbr0: u64,
    /// TTBR1 of the translation regime.
    pub ttbr1: u64,
    /// TCR of the translation regime.
    pub tcr: u64,
    /// MAIR of the translation regime.
    pub mair: u64,
}

impl Arm64 {
    /// Finds the entry that maps `address`; `read` reads 8 bytes of physical memory.
    ///
    /// Knows granules of 4 KiB only, and finds nothing with others.
    pub fn walk(&self, address: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Entry> {
        let upper = address >> 63 == 1;
        let (base, unused_bits, granule_is_4k) = if upper {
            (self.ttbr1, self.tcr >> 16 & 0x3f, self.tcr >> 30 & 3 == 2)
        } else {
            (self.ttbr0, self.tcr & 0x3f, (self.tcr >> 14) % 4 == 0)
        };
        if !granule_is_4k {
            return None;
        }
        let wide = self.tcr >> 59 & 1 == 1;
        let bits = 64 - u32::try_from(unused_bits).ok()?;
        let levels = bits.checked_sub(PAGE_SHIFT)?.div_ceil(TABLE_BITS);
        let mut table = if wide {
            base & 0x0000_ffff_ffff_ffc0 | (base >> 2 & 0xf) << 48
        } else {
            base & 0x0000_ffff_ffff_fffe
        };
        let address_bits = address & (1 << bits) - 1;
        for level in (1..=levels).rev() {
            let shift = PAGE_SHIFT + (level - 1) * TABLE_BITS;
            let value = read(table + index(address_bits, shift) * 8)?;
            if value & 1 == 0 {
                return None;
            }
            let output = if wide {
                value & 0x0003_ffff_ffff_f000 | (value >> 8 & 3) << 50
            } else {
                value & 0x0000_ffff_ffff_f000
            };
            let table_or_page = value & 2 != 0;
            if level == 1 && !table_or_page {
                return None;
            }
            if level == 1 || !table_or_page {
                let name = match self.mair >> ((value >> 2 & 7) * 8) & 0xff {
                    0x00 => "Device-nGnRnE",
                    0x04 => "Device-nGnRE",
                    0x08 => "Device-nGRE",
                    0x0c => "Device-GRE",
                    0x44 => "Normal-NC",
                    0xf0 => "Normal-Tagged",
                    0xff => "Normal-WB",
                    _ => "?",
                };
                return Some(entry(address, output, shift, name));
            }
            table = output;
        }
        None
    }
}

// contract: wctrace.walk
#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn read(memory: &HashMap<u64, u64>) -> impl FnMut(u64) -> Option<u64> + '_ {
        |at| Some(memory.get(&at).copied().unwrap_or(0))
    }

    /// The types that Linux gives PAT indices 0 to 7: WB, WC, UC-, UC, WB, WP, UC-, WT.
    const PAT: u64 = 0x0407_0506_0007_0106;

    #[test]
    fn an_entry_of_each_size_is_found_on_x86() {
        let address = 3 << 39 | 2 << 30 | 5 << 21 | 7 << 12 | 0x123;
        let memory = HashMap::from([
            (0x1000 + 3 * 8, 0x2000 | 1),
            (0x2000 + 2 * 8, 0x3000 | 1),
            (0x3000 + 5 * 8, 0x4000 | 1),
            (0x4000 + 7 * 8, 0xabc_d000 | 1 << 3 | 1),
            (0x4000 + 8 * 8, 0xabc_e000 | 1 << 3),
            // 2 MiB with the index 4 + 1, 1 GiB with the index 2.
            (0x3000 + 6 * 8, 0x4000_0000 | 1 << 12 | 1 << 7 | 1 << 3 | 1),
            (0x2000 + 4 * 8, 0x8000_0000 | 1 << 7 | 1 << 4 | 1),
        ]);
        let x86 = X86 {
            cr3: 0x1018,
            cr4: 0,
            pat: PAT,
        };
        let found = |address| {
            let entry = x86.walk(address, read(&memory)).unwrap();
            (entry.address, entry.shift, entry.name)
        };
        assert_eq!(found(address), (0xabc_d123, 12, "WC"));
        assert_eq!(
            found(3 << 39 | 2 << 30 | 6 << 21 | 0x1234),
            (0x4000_1234, 21, "WP")
        );
        assert_eq!(
            found(3 << 39 | 4 << 30 | 0x12_3456),
            (0x8012_3456, 30, "UC-")
        );
        assert_eq!(x86.walk(1 << 39, read(&memory)), None);
        // A page that was mapped.
        assert_eq!(x86.walk(address + 4096, read(&memory)), None);
    }

    #[test]
    fn types_gather_stores_or_do_not_or_are_cached() {
        let types = [
            (
                MemoryType::Gathering,
                ["WC", "Normal-NC", "Device-GRE"].as_slice(),
            ),
            (
                MemoryType::Strict,
                &["UC", "UC-", "Device-nGnRnE", "Device-nGnRE", "Device-nGRE"],
            ),
            (
                MemoryType::Cached,
                &["WT", "WP", "WB", "Normal-Tagged", "Normal-WB", "?"],
            ),
        ];
        for (expected, names) in types {
            for &name in names {
                assert_eq!(entry(0, 0, 12, name).memory_type(), expected, "{name}");
            }
        }
    }

    #[test]
    fn five_levels_are_walked_if_cr4_says_so() {
        let memory = HashMap::from([
            (0x1000 + 8, 0x2000 | 1),
            (0x2000, 0x3000 | 1),
            (0x3000, 0x4000_0000 | 1 << 7 | 1 << 3 | 1),
        ]);
        let x86 = X86 {
            cr3: 0x1000,
            cr4: X86::LA57,
            pat: PAT,
        };
        let entry = x86.walk(1 << 48, read(&memory)).unwrap();
        assert_eq!(
            (entry.address, entry.shift, entry.name),
            (0x4000_0000, 30, "WC")
        );
    }

    #[test]
    fn the_type_on_arm64_is_a_byte_of_mair() {
        // 39 bits: three levels.
        let memory = HashMap::from([
            (0x1000 + 2 * 8, 0x2003),
            (0x2000 + 8, 0x3003),
            (0x3000 + 4 * 8, 0x5_6000 | 2 << 2 | 3),
            (0x2000 + 2 * 8, 0x4000_0000 | 1 << 2 | 1),
            // No page at the last level.
            (0x3000 + 5 * 8, 0x5_6000 | 1),
        ]);
        let arm64 = Arm64 {
            ttbr0: 0x1000,
            ttbr1: 0,
            tcr: 25,
            mair: 0x44_0400,
        };
        let found = |address| {
            let entry = arm64.walk(address, read(&memory))?;
            Some((entry.address, entry.shift, entry.name))
        };
        assert_eq!(
            found(2 << 30 | 1 << 21 | 4 << 12 | 8),
            Some((0x5_6008, 12, "Normal-NC"))
        );
        assert_eq!(
            found(2 << 30 | 2 << 21 | 9),
            Some((0x4000_0009, 21, "Device-nGnRE"))
        );
        assert_eq!(found(2 << 30 | 1 << 21 | 5 << 12), None);
    }

    #[test]
    fn addresses_of_52_bits_have_their_upper_bits_elsewhere() {
        // 52 bits: five levels, the first with one entry bit more than 48.
        let memory = HashMap::from([
            (0x1000, 0x2003),
            (0x2000, 0x3003),
            (0x3000, 2 << 8 | 0x4000_0000 | 1),
        ]);
        let arm64 = Arm64 {
            ttbr0: 0x1000,
            ttbr1: 0,
            tcr: 1 << 59 | 0xc,
            mair: 0xff,
        };
        let entry = arm64.walk(5, read(&memory)).unwrap();
        assert_eq!((entry.address, entry.shift), (2 << 50 | 0x4000_0005, 30));
    }
}
