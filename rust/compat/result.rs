// SPDX-License-Identifier: GPL-2.0-only

//! Return values of C functions that are either a number or a negative errno. Upstream home:
//! rust/kernel/error.rs.

use kernel::prelude::*;

/// Converts a number or a negative errno to a result.
pub(crate) fn long_result(ret: c_long) -> Result<c_long> {
    match i32::try_from(ret) {
        Ok(errno) if errno < 0 => Err(Error::from_errno(errno)),
        _ => Ok(ret),
    }
}

/// Converts a number or a negative errno to a result.
pub(crate) fn int_result(ret: c_int) -> Result<c_int> {
    if ret < 0 {
        return Err(Error::from_errno(ret));
    }
    Ok(ret)
}
