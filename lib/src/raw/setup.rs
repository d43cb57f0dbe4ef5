// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Ioctls that open a device and set it up, and memory for its DMA.

use super::{byte, perform};
use crate::bindings as abi;
use core::{
    ffi::{c_int, c_void, CStr},
    ptr::{self, NonNull},
};
use rustix::{
    fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    io,
    ioctl::{ioctl, opcode, IntegerSetter, Ioctl, IoctlOutput, Opcode, Setter},
    mm::{mmap_anonymous, munmap, MapFlags, ProtFlags},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const fn vfio(number: u32) -> Opcode {
    opcode::none(abi::VFIO_TYPE, byte(number))
}

/// An ioctl whose argument begins with its own length, and that gives the kernel no address.
#[derive(Clone, Copy)]
pub(crate) enum Setup {
    GroupStatus,
    UnmapDma,
    IrqInfo,
    SetIrqs,
    BindIommufd,
    Attach,
    IoasAlloc,
    IoasUnmap,
}

impl Setup {
    const fn opcode(self) -> Opcode {
        vfio(match self {
            Self::GroupStatus => abi::VFIO_GROUP_GET_STATUS_NR,
            Self::UnmapDma => abi::VFIO_IOMMU_UNMAP_DMA_NR,
            Self::IrqInfo => abi::VFIO_DEVICE_GET_IRQ_INFO_NR,
            Self::SetIrqs => abi::VFIO_DEVICE_SET_IRQS_NR,
            Self::BindIommufd => abi::VFIO_DEVICE_BIND_IOMMUFD_NR,
            Self::Attach => abi::VFIO_DEVICE_ATTACH_IOMMUFD_PT_NR,
            // The type of iommufd's ioctls is VFIO's.
            Self::IoasAlloc => abi::IOMMU_IOAS_ALLOC_NR,
            Self::IoasUnmap => abi::IOMMU_IOAS_UNMAP_NR,
        })
    }
}

/// Performs `setup`. `bytes` is the argument; this sets its first field to its length.
pub(crate) fn setup(fd: BorrowedFd<'_>, setup: Setup, bytes: &mut [u8]) -> io::Result<()> {
    perform(fd, setup.opcode(), bytes)
}

/// Binds a device that was opened by its own file to an iommufd.
pub(crate) fn bind_iommufd(device: BorrowedFd<'_>, iommufd: BorrowedFd<'_>) -> io::Result<()> {
    let mut bind = abi::vfio_device_bind_iommufd {
        iommufd: iommufd.as_raw_fd(),
        ..Default::default()
    };
    setup(device, Setup::BindIommufd, bind.as_mut_bytes())
}

/// Puts a group into a container.
pub(crate) fn set_container(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> io::Result<()> {
    const OPCODE: Opcode = vfio(abi::VFIO_GROUP_SET_CONTAINER_NR);
    // SAFETY: the argument of this ioctl is a pointer to a descriptor.
    let set = unsafe { Setter::<OPCODE, c_int>::new(container.as_raw_fd()) };
    // SAFETY: the kernel only reads the argument, and another file does not know the ioctl.
    unsafe { ioctl(group, set) }
}

/// Chooses the kind of IOMMU of a container that has a group.
pub(crate) fn set_iommu(container: BorrowedFd<'_>, kind: u32) -> io::Result<()> {
    const OPCODE: Opcode = vfio(abi::VFIO_SET_IOMMU_NR);
    // SAFETY: the argument of this ioctl is a number.
    let set = unsafe { IntegerSetter::<OPCODE>::new_usize(kind as usize) };
    // SAFETY: no memory is involved, and another file does not know the ioctl.
    unsafe { ioctl(container, set) }
}

/// `VFIO_GROUP_GET_DEVICE_FD` of the device of this name.
struct DeviceFile<'a>(&'a CStr);

// SAFETY: the kernel reads the name up to its end, and returns a file descriptor that it has just
// opened. VFIO alone uses this number.
unsafe impl Ioctl for DeviceFile<'_> {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        vfio(abi::VFIO_GROUP_GET_DEVICE_FD_NR)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.as_ptr().cast_mut().cast()
    }

    unsafe fn output_from_ptr(fd: IoctlOutput, _: *mut c_void) -> io::Result<OwnedFd> {
        // SAFETY: the kernel has just opened it for this call, so nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Opens the device of this name in the group.
pub(crate) fn device_file(group: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name lives through the call.
    unsafe { ioctl(group, DeviceFile(name)) }
}

/// Whole pages of the process that nothing but [`Pages::get`] and [`Pages::put`] accesses, and devices.
#[derive(Debug)]
pub(crate) struct Pages {
    base: NonNull<c_void>,
    size: usize,
}

// SAFETY: munmap() can be called by any thread, and nothing here belongs to the thread that made it.
unsafe impl Send for Pages {}
// SAFETY: through `&Pages` there are only volatile accesses, of types for which all bytes are valid.
// Nothing else is promised about a value that another thread or the device stores at the same time.
unsafe impl Sync for Pages {}

impl Pages {
    /// Allocates `size` bytes of zeroes, rounded up to pages.
    pub(crate) fn new(size: usize) -> io::Result<Self> {
        let size = size
            .checked_next_multiple_of(rustix::param::page_size())
            .ok_or(io::Errno::NOMEM)?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: with no address given the kernel takes free ones.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), size, prot, flags) }?;
        let base = NonNull::new(base).ok_or(io::Errno::NOMEM)?;
        Ok(Self { base, size })
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// The address of a `T` at `offset`, if it is within the memory and aligned.
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        if offset % align_of::<T>() != 0 || end > self.size {
            return None;
        }
        Some(self.base.as_ptr().wrapping_byte_add(offset).cast())
    }

    pub(crate) fn get<T: FromBytes>(&self, offset: usize) -> Option<T> {
        let at = self.at::<T>(offset)?;
        // SAFETY: at() saw that it is within the mapping and aligned; all patterns are valid.
        Some(unsafe { at.read_volatile() })
    }

    pub(crate) fn put<T: IntoBytes + Immutable>(&self, offset: usize, value: T) -> Option<()> {
        let at = self.at::<T>(offset)?;
        // SAFETY: at() saw that it is within the mapping and aligned.
        unsafe { at.write_volatile(value) };
        Some(())
    }

    /// Maps the pages for the devices of a container. The kernel keeps them until they are unmapped,
    /// also after this value is gone.
    pub(crate) fn map_container(&self, container: BorrowedFd<'_>, iova: u64) -> io::Result<()> {
        let mut map = abi::vfio_iommu_type1_dma_map {
            flags: abi::VFIO_DMA_MAP_FLAG_READ | abi::VFIO_DMA_MAP_FLAG_WRITE,
            vaddr: self.base.addr().get() as u64,
            iova,
            size: self.size as u64,
            ..Default::default()
        };
        perform(
            container,
            vfio(abi::VFIO_IOMMU_MAP_DMA_NR),
            map.as_mut_bytes(),
        )
    }

    /// The same for the devices of an address space of an iommufd.
    pub(crate) fn map_ioas(&self, iommufd: BorrowedFd<'_>, ioas: u32, iova: u64) -> io::Result<()> {
        let mut map = abi::iommu_ioas_map {
            flags: abi::IOMMU_IOAS_MAP_FIXED_IOVA
                | abi::IOMMU_IOAS_MAP_READABLE
                | abi::IOMMU_IOAS_MAP_WRITEABLE,
            ioas_id: ioas,
            user_va: self.base.addr().get() as u64,
            length: self.size as u64,
            iova,
            ..Default::default()
        };
        perform(iommufd, vfio(abi::IOMMU_IOAS_MAP_NR), map.as_mut_bytes())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: new() mapped it, and nothing refers to it any more.
        let _ = unsafe { munmap(self.base.as_ptr(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: userspace.hardware
    #[test]
    fn a_value_is_read_back_from_memory_for_dma() {
        let pages = Pages::new(1).unwrap();
        assert_eq!(pages.size(), rustix::param::page_size());
        assert_eq!(pages.get::<u64>(8), Some(0));
        assert_eq!(pages.put(8, [1_u8, 2, 3]), Some(()));
        assert_eq!(pages.get::<u32>(8), Some(0x0003_0201));
        assert_eq!(pages.put(pages.size() - 8, u64::MAX), Some(()));
    }

    // contract: userspace.hardware
    #[test]
    fn an_access_outside_of_memory_for_dma_or_not_aligned_is_refused() {
        let pages = Pages::new(4096).unwrap();
        assert_eq!(pages.get::<u32>(2), None);
        assert_eq!(pages.get::<u64>(pages.size()), None);
        assert_eq!(pages.get::<[u8; 9]>(pages.size() - 8), None);
        assert_eq!(pages.put(usize::MAX, 0_u8), None);
        assert!(Pages::new(usize::MAX).is_err());
    }
}
