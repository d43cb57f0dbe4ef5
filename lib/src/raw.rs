// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! All the unsafe code of the crate: ioctls, mappings, volatile accesses and fences.

#![allow(unsafe_code, reason = "this is where it is")]

use crate::{
    bindings as abi,
    Call,
    Word, //
};
use core::{
    arch::asm,
    ffi::c_void,
    ptr::{
        self,
        NonNull, //
    },
};
use rustix::{
    fd::{
        BorrowedFd,
        FromRawFd,
        OwnedFd, //
    },
    io,
    ioctl::{
        ioctl,
        opcode,
        Ioctl,
        IoctlOutput,
        Opcode, //
    },
    mm::{
        mmap,
        mmap_anonymous,
        munmap,
        MapFlags,
        ProtFlags, //
    },
};
use zerocopy::IntoBytes;

const WORD: usize = size_of::<u64>();

/// Addresses that agree with the file offset in so many bytes let the kernel use its largest entries: of
/// 2 MiB now, of 1 GiB when its memory management can split them.
const HUGE: [usize; 2] = [1 << 30, 2 << 20];

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
}

impl Request {
    /// The call that it is, for errors.
    pub(crate) const fn call(self) -> Call {
        match self {
            Self::Create => Call::Create,
            Self::Destroy => Call::Destroy,
            Self::Query => Call::Query,
            Self::SetAttr => Call::SetAttr,
            Self::Export => Call::Export,
            Self::DeviceInfo => Call::DeviceInfo,
            Self::RegionInfo => Call::RegionInfo,
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
        };
        opcode::none(group, byte(number))
    }
}

/// The field of an ioctl number that `value` is for.
const fn byte(value: u32) -> u8 {
    assert!(value <= 0xff);
    value.to_le_bytes()[0]
}

struct Argument<'a> {
    request: Request,
    bytes: &'a mut [u8],
}

// SAFETY: all of these requests write to the argument only, and there at most as many bytes as its
// first field says; `request()` makes that the length of `bytes`. None returns anything else. A file
// that is no VFIO device does not know them: the numbers of the type ';' are VFIO's, and the kernel's
// list of types (Documentation/userspace-api/ioctl/ioctl-number.rst) has no other user of 0xD5.
unsafe impl Ioctl for Argument<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.request.opcode()
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.bytes.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> io::Result<()> {
        Ok(())
    }
}

/// Performs `request` on a device file; `bytes` is the argument, whose argsz is put in here.
pub(crate) fn request(fd: BorrowedFd<'_>, request: Request, bytes: &mut [u8]) -> io::Result<()> {
    let size = u32::try_from(bytes.len()).map_err(|_| io::Errno::INVAL)?;
    bytes
        .get_mut(..size_of::<u32>())
        .ok_or(io::Errno::INVAL)?
        .copy_from_slice(&size.to_ne_bytes());
    // SAFETY: the argument lives through the call and is as long as its argsz says.
    unsafe { ioctl(fd, Argument { request, bytes }) }
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

/// A shared mapping of a device file, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: munmap() can be called by any thread, and nothing here belongs to the thread that mapped.
unsafe impl Send for Memory {}
// SAFETY: through `&Memory` there are only volatile accesses, of memory that is outside of all Rust
// allocations and that no reference points into. What such an access does is the machine's to say, not
// the language's (core::ptr::read_volatile), also where another thread or the device makes one at the
// same time; and whatever is read is a valid Word.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `size` bytes of the file from `offset` on, at an address that agrees with `place`.
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        offset: u64,
        size: usize,
        place: u64,
    ) -> io::Result<Self> {
        let align = HUGE.into_iter().find(|&huge| size >= huge).unwrap_or(1);
        let room = size.checked_add(align - 1).ok_or(io::Errno::NOMEM)?;
        let phase = usize::try_from(place % align as u64).map_err(|_| io::Errno::INVAL)?;
        // SAFETY: with no address given the kernel takes free ones.
        let hole = unsafe {
            mmap_anonymous(ptr::null_mut(), room, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        // How far behind the hole's begin an address agrees with the place.
        let skip = phase.wrapping_sub(hole.addr()) & (align - 1);
        let base = hole.wrapping_byte_add(skip);
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: skip < align, and where it is not a multiple of the page size the kernel refuses,
        // so that all of what is replaced is in the hole, which nobody else knows of.
        let mapped = unsafe { mmap(base, size, prot, flags, fd, offset) };
        let base = match mapped {
            Ok(base) => base,
            Err(errno) => {
                // SAFETY: the hole is this function's alone.
                let _ = unsafe { munmap(hole, room) };
                return Err(errno);
            }
        };
        // What is left of the hole around the mapping; munmap takes whole pages only.
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
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(io::Errno::NOMEM)?,
            size,
        })
    }

    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Whether `size` bytes from `offset` on are within the memory.
    #[inline]
    pub(crate) fn fits(&self, offset: usize, size: usize) -> bool {
        offset.checked_add(size).is_some_and(|end| end <= self.size)
    }

    /// Whether a `T` at `offset` can be accessed.
    #[inline]
    pub(crate) fn has<T>(&self, offset: usize) -> bool {
        offset % align_of::<T>() == 0 && self.fits(offset, size_of::<T>())
    }

    /// Reads a `T` at `offset`.
    ///
    /// # Panics
    ///
    /// When [`Self::has`] is false: its callers have asked.
    #[inline]
    pub(crate) fn read<T: Word>(&self, offset: usize) -> T {
        assert!(self.has::<T>(offset));
        // SAFETY: offset + size is within the mapping.
        let at = unsafe { self.base.add(offset) };
        // SAFETY: it is mapped as long as self lives, the base is page-aligned and the offset
        // aligned, and every pattern of bits is a Word.
        unsafe { at.cast::<T>().read_volatile() }
    }

    /// Writes a `T` at `offset`.
    ///
    /// # Panics
    ///
    /// As for [`Self::read`].
    #[inline]
    pub(crate) fn write<T: Word>(&self, offset: usize, value: T) {
        assert!(self.has::<T>(offset));
        // SAFETY: has() said so.
        unsafe { self.store(offset, value) }
    }

    /// Copies `bytes` to `offset` by ascending stores: of 8 bytes where they are aligned, of single
    /// bytes before and behind.
    ///
    /// One check is for all of them, so that nothing but stores is in the loop.
    ///
    /// # Panics
    ///
    /// When they do not fit: its callers have asked.
    #[inline]
    pub(crate) fn copy_from(&self, offset: usize, bytes: &[u8]) {
        assert!(self.fits(offset, bytes.len()));
        let head = (offset.next_multiple_of(WORD) - offset).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        let words = rest.chunks_exact(WORD);
        let tail = words.remainder();

        let mut at = offset;
        for &byte in head {
            // SAFETY: at < offset + bytes.len(), which fits() has seen.
            unsafe { self.store(at, byte) };
            at += 1;
        }
        for word in words {
            let mut value = [0; WORD];
            value.copy_from_slice(word);
            // SAFETY: as above, for all 8 bytes; and `head` ended at a multiple of 8.
            unsafe { self.store(at, u64::from_ne_bytes(value)) };
            at += WORD;
        }
        for &byte in tail {
            // SAFETY: as for `head`.
            unsafe { self.store(at, byte) };
            at += 1;
        }
    }

    /// Writes a `T` at `offset`.
    ///
    /// # Safety
    ///
    /// [`Self::has`] must be true of it.
    #[inline]
    unsafe fn store<T: Word>(&self, offset: usize, value: T) {
        // SAFETY: offset + size is within the mapping, says the caller.
        let at = unsafe { self.base.add(offset) };
        // SAFETY: it is mapped and writable as long as self lives, and aligned, since the base is
        // page-aligned and the offset aligned; no reference to device memory is ever made, so that
        // none is violated.
        unsafe { at.cast::<T>().write_volatile(value) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by map(), and all views of it borrow self.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.size) };
    }
}

/// Orders stores: all that were made before, to memory of whatever type, reach the device before any
/// that follows.
///
/// This is what a doorbell needs, since nothing else orders a store to a strict register after
/// stores to write-combining memory. x86: `sfence`, which empties the write-combining buffers before
/// any later store. arm64: `dmb oshst`, since the device is an observer in the outer shareable
/// domain and only stores are to be ordered; waiting (`dsb`) is not needed for that.
#[inline]
pub fn order_stores() {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    // SAFETY: it has no operands and changes nothing but the order of memory accesses.
    unsafe {
        asm!("sfence", options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("dmb oshst", options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    compile_error!("no store fence is known for this architecture");
}

/// As [`order_stores`], and pushes the stores out although none follows.
///
/// For a queue without a doorbell, and before a reset, [`Device::destroy`](crate::Device::destroy) or
/// handing the device over. x86: `sfence` does that too. arm64: `dsb st`, which completes only when
/// the stores have; a `dmb` would merely order them, and a store may wait in the CPU without end.
#[inline]
pub fn flush_stores() {
    #[cfg(not(target_arch = "aarch64"))]
    order_stores();
    #[cfg(target_arch = "aarch64")]
    // SAFETY: it has no operands and changes nothing but the order of memory accesses.
    unsafe {
        asm!("dsb st", options(nostack, preserves_flags));
    }
}

/// Orders loads of ordinary memory, such as a device writes to by DMA: all that were made before are done
/// before any that follows.
///
/// For what is read after a flag that the device set. x86 orders such loads by itself, so that only
/// the compiler is told. arm64: `dmb oshld`, for the device is in the outer shareable domain, which
/// [`fence`](core::sync::atomic::fence) does not reach.
#[inline]
pub fn order_loads() {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    // SAFETY: there is no instruction; it changes nothing but the order of memory accesses.
    unsafe {
        asm!("", options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: it has no operands and changes nothing but the order of memory accesses.
    unsafe {
        asm!("dmb oshld", options(nostack, preserves_flags));
    }
}
