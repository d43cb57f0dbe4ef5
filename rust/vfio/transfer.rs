// SPDX-License-Identifier: GPL-2.0

//! read() and write() of a device file.

use crate::compat::long_result;
use kernel::{
    prelude::*,
    uaccess::UserPtr, //
};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the device to userspace.
    Read,
    /// From userspace to the device.
    Write,
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
    pub(crate) fn file_offset(&self) -> Result<u64> {
        Ok(u64::try_from(*self.offset)?)
    }

    /// Returns how many bytes are still to be transferred.
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }

    /// Returns whether bytes go to the device.
    pub(super) fn is_write(&self) -> bool {
        self.direction == Direction::Write
    }

    /// Returns the user buffer for the next byte.
    pub(super) fn buffer(&self) -> *mut c_char {
        self.buffer.as_mut_ptr().cast()
    }

    /// Moves on by `done`, the return value of a C function: a count of bytes transferred, which it
    /// returns, or a negative errno.
    pub(super) fn advance(&mut self, done: isize) -> Result<usize> {
        // CAST: `c_long` and `isize` are the same type in the kernel.
        let done = usize::try_from(long_result(done as c_long)?)?;
        self.buffer = self.buffer.wrapping_byte_add(done);
        self.remaining = self.remaining.saturating_sub(done);
        *self.offset = self.offset.saturating_add_unsigned(done as u64);
        Ok(done)
    }
}
