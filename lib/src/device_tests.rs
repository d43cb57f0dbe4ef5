// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Errors for a file that is not a device, and errors that are found without a system call.

use super::*;
use std::{fs::File, io};

fn null() -> io::Result<Device<File>> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(Device::new)
}

/// A BAR of 64 KiB, as a device may describe it.
fn region() -> Region {
    Region {
        index: RegionIndex(2),
        size: 0x10000,
        file_offset: 0,
        flags: RegionFlags::MMAP,
        subregion: None,
        attribute: None,
        effective: None,
        claims: Vec::new(),
    }
}

fn part(offset: u64, size: u64) -> ByteRange {
    ByteRange::new(offset, size).unwrap()
}

// contract: userspace.other-driver
#[test]
fn a_file_that_is_no_device_refuses_every_call() {
    let device = null().unwrap();
    let bar = Bar::ALL[2];
    let said = [
        device
            .create(bar, part(0, 4096), Attribute::Device)
            .unwrap_err(),
        device.destroy(RegionIndex(9)).unwrap_err(),
        device.query(bar).unwrap_err(),
        device.set_attribute(bar, Attribute::Device).unwrap_err(),
        device
            .export(&region(), ExportAccess::ReadOnly)
            .unwrap_err(),
    ];
    assert!(said.iter().all(Error::is_unsupported));
    let calls = said.map(|error| error.call().unwrap());
    let want = [
        Call::Create,
        Call::Destroy,
        Call::Query,
        Call::SetAttr,
        Call::Export,
    ];
    assert_eq!(calls, want);
    for error in [device.region(bar).err(), device.regions().err()] {
        assert_eq!(error.and_then(|error| error.errno()), Some(Errno::NOTTY));
    }
}

// contract: userspace.checked
#[test]
fn bytes_outside_of_the_region_are_not_requested() {
    let device = null().unwrap();
    let outside = Some(Error::OutsideRegion(RegionIndex(2)));
    let map = |part| device.map_part(&region(), part).err();
    assert_eq!(map(part(0, 0x10001)), outside);
    assert_eq!(map(part(0x10000, 1)), outside);
    assert_eq!(map(part(u64::MAX - 1, 1)), outside);
    let mut byte = [0];
    assert_eq!(device.read(&region(), 0x10000, &mut byte).err(), outside);
    assert_eq!(device.write(&region(), u64::MAX, &byte).err(), outside);
    let empty = Region {
        size: 0,
        ..region()
    };
    assert_eq!(device.map(&empty).err(), outside);
    let wraps = Region {
        file_offset: u64::MAX,
        ..region()
    };
    assert_eq!(device.map_part(&wraps, part(1, 1)).err(), outside);
}

// contract: userspace.errors
#[test]
fn a_mapping_that_cannot_be_made_says_so() {
    let device = null().unwrap();
    let error = device.map(&region()).unwrap_err();
    let want = Error::Refused {
        call: Call::Mmap,
        errno: Errno::NODEV,
        index: RegionIndex(2),
    };
    assert_eq!(error, want);
}
