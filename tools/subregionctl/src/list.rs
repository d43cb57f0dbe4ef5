// SPDX-License-Identifier: GPL-2.0-only

//! Devices as sysfs describes them. Nothing is opened.

use crate::show::written;
use serde_json::{json, Value};
use std::{
    fs,
    io::{self, BufWriter, Write},
};
use subregion_open::{Address, Failure};

// Bits of a resource's flags (include/linux/ioport.h).
const IO: u64 = 0x100;
const PREFETCH: u64 = 0x2000;
const MEM_64: u64 = 0x0010_0000;

const BARS: usize = 6;

/// A BAR that the device has.
#[derive(Debug, PartialEq)]
struct Bar {
    number: usize,
    size: u64,
    flags: u64,
}

impl Bar {
    /// Parses a line of the file `resource`: the first and the last byte, and the flags. Returns
    /// `None` if the device has no such BAR, or if it has no address.
    fn new(number: usize, line: &str) -> Option<Self> {
        let mut fields = line
            .split(' ')
            .map(|field| u64::from_str_radix(field.strip_prefix("0x")?, 16).ok());
        let mut field = || fields.next()?;
        let (start, end, flags) = (field()?, field()?, field()?);
        (flags != 0).then(|| Self {
            number,
            size: end.wrapping_sub(start).wrapping_add(1),
            flags,
        })
    }

    fn is_io(&self) -> bool {
        self.flags & IO != 0
    }

    fn bits(&self) -> u32 {
        if self.flags & MEM_64 == 0 {
            32
        } else {
            64
        }
    }

    fn is_prefetchable(&self) -> bool {
        self.flags & PREFETCH != 0
    }

    fn kind(&self) -> String {
        if self.is_io() {
            return "I/O ports".into();
        }
        let prefetchable = if self.is_prefetchable() {
            ", prefetchable"
        } else {
            ""
        };
        format!("memory, {} bits{prefetchable}", self.bits())
    }
}

/// A device, bound to VFIO or not.
pub(crate) struct Entry {
    device: Address,
    id: String,
    driver: Option<String>,
    group: Option<String>,
    bars: Vec<Bar>,
}

impl Entry {
    pub(crate) fn new(device: &Address) -> Result<Self, Failure> {
        let sysfs = device.sysfs();
        if !sysfs.exists() {
            return Err(format!(
                "there is no PCI device {device}; lspci -D lists those of this machine"
            )
            .into());
        }
        let read = |name| fs::read_to_string(sysfs.join(name));
        let hex = |name| -> io::Result<String> {
            let text = read(name)?;
            let text = text.trim_end();
            Ok(text.strip_prefix("0x").unwrap_or(text).to_owned())
        };
        let group = sysfs.join("iommu_group").read_link().ok();
        let group = group
            .as_deref()
            .and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
        Ok(Self {
            device: device.clone(),
            id: format!("{}:{}", hex("vendor")?, hex("device")?),
            driver: device.driver(),
            group,
            bars: read("resource")?
                .lines()
                .take(BARS)
                .enumerate()
                .filter_map(|(number, line)| Bar::new(number, line))
                .collect(),
        })
    }

    fn table(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{}  {}  driver {}, IOMMU group {}",
            self.device,
            self.id,
            self.driver.as_deref().unwrap_or("-"),
            self.group.as_deref().unwrap_or("-")
        )?;
        for bar in &self.bars {
            writeln!(
                out,
                "  BAR {} {:>#14x}  {}",
                bar.number,
                bar.size,
                bar.kind()
            )?;
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let bars: Vec<_> = self
            .bars
            .iter()
            .map(|bar| {
                json!({
                    "bar": bar.number,
                    "size": bar.size,
                    "kind": if bar.is_io() { "io" } else { "memory" },
                    "bits": bar.bits(),
                    "prefetchable": bar.is_prefetchable(),
                })
            })
            .collect();
        json!({
            "device": self.device.to_string(),
            "id": self.id,
            "driver": self.driver,
            "group": self.group,
            "bars": bars,
        })
    }
}

/// Prints all devices.
///
/// # Errors
///
/// Those of stdout.
pub(crate) fn print(entries: &[Entry], json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = || {
        if json {
            writeln!(
                out,
                "{:#}",
                entries.iter().map(Entry::as_json).collect::<Value>()
            )?;
        } else {
            for entry in entries {
                entry.table(&mut out)?;
            }
        }
        out.flush()
    };
    written(write())
}

// contract: outside.subregionctl-list
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_resource_is_a_bar_or_none() {
        let line = "0x00000000c0000000 0x00000000c03fffff 0x000000000014220c";
        let bar = Bar::new(2, line).unwrap();
        assert_eq!((bar.number, bar.size), (2, 4 << 20));
        assert_eq!(bar.kind(), "memory, 64 bits, prefetchable");
        let line = "0x0000000000001000 0x000000000000101f 0x0000000000040101";
        assert_eq!(Bar::new(0, line).unwrap().kind(), "I/O ports");
        for none in [
            "0x0000000000000000 0x0000000000000000 0x0000000000000000",
            "",
            "1 2 3",
        ] {
            assert_eq!(Bar::new(0, none), None, "{none}");
        }
    }
}
