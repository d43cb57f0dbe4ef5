// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The address of a PCI device.

use core::{fmt, str::FromStr};
use std::{
    borrow::ToOwned,
    fs,
    path::{Path, PathBuf},
    string::{String, ToString},
    vec::Vec,
};

/// The address of a PCI device, as the kernel writes it: 0000:01:00.0.
///
/// An address without a domain, such as 01:00.0, is in domain 0.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    domain: u32,
    bus: u8,
    slot: u8,
    function: u8,
}

impl Address {
    /// Returns the directory of the device in sysfs.
    #[must_use]
    pub fn sysfs(&self) -> PathBuf {
        PathBuf::from("/sys/bus/pci/devices").join(self.to_string())
    }

    /// Returns the name of its driver, if it has one.
    #[must_use]
    pub fn driver(&self) -> Option<String> {
        self.link("driver")
    }

    /// Returns the number of its IOMMU group, if it is in one.
    #[must_use]
    pub fn group(&self) -> Option<String> {
        self.link("iommu_group")
    }

    /// Returns its own VFIO file, such as `/dev/vfio/devices/vfio0`, if the kernel gives it one.
    #[must_use]
    pub fn vfio_file(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.sysfs().join("vfio-dev")).ok()?;
        let file = Path::new("/dev/vfio/devices").join(entries.next()?.ok()?.file_name());
        file.exists().then_some(file)
    }

    /// The last part of the target of a link in its directory.
    fn link(&self, name: &str) -> Option<String> {
        let link = self.sysfs().join(name).read_link().ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            slot,
            function,
        } = self;
        write!(f, "{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        parse(text).ok_or_else(|| NoAddress(text.to_owned()))
    }
}

/// A text that is no PCI address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress(String);

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no PCI address", self.0)
    }
}

impl core::error::Error for NoAddress {}

fn parse(text: &str) -> Option<Address> {
    let (place, function) = text.split_once('.')?;
    let fields: Vec<_> = place.split(':').collect();
    let (domain, bus, slot) = match fields[..] {
        [bus, slot] => ("0", bus, slot),
        [domain, bus, slot] => (domain, bus, slot),
        _ => return None,
    };
    Some(Address {
        domain: number(domain, 8, u32::MAX)?,
        bus: small(bus, 2, 0xff)?,
        slot: small(slot, 2, 0x1f)?,
        function: small(function, 1, 7)?,
    })
}

/// Parses a hexadecimal number without a sign, of at most `digits` digits.
fn number(text: &str, digits: usize, most: u32) -> Option<u32> {
    if text.len() > digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(text, 16).ok()?;
    (number <= most).then_some(number)
}

fn small(text: &str, digits: usize, most: u32) -> Option<u8> {
    number(text, digits, most)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: userspace.values
    #[test]
    fn an_address_is_written_as_by_the_kernel() {
        for (text, written) in [
            ("0000:01:00.0", "0000:01:00.0"),
            ("01:00.0", "0000:01:00.0"),
            ("10000:E1:1F.7", "10000:e1:1f.7"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), written);
        }
    }

    // contract: userspace.values
    #[test]
    fn a_number_out_of_range_makes_no_address() {
        for text in [
            "",
            "01:00",
            "01:00.8",
            "01:20.0",
            "100:00.0",
            "0000:01:00.0 ",
            "0x00:01:00.0",
            "+000:01:00.0",
            "0000:01:00:0",
            "0:0000:01:00.0",
            "100000000:01:00.0",
            "01:00.",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
