// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Devices that the crate vfio-ioctls has opened.

use crate::Device;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use vfio_ioctls::VfioDevice;

/// The file of a device that vfio-ioctls has opened, which does not implement [`AsFd`] itself.
///
/// `Device::from(&vfio_device)` makes a [`Device`] of it.
#[derive(Clone, Copy)]
pub struct VfioFile<'a>(&'a VfioDevice);

impl AsFd for VfioFile<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: a VfioDevice keeps the file open as long as it lives, and self borrows it.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

impl<'a> From<&'a VfioDevice> for Device<VfioFile<'a>> {
    fn from(device: &'a VfioDevice) -> Self {
        Self::new(VfioFile(device))
    }
}
