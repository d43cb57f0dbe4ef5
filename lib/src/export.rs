// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Files for single subregions.

use crate::{
    mapping::Mapping,
    raw::Memory,
    Call,
    Error,
    Region, //
};
use rustix::{
    fd::{
        AsFd,
        BorrowedFd,
        OwnedFd, //
    },
    fs::OFlags,
    io::Errno, //
};

/// What may be done with an [`Export`].
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
    region: Region,
}

impl Export {
    pub(crate) const fn new(fd: OwnedFd, region: Region) -> Self {
        Self { fd, region }
    }

    /// Makes an export of a file that another process has sent, and of what it said of the region.
    ///
    /// The kernel is not asked: a sender that names another attribute makes [`Mapping`] offer the wrong
    /// view. That harms no memory.
    #[must_use]
    pub const fn from_parts(fd: OwnedFd, region: Region) -> Self {
        Self::new(fd, region)
    }

    /// What the owner of the device knows of the subregion.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// Maps the whole subregion, for reading and writing.
    ///
    /// # Errors
    ///
    /// The kernel's; ENODEV when the export has ended, EACCES when it is read-only.
    pub fn map(&self) -> Result<Mapping, Error> {
        let outside = Error::OutsideRegion(self.region.index);
        let size = usize::try_from(self.region.size).map_err(|_| outside)?;
        let memory = Memory::map(self.as_fd(), 0, size, self.region.file_offset)
            .map_err(self.refused(Call::Mmap))?;
        Ok(Mapping::new(memory, self.region.attribute))
    }

    /// Reads by `pread()`; returns how many bytes.
    ///
    /// # Errors
    ///
    /// The kernel's; ENODEV when the export has ended.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        rustix::io::pread(&self.fd, bytes, offset).map_err(self.refused(Call::Read))
    }

    /// Writes by `pwrite()`; returns how many bytes.
    ///
    /// # Errors
    ///
    /// The kernel's; ENODEV when the export has ended, EBADF when it is read-only.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<usize, Error> {
        rustix::io::pwrite(&self.fd, bytes, offset).map_err(self.refused(Call::Write))
    }

    fn refused(&self, call: Call) -> impl FnOnce(Errno) -> Error {
        let index = self.region.index;
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
