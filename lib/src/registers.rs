// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Registers, whose accesses have effects.

use crate::{
    AccessError,
    Attribute,
    Mapping,
    Word, //
};
use core::marker::PhantomData;

/// Strictly mapped memory: each access reaches the device by itself and in program order.
#[derive(Clone, Copy, Debug)]
pub struct Registers<'a>(&'a Mapping);

impl<'a> Registers<'a> {
    pub(crate) fn new(mapping: &'a Mapping) -> Result<Self, AccessError> {
        match mapping.attribute() {
            Some(Attribute::Noncached | Attribute::Device | Attribute::GuestAny) => {
                Ok(Self(mapping))
            }
            Some(Attribute::WriteCombining) | None => Err(AccessError::WrongType),
        }
    }

    /// The register at `offset`.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`], [`AccessError::Unaligned`].
    pub fn register<T: Word>(self, offset: usize) -> Result<Register<'a, T>, AccessError> {
        self.0.check::<T>(offset)?;
        Ok(Register {
            mapping: self.0,
            offset,
            word: PhantomData,
        })
    }

    /// Reads the register at `offset`.
    ///
    /// # Errors
    ///
    /// As [`Mapping::read`].
    #[inline]
    pub fn read<T: Word>(self, offset: usize) -> Result<T, AccessError> {
        self.0.read(offset)
    }

    /// Writes the register at `offset`.
    ///
    /// # Errors
    ///
    /// As [`Mapping::write`].
    #[inline]
    pub fn write<T: Word>(self, offset: usize, value: T) -> Result<(), AccessError> {
        self.0.write(offset, value)
    }
}

/// One register, which is known to be there, so that accesses to it cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a, T> {
    mapping: &'a Mapping,
    offset: usize,
    word: PhantomData<T>,
}

impl<T: Word> Register<'_, T> {
    /// Reads it.
    #[inline]
    #[must_use]
    pub fn read(self) -> T {
        self.mapping.memory().read(self.offset)
    }

    /// Writes it.
    #[inline]
    pub fn write(self, value: T) {
        self.mapping.memory().write(self.offset, value);
    }

    /// Writes it after all stores before, those to write-combining memory too: how a doorbell is rung.
    ///
    /// See [`order_stores`](crate::order_stores).
    #[inline]
    pub fn write_ordered(self, value: T) {
        crate::order_stores();
        self.write(value);
    }
}
