// SPDX-License-Identifier: GPL-2.0-only

//! Memory that is mapped for DMA.

use crate::{
    Failure,
    Opened, //
};
use rustix::mm::{
    mmap_anonymous,
    munmap,
    MapFlags,
    ProtFlags, //
};
use std::{
    ffi::c_void,
    ptr::{
        self,
        NonNull, //
    },
    sync::Arc,
};
use subregion_open::no_dma;
use vfio_ioctls::VfioOps;
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// Memory of the process, mapped for the device at an address of the caller's choice.
///
/// The device may write to it at any time, so it is accessed only by volatile reads and writes of
/// whole values.
pub struct Dma {
    base: NonNull<c_void>,
    size: usize,
    iova: u64,
    ops: Arc<dyn VfioOps>,
}

impl Dma {
    /// Maps `size` bytes, rounded up to pages, of zeroes at the device's address `iova`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn new(opened: &Opened, iova: u64, size: usize) -> Result<Self, Failure> {
        let size = size.next_multiple_of(rustix::param::page_size());
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: with no address given the kernel takes free ones.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), size, prot, flags) }?;
        let memory = Self {
            base: NonNull::new(base).ok_or("mmap gave no address")?,
            size,
            iova,
            ops: opened.ops().clone(),
        };
        // SAFETY: the memory is accessed only by get() and put(), which are volatile, until drop().
        unsafe { memory.ops.vfio_dma_map(iova, size, base.cast()) }
            .map_err(|error| no_dma(size, &error))?;
        Ok(memory)
    }

    /// Returns the device's address of the byte at `offset`.
    #[must_use]
    pub fn iova(&self, offset: usize) -> u64 {
        self.iova + offset as u64
    }

    fn at<T>(&self, offset: usize) -> Result<*mut T, Failure> {
        let end = offset.checked_add(size_of::<T>());
        if offset % align_of::<T>() != 0 || end.is_none_or(|end| end > self.size) {
            return Err(format!("there is nothing at {offset:#x} of the memory for DMA").into());
        }
        Ok(self.base.as_ptr().wrapping_byte_add(offset).cast())
    }

    /// Reads the value at `offset`.
    ///
    /// # Errors
    ///
    /// The value is not within the memory, or not aligned.
    pub fn get<T: FromBytes>(&self, offset: usize) -> Result<T, Failure> {
        let at = self.at::<T>(offset)?;
        // SAFETY: at() saw that it is within the mapping and aligned; all patterns are valid.
        Ok(unsafe { at.read_volatile() })
    }

    /// Writes `value` at `offset`.
    ///
    /// # Errors
    ///
    /// As [`Dma::get`].
    pub fn put<T: IntoBytes + Immutable>(&self, offset: usize, value: T) -> Result<(), Failure> {
        let at = self.at::<T>(offset)?;
        // SAFETY: at() saw that it is within the mapping and aligned.
        unsafe { at.write_volatile(value) };
        Ok(())
    }
}

impl Drop for Dma {
    fn drop(&mut self) {
        let _ = self.ops.vfio_dma_unmap(self.iova, self.size);
        // SAFETY: it was mapped by new(), and nothing refers to it any more.
        let _ = unsafe { munmap(self.base.as_ptr(), self.size) };
    }
}
