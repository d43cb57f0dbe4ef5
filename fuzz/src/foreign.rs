// SPDX-License-Identifier: GPL-2.0-only

//! Foreign mappings: a process without the device maps parts of its BARs through sysfs.
//!
//! The process that knows the model makes them. It has no children while it has such mappings, so a
//! mapping ends when it is unmapped.

use crate::model::{Arch, Mem, BARS, FOREIGN};
use crate::op::{Foreign, Outcome};
use crate::oracle::Oracle;
use crate::sys;
use crate::target::{resource_wc, Target};
use crate::worker::touch;
use libc::{MAP_FIXED, MAP_SHARED, PROT_READ, PROT_WRITE};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// The address of the first mapping, and the distance between two.
const START: u64 = 1 << 37;
/// See `START`.
const APART: u64 = 1 << 30;

/// The mappings.
pub struct Mappings {
    files: [Option<File>; BARS],
    ranges: [Range<u64>; FOREIGN],
}

impl Mappings {
    /// Makes the state without mappings.
    pub fn new(target: &Target) -> Self {
        let open = |bar| -> io::Result<File> {
            let path = target.sysfs(&resource_wc(bar));
            OpenOptions::new().read(true).write(true).open(path)
        };
        Self {
            files: std::array::from_fn(|bar| open(bar).ok()),
            ranges: std::array::from_fn(|_| 0..0),
        }
    }

    /// Does an operation; the value of a new mapping is the number of its type, or 0 for an unknown
    /// type.
    pub fn perform(&mut self, what: Foreign, oracle: &Oracle, outcome: &mut Outcome) {
        outcome.signal = 0;
        outcome.value = 0;
        outcome.ret = match what {
            Foreign::Map {
                number,
                bar,
                at,
                len,
            } => {
                let start = START + u64::from(number) * APART;
                let ret = self.map(start, bar as usize, at, len);
                if ret >= 0 {
                    self.ranges[number as usize] = start..start + len;
                    outcome.value = type_at(oracle, start);
                }
                ret.min(0)
            }
            Foreign::Unmap(number) => {
                let range = std::mem::take(&mut self.ranges[number as usize]);
                sys::unmap(range.start, range.end - range.start)
            }
            Foreign::Touch { number, at, access } => {
                let at = self.ranges[number as usize].start + at;
                touch(at, access, outcome);
                0
            }
        };
    }

    fn map(&self, start: u64, bar: usize, at: u64, len: u64) -> i64 {
        let Some(file) = self.files.get(bar).and_then(Option::as_ref) else {
            return -i64::from(libc::ENOENT);
        };
        let (prot, flags) = (PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED);
        sys::map(start, len, prot, flags, file.as_raw_fd(), at)
    }

    /// Ends all mappings.
    pub fn drop_all(&mut self) {
        for range in &mut self.ranges {
            if !range.is_empty() {
                sys::unmap(range.start, range.end - range.start);
            }
            *range = 0..0;
        }
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        self.drop_all();
    }
}

/// Returns the user interface's number for the type of this process's entry at an address.
fn type_at(oracle: &Oracle, address: u64) -> u64 {
    let found = oracle.name_at(address).ok().flatten();
    let mut known = [Mem::Noncached, Mem::WriteCombining].into_iter();
    let mem = known.find(|&mem| found == Some(Arch::HERE.name(mem)));
    mem.map_or(0, |mem| Arch::HERE.number(mem).into())
}
