// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! All unsafe code of the crate: ioctls and mappings here, accesses, copies and fences below.

#![allow(unsafe_code, reason = "this is where it is")]

mod access;
mod fences;
mod lines;
mod setup;
#[cfg(feature = "vfio-ioctls")]
mod vfio_ioctls;
mod views;

#[cfg(feature = "vfio-ioctls")]
pub use self::vfio_ioctls::VfioFile;
pub(crate) use self::{
    access::Access,
    lines::{Routines, LINE},
    setup::{bind_iommufd, device_file, set_container, set_iommu, setup, Pages, Setup},
    views::{CopyTarget, Place, Slots},
};
pub use self::{
    fences::{flush_stores, order_loads, order_stores},
    lines::LineStore,
};

use crate::{bindings as abi, Call, Word};
use core::{
    alloc::Layout,
    ffi::c_void,
    ptr::{self, NonNull},
};
use rustix::{
    fd::{BorrowedFd, FromRawFd, OwnedFd},
    io,
    ioctl::{ioctl, opcode, Ioctl, IoctlOutput, Opcode},
    mm::{mmap, mmap_anonymous, munmap, MapFlags, ProtFlags},
};
use std::alloc::{alloc_zeroed, dealloc};
use zerocopy::IntoBytes;

/// The size that the address and the file offset of a mapping of `size` bytes should agree modulo, so
/// that the kernel can use its largest entries. One entry maps what a table of pages does, 2 MiB if a
/// page has 4 KiB, or 1 GiB once the kernel's memory management can split such entries.
fn alignment(size: usize) -> usize {
    let page = rustix::param::page_size();
    let table = page / size_of::<u64>() * page;
    [1 << 30, table]
        .into_iter()
        .find(|&huge| size >= huge)
        .unwrap_or(1)
}

/// An ioctl whose argument begins with its own length.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Request {
    Create,
    Destroy,
    Query,
    SetAttr,
    Export,
    DeviceInfo,
    RegionInfo,
    Ioeventfd,
}

impl Request {
    /// Its name for errors.
    pub(crate) const fn call(self) -> Call {
        match self {
            Self::Create => Call::Create,
            Self::Destroy => Call::Destroy,
            Self::Query => Call::Query,
            Self::SetAttr => Call::SetAttr,
            Self::Export => Call::Export,
            Self::DeviceInfo => Call::DeviceInfo,
            Self::RegionInfo => Call::RegionInfo,
            Self::Ioeventfd => Call::Ioeventfd,
        }
    }

    const fn opcode(self) -> Opcode {
        const OWN: u8 = byte(abi::VFIO_SUBREGION_IOC);
        const VFIO: u8 = abi::VFIO_TYPE;
        let (group, number) = match self {
            Self::Create => (OWN, abi::VFIO_SUBREGION_CREATE_NR),
            Self::Destroy => (OWN, abi::VFIO_SUBREGION_DESTROY_NR),
            Self::Query => (OWN, abi::VFIO_SUBREGION_QUERY_NR),
            Self::SetAttr => (OWN, abi::VFIO_REGION_SET_ATTR_NR),
            Self::Export => (OWN, abi::VFIO_SUBREGION_EXPORT_NR),
            Self::DeviceInfo => (VFIO, abi::VFIO_DEVICE_GET_INFO_NR),
            Self::RegionInfo => (VFIO, abi::VFIO_DEVICE_GET_REGION_INFO_NR),
            Self::Ioeventfd => (VFIO, abi::VFIO_DEVICE_IOEVENTFD_NR),
        };
        opcode::none(group, byte(number))
    }
}

/// Makes `value` a field of an ioctl number.
const fn byte(value: u32) -> u8 {
    assert!(value <= 0xff);
    value.to_le_bytes()[0]
}

struct Argument<'a> {
    opcode: Opcode,
    bytes: &'a mut [u8],
}

// SAFETY: the ioctls of Request and of setup.rs write only to the argument, and at most as many bytes
// as its first field says, which `perform()` sets to the length of `bytes`. They return nothing else. A
// file that is not VFIO's or an iommufd does not know them: the numbers of the type ';' are theirs, and
// the kernel's list of types (Documentation/userspace-api/ioctl/ioctl-number.rst) has no other user of
// 0xD5.
unsafe impl Ioctl for Argument<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.bytes.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> io::Result<()> {
        Ok(())
    }
}

/// Performs `request` on a device file. `bytes` is the argument; this sets its argsz.
pub(crate) fn request(fd: BorrowedFd<'_>, request: Request, bytes: &mut [u8]) -> io::Result<()> {
    perform(fd, request.opcode(), bytes)
}

/// Performs an ioctl whose output [`Argument`] describes.
fn perform(fd: BorrowedFd<'_>, opcode: Opcode, bytes: &mut [u8]) -> io::Result<()> {
    let size = u32::try_from(bytes.len()).map_err(|_| io::Errno::INVAL)?;
    bytes
        .get_mut(..size_of::<u32>())
        .ok_or(io::Errno::INVAL)?
        .copy_from_slice(&size.to_ne_bytes());
    // SAFETY: the argument lives through the call and is as long as its argsz says.
    unsafe { ioctl(fd, Argument { opcode, bytes }) }
}

/// Performs `VFIO_SUBREGION_EXPORT` with these flags of `open()`.
pub(crate) fn export(device: BorrowedFd<'_>, index: u32, open_flags: u32) -> io::Result<OwnedFd> {
    let mut export = abi::vfio_subregion_export {
        index,
        open_flags,
        fd: -1,
        ..Default::default()
    };
    request(device, Request::Export, export.as_mut_bytes())?;
    if export.fd < 0 {
        return Err(io::Errno::BADF);
    }
    // SAFETY: the kernel has just opened it for this call, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(export.fd) })
}

/// `VFIO_DEVICE_FEATURE_DMA_BUF`, which older headers lack.
const FEATURE_DMA_BUF: u32 = 11;

/// The argument of `VFIO_DEVICE_FEATURE` for a dma-buf of one range.
#[repr(C)]
struct DmaBuf {
    argsz: u32,
    feature: u32,
    index: u32,
    open_flags: u32,
    flags: u32,
    ranges: u32,
    range: [u64; 2],
}

const DMA_BUF_SIZE: u32 = 40;
const _: () = assert!(size_of::<DmaBuf>() == 40);

// SAFETY: the kernel only reads the argument, which is as long as its argsz says. It returns a file
// descriptor that it has just opened. VFIO alone uses this number, as above.
unsafe impl Ioctl for DmaBuf {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::none(abi::VFIO_TYPE, byte(abi::VFIO_DEVICE_FEATURE_NR))
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::from_mut(self).cast()
    }

    unsafe fn output_from_ptr(fd: IoctlOutput, _: *mut c_void) -> io::Result<OwnedFd> {
        // SAFETY: the kernel has just opened it for this call, so nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Performs `VFIO_DEVICE_FEATURE_DMA_BUF` for `range`, an offset and a size, with these flags of
/// `open()`.
pub(crate) fn dma_buf(
    device: BorrowedFd<'_>,
    index: u32,
    range: [u64; 2],
    open_flags: u32,
) -> io::Result<OwnedFd> {
    let argument = DmaBuf {
        argsz: DMA_BUF_SIZE,
        feature: abi::VFIO_DEVICE_FEATURE_GET | FEATURE_DMA_BUF,
        index,
        open_flags,
        flags: 0,
        ranges: 1,
        range,
    };
    // SAFETY: the argument lives through the call.
    unsafe { ioctl(device, argument) }
}

/// A shared mapping of a device file, or memory in its place; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The start of a page.
    base: NonNull<u8>,
    size: usize,
    /// How it was allocated, if it is no mapping.
    allocated: Option<Layout>,
}

// SAFETY: munmap() and dealloc() can be called by any thread, and nothing here belongs to the thread
// that made it.
unsafe impl Send for Memory {}
// SAFETY: through `&Memory` there are only the accesses of views.rs, each of one instruction, to memory
// that no Rust reference points into. Another thread or the device may access it at the same time, and
// whatever is read is a valid Word.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `size` bytes of the file from `offset` on, at an address that agrees with `place`.
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        offset: u64,
        size: usize,
        place: u64,
    ) -> io::Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let anywhere = || {
            // SAFETY: with no address given the kernel takes free ones.
            let base = unsafe { mmap(ptr::null_mut(), size, prot, MapFlags::SHARED, fd, offset) }?;
            Self::mapped(base, size)
        };
        let align = alignment(size);
        let room = size.checked_add(align - 1).ok_or(io::Errno::NOMEM)?;
        let phase = usize::try_from(place % align as u64).map_err(|_| io::Errno::INVAL)?;
        // SAFETY: with no address given the kernel takes free ones.
        let hole =
            unsafe { mmap_anonymous(ptr::null_mut(), room, ProtFlags::empty(), MapFlags::PRIVATE) };
        let Ok(hole) = hole else {
            return anywhere();
        };
        // The distance from the start of the hole to the first address that agrees with `place`.
        let skip = phase.wrapping_sub(hole.addr()) & (align - 1);
        let base = hole.wrapping_byte_add(skip);
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: skip < align, and the kernel refuses a skip that is not a multiple of the page size,
        // so this replaces pages of the hole only, which nothing else uses.
        let mapped = unsafe { mmap(base, size, prot, flags, fd, offset) };
        let Ok(base) = mapped else {
            // A limit can forbid the hole, or hole and mapping, and still permit the mapping alone.
            // SAFETY: the hole is this function's alone.
            let _ = unsafe { munmap(hole, room) };
            return anywhere();
        };
        // Unmap the rest of the hole; munmap takes whole pages only.
        let page = rustix::param::page_size();
        let end = (skip + size).next_multiple_of(page);
        if skip > 0 {
            // SAFETY: the hole is this function's alone, and the mapping begins at `skip`.
            let _ = unsafe { munmap(hole, skip) };
        }
        if end < room {
            // SAFETY: the hole is this function's alone, and the mapping ends before `end`.
            let _ = unsafe { munmap(hole.wrapping_byte_add(end), room - end) };
        }
        Self::mapped(base, size)
    }

    fn mapped(base: *mut c_void, size: usize) -> io::Result<Self> {
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(io::Errno::NOMEM)?,
            size,
            allocated: None,
        })
    }

    /// Allocates zeroed memory of the process; `None` if `size` is zero or there is none.
    pub(crate) fn allocate(size: usize) -> Option<Self> {
        const PAGE: usize = 4096;
        let layout = Layout::from_size_align(size, PAGE).ok()?;
        if size == 0 {
            return None;
        }
        // SAFETY: the size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        Some(Self {
            base: NonNull::new(base)?,
            size,
            allocated: Some(layout),
        })
    }

    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Whether it is memory of the process in place of a device's.
    pub(crate) const fn is_fake(&self) -> bool {
        self.allocated.is_some()
    }

    /// Whether `size` bytes from `offset` on are within the memory.
    #[inline]
    pub(crate) fn fits(&self, offset: usize, size: usize) -> bool {
        offset.checked_add(size).is_some_and(|end| end <= self.size)
    }

    /// Whether a `T` at `offset` can be accessed.
    #[inline]
    pub(crate) fn has<T>(&self, offset: usize) -> bool {
        // Not its alignment, which is 4 for a u64 on x86 of 32 bits.
        offset % size_of::<T>() == 0 && self.fits(offset, size_of::<T>())
    }

    /// The word at `offset`, if it can be accessed.
    #[inline]
    pub(crate) fn place<T: Word>(&self, offset: usize) -> Option<Place<'_, T>> {
        if !self.has::<T>(offset) {
            return None;
        }
        // SAFETY: has() said that offset + size is within the memory.
        let at = unsafe { self.base.add(offset) };
        Some(Place::new(at.cast(), self))
    }

    /// All of it, for copies by `routines`.
    pub(crate) fn copy_target(&self, routines: Routines) -> CopyTarget<'_> {
        CopyTarget::new(self, routines)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(layout) = self.allocated {
            // The memory may be used again at once, and a store of a line may still be on its way.
            flush_stores();
            // SAFETY: allocate() allocated it so, and all views of it borrow self.
            unsafe { dealloc(self.base.as_ptr(), layout) };
            return;
        }
        // SAFETY: the range was mapped by map(), and all views of it borrow self.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.size) };
    }
}
