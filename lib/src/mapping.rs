// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Mapped device memory.

use crate::{
    raw::{Access, Memory, Place},
    AccessError, Attribute, Data, Registers,
};
use core::ptr::NonNull;

/// A value that one access reads or writes: `u8`, `u16`, `u32` or `u64`.
///
/// On a 32-bit machine, a `u64` is two accesses, of the lower half first.
pub trait Word: Access {}

impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// Device memory that is mapped into the process.
///
/// It is unmapped when it is dropped. The descriptor that it was made with may be closed before. A
/// mapping of [`Device::map`](crate::Device::map) keeps the device open, as a file descriptor does; one
/// of an [`Export`](crate::Export) or of sysfs does not.
///
/// Device memory can change by itself, so each access is one load or store instruction, and there is
/// never a reference to it. Several mappings of the same memory do no harm.
///
/// # SIGBUS
///
/// An access raises SIGBUS if the page is gone: because the subregion was destroyed, or because a
/// subregion has claimed what was mapped through the BAR. It also raises SIGBUS while the memory of
/// the device cannot be accessed (Memory Space is off, D3hot, low power). After a reset the pages come
/// back with the same type. A mapping that outlives its subregion is memory-safe: its addresses never
/// lead to other memory.
///
/// # Unit tests of a driver
///
/// [`Mapping::fake`] has the same type and views, so a driver that takes them can be tested without a
/// device:
///
/// ```
/// use vfio_subregion::{AccessError, Attribute, Mapping, Registers};
///
/// /// The driver: starts the device and returns its version.
/// fn start(registers: Registers<'_>) -> Result<u32, AccessError> {
///     registers.write(0x10, 1_u32)?;
///     registers.read(0x0)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bar = Mapping::fake(4096, Attribute::Noncached).ok_or("no memory")?;
/// bar.write(0x0, 7_u32)?; // what the device would have there
/// assert_eq!(start(bar.registers()?), Ok(7));
/// assert_eq!(bar.read::<u32>(0x10), Ok(1)); // what the device would have got
/// # Ok(())
/// # }
/// ```
///
/// # Lifetime
///
/// Views and registers borrow the mapping, so none of them can outlive it:
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

    /// Returns memory of this process in place of a device's, all zeroes, for unit tests of drivers.
    ///
    /// It has the views of `attribute`, but ordinary memory behind them. `None` if `size` is zero or
    /// there is not enough memory.
    #[must_use]
    pub fn fake(size: usize, attribute: Attribute) -> Option<Self> {
        Some(Self::new(Memory::allocate(size)?, Some(attribute)))
    }

    pub(crate) const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns its size in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.memory.size()
    }

    /// Returns the attribute that it is mapped with; `None` if this crate does not know it.
    #[must_use]
    pub const fn attribute(&self) -> Option<Attribute> {
        self.attribute
    }

    /// Returns the address of its first byte, for system calls and for code with its own accesses.
    ///
    /// The address is valid until the mapping is dropped. Do not make a `&[u8]` from it.
    #[must_use]
    pub const fn base(&self) -> NonNull<u8> {
        self.memory.base()
    }

    pub(crate) fn place<T: Word>(&self, offset: usize) -> Result<Place<'_, T>, AccessError> {
        self.memory.place(offset).ok_or_else(|| {
            if self.memory.fits(offset, size_of::<T>()) {
                AccessError::Unaligned
            } else {
                AccessError::OutOfBounds
            }
        })
    }

    /// Reads the word at `offset` by one load.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`], [`AccessError::Unaligned`].
    #[inline]
    pub fn read<T: Word>(&self, offset: usize) -> Result<T, AccessError> {
        Ok(self.place(offset)?.load())
    }

    /// Writes the word at `offset` by one store.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`], [`AccessError::Unaligned`].
    #[inline]
    pub fn write<T: Word>(&self, offset: usize, value: T) -> Result<(), AccessError> {
        self.place(offset)?.store(value);
        Ok(())
    }

    /// Returns the view for registers, whose accesses happen one by one, in program order.
    ///
    /// # Errors
    ///
    /// [`AccessError::WrongType`] if the mapping is write-combining, where they would not.
    pub fn registers(&self) -> Result<Registers<'_>, AccessError> {
        Registers::new(self)
    }

    /// Returns the view for data, if the mapping is write-combining.
    ///
    /// # Errors
    ///
    /// [`AccessError::WrongType`] if the mapping is not write-combining.
    pub fn write_combining(&self) -> Result<Data<'_>, AccessError> {
        Data::write_combining(self)
    }

    /// Returns the view for data, whatever the type of the mapping is.
    #[must_use]
    pub fn data(&self) -> Data<'_> {
        Data::new(self)
    }
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
