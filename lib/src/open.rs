// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Opening of a device, and what a driver needs before its first register: configuration space.

mod why;

pub(crate) use self::why::no_dma;
pub use self::why::SetupError;

use self::why::Step;
use crate::{
    bindings as abi,
    raw::{self, Setup},
    Address, Device, Error, RegionIndex,
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{access, open, Access, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::CString,
    format,
    path::{Path, PathBuf},
    string::ToString,
    sync::Mutex,
};
use zerocopy::IntoBytes;

// Offsets and bits of configuration space.
const COMMAND: u64 = 4;
const MEMORY_AND_MASTER: u16 = 0x6;
const CLASS_REVISION: u64 = 8;

/// The container or the iommufd that maps memory for DMA.
#[derive(Debug)]
pub(crate) enum Translation {
    /// The container of the group, and the group, which must stay open.
    Container { container: OwnedFd, _group: OwnedFd },
    /// An iommufd, and the address space that the first mapping makes.
    Iommufd {
        iommufd: OwnedFd,
        space: Mutex<Option<u32>>,
    },
}

/// A device that this crate has opened.
///
/// [`Opened::device`] gives the calls for its regions. Memory for DMA ([`Opened::dma`]) and interrupts
/// ([`Opened::interrupts`]) borrow it. It closes the device when it is dropped.
///
/// ```no_run
/// # use vfio_subregion::{Attribute, Bar, ByteRange, Irq, Opened};
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let opened = Opened::new(&"0000:01:00.0".parse()?)?;
/// opened.enable()?;
/// let memory = opened.dma(1 << 32, 64 << 10)?;
/// let interrupts = opened.interrupts(Irq::Msix, 1)?;
/// let registers = opened.device().map(&opened.device().region(Bar::ALL[0])?)?;
/// registers.registers()?.write::<u64>(0x10, memory.iova(0))?;
/// interrupts[0].wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Opened {
    file: OwnedFd,
    pub(crate) translation: Translation,
}

fn open_file(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

fn usable(path: &Path) -> bool {
    access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}

impl Opened {
    /// Opens a device by its group or, if the kernel has no groups or the caller may not use the file
    /// of this one, by the device's own file.
    ///
    /// # Errors
    ///
    /// A text that says what failed, why, and what to do.
    pub fn new(address: &Address) -> Result<Self, SetupError> {
        let by_group = address
            .group()
            .is_some_and(|group| usable(&Path::new("/dev/vfio").join(group)));
        match address.vfio_file() {
            Some(file) if !by_group && usable(&file) && usable(Path::new("/dev/iommu")) => {
                Self::by_file(&file)
            }
            _ => Self::by_group(address),
        }
    }

    /// Opens a device by its group, in a container of its own, also without an IOMMU.
    ///
    /// # Errors
    ///
    /// As [`Opened::new`].
    pub fn by_group(address: &Address) -> Result<Self, SetupError> {
        let failed = |step| move |errno| why::why(address, step, errno);
        let (file, kind) = group_file(address)
            .ok_or_else(|| why::why(address, Step::Group(Path::new("")), Errno::NOENT))?;
        let group = open_file(&file).map_err(failed(Step::Group(&file)))?;
        let mut status = abi::vfio_group_status::default();
        raw::setup(group.as_fd(), Setup::GroupStatus, status.as_mut_bytes())
            .map_err(failed(Step::Status))?;
        if status.flags & abi::VFIO_GROUP_FLAGS_VIABLE == 0 {
            return Err(why::why(address, Step::Viable, Errno::PERM));
        }
        let container = open_file(Path::new("/dev/vfio/vfio")).map_err(failed(Step::Container))?;
        raw::set_container(group.as_fd(), container.as_fd())
            .and_then(|()| raw::set_iommu(container.as_fd(), kind))
            .map_err(failed(Step::Iommu))?;
        let name = CString::new(address.to_string()).unwrap_or_default();
        let file = raw::device_file(group.as_fd(), &name).map_err(failed(Step::Device))?;
        Ok(Self {
            file,
            translation: Translation::Container {
                container,
                _group: group,
            },
        })
    }

    /// Opens a device by its own file, such as `/dev/vfio/devices/vfio0` ([`Address::vfio_file`]), with
    /// an iommufd for its DMA.
    ///
    /// # Errors
    ///
    /// As [`Opened::new`].
    pub fn by_file(path: &Path) -> Result<Self, SetupError> {
        let file = open_file(path).map_err(|errno| why::file(path, errno))?;
        let iommu = Path::new("/dev/iommu");
        let iommufd = open_file(iommu).map_err(|errno| why::file(iommu, errno))?;
        raw::bind_iommufd(file.as_fd(), iommufd.as_fd()).map_err(|errno| {
            SetupError::new(
                errno,
                format_args!("{} cannot be bound to an iommufd: {errno}", path.display()),
            )
        })?;
        Ok(Self {
            file,
            translation: Translation::Iommufd {
                iommufd,
                space: Mutex::new(None),
            },
        })
    }

    /// Returns the device, for the calls of its regions.
    #[must_use]
    pub fn device(&self) -> Device<BorrowedFd<'_>> {
        Device::new(self.file.as_fd())
    }

    /// Reads bytes of configuration space, which are little-endian.
    ///
    /// # Errors
    ///
    /// As [`Device::read`].
    pub fn read_config(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let device = self.device();
        let config = device.region(RegionIndex::CONFIG)?;
        let read = device.read(&config, offset, bytes)?;
        whole(read, bytes.len())
    }

    /// Writes bytes of configuration space.
    ///
    /// # Errors
    ///
    /// As [`Opened::read_config`].
    pub fn write_config(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let device = self.device();
        let config = device.region(RegionIndex::CONFIG)?;
        let written = device.write(&config, offset, bytes)?;
        whole(written, bytes.len())
    }

    /// Enables accesses to the memory of the device, and its DMA.
    ///
    /// After VFIO has opened a device, its memory can be accessed, and its DMA is disabled. MSI and
    /// MSI-X are writes by the device, so they need this call too.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if configuration space cannot be read or written.
    pub fn enable(&self) -> Result<(), Error> {
        let mut command = [0; 2];
        self.read_config(COMMAND, &mut command)?;
        let command = u16::from_le_bytes(command) | MEMORY_AND_MASTER;
        self.write_config(COMMAND, &command.to_le_bytes())
    }

    /// Returns the PCI device id (high half) and vendor id (low half).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if configuration space cannot be read.
    pub fn id(&self) -> Result<u32, Error> {
        self.config(0)
    }

    /// Returns the PCI class, subclass and programming interface.
    ///
    /// # Errors
    ///
    /// As [`Opened::id`].
    pub fn class(&self) -> Result<u32, Error> {
        Ok(self.config(CLASS_REVISION)? >> 8)
    }

    fn config(&self, offset: u64) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.read_config(offset, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// Fails unless all bytes were moved. The kernel stops only at the end of configuration space.
fn whole(moved: usize, asked: usize) -> Result<(), Error> {
    if moved == asked {
        Ok(())
    } else {
        Err(Error::OutsideRegion(RegionIndex::CONFIG))
    }
}

/// The file of the group, and the kind of IOMMU. Without an IOMMU it has another name.
fn group_file(address: &Address) -> Option<(PathBuf, u32)> {
    let group = address.group()?;
    let file = Path::new("/dev/vfio").join(&group);
    let without = Path::new("/dev/vfio").join(format!("noiommu-{group}"));
    if !file.exists() && without.exists() {
        return Some((without, abi::VFIO_NOIOMMU_IOMMU));
    }
    Some((file, abi::VFIO_TYPE1v2_IOMMU))
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
