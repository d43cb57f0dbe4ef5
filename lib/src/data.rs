// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Memory that is written by copies and by descriptors.

use crate::{
    raw::{CopyTarget, LineStore, Routines, Slots, LINE},
    AccessError, Attribute, Mapping, Queue, Register, Word,
};
use zerocopy::{Immutable, IntoBytes};

const WORD: usize = size_of::<u64>();

/// Memory of a device for data: a view of a mapping of any type, made for write-combining ones.
///
/// Stores to write-combining memory wait in the CPU, in any order, until a buffer is full, is needed
/// for something else, or is told to empty. A line of 64 bytes that is stored without interruption
/// leaves as one burst. All copies here store whole lines in this way ([`LineStore`]), and the bytes
/// before and behind them by the largest stores: aligned ones, or on arm64 ones that are consecutive
/// at any alignment, because only consecutive ones may be gathered there. Strict memory always gets
/// aligned ones; each is a transfer of its own, and lines arrive in ascending order.
///
/// A hypervisor that emulates the memory of a device, rather than passing it through, may not know
/// stores of more than 8 bytes. On arm64 a hypervisor may also make memory strict that is
/// write-combining for this program; then a copy that is not aligned raises SIGBUS. For such memory,
/// choose [`LineStore::Words`] by [`Data::with_line_store`].
///
/// There are no loads here, because a load from write-combining memory is slow and ends the
/// combining; [`Mapping::read`] does them.
///
/// [`Queue`] issues the fences that stores need. Without it, use
/// [`Register::write_ordered`](crate::Register::write_ordered) for a doorbell and
/// [`flush_stores`](crate::flush_stores) where there is none. Stores of one batch need no fence
/// between them.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a>(CopyTarget<'a>);

impl<'a> Data<'a> {
    pub(crate) fn new(mapping: &'a Mapping) -> Self {
        let combining = mapping.attribute() == Some(Attribute::WriteCombining);
        let routines = if combining && !mapping.memory().is_fake() {
            Routines::combining()
        } else {
            Routines::ordered()
        };
        Self(mapping.memory().copy_target(routines))
    }

    pub(crate) fn write_combining(mapping: &'a Mapping) -> Result<Self, AccessError> {
        match mapping.attribute() {
            Some(Attribute::WriteCombining) => Ok(Self::new(mapping)),
            _ => Err(AccessError::WrongType),
        }
    }

    /// Stores lines in another way than the one that was chosen; `None` if this CPU does not support
    /// it.
    ///
    /// A driver uses this for [`LineStore::St64b`], if its device accepts such stores. After stores by
    /// it or by [`LineStore::Movdir64b`], memory of every type needs the fences of write-combining
    /// memory.
    #[must_use]
    pub fn with_line_store(self, way: LineStore) -> Option<Self> {
        self.0.with_line_store(way).map(Self)
    }

    /// Copies bytes to `offset`, as `vfio_subregion_copy_wc()` does in C if the mapping is
    /// write-combining, and as `vfio_subregion_copy()` otherwise.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`]; then nothing was stored.
    #[inline]
    pub fn copy(self, offset: usize, bytes: &[u8]) -> Result<(), AccessError> {
        self.0.copy(offset, bytes).ok_or(AccessError::OutOfBounds)
    }

    /// Writes one line to `offset`, which must be a multiple of 64.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`], [`AccessError::Unaligned`]; then nothing was stored.
    #[inline]
    pub fn write_line(self, offset: usize, line: &[u8; LINE]) -> Result<(), AccessError> {
        if offset % LINE != 0 {
            return Err(AccessError::Unaligned);
        }
        self.0
            .write_line(offset, line)
            .ok_or(AccessError::OutOfBounds)
    }

    /// Returns a ring of `count` descriptors of the type `T` that begins at `offset`.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`] if they do not fit or there are none; [`AccessError::Unaligned`]
    /// if `offset` or the size of `T` is not a multiple of 8, or `T` is empty.
    pub fn ring<T: IntoBytes + Immutable>(
        self,
        offset: usize,
        count: usize,
    ) -> Result<Ring<'a, T>, AccessError> {
        if offset % WORD != 0 || size_of::<T>() % WORD != 0 || size_of::<T>() == 0 {
            return Err(AccessError::Unaligned);
        }
        self.0
            .slots(offset, count)
            .map(Ring)
            .ok_or(AccessError::OutOfBounds)
    }
}

/// Descriptors in the memory of a device, which the CPU only writes.
///
/// A copy refers to the same descriptors, so each queue that is made from it starts at the first.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a, T>(Slots<'a, T>);

impl<'a, T: IntoBytes + Immutable> Ring<'a, T> {
    /// Returns how many descriptors there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.count()
    }

    /// Writes the descriptor `index` by ascending stores; by whole lines, if `T` consists of lines
    /// and the ring begins at one.
    ///
    /// [`Queue::push`] does the same without the check of the index.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`].
    #[inline]
    pub fn write(&self, index: usize, entry: &T) -> Result<(), AccessError> {
        self.0.write(index, entry).ok_or(AccessError::OutOfBounds)
    }

    /// Returns the producer of this ring, which starts at descriptor 0 and rings `doorbell`.
    #[must_use]
    pub const fn queue<D: Word>(self, doorbell: Register<'a, D>) -> Queue<'a, T, D> {
        Queue::new(self.0, doorbell)
    }
}
