// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Memory that is written in bursts.

use crate::{
    AccessError,
    Attribute,
    Mapping, //
};
use core::marker::PhantomData;
use zerocopy::{
    Immutable,
    IntoBytes, //
};

const WORD: usize = size_of::<u64>();

/// Write-combining memory.
///
/// Stores wait in the CPU, in any order, until a buffer is full, is needed for something else, or is
/// told to empty. What fills whole buffers (64 bytes on x86) by ascending stores leaves as one burst;
/// stores here and there, and loads, break it up. So there is no reading here, which is slow as well
/// ([`Mapping::read`] does it).
///
/// Before a doorbell use [`Register::write_ordered`](crate::Register::write_ordered), or a fence
/// ([`order_stores`](crate::order_stores)); where none is rung, [`flush_stores`](crate::flush_stores).
/// Between the stores of one batch no fence is needed, and each one costs.
#[derive(Clone, Copy, Debug)]
pub struct WriteCombining<'a>(&'a Mapping);

impl<'a> WriteCombining<'a> {
    pub(crate) fn new(mapping: &'a Mapping) -> Result<Self, AccessError> {
        match mapping.attribute() {
            Some(Attribute::WriteCombining) => Ok(Self(mapping)),
            _ => Err(AccessError::WrongType),
        }
    }

    /// Copies bytes to `offset` by ascending stores: of 8 bytes where they are aligned, of single
    /// bytes before and behind.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`]; then nothing was stored.
    #[inline]
    pub fn copy_from(self, offset: usize, bytes: &[u8]) -> Result<(), AccessError> {
        if !self.0.memory().fits(offset, bytes.len()) {
            return Err(AccessError::OutOfBounds);
        }
        self.0.memory().copy_from(offset, bytes);
        Ok(())
    }

    /// `count` descriptors of the type `T` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`] when they do not fit; [`AccessError::Unaligned`] when `offset` or
    /// the size of `T` is not a multiple of 8, or `T` is empty.
    pub fn ring<T: IntoBytes + Immutable>(
        self,
        offset: usize,
        count: usize,
    ) -> Result<Ring<'a, T>, AccessError> {
        if offset % WORD != 0 || size_of::<T>() % WORD != 0 || size_of::<T>() == 0 {
            return Err(AccessError::Unaligned);
        }
        count
            .checked_mul(size_of::<T>())
            .filter(|&size| self.0.memory().fits(offset, size))
            .ok_or(AccessError::OutOfBounds)?;
        Ok(Ring {
            memory: self,
            offset,
            count,
            entry: PhantomData,
        })
    }
}

/// Descriptors in write-combining memory, which the CPU only writes.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a, T> {
    memory: WriteCombining<'a>,
    offset: usize,
    count: usize,
    entry: PhantomData<T>,
}

impl<T: IntoBytes + Immutable> Ring<'_, T> {
    /// How many descriptors there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Writes the descriptor `index` by ascending stores of 8 bytes.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`].
    #[inline]
    pub fn write(&self, index: usize, entry: &T) -> Result<(), AccessError> {
        if index >= self.count {
            return Err(AccessError::OutOfBounds);
        }
        self.memory
            .copy_from(self.offset + index * size_of::<T>(), entry.as_bytes())
    }
}
