// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Stores by the kernel when an eventfd is signalled.

use crate::{raw::Request, Bar, Device, Error, RegionIndex, Word};
use rustix::fd::{AsFd, AsRawFd, RawFd};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct vfio_device_ioeventfd`, whose padding is a field here.
#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Argument {
    argsz: u32,
    flags: u32,
    offset: u64,
    data: u64,
    fd: RawFd,
    padding: u32,
}

impl<F: AsFd> Device<F> {
    /// Lets the kernel store `value` at `offset` of a BAR whenever the eventfd `event` is signalled.
    ///
    /// A virtual machine monitor rings a doorbell in this way without waking up, if KVM signals the
    /// eventfd. The store has the memory type of its page, which may belong to a subregion. While the
    /// ioeventfd exists, its page keeps this type: a call that would change it fails with
    /// [`Busy::IOEVENTFD`](crate::Busy::IOEVENTFD).
    ///
    /// It exists until [`Device::remove_ioeventfd`] or the last close of the device.
    ///
    /// # Errors
    ///
    /// [`Error::OutsideRegion`]. [`Error::Refused`]: EXIST if there is one with the same offset, value
    /// and width; INVAL if the word leaves the BAR or touches the MSI-X table, if on arm64 it is not
    /// aligned, or if `event` is no eventfd; NOSPC if the device has as many as VFIO allows; BUSY if
    /// another mapping decides the type of the page.
    pub fn ioeventfd<T: Word + Into<u64>>(
        &self,
        bar: Bar,
        offset: u64,
        value: T,
        event: impl AsFd,
    ) -> Result<(), Error> {
        self.set_ioeventfd(bar, offset, value, event.as_fd().as_raw_fd())
    }

    /// Removes the ioeventfd with this offset, value and width.
    ///
    /// # Errors
    ///
    /// [`Error::OutsideRegion`]. [`Error::Refused`]: NODEV if there is none.
    pub fn remove_ioeventfd<T: Word + Into<u64>>(
        &self,
        bar: Bar,
        offset: u64,
        value: T,
    ) -> Result<(), Error> {
        self.set_ioeventfd(bar, offset, value, -1)
    }

    fn set_ioeventfd<T: Word + Into<u64>>(
        &self,
        bar: Bar,
        offset: u64,
        value: T,
        fd: RawFd,
    ) -> Result<(), Error> {
        let mut argument = Argument {
            argsz: 0,
            // VFIO_DEVICE_IOEVENTFD_8 to VFIO_DEVICE_IOEVENTFD_64.
            flags: 1 << size_of::<T>().trailing_zeros(),
            offset: self.region(bar)?.position(offset)?,
            data: value.into(),
            fd,
            padding: 0,
        };
        self.request(Request::Ioeventfd, RegionIndex::from(bar), &mut argument)
    }
}
