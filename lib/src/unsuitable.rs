// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a BAR cannot be mapped, or cannot have a subregion. The kernel has one errno for most reasons.

use crate::{Attribute, Bar, ByteRange, Call, Device, Error, RegionFlags, RegionIndex};
use core::fmt;
use rustix::{fd::AsFd, io::Errno};
use std::fs;

// Flags of the kernel's linux/ioport.h, which sysfs shows.
const IORESOURCE_IO: u64 = 0x100;
const IORESOURCE_MEM_64: u64 = 0x10_0000;
const IORESOURCE_UNSET: u64 = 0x2000_0000;

// Offsets of configuration space, and the capability of MSI-X with its fields.
const CAPABILITIES: u64 = 0x34;
const MSIX: u8 = 0x11;
const MSIX_CONTROL: u64 = 2;
const MSIX_TABLE: u64 = 4;
const MSIX_ENTRY: u64 = 16;

/// More than the number of capabilities that fit into configuration space.
const MOST: usize = 48;

/// The property of a BAR that rules out a mapping or a subregion of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsuitable {
    /// The device has no such BAR.
    Absent,
    /// It is the upper half of a BAR of 64 bits, which is the one before it.
    UpperHalf(Bar),
    /// It has I/O ports.
    Ports,
    /// It has no address.
    NoAddress,
    /// It has this number of bytes, which is less than a page.
    LessThanAPage(u64),
    /// VFIO does not map it.
    NotMapped,
    /// All of its pages have a part of the MSI-X table, so none can be write-combining.
    MsixTable,
}

impl Unsuitable {
    /// Returns what to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Absent => "lspci -vv lists the BARs of the device (\"Region\")",
            Self::UpperHalf(_) => "name that BAR",
            Self::Ports => "name a memory BAR",
            Self::NoAddress => "try pci=realloc on the kernel's command line",
            Self::LessThanAPage(_) => "map the BAR itself, or read and write it",
            Self::NotMapped => "read and write it",
            Self::MsixTable => "name another BAR",
        }
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the device has no such BAR"),
            Self::UpperHalf(bar) => {
                write!(f, "it is the upper half of BAR {bar}, which has 64 bits")
            }
            Self::Ports => f.write_str("it has I/O ports, which cannot be mapped"),
            Self::NoAddress => f.write_str(
                "it has no address: neither the firmware nor the kernel found room for it",
            ),
            Self::LessThanAPage(size) => {
                write!(f, "it has {size:#x} bytes, and a subregion is whole pages")
            }
            Self::NotMapped => f.write_str("VFIO does not map it"),
            Self::MsixTable => f.write_str(
                "every page of it has a part of the MSI-X table, which must stay strict",
            ),
        }
    }
}

/// A line of the file `resource` in sysfs.
struct Resource {
    size: u64,
    flags: u64,
}

/// Reads the line of a BAR, which is 0 if there is none.
fn line_of(text: &str, bar: usize) -> Option<Resource> {
    let mut fields = text
        .lines()
        .nth(bar)?
        .split(' ')
        .map(|field| u64::from_str_radix(field.strip_prefix("0x")?, 16).ok());
    let mut field = || fields.next()?;
    let (start, end, flags) = (field()?, field()?, field()?);
    Some(Resource {
        size: end.wrapping_sub(start).wrapping_add(1),
        flags,
    })
}

/// Looks for the reason in the text of `resource`. `mapped` says whether VFIO maps the BAR.
fn reason(text: &str, bar: Bar, page: u64, mapped: bool) -> Option<Unsuitable> {
    let number = usize::from(bar.number());
    let resource = line_of(text, number)?;
    let before = bar.number().checked_sub(1).and_then(Bar::new);
    if resource.flags == 0 {
        let wide = |lower: &Bar| {
            line_of(text, usize::from(lower.number()))
                .is_some_and(|line| line.flags & IORESOURCE_MEM_64 != 0)
        };
        return Some(
            before
                .filter(wide)
                .map_or(Unsuitable::Absent, Unsuitable::UpperHalf),
        );
    }
    if resource.flags & IORESOURCE_IO != 0 {
        return Some(Unsuitable::Ports);
    }
    if resource.flags & IORESOURCE_UNSET != 0 {
        return Some(Unsuitable::NoAddress);
    }
    if resource.size < page {
        return Some(Unsuitable::LessThanAPage(resource.size));
    }
    (!mapped).then_some(Unsuitable::NotMapped)
}

impl<F: AsFd> Device<F> {
    /// Returns the reason why the BAR cannot be mapped, or cannot have a subregion with the attribute.
    ///
    /// Errors of [`Device::create`], [`Device::set_attribute`] and [`Device::map`] have it already. A
    /// program can ask for it before it chooses a BAR.
    ///
    /// Returns `None` if there is none, and also if sysfs does not show the device.
    #[must_use]
    pub fn unsuitable(&self, bar: Bar, attribute: Attribute) -> Option<Unsuitable> {
        let region = self.region(bar).ok()?;
        let mapped = region.flags().contains(RegionFlags::MMAP);
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        let text = fs::read_to_string(self.sysfs()?.join("resource")).ok()?;
        reason(&text, bar, page, mapped).or_else(|| {
            let full = ByteRange::new(0, region.size())?;
            let table = self.msix_pages(bar, page)?;
            let covered = table.offset() == 0 && table.end() >= full.end();
            (attribute == Attribute::WriteCombining && covered).then_some(Unsuitable::MsixTable)
        })
    }

    /// Puts the reason into an error of a call for a BAR, if there is one.
    pub(crate) fn explain(&self, error: Error, attribute: Attribute) -> Error {
        let Error::Refused { call, errno, index } = error else {
            return error;
        };
        let Some(bar) = Bar::from_index(index) else {
            return error;
        };
        let of_the_bar = |why: &Unsuitable| match why {
            Unsuitable::MsixTable => errno == Errno::PERM,
            // The kernel may map what is less than a page.
            Unsuitable::LessThanAPage(_) => errno == Errno::INVAL && call != Call::Mmap,
            _ => errno == Errno::INVAL,
        };
        match self.unsuitable(bar, attribute).filter(of_the_bar) {
            Some(why) => Error::Unsuitable {
                call,
                errno,
                bar,
                why,
            },
            None => error,
        }
    }

    fn config<const SIZE: usize>(&self, at: u64) -> Option<[u8; SIZE]> {
        let config = self.region(RegionIndex::CONFIG).ok()?;
        let mut bytes = [0; SIZE];
        let read = self.read(&config, at, &mut bytes).ok()?;
        (read == SIZE).then_some(bytes)
    }

    /// The pages of the BAR that have the MSI-X table.
    fn msix_pages(&self, bar: Bar, page: u64) -> Option<ByteRange> {
        let [mut at] = self.config(CAPABILITIES)?;
        for _ in 0..MOST {
            let capability = u64::from(at & !3);
            if capability == 0 {
                return None;
            }
            let [id, next] = self.config(capability)?;
            at = next;
            if id != MSIX {
                continue;
            }
            let control = u16::from_le_bytes(self.config(capability + MSIX_CONTROL)?);
            let table = u32::from_le_bytes(self.config(capability + MSIX_TABLE)?);
            if table & 7 != u32::from(bar.number()) {
                return None;
            }
            let begin = u64::from(table & !7);
            let end = begin + (u64::from(control & 0x7ff) + 1) * MSIX_ENTRY;
            let begin = begin / page * page;
            return ByteRange::new(begin, end.div_ceil(page) * page - begin);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const PAGE: u64 = 4096;

    /// A device with BARs of all kinds, as sysfs shows it.
    const TEXT: &str = "\
0x00000000fe000000 0x00000000fe0000ff 0x0000000000040200
0x000000000000c000 0x000000000000c0ff 0x0000000000040101
0x0000004000000000 0x0000004000ffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000fff 0x0000000020040200
0x0000000000000000 0x0000000000000000 0x0000000000000000
";

    // contract: userspace.messages
    #[test]
    fn each_kind_of_bar_has_its_reason() {
        let reason = |bar: usize| reason(TEXT, Bar::ALL[bar], PAGE, true);
        assert_eq!(reason(0), Some(Unsuitable::LessThanAPage(0x100)));
        assert_eq!(reason(1), Some(Unsuitable::Ports));
        assert_eq!(reason(2), None);
        assert_eq!(reason(3), Some(Unsuitable::UpperHalf(Bar::ALL[2])));
        assert_eq!(reason(4), Some(Unsuitable::NoAddress));
        assert_eq!(reason(5), Some(Unsuitable::Absent));
    }

    // contract: userspace.messages
    #[test]
    fn a_bar_that_vfio_does_not_map_has_a_reason() {
        let reason = |text| reason(text, Bar::ALL[2], PAGE, false);
        assert_eq!(reason(TEXT), Some(Unsuitable::NotMapped));
        // Text that is not the kernel's has none.
        assert_eq!(reason(""), None);
        assert_eq!(reason("1\n2\n3\n"), None);
    }

    // contract: userspace.messages
    #[test]
    fn each_reason_has_advice() {
        for why in [
            Unsuitable::Absent,
            Unsuitable::UpperHalf(Bar::ALL[2]),
            Unsuitable::Ports,
            Unsuitable::NoAddress,
            Unsuitable::LessThanAPage(256),
            Unsuitable::NotMapped,
            Unsuitable::MsixTable,
        ] {
            let error = Error::Unsuitable {
                call: Call::Create,
                errno: Errno::INVAL,
                bar: Bar::ALL[3],
                why,
            };
            let advice = why.advice();
            let want = std::format!("VFIO_SUBREGION_CREATE of BAR 3: {why}; {advice}");
            assert_eq!(error.to_string(), want);
            assert_eq!(error.advice(), Some(advice));
            assert_eq!(error.errno(), Some(Errno::INVAL));
            assert_eq!(error.call(), Some(Call::Create));
        }
    }

    // contract: userspace.messages
    #[test]
    fn a_file_that_is_no_device_has_no_reason() {
        let null = fs::File::options().read(true).write(true).open("/dev/null");
        let device = Device::new(null.unwrap());
        let why = device.unsuitable(Bar::ALL[2], Attribute::WriteCombining);
        assert_eq!(why, None);
    }
}
