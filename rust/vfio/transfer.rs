// SPDX-License-Identifier: GPL-2.0-only

//! read() and write() on a device file.

use kernel::{
    prelude::*,
    uaccess::UserPtr, //
};

/// The direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the device to userspace.
    Read,
    /// From userspace to the device.
    Write,
}

/// Returns the number of bytes from `at` to the next multiple of `STEP`, at which a step of a
/// transfer ends.
///
/// Steps that end at multiples of 8 do not change the width of any access of the transfer.
#[inline]
pub(super) fn rest_of_step<const STEP: usize>(at: u64) -> usize {
    // CAST: `usize` has at most 64 bits, and the remainder is less than `STEP`.
    STEP.saturating_sub((at % STEP as u64) as usize)
}

/// A read() or write() in progress.
pub(crate) struct Transfer<'a> {
    buffer: UserPtr,
    remaining: usize,
    offset: &'a mut i64,
    direction: Direction,
}

impl<'a> Transfer<'a> {
    /// Begins a transfer of `count` bytes.
    pub(super) fn new(
        buffer: UserPtr,
        count: usize,
        offset: &'a mut i64,
        direction: Direction,
    ) -> Self {
        Self {
            buffer,
            remaining: count,
            offset,
            direction,
        }
    }

    /// Returns the offset in the device file of the next byte.
    ///
    /// Fails with [`EINVAL`] if the offset is negative.
    pub(crate) fn file_offset(&self) -> Result<u64> {
        Ok(u64::try_from(*self.offset)?)
    }

    /// Returns the number of bytes that remain to be transferred.
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }

    /// Ends the transfer after `limit` bytes, if it is longer.
    pub(crate) fn limited(self, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            remaining: self.remaining.min(limit),
            ..self
        }
    }

    /// Returns whether the transfer is a write().
    pub(super) fn is_write(&self) -> bool {
        self.direction == Direction::Write
    }

    /// Returns the address of the next byte in the user buffer.
    pub(super) fn buffer(&self) -> *mut c_char {
        self.buffer.as_mut_ptr().cast()
    }

    /// Advances by `done`, the return value of a C function: the number of bytes that it has
    /// transferred, or a negative errno. Returns the number.
    ///
    /// Fails with the errno in `done`.
    pub(super) fn advance(&mut self, done: isize) -> Result<usize> {
        let Ok(done) = usize::try_from(done) else {
            // CAST: An errno fits into an `int`.
            return Err(Error::from_errno(done as c_int));
        };
        self.buffer = self.buffer.wrapping_byte_add(done);
        self.remaining = self.remaining.saturating_sub(done);
        *self.offset = self.offset.saturating_add_unsigned(done as u64);
        Ok(done)
    }
}
