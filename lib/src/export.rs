// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Files for single subregions.

use crate::{
    mapping::Mapping, raw::Memory, Attribute, Bar, ByteRange, Call, Error, Region, RegionIndex,
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::OFlags,
    io::Errno,
};

/// The access that an [`Export`] permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportAccess {
    /// Reading. The kernel refuses writable mappings, also later ones by `mprotect()`.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

impl ExportAccess {
    pub(crate) const fn open_flags(self) -> u32 {
        let access = match self {
            Self::ReadOnly => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
        };
        access.union(OFlags::CLOEXEC).bits()
    }
}

/// A file that leads to one subregion and to nothing else of the device.
///
/// [`Device::export`](crate::Device::export) makes one. Its file descriptor ([`AsFd`]) can be sent to
/// another process, which needs no other right to use it, and [`Export::from_parts`] makes an export of
/// what that process receives. The file does not keep the device open. It ends with the subregion and
/// with the last close of the device: a touch of its mappings raises SIGBUS, and calls fail with ENODEV.
///
/// ```no_run
/// # use vfio_subregion::{Attribute, Bar, ByteRange, Device, ExportAccess};
/// # fn example(device: std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::new(device);
/// const DOORBELL: ByteRange = ByteRange::new(0, 4096).unwrap();
/// let region = device.create(Bar::ALL[2], DOORBELL, Attribute::Device)?;
/// let export = device.export(&region, ExportAccess::ReadWrite)?;
/// let mapping = export.map()?;
/// mapping.registers()?.register::<u32>(0)?.write(1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Export {
    fd: OwnedFd,
    /// The region, for errors.
    index: RegionIndex,
    size: u64,
    /// The start of the subregion in the BAR, in the bits that matter to large page-table entries.
    place: u64,
    attribute: Option<Attribute>,
}

impl Export {
    pub(crate) const fn new(fd: OwnedFd, region: &Region) -> Self {
        Self {
            fd,
            index: region.index,
            size: region.size,
            place: region.file_offset,
            attribute: region.attribute,
        }
    }

    /// Makes an export of a file that another process has sent, and of what it said of the subregion:
    /// the BAR, the range in the BAR, and the attribute with which it was created.
    ///
    /// The function cannot verify these values: a sender that names another attribute makes
    /// [`Mapping`] offer the wrong view. That harms no memory. Errors of this export name the BAR.
    #[must_use]
    pub fn from_parts(fd: OwnedFd, bar: Bar, range: ByteRange, attribute: Attribute) -> Self {
        Self {
            fd,
            index: bar.into(),
            size: range.size(),
            place: range.offset(),
            attribute: Some(attribute),
        }
    }

    /// Returns the size of the subregion in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the attribute of the subregion; `None` if this crate does not know it.
    #[must_use]
    pub const fn attribute(&self) -> Option<Attribute> {
        self.attribute
    }

    /// Maps the whole subregion, for reading and writing.
    ///
    /// There is no mapping of a read-only export, because a store to a [`Mapping`] cannot fail;
    /// [`Export::read`] reads such an export.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: ENODEV if the export has ended, EACCES if it is read-only.
    pub fn map(&self) -> Result<Mapping, Error> {
        let outside = Error::OutsideRegion(self.index);
        let size = usize::try_from(self.size).map_err(|_| outside)?;
        let memory =
            Memory::map(self.as_fd(), 0, size, self.place).map_err(self.refused(Call::Mmap))?;
        Ok(Mapping::new(memory, self.attribute))
    }

    /// Reads by `pread()`; returns how many bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: ENODEV if the export has ended, EIO while memory accesses are disabled.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        rustix::io::pread(&self.fd, bytes, offset).map_err(self.refused(Call::Read))
    }

    /// Writes by `pwrite()`; returns how many bytes.
    ///
    /// # Errors
    ///
    /// As [`Export::read`], and EBADF if the export is read-only.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<usize, Error> {
        rustix::io::pwrite(&self.fd, bytes, offset).map_err(self.refused(Call::Write))
    }

    fn refused(&self, call: Call) -> impl FnOnce(Errno) -> Error {
        let index = self.index;
        move |errno| Error::Refused { call, errno, index }
    }
}

impl AsFd for Export {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Export> for OwnedFd {
    fn from(export: Export) -> Self {
        export.fd
    }
}
