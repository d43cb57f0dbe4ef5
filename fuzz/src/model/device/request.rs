// SPDX-License-Identifier: GPL-2.0-only

//! The structures of this driver's ioctls.

use libc::{E2BIG, EFAULT, EINVAL};

/// The longest structure that is taken.
const LONGEST: u32 = 4096;

/// Where the structure of an ioctl lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In ordinary memory.
    Good,
    /// Nowhere.
    Null,
    /// Its last bytes are on a page that cannot be accessed.
    Cut,
    /// In memory that cannot be written.
    ReadOnly,
}

/// What the structures of this driver's ioctls have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it lies.
    pub place: Where,
    /// The length that is given for it.
    pub argsz: u32,
    /// The flags.
    pub flags: u32,
    /// What is to be zero.
    pub reserved: u32,
    /// Whether the byte behind the structure is not zero.
    pub tail: bool,
}

impl Frame {
    /// Returns the errno that a structure of `size` bytes is refused with.
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

/// The lengths of the structures.
pub mod size {
    /// `struct vfio_subregion_create`
    pub const CREATE: u32 = 56;
    /// `struct vfio_subregion_destroy`
    pub const DESTROY: u32 = 16;
    /// `struct vfio_subregion_query`
    pub const QUERY: u32 = 40;
    /// `struct vfio_region_set_attr`
    pub const SET_ATTR: u32 = 24;
}

/// The parts of a request for a subregion that are about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The index of the BAR.
    pub parent: u32,
    /// The attribute's number.
    pub attribute: u32,
    /// The first byte within the BAR.
    pub offset: u64,
    /// The length.
    pub size: u64,
}
