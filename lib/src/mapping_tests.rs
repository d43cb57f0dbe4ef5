// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Bounds, alignment and types of mappings, copies and rings.

use super::*;
use crate::{LineStore, Ring};
use rustix::fd::AsFd;
use std::{fs::File, io, os::fd::OwnedFd, string::String, vec::Vec};

/// The name of this test's file, no other's.
fn file_name() -> String {
    let thread = std::thread::current().id();
    std::format!("vfio-subregion-{}-{thread:?}", std::process::id())
}

/// A mapping of a file in place of a device.
fn mapping(offset: u64, size: usize, attribute: Attribute) -> io::Result<Mapping> {
    let path = std::env::temp_dir().join(file_name());
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    file.set_len(offset + size as u64)?;
    let file = OwnedFd::from(file);
    Ok(Mapping::new(
        Memory::map(file.as_fd(), offset, size, offset)?,
        Some(attribute),
    ))
}

fn fake(attribute: Attribute) -> Mapping {
    Mapping::fake(4096, attribute).unwrap()
}

// contract: userspace.checked
#[test]
fn threads_can_share_a_mapping_and_its_views() {
    const fn shared<T: Send + Sync>() {}
    const {
        shared::<Mapping>();
        shared::<Registers<'_>>();
        shared::<crate::Register<'_, u32>>();
        shared::<Data<'_>>();
        shared::<Ring<'_, u64>>();
    }
    let mapping = fake(Attribute::Noncached);
    std::thread::scope(|scope| {
        for at in [0, 8] {
            let mapping = &mapping;
            scope.spawn(move || (0..1000).try_for_each(|n: u64| mapping.write(at, n)));
        }
    });
    assert_eq!(mapping.read::<u64>(0), Ok(999));
    assert_eq!(mapping.read::<u64>(8), Ok(999));
}

// contract: userspace.views
#[test]
fn a_type_that_is_not_known_has_no_view() {
    let mut mapping = fake(Attribute::Device);
    mapping.attribute = None;
    assert_eq!(mapping.registers().err(), Some(AccessError::WrongType));
    assert_eq!(
        mapping.write_combining().err(),
        Some(AccessError::WrongType)
    );
}

// contract: userspace.mapping-lifetime
#[test]
fn a_mapping_is_unmapped_when_it_is_dropped() {
    let mapped = mapping(0, 3 << 20, Attribute::Device).unwrap();
    let is_mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.contains(&file_name())
    };
    assert!(is_mapped());
    drop(mapped);
    assert!(!is_mapped());
}

// contract: userspace.checked
#[test]
fn a_word_at_the_end_can_be_accessed_and_none_beyond_it() {
    let mapping = fake(Attribute::Noncached);
    assert_eq!(mapping.write(4088, 7_u64), Ok(()));
    assert_eq!(mapping.read::<u64>(4088), Ok(7));
    assert_eq!(mapping.read::<u64>(4096), Err(AccessError::OutOfBounds));
    assert_eq!(mapping.write(4096, 0_u8), Err(AccessError::OutOfBounds));
    assert_eq!(
        mapping.read::<u8>(usize::MAX),
        Err(AccessError::OutOfBounds)
    );
    assert_eq!(
        mapping.read::<u64>(usize::MAX - 7),
        Err(AccessError::OutOfBounds)
    );
}

// contract: userspace.checked
#[test]
fn an_access_that_is_not_aligned_is_refused() {
    let mapping = fake(Attribute::Noncached);
    assert_eq!(mapping.read::<u16>(1), Err(AccessError::Unaligned));
    assert_eq!(mapping.write(4, 0_u64), Err(AccessError::Unaligned));
    assert_eq!(mapping.write(4, 0_u32), Ok(()));
}

// contract: userspace.large
#[test]
fn a_large_mapping_agrees_with_its_offset_and_can_all_be_accessed() {
    let mapping = mapping(0x3000, (4 << 20) + 0x1000, Attribute::Noncached).unwrap();
    assert_eq!(mapping.base().addr().get() % (2 << 20), 0x3000);
    assert_eq!(mapping.write(0, 1_u8), Ok(()));
    assert_eq!(mapping.write((4 << 20) + 0xfff, 1_u8), Ok(()));
}

// contract: userspace.views
#[test]
fn each_view_is_for_its_type_only() {
    let strict = fake(Attribute::Noncached);
    assert!(strict.registers().is_ok());
    assert_eq!(strict.write_combining().err(), Some(AccessError::WrongType));
    let combining = fake(Attribute::WriteCombining);
    assert!(combining.write_combining().is_ok());
    assert_eq!(combining.registers().err(), Some(AccessError::WrongType));
}

// contract: userspace.checked
#[test]
fn a_copy_stores_its_bytes_and_no_others() {
    let mapping = fake(Attribute::WriteCombining);
    let window = mapping.write_combining().unwrap();
    let bytes: Vec<u8> = (1..=200).collect();
    for offset in 56..72 {
        for len in 0..=bytes.len() {
            window.copy(0, &[0xee; 320]).unwrap();
            window.copy(offset, &bytes[..len]).unwrap();
            for at in 0..320 {
                let inside = at >= offset && at - offset < len;
                let want = if inside { bytes[at - offset] } else { 0xee };
                assert_eq!(mapping.read::<u8>(at), Ok(want), "{offset} {len} {at}");
            }
        }
    }
    assert_eq!(window.copy(4095, &[0; 2]), Err(AccessError::OutOfBounds));
    assert_eq!(window.copy(usize::MAX, &[0]), Err(AccessError::OutOfBounds));
}

// contract: userspace.lines
#[test]
fn a_line_is_written_whole_or_refused() {
    let mapping = fake(Attribute::WriteCombining);
    // Only memory of a device that accepts them has stores by ST64B.
    let ways = LineStore::ALL.iter().copied();
    for way in ways.filter(|&way| way != LineStore::St64b) {
        let Some(window) = mapping.data().with_line_store(way) else {
            assert!(!way.is_available());
            continue;
        };
        window.copy(0, &[0xee; 4096]).unwrap();
        assert_eq!(window.write_line(4032, &[7; 64]), Ok(()));
        crate::flush_stores();
        assert_eq!(mapping.read::<u8>(4031), Ok(0xee), "{way:?}");
        assert!(
            (4032..4096).all(|at| mapping.read::<u8>(at) == Ok(7)),
            "{way:?}"
        );
        assert_eq!(
            window.write_line(4096, &[7; 64]),
            Err(AccessError::OutOfBounds)
        );
        assert_eq!(
            window.write_line(usize::MAX - 63, &[7; 64]),
            Err(AccessError::OutOfBounds)
        );
        assert_eq!(window.write_line(8, &[7; 64]), Err(AccessError::Unaligned));
    }
}

// contract: userspace.checked
#[test]
fn a_line_that_does_not_fit_is_refused() {
    for (size, fit) in [(63, 0), (64, 1), (127, 1), (4096 + 63, 64)] {
        let mapping = Mapping::fake(size, Attribute::WriteCombining).unwrap();
        for line in 0..fit + 2 {
            let written = mapping.data().write_line(64 * line, &[7; 64]);
            assert_eq!(written.is_ok(), line < fit, "line {line} of {size} bytes");
        }
    }
}

// contract: userspace.fake
#[test]
fn a_fake_has_the_views_of_its_attribute_and_begins_as_zeroes() {
    let mapping = fake(Attribute::WriteCombining);
    assert_eq!(mapping.size(), 4096);
    assert!((0..512).all(|word| mapping.read::<u64>(8 * word) == Ok(0)));
    assert!(mapping.write_combining().is_ok());
    assert_eq!(mapping.registers().err(), Some(AccessError::WrongType));
    assert!(fake(Attribute::Device).registers().is_ok());
    assert!(Mapping::fake(0, Attribute::Device).is_none());
    assert!(Mapping::fake(usize::MAX, Attribute::Device).is_none());
}

// contract: userspace.checked
#[test]
fn descriptors_that_are_no_lines_are_written_by_words() {
    let mapping = fake(Attribute::WriteCombining);
    let ring: Ring<'_, [u64; 3]> = mapping.data().ring(8, 4).unwrap();
    assert_eq!(ring.write(1, &[1, 2, 3]), Ok(()));
    let words = [24, 32, 40, 48, 56].map(|offset| mapping.read::<u64>(offset));
    assert_eq!(words, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(0)]);
}

// contract: userspace.checked
#[test]
fn a_ring_keeps_within_its_entries() {
    let mapping = fake(Attribute::WriteCombining);
    let window = mapping.write_combining().unwrap();
    let ring: Ring<'_, [u64; 8]> = window.ring(64, 63).unwrap();
    assert_eq!(ring.write(62, &[5; 8]), Ok(()));
    assert_eq!(mapping.read::<u64>(4088), Ok(5));
    assert_eq!(ring.write(63, &[5; 8]), Err(AccessError::OutOfBounds));
    assert!(window.ring::<[u64; 8]>(64, 64).is_err());
    assert!(window.ring::<[u64; 8]>(64, 0).is_err());
    assert!(window.ring::<[u64; 8]>(8192, 1).is_err());
    assert!(window.ring::<[u64; 8]>(0, usize::MAX).is_err());
    assert_eq!(
        window.ring::<[u8; 12]>(0, 1).err(),
        Some(AccessError::Unaligned)
    );
    assert_eq!(
        window.ring::<[u8; 0]>(0, 1).err(),
        Some(AccessError::Unaligned)
    );
}

// contract: userspace.checked
#[test]
fn a_register_that_is_not_there_is_refused_once_and_for_all() {
    let mapping = fake(Attribute::Device);
    let registers = mapping.registers().unwrap();
    assert!(registers.register::<u32>(4096).is_err());
    let register = registers.register::<u32>(4092).unwrap();
    register.write_ordered(9);
    assert_eq!(register.read(), 9);
    assert_eq!(registers.read::<u32>(4092), Ok(9));
}
