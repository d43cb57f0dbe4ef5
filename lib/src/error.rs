// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Errors, each with advice.

use crate::{Bar, Busy, Malformed, RegionIndex, Unsuitable};
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
    /// `VFIO_SUBREGION_EXPORT`.
    Export,
    /// `VFIO_DEVICE_FEATURE_DMA_BUF`.
    DmaBuf,
    /// `VFIO_DEVICE_GET_INFO`.
    DeviceInfo,
    /// `VFIO_DEVICE_GET_REGION_INFO`.
    RegionInfo,
    /// `VFIO_DEVICE_IOEVENTFD`.
    Ioeventfd,
    /// `mmap()`.
    Mmap,
    /// `pread()`.
    Read,
    /// `pwrite()`.
    Write,
}

impl Call {
    /// Returns its name in C.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "VFIO_SUBREGION_CREATE",
            Self::Destroy => "VFIO_SUBREGION_DESTROY",
            Self::Query => "VFIO_SUBREGION_QUERY",
            Self::SetAttr => "VFIO_REGION_SET_ATTR",
            Self::Export => "VFIO_SUBREGION_EXPORT",
            Self::DmaBuf => "VFIO_DEVICE_FEATURE_DMA_BUF",
            Self::DeviceInfo => "VFIO_DEVICE_GET_INFO",
            Self::RegionInfo => "VFIO_DEVICE_GET_REGION_INFO",
            Self::Ioeventfd => "VFIO_DEVICE_IOEVENTFD",
            Self::Mmap => "mmap",
            Self::Read => "pread",
            Self::Write => "pwrite",
        }
    }

    pub(crate) const fn is_own(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Destroy | Self::Query | Self::SetAttr | Self::Export
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a call on a device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The range overlaps that subregion (EEXIST).
    Overlaps(RegionIndex),
    /// Something is in the way of the attribute (EBUSY), and the kernel said what.
    Busy {
        /// The call.
        call: Call,
        /// The region that it was about.
        index: RegionIndex,
        /// The reasons for [`Errno::BUSY`].
        busy: Busy,
    },
    /// The kernel refused a call.
    Refused {
        /// The call.
        call: Call,
        /// The errno of the call.
        errno: Errno,
        /// The region of the call.
        index: RegionIndex,
    },
    /// The kernel refused a call because of a property of the BAR.
    Unsuitable {
        /// The call.
        call: Call,
        /// The errno of the call.
        errno: Errno,
        /// The BAR of the call.
        bar: Bar,
        /// The property.
        why: Unsuitable,
    },
    /// The part to be mapped is not within the region, or does not consist of whole pages.
    OutsideRegion(RegionIndex),
    /// The region has changed since the device was asked for it: it was destroyed, has another type, or
    /// belongs to another device.
    Changed(RegionIndex),
    /// Two parts of a layout of the BAR overlap.
    PartsOverlap(Bar),
    /// The kernel's answer makes no sense.
    Malformed(Malformed),
}

impl Error {
    /// Returns the errno, if the kernel gave one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Overlaps(_) => Some(Errno::EXIST),
            Self::Busy { .. } => Some(Errno::BUSY),
            Self::Refused { errno, .. } | Self::Unsuitable { errno, .. } => Some(*errno),
            Self::OutsideRegion(_)
            | Self::Changed(_)
            | Self::PartsOverlap(_)
            | Self::Malformed(_) => None,
        }
    }

    /// Returns the system call that failed, if one did.
    #[must_use]
    pub const fn call(&self) -> Option<Call> {
        match self {
            Self::Overlaps(_) => Some(Call::Create),
            Self::Busy { call, .. }
            | Self::Refused { call, .. }
            | Self::Unsuitable { call, .. } => Some(*call),
            Self::OutsideRegion(_)
            | Self::Changed(_)
            | Self::PartsOverlap(_)
            | Self::Malformed(_) => None,
        }
    }

    /// Returns whether the driver of the device has no subregions, as vfio-pci.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Refused { call, errno: Errno::NOTTY, .. } if call.is_own())
    }

    /// Returns whether the range may consist of pages of a size that this kernel does not have.
    const fn is_about_pages(&self) -> bool {
        matches!(
            self,
            Self::OutsideRegion(_)
                | Self::Refused {
                    call: Call::Create | Call::DmaBuf | Call::Mmap,
                    errno: Errno::INVAL,
                    ..
                }
        )
    }

    /// Returns what to do about the error, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        let (call, errno) = match self {
            Self::Refused { call, errno, .. } => (call, errno),
            Self::Busy { busy, .. } => return busy.advice(),
            Self::Unsuitable { why, .. } => return Some(why.advice()),
            Self::Overlaps(_) => return Some("use that subregion, or destroy it first"),
            Self::Changed(_) => return Some("list the regions of the device again"),
            Self::PartsOverlap(_) => return Some("make the parts of the layout disjoint"),
            Self::OutsideRegion(_) => {
                return Some("stay within the region, and begin at a multiple of the page size")
            }
            Self::Malformed(_) => return Some("this is a driver bug; please report it"),
        };
        Some(match (call, *errno) {
            (call, Errno::NOTTY) if call.is_own() => {
                "the driver has no subregions: bind the device to subregion_vfio_pci"
            }
            (Call::DeviceInfo | Call::RegionInfo, Errno::NOTTY) => {
                "the file is no VFIO device: open it by its group, or in /dev/vfio/devices"
            }
            (Call::Create, Errno::INVAL) => {
                "the range must be whole pages of a memory BAR that can be mapped"
            }
            (Call::SetAttr, Errno::INVAL) => "it must be a memory BAR that can be mapped",
            (Call::Query, Errno::INVAL) => "ask about a BAR or a subregion",
            (Call::RegionInfo, Errno::INVAL) => {
                "there is no such region: ask the device for its regions"
            }
            (Call::Create | Call::SetAttr, Errno::PERM) => {
                "the MSI-X table is in the range and has to stay strict: leave its page out"
            }
            (Call::Create | Call::SetAttr, Errno::BUSY) => {
                "this version of the driver does not say what is in the way: see the causes of \
                 EBUSY in vfio_subregion.h"
            }
            (Call::Create | Call::SetAttr, Errno::OPNOTSUPP) => {
                "this machine cannot give that type (nopat?), or the BAR exceeds 512 GiB"
            }
            (Call::Create, Errno::NOSPC) => {
                "destroy subregions that are not needed, and unmap those that were destroyed"
            }
            (Call::Export, Errno::NOENT) => "only a subregion that exists can be exported",
            (Call::DmaBuf, Errno::NODEV) => {
                "only a subregion that exists can be a dma-buf, and the driver must know of these"
            }
            (Call::DmaBuf, Errno::NOTTY) => {
                "the kernel makes no dma-bufs of device memory (CONFIG_VFIO_PCI_DMABUF)"
            }
            (Call::DmaBuf, Errno::INVAL) => {
                "the part must be whole pages of the region, and there must be some"
            }
            (Call::Export | Call::DmaBuf, Errno::MFILE) => "close files, or raise RLIMIT_NOFILE",
            (Call::Ioeventfd, Errno::EXIST) => {
                "there is one with this offset, value and width: remove it first"
            }
            (Call::Ioeventfd, Errno::NODEV) => {
                "there is none with this offset, value and width, or it was removed before"
            }
            (Call::Ioeventfd, Errno::INVAL) => {
                "the word must be aligned, in a memory BAR, and not in the MSI-X table"
            }
            (Call::Ioeventfd, Errno::NOSPC) => "remove others that are not needed",
            (Call::Ioeventfd, Errno::BUSY) => {
                "another mapping, such as resourceN_wc in sysfs, decides the type of the page: end it"
            }
            (Call::Mmap, Errno::ACCESS) => {
                "the export is read-only: read it by read(), or export it for reading and writing"
            }
            (Call::Mmap | Call::Read | Call::Write, Errno::NODEV) => {
                "the subregion was destroyed, or its owner has closed the device"
            }
            (Call::Destroy, Errno::BUSY) => {
                "an ioeventfd writes to a page of the subregion: remove it first"
            }
            (Call::Destroy, Errno::NOENT) => {
                "there is no such subregion, or it was destroyed before"
            }
            (Call::Mmap, Errno::INVAL) => {
                "the region cannot be mapped, or was destroyed, or the part does not begin with a page"
            }
            (Call::Read | Call::Write, Errno::IO) => {
                "the device's memory cannot be accessed: Memory Space is off, or its power is low"
            }
            (_, Errno::NOMEM) => {
                "memory or address space is used up, or a limit on it (RLIMIT_AS, cgroup)"
            }
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
                Call::Create
            )?,
            Self::Busy { call, index, busy } => {
                write_call(f, *call, *index)?;
                write!(f, ": {busy} (EBUSY)")?;
            }
            Self::Refused { call, errno, index } => {
                write_call(f, *call, *index)?;
                write!(f, ": {errno}")?;
            }
            Self::Unsuitable { call, bar, why, .. } => {
                write_call(f, *call, RegionIndex::from(*bar))?;
                write!(f, ": {why}")?;
            }
            Self::OutsideRegion(index) => {
                write!(
                    f,
                    "that part of region {index} does not exist or is not of whole pages"
                )?;
            }
            Self::Changed(index) => write!(f, "region {index} has changed")?,
            Self::PartsOverlap(bar) => write!(f, "parts of the layout of BAR {bar} overlap")?,
            Self::Malformed(malformed) => malformed.fmt(f)?,
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        if self.is_about_pages() {
            write!(f, "; a page has {:#x} bytes", rustix::param::page_size())?;
        }
        Ok(())
    }
}

/// Writes the call and the region that it was about.
fn write_call(f: &mut fmt::Formatter<'_>, call: Call, index: RegionIndex) -> fmt::Result {
    write!(f, "{call}")?;
    match (call, Bar::from_index(index)) {
        (Call::DeviceInfo, _) => Ok(()),
        (_, Some(bar)) => write!(f, " of BAR {bar}"),
        (_, None) => write!(f, " of region {index}"),
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
    /// The access is not entirely within the mapping.
    OutOfBounds,
    /// The offset is not a multiple of the size of the access.
    Unaligned,
    /// The view is for another memory type than that of the mapping.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn refused(call: Call, errno: Errno, index: u32) -> Error {
        Error::Refused {
            call,
            errno,
            index: RegionIndex(index),
        }
    }

    // contract: userspace.errors
    #[test]
    fn the_text_has_the_call_its_object_and_the_errno() {
        let text = refused(Call::Create, Errno::PERM, 2).to_string();
        assert!(
            text.starts_with("VFIO_SUBREGION_CREATE of BAR 2: "),
            "{text}"
        );
        assert!(text.contains("(os error 1)"), "{text}");
        let text = refused(Call::Destroy, Errno::NOENT, 9).to_string();
        assert!(
            text.starts_with("VFIO_SUBREGION_DESTROY of region 9: "),
            "{text}"
        );
        let text = refused(Call::DeviceInfo, Errno::NODEV, 0).to_string();
        assert!(text.starts_with("VFIO_DEVICE_GET_INFO: "), "{text}");
    }

    // contract: userspace.errors
    #[test]
    fn an_error_about_pages_says_their_size() {
        let size = std::format!("; a page has {:#x} bytes", rustix::param::page_size());
        for error in [
            refused(Call::Create, Errno::INVAL, 2),
            refused(Call::DmaBuf, Errno::INVAL, 2),
            refused(Call::Mmap, Errno::INVAL, 2),
            Error::OutsideRegion(RegionIndex(9)),
        ] {
            assert!(error.to_string().ends_with(&size), "{error}");
        }
        for error in [
            refused(Call::Create, Errno::PERM, 2),
            refused(Call::SetAttr, Errno::INVAL, 2),
        ] {
            assert!(!error.to_string().contains(&size), "{error}");
        }
    }

    // contract: userspace.errors
    #[test]
    fn every_errno_of_the_interface_comes_with_advice() {
        for (call, errno) in [
            (Call::Create, Errno::INVAL),
            (Call::Create, Errno::BUSY),
            (Call::Create, Errno::OPNOTSUPP),
            (Call::Create, Errno::PERM),
            (Call::Create, Errno::NOSPC),
            (Call::Create, Errno::NOTTY),
            (Call::Create, Errno::NOMEM),
            (Call::Destroy, Errno::NOENT),
            (Call::Destroy, Errno::NOTTY),
            (Call::Export, Errno::NOENT),
            (Call::Export, Errno::MFILE),
            (Call::Export, Errno::NOTTY),
            (Call::Ioeventfd, Errno::BUSY),
            (Call::Ioeventfd, Errno::EXIST),
            (Call::Ioeventfd, Errno::INVAL),
            (Call::Ioeventfd, Errno::NODEV),
            (Call::Ioeventfd, Errno::NOSPC),
            (Call::Mmap, Errno::ACCESS),
            (Call::Mmap, Errno::NODEV),
            (Call::Query, Errno::INVAL),
            (Call::Query, Errno::NOTTY),
            (Call::SetAttr, Errno::INVAL),
            (Call::SetAttr, Errno::BUSY),
            (Call::SetAttr, Errno::OPNOTSUPP),
            (Call::SetAttr, Errno::PERM),
            (Call::SetAttr, Errno::NOTTY),
            (Call::DeviceInfo, Errno::NOTTY),
            (Call::RegionInfo, Errno::INVAL),
            (Call::RegionInfo, Errno::NOTTY),
            (Call::Mmap, Errno::INVAL),
            (Call::Mmap, Errno::NOMEM),
            (Call::Read, Errno::IO),
            (Call::Write, Errno::IO),
        ] {
            let error = refused(call, errno, 2);
            let advice = error.advice().unwrap();
            assert!(error.to_string().contains(&std::format!("; {advice}")));
        }
        for error in [
            Error::Overlaps(RegionIndex(9)),
            Error::Changed(RegionIndex(9)),
            Error::PartsOverlap(Bar::ALL[2]),
            Error::OutsideRegion(RegionIndex(9)),
            Error::Malformed(Malformed),
        ] {
            let advice = error.advice().unwrap();
            assert!(error.to_string().contains(&std::format!("; {advice}")));
        }
        // For other errors there is only the kernel's own text.
        assert_eq!(refused(Call::Create, Errno::FAULT, 2).advice(), None);
    }

    // contract: userspace.other-driver
    #[test]
    fn only_an_unknown_ioctl_of_this_interface_means_that_there_is_none() {
        assert!(refused(Call::Query, Errno::NOTTY, 2).is_unsupported());
        assert!(!refused(Call::RegionInfo, Errno::NOTTY, 2).is_unsupported());
        assert!(!refused(Call::Query, Errno::INVAL, 2).is_unsupported());
        assert!(!Error::Overlaps(RegionIndex(9)).is_unsupported());
    }

    // contract: userspace.errors
    #[test]
    fn an_io_error_keeps_the_kind_and_the_text() {
        let error = refused(Call::Destroy, Errno::NOENT, 9);
        let io = std::io::Error::from(error);
        assert_eq!(io.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(io.to_string(), error.to_string());
        let io = std::io::Error::from(Error::Malformed(Malformed));
        assert_eq!(io.kind(), std::io::ErrorKind::InvalidData);
    }

    // contract: userspace.errors
    #[test]
    fn the_text_of_ebusy_has_the_reason() {
        let error = Error::Busy {
            call: Call::SetAttr,
            index: RegionIndex(2),
            busy: Busy::MAPPED,
        };
        let want = "VFIO_REGION_SET_ATTR of BAR 2: the BAR is mapped (EBUSY); unmap it first, in \
                    every process";
        assert_eq!(error.to_string(), want);
        assert_eq!(error.errno(), Some(Errno::BUSY));
        assert_eq!(error.call(), Some(Call::SetAttr));
    }

    // contract: userspace.messages
    #[test]
    fn the_text_for_a_bar_of_a_framebuffer_has_advice() {
        let error = Error::Busy {
            call: Call::Create,
            index: RegionIndex(0),
            busy: Busy::BAR,
        };
        let want =
            "VFIO_SUBREGION_CREATE of BAR 0: another driver (such as one for a framebuffer) \
                    had the BAR when the device was opened (EBUSY); end it and open the device \
                    again";
        assert_eq!(error.to_string(), want);
    }

    // contract: userspace.errors
    #[test]
    fn an_overlap_is_an_eexist_of_create() {
        let error = Error::Overlaps(RegionIndex(9));
        assert_eq!(error.errno(), Some(Errno::EXIST));
        assert_eq!(error.call(), Some(Call::Create));
        assert!(error.to_string().contains("overlaps subregion 9"));
    }
}
