// SPDX-License-Identifier: GPL-2.0-only

//! Device features.

use crate::{
    bindings,
    prelude::*,
    uaccess::UserPtr,
    vfio::result::int_result, //
};

/// A call of `VFIO_DEVICE_FEATURE`.
pub struct Feature {
    flags: u32,
    data: UserPtr,
    size: usize,
}

impl Feature {
    /// Wraps the arguments of `device_feature` in `struct vfio_device_ops`.
    pub(super) fn new(flags: u32, data: UserPtr, size: usize) -> Self {
        Self { flags, data, size }
    }

    /// Returns the number of the feature.
    pub fn number(&self) -> u32 {
        self.flags & bindings::VFIO_DEVICE_FEATURE_MASK
    }

    /// Checks the call of a feature that has the methods `methods`, a combination of
    /// `VFIO_DEVICE_FEATURE_GET` and `VFIO_DEVICE_FEATURE_SET`, and at least `min_size` bytes of
    /// data. Returns whether the driver has to execute the method. If not, the call only probes,
    /// and the driver returns success.
    ///
    /// Fails with [`EINVAL`] if the call has another method. Unless it probes, the call also fails
    /// with [`EINVAL`] if it has no method or not enough data.
    pub fn check(&self, methods: u32, min_size: usize) -> Result<bool> {
        // SAFETY: The function only looks at its arguments.
        let ret = unsafe { bindings::vfio_check_feature(self.flags, self.size, methods, min_size) };
        Ok(int_result(ret)? != 0)
    }

    /// Returns the user address of the data, `data` in `struct vfio_device_feature`.
    pub fn data(&self) -> UserPtr {
        self.data
    }

    /// Returns the size of the data in bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}
