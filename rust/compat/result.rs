// SPDX-License-Identifier: GPL-2.0-only

//! Return values of C functions that are either a number or a negative errno. Upstream home:
//! rust/kernel/error.rs.

use kernel::prelude::*;

/// Converts a number or a negative errno to a result.
#[inline]
pub(crate) fn int_result(ret: c_int) -> Result<c_int> {
    if ret < 0 {
        return Err(Error::from_errno(ret));
    }
    Ok(ret)
}

/// A number or a negative errno.
///
/// A function that passes on the value of another one does so by a jump, which a [`Result`] and its
/// conversions would prevent.
pub(crate) struct LongResult(c_long);

impl LongResult {
    /// Wraps the value that a C function returned.
    pub(crate) fn new(ret: c_long) -> Self {
        Self(ret)
    }

    /// Returns the value for C.
    pub(crate) fn into_raw(self) -> c_long {
        self.0
    }

    /// Converts the value to a result.
    pub(crate) fn into_result(self) -> Result<c_long> {
        match i32::try_from(self.0) {
            Ok(errno) if errno < 0 => Err(Error::from_errno(errno)),
            _ => Ok(self.0),
        }
    }
}

impl From<Result<c_long>> for LongResult {
    fn from(result: Result<c_long>) -> Self {
        // CAST: `c_long` has at least 32 bits.
        Self(result.unwrap_or_else(|error| error.to_errno() as c_long))
    }
}
