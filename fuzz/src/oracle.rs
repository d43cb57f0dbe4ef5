// SPDX-License-Identifier: GPL-2.0-only

//! Compares the page tables with the model.

use crate::abi::Bytes;
use crate::model::{Device, World, LARGE};
use crate::sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// `PTE_ORACLE_WALK`
const WALK: u32 = 3 << 30 | 32 << 16 | 0xd6 << 8 | 2;
/// `PTE_ORACLE_READ`
const READ: u32 = 3 << 30 | 56 << 16 | 0xd6 << 8;
/// The types that device memory may have.
const NAMES: &[&str] = &["UC-", "WC", "Device-nGnRnE", "Device-nGnRE", "Normal-NC"];
/// The length of `struct pte_oracle_entry`.
const ENTRY: usize = 48;
/// The addresses at which device memory is mapped.
pub const ADDRESSES: Range<u64> = 1 << 36..(1 << 36) + (8 << 30);

/// A live page-table entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The addresses that it maps.
    pub range: Range<u64>,
    /// The physical address of the first byte.
    pub phys: u64,
    /// Whether one VMA covers the whole entry.
    pub covered: bool,
    /// The memory type.
    pub name: String,
}

/// The module `pte_oracle`.
pub struct Oracle {
    file: File,
    room: Vec<u8>,
}

impl Oracle {
    /// Opens the oracle.
    pub fn open() -> io::Result<Self> {
        let path = "/dev/pte_oracle";
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file =
            file.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        Ok(Self {
            file,
            room: vec![0; 1024 * ENTRY],
        })
    }

    /// Lists the live entries of a process at the addresses of device memory.
    pub fn entries(&mut self, pid: i64) -> io::Result<Vec<Entry>> {
        loop {
            let count = u32::try_from(self.room.len() / ENTRY).map_err(io::Error::other)?;
            let pid = u32::try_from(pid).map_err(io::Error::other)?;
            let head = Bytes::default().u64(ADDRESSES.start).u64(ADDRESSES.end);
            let mut walk = head
                .u64(self.room.as_mut_ptr() as u64)
                .u32(pid)
                .u32(count)
                .0;
            let ret = sys::ioctl(self.file.as_raw_fd(), WALK, walk.as_mut_ptr() as u64);
            let found = u32::from_le_bytes(std::array::from_fn(|n| walk[28 + n])) as usize;
            if ret == -i64::from(libc::ENOSPC) {
                self.room.resize(2 * found * ENTRY, 0);
                continue;
            }
            if ret < 0 {
                let errno = i32::try_from(-ret).unwrap_or(libc::EIO);
                return Err(io::Error::from_raw_os_error(errno));
            }
            let entries = self.room.chunks_exact(ENTRY).take(found);
            return Ok(entries.map(entry).collect());
        }
    }

    /// Returns the name of the type of this process's entry at an address, if there is one.
    /// Allocates nothing.
    pub fn name_at(&self, address: u64) -> Result<Option<&'static str>, i64> {
        let mut read = [0; 7];
        read[0] = address;
        let ret = sys::ioctl(self.file.as_raw_fd(), READ, read.as_mut_ptr() as u64);
        if ret < 0 {
            return Err(ret);
        }
        let [.., present, first, second, _] = read;
        if present as u32 == 0 {
            return Ok(None);
        }
        let mut name = [0; 16];
        name[..8].copy_from_slice(&first.to_le_bytes());
        name[8..].copy_from_slice(&second.to_le_bytes());
        let known = NAMES.iter().find(|known| {
            let (begin, end) = name.split_at(known.len());
            begin == known.as_bytes() && end[0] == 0
        });
        Ok(Some(known.copied().unwrap_or("of another type")))
    }

    /// Returns an error if an entry of any process is wrong.
    pub fn check(&mut self, world: &World, pids: &[i64]) -> Result<(), String> {
        for (who, process) in world.present() {
            let entries = self
                .entries(pids[who as usize])
                .map_err(|error| format!("the oracle cannot read process {who}: {error}"))?;
            for entry in entries {
                let verdict = check(world, world.device.as_ref(), &process.space, &entry);
                verdict.map_err(|what| format!("process {who} has {entry:x?}: {what}"))?;
            }
        }
        Ok(())
    }
}

fn entry(bytes: &[u8]) -> Entry {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
    let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
    let name = bytes[32..ENTRY].iter().take_while(|&&byte| byte != 0);
    Entry {
        range: word(0)..word(0) + (1 << half(24)),
        phys: word(8) * sys::page_size(),
        covered: half(28) != 0,
        name: name.map(|&byte| char::from(byte)).collect(),
    }
}

/// Returns an error if an entry is wrong.
fn check(
    world: &World,
    device: Option<&Device>,
    space: &crate::model::Space,
    entry: &Entry,
) -> Result<(), String> {
    let len = entry.range.end - entry.range.start;
    if len > LARGE {
        return Err("it is larger than the largest permitted entry".into());
    }
    let vma = space.find(entry.range.start);
    let vma = vma.filter(|vma| vma.range.end >= entry.range.end);
    let Some(vma) = vma.filter(|_| entry.covered) else {
        return Err("it is not within one VMA".into());
    };
    let extent = device.and_then(|device| device.extent_of(vma, entry.range.start, len));
    let Some((bar, at, mem)) = extent else {
        return Err("an access to these pages must raise SIGBUS".into());
    };
    if !space.may_be_live(&entry.range) {
        return Err("it was revoked, and no access has followed".into());
    }
    let phys = world.facts.bars[bar].phys + at;
    if entry.phys != phys {
        return Err(format!("the address is not {phys:#x}"));
    }
    let name = world.facts.arch.name(mem);
    if entry.name != name || vma.mem != mem {
        return Err(format!("the type is not {name}"));
    }
    Ok(())
}
