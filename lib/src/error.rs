// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can go wrong, and what to do then.

use crate::{
    Bar,
    Malformed,
    RegionIndex, //
};
use core::fmt;
use rustix::io::Errno;

/// The system call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `VFIO_SUBREGION_CREATE`.
    Create,
    /// `VFIO_SUBREGION_DESTROY`.
    Destroy,
    /// `VFIO_SUBREGION_QUERY`.
    Query,
    /// `VFIO_REGION_SET_ATTR`.
    SetAttr,
    /// `VFIO_DEVICE_GET_INFO`.
    DeviceInfo,
    /// `VFIO_DEVICE_GET_REGION_INFO`.
    RegionInfo,
    /// `mmap()`.
    Mmap,
    /// `pread()`.
    Read,
    /// `pwrite()`.
    Write,
}

impl Call {
    const fn name(self) -> &'static str {
        match self {
            Self::Create => "VFIO_SUBREGION_CREATE",
            Self::Destroy => "VFIO_SUBREGION_DESTROY",
            Self::Query => "VFIO_SUBREGION_QUERY",
            Self::SetAttr => "VFIO_REGION_SET_ATTR",
            Self::DeviceInfo => "VFIO_DEVICE_GET_INFO",
            Self::RegionInfo => "VFIO_DEVICE_GET_REGION_INFO",
            Self::Mmap => "mmap",
            Self::Read => "pread",
            Self::Write => "pwrite",
        }
    }

    pub(crate) const fn is_own(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Destroy | Self::Query | Self::SetAttr
        )
    }
}

/// Why a call on a device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The range overlaps that subregion (EEXIST).
    Overlaps(RegionIndex),
    /// The kernel refused a call.
    Refused {
        /// The call.
        call: Call,
        /// What it returned.
        errno: Errno,
        /// The region that it was about.
        index: RegionIndex,
    },
    /// The part that was to be mapped is not within the region, or not of whole pages.
    OutsideRegion(RegionIndex),
    /// The kernel's answer makes no sense.
    Malformed(Malformed),
}

impl Error {
    /// The errno, if the kernel gave one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Overlaps(_) => Some(Errno::EXIST),
            Self::Refused { errno, .. } => Some(*errno),
            Self::OutsideRegion(_) | Self::Malformed(_) => None,
        }
    }

    /// Whether the device's driver has no subregions: it is vfio-pci or another.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Refused { call, errno: Errno::NOTTY, .. } if call.is_own())
    }

    /// What to do about it, where that can be told.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        let Self::Refused { call, errno, .. } = self else {
            return matches!(self, Self::Overlaps(_))
                .then_some("use that subregion, or destroy it first");
        };
        Some(match (call, *errno) {
            (call, Errno::NOTTY) if call.is_own() => {
                "the driver has no subregions: bind the device to subregion_vfio_pci"
            }
            (Call::Create, Errno::INVAL) => {
                "the range must be whole granules (query tells their size) of a memory BAR that \
                 can be mapped"
            }
            (Call::Create | Call::SetAttr, Errno::PERM) => {
                "the MSI-X table is in the range and has to stay strict: leave its page out"
            }
            (Call::Create, Errno::BUSY) => {
                "an ioeventfd is on the device, something in the kernel holds the memory with \
                 another type, or the BAR has an attribute of its own"
            }
            (Call::SetAttr, Errno::BUSY) => {
                "set it before the BAR is mapped and before it has subregions; an ioeventfd on \
                 the device rules out write combining"
            }
            (Call::Create | Call::SetAttr, Errno::OPNOTSUPP) => {
                "this machine cannot give that type (nopat?), or the BAR exceeds 512 GiB"
            }
            (Call::Create, Errno::NOSPC) => {
                "destroy subregions that are not needed; if offsets are used up, reopen the device"
            }
            (Call::Destroy, Errno::NOENT) => {
                "there is no such subregion, or it was destroyed before"
            }
            (Call::Mmap, Errno::INVAL) => "the region cannot be mapped, or a subregion claims it",
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlaps(index) => write!(
                f,
                "{}: the range overlaps subregion {index} (EEXIST)",
                Call::Create.name()
            )?,
            Self::Refused { call, errno, index } => {
                f.write_str(call.name())?;
                match (call, Bar::from_index(*index)) {
                    (Call::DeviceInfo, _) => {}
                    (_, Some(bar)) => write!(f, " of BAR {bar}")?,
                    (_, None) => write!(f, " of region {index}")?,
                }
                write!(f, ": {errno}")?;
            }
            Self::OutsideRegion(index) => {
                write!(
                    f,
                    "that part of region {index} does not exist or is not of whole pages"
                )?;
            }
            Self::Malformed(malformed) => malformed.fmt(f)?,
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Error {}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = error
            .errno()
            .map_or(std::io::ErrorKind::InvalidData, |errno| {
                Self::from_raw_os_error(errno.raw_os_error()).kind()
            });
        Self::new(kind, error)
    }
}

/// Why mapped memory cannot be accessed in that way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessError {
    /// It is not wholly within the mapping.
    OutOfBounds,
    /// The offset is not a multiple of the access's size.
    Unaligned,
    /// The view is for another memory type than the mapping has.
    WrongType,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfBounds => "the access leaves the mapping",
            Self::Unaligned => "the access is not aligned to its size",
            Self::WrongType => "the mapping has another memory type than this view is for",
        })
    }
}

impl core::error::Error for AccessError {}
