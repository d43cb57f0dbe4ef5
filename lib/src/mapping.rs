// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Mapped device memory.

use crate::{
    raw::Memory,
    AccessError,
    Attribute,
    Registers,
    WriteCombining, //
};
use core::ptr::NonNull;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

/// What one access reads or writes: `u8`, `u16`, `u32` or `u64`.
///
/// On a 32-bit machine the compiler makes two accesses of a `u64`.
pub trait Word: Copy + sealed::Sealed {}

impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// Device memory that is mapped into the process.
///
/// It is unmapped when it is dropped, and keeps the device open until then, as a file descriptor
/// does: the descriptor that it was made with may be closed.
///
/// Device memory can change by itself, so it is read and written by volatile accesses, and no
/// reference to it is ever made. Several mappings of the same memory do no harm.
///
/// # SIGBUS
///
/// An access raises SIGBUS when the page is gone: the subregion was destroyed, or what was mapped
/// through a BAR is claimed by a subregion now; or for the time being, while the device's memory
/// cannot be accessed (Memory Space is off, D3hot, low power). After a reset the pages come back with
/// the same type, and what the device has in them then. That a mapping of this crate's outlives its
/// subregion is memory-safe: what was destroyed never leads to other memory.
///
/// # Lifetime
///
/// Views and registers borrow the mapping, so that none of them can outlive it:
///
/// ```compile_fail,E0505
/// # use vfio_subregion::{AccessError, Mapping};
/// fn outlives(mapping: Mapping) -> Result<u32, AccessError> {
///     let doorbell = mapping.registers()?.register::<u32>(0)?;
///     drop(mapping); // error: it is borrowed
///     Ok(doorbell.read())
/// }
/// ```
#[derive(Debug)]
pub struct Mapping {
    memory: Memory,
    attribute: Option<Attribute>,
}

impl Mapping {
    pub(crate) const fn new(memory: Memory, attribute: Option<Attribute>) -> Self {
        Self { memory, attribute }
    }

    pub(crate) const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.memory.size()
    }

    /// What it is mapped as; `None` for what this crate does not know, which has no view either.
    #[must_use]
    pub const fn attribute(&self) -> Option<Attribute> {
        self.attribute
    }

    /// Its first byte, for system calls and for code that makes volatile accesses of its own.
    ///
    /// It is valid until the mapping is dropped. A `&[u8]` must not be made of it.
    #[must_use]
    pub const fn base(&self) -> NonNull<u8> {
        self.memory.base()
    }

    pub(crate) fn check<T>(&self, offset: usize) -> Result<(), AccessError> {
        if self.memory.has::<T>(offset) {
            Ok(())
        } else if self.memory.fits(offset, size_of::<T>()) {
            Err(AccessError::Unaligned)
        } else {
            Err(AccessError::OutOfBounds)
        }
    }

    /// Reads the word at `offset` by one volatile access.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`], [`AccessError::Unaligned`].
    #[inline]
    pub fn read<T: Word>(&self, offset: usize) -> Result<T, AccessError> {
        self.check::<T>(offset)?;
        Ok(self.memory.read(offset))
    }

    /// Writes the word at `offset` by one volatile access.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`], [`AccessError::Unaligned`].
    #[inline]
    pub fn write<T: Word>(&self, offset: usize, value: T) -> Result<(), AccessError> {
        self.check::<T>(offset)?;
        self.memory.write(offset, value);
        Ok(())
    }

    /// A view for registers: accesses happen one by one, in program order.
    ///
    /// # Errors
    ///
    /// [`AccessError::WrongType`] when the mapping is write-combining, where they would not.
    pub fn registers(&self) -> Result<Registers<'_>, AccessError> {
        Registers::new(self)
    }

    /// A view for data that is to be written in bursts.
    ///
    /// # Errors
    ///
    /// [`AccessError::WrongType`] when the mapping is not write-combining.
    pub fn write_combining(&self) -> Result<WriteCombining<'_>, AccessError> {
        WriteCombining::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_combining::Ring;
    use rustix::fd::AsFd;
    use std::{
        fs::File,
        io,
        os::fd::OwnedFd,
        string::String,
        vec::Vec, //
    };

    /// The name of this test's file, no other's.
    fn file_name() -> String {
        let thread = std::thread::current().id();
        std::format!("vfio-subregion-{}-{thread:?}", std::process::id())
    }

    /// Plain memory in place of a device's, which is enough for what is not about types.
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

    // contract: userspace.checked
    #[test]
    fn threads_can_share_a_mapping_and_its_views() {
        const fn shared<T: Send + Sync>() {}
        const {
            shared::<Mapping>();
            shared::<Registers<'_>>();
            shared::<crate::Register<'_, u32>>();
            shared::<WriteCombining<'_>>();
            shared::<Ring<'_, u64>>();
        }
        let mapping = mapping(0, 4096, Attribute::Noncached).unwrap();
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
        let mut mapping = mapping(0, 4096, Attribute::Device).unwrap();
        mapping.attribute = None;
        assert_eq!(mapping.registers().err(), Some(AccessError::WrongType));
        assert_eq!(
            mapping.write_combining().err(),
            Some(AccessError::WrongType)
        );
    }

    // contract: userspace.mapping-lifetime
    #[test]
    fn what_is_mapped_is_unmapped_when_it_is_dropped() {
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
        let mapping = mapping(0, 4096, Attribute::Noncached).unwrap();
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
        let mapping = mapping(0, 4096, Attribute::Noncached).unwrap();
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
        let strict = mapping(0, 4096, Attribute::Noncached).unwrap();
        assert!(strict.registers().is_ok());
        assert_eq!(strict.write_combining().err(), Some(AccessError::WrongType));
        let combining = mapping(0, 4096, Attribute::WriteCombining).unwrap();
        assert!(combining.write_combining().is_ok());
        assert_eq!(combining.registers().err(), Some(AccessError::WrongType));
    }

    // contract: userspace.checked
    #[test]
    fn a_copy_stores_its_bytes_and_no_others() {
        let mapping = mapping(0, 4096, Attribute::WriteCombining).unwrap();
        let window = mapping.write_combining().unwrap();
        let bytes: Vec<u8> = (1..=40).collect();
        for offset in 8..24 {
            for len in 0..bytes.len() {
                window.copy_from(0, &[0xee; 96]).unwrap();
                window.copy_from(offset, &bytes[..len]).unwrap();
                for at in 0..96 {
                    let inside = at >= offset && at - offset < len;
                    let want = if inside { bytes[at - offset] } else { 0xee };
                    assert_eq!(mapping.read::<u8>(at), Ok(want), "{offset} {len} {at}");
                }
            }
        }
        assert_eq!(
            window.copy_from(4095, &[0; 2]),
            Err(AccessError::OutOfBounds)
        );
        assert_eq!(
            window.copy_from(usize::MAX, &[0]),
            Err(AccessError::OutOfBounds)
        );
    }

    // contract: userspace.checked
    #[test]
    fn a_ring_keeps_within_its_entries() {
        let mapping = mapping(0, 4096, Attribute::WriteCombining).unwrap();
        let window = mapping.write_combining().unwrap();
        let ring: Ring<'_, [u64; 8]> = window.ring(64, 63).unwrap();
        assert_eq!(ring.write(62, &[5; 8]), Ok(()));
        assert_eq!(mapping.read::<u64>(4088), Ok(5));
        assert_eq!(ring.write(63, &[5; 8]), Err(AccessError::OutOfBounds));
        assert!(window.ring::<[u64; 8]>(64, 64).is_err());
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
        let mapping = mapping(0, 4096, Attribute::Device).unwrap();
        let registers = mapping.registers().unwrap();
        assert!(registers.register::<u32>(4096).is_err());
        let register = registers.register::<u32>(4092).unwrap();
        register.write_ordered(9);
        assert_eq!(register.read(), 9);
        assert_eq!(registers.read::<u32>(4092), Ok(9));
    }
}
