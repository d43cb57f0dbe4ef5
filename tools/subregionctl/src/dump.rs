// SPDX-License-Identifier: GPL-2.0-only

//! Bytes of a region in hexadecimal.

use crate::show::written;
use std::io::{self, BufWriter, Write};
use subregion_open::{Failure, Opened};
use vfio_subregion::RegionIndex;

const LINE: usize = 16;

/// Prints `length` bytes from `offset` on, or as many as there are.
pub(crate) fn dump(
    opened: &Opened,
    region: u32,
    mut offset: u64,
    length: u64,
) -> Result<(), Failure> {
    let device = opened.device();
    let region = device.region(RegionIndex(region))?;
    let end = offset.saturating_add(length).min(region.size());
    if offset >= end {
        return Err(format!("region {} ends at {:#x}", region.index(), region.size()).into());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    while offset < end {
        let mut line = [0; LINE];
        let want = usize::try_from(end - offset)?.min(LINE);
        let got = device.read(&region, offset, &mut line[..want])?;
        if got == 0 {
            return Err(format!("nothing can be read at {offset:#x}").into());
        }
        let words: Vec<_> = line[..got]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        written(writeln!(out, "{offset:08x}  {}", words.join(" ")))?;
        offset += got as u64;
    }
    written(out.flush())
}
