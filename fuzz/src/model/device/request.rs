// SPDX-License-Identifier: GPL-2.0-only

//! The structures of this driver's ioctls.

use libc::{E2BIG, EFAULT, EINVAL};

/// The size of the longest structure that is accepted.
const LONGEST: u32 = 4096;

/// The kind of memory that contains the structure of an ioctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Ordinary memory.
    Good,
    /// No memory.
    Null,
    /// The last bytes are on a page that cannot be accessed.
    Cut,
    /// Read-only memory.
    ReadOnly,
}

/// The common fields of the structures of this driver's ioctls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The memory that contains it.
    pub place: Where,
    /// The value of argsz.
    pub argsz: u32,
    /// The flags.
    pub flags: u32,
    /// The reserved bytes.
    pub reserved: u32,
    /// Whether the byte after the structure is not zero.
    pub tail: bool,
}

impl Frame {
    /// Returns the errno for an invalid structure of `size` bytes.
    pub(super) fn check(&self, size: u32) -> Result<(), i32> {
        if matches!(self.place, Where::Null | Where::Cut) {
            return Err(EFAULT);
        }
        if self.argsz < size {
            return Err(EINVAL);
        }
        if self.argsz > LONGEST || (self.tail && self.argsz > size) {
            return Err(E2BIG);
        }
        if self.flags != 0 || self.reserved != 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    pub(super) fn can_answer(&self) -> Result<(), i32> {
        if self.place == Where::ReadOnly {
            return Err(EFAULT);
        }
        Ok(())
    }
}

/// The sizes of the structures.
pub mod size {
    /// `struct vfio_subregion_create`
    pub const CREATE: u32 = 56;
    /// `struct vfio_subregion_destroy`
    pub const DESTROY: u32 = 16;
    /// `struct vfio_subregion_query`
    pub const QUERY: u32 = 40;
    /// `struct vfio_region_set_attr`
    pub const SET_ATTR: u32 = 24;
    /// `struct vfio_subregion_export`
    pub const EXPORT: u32 = 24;
}

/// `VFIO_SUBREGION_CREATE_SHARED`
pub const SHARED: u32 = 1;

/// The reasons for EBUSY.
pub mod busy {
    /// `VFIO_SUBREGION_BUSY_IOEVENTFD`
    pub const IOEVENTFD: u32 = 1;
    /// `VFIO_SUBREGION_BUSY_TYPE`
    pub const TYPE: u32 = 1 << 2;
    /// `VFIO_SUBREGION_BUSY_STRAY`
    pub const STRAY: u32 = 1 << 3;
    /// `VFIO_SUBREGION_BUSY_SUBREGION`
    pub const SUBREGION: u32 = 1 << 5;
    /// `VFIO_SUBREGION_BUSY_MAPPED`
    pub const MAPPED: u32 = 1 << 6;
}

/// The fields of a request for a subregion that describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The index of the BAR.
    pub parent: u32,
    /// The attribute's number.
    pub attribute: u32,
    /// The offset in the BAR.
    pub offset: u64,
    /// The size.
    pub size: u64,
}
