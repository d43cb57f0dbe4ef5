// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Registers, whose accesses have effects.

use crate::{raw::Place, AccessError, Attribute, Mapping, Word};

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

    /// Returns the register at `offset`.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfBounds`], [`AccessError::Unaligned`].
    pub fn register<T: Word>(self, offset: usize) -> Result<Register<'a, T>, AccessError> {
        self.0.place(offset).map(Register)
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

/// One register. Its place was checked when it was made, so an access is one instruction.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a, T>(Place<'a, T>);

impl<T: Word> Register<'_, T> {
    /// Reads it.
    #[inline]
    #[must_use]
    pub fn read(self) -> T {
        self.0.load()
    }

    /// Writes it.
    #[inline]
    pub fn write(self, value: T) {
        self.0.store(value);
    }

    /// Writes it after all earlier stores, including those to write-combining memory: how a doorbell
    /// is rung.
    ///
    /// See [`order_stores`](crate::order_stores).
    #[inline]
    pub fn write_ordered(self, value: T) {
        crate::order_stores();
        self.write(value);
    }
}
