// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Memory that is mapped for DMA.

use crate::{
    bindings as abi,
    open::{no_dma, Translation},
    raw::{self, Pages, Setup},
    AccessError, Opened, SetupError,
};
use rustix::{fd::AsFd, io::Errno};
use std::sync::PoisonError;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Memory of the process, mapped for a device at an address of the caller's choice.
///
/// The device may write to it at any time, so it is accessed only by volatile loads and stores of
/// whole values. [`order_loads`](crate::order_loads) and [`order_stores`](crate::order_stores) order
/// them. The mapping ends when it is dropped; reset the device, or stop its DMA, before.
#[derive(Debug)]
pub struct Dma<'a> {
    opened: &'a Opened,
    pages: Pages,
    iova: u64,
}

impl Opened {
    /// Maps `size` bytes of zeroes, rounded up to pages, at the device's address `iova`, a multiple of
    /// the page size.
    ///
    /// The kernel locks the memory. A device without an IOMMU has no mappings.
    ///
    /// # Errors
    ///
    /// The errno of the kernel; ENOTTY without an IOMMU. The text says whether a limit of locked memory
    /// is the cause.
    pub fn dma(&self, iova: u64, size: usize) -> Result<Dma<'_>, SetupError> {
        let failed = |errno| no_dma(size, errno);
        let pages = Pages::new(size).map_err(failed)?;
        match &self.translation {
            Translation::Container { container, .. } => {
                pages.map_container(container.as_fd(), iova)
            }
            Translation::Iommufd { iommufd, .. } => self
                .space()
                .and_then(|space| pages.map_ioas(iommufd.as_fd(), space, iova)),
        }
        .map_err(failed)?;
        Ok(Dma {
            opened: self,
            pages,
            iova,
        })
    }

    /// The address space of a device with an iommufd; the first call makes it and attaches the device.
    fn space(&self) -> Result<u32, Errno> {
        let Translation::Iommufd { iommufd, space } = &self.translation else {
            return Err(Errno::NOTTY);
        };
        let mut space = space.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = *space {
            return Ok(space);
        }
        let mut alloc = abi::iommu_ioas_alloc::default();
        raw::setup(iommufd.as_fd(), Setup::IoasAlloc, alloc.as_mut_bytes())?;
        let mut attach = abi::vfio_device_attach_iommufd_pt {
            pt_id: alloc.out_ioas_id,
            ..Default::default()
        };
        raw::setup(self.as_fd(), Setup::Attach, attach.as_mut_bytes())?;
        *space = Some(alloc.out_ioas_id);
        Ok(alloc.out_ioas_id)
    }

    /// Attaches a device with an iommufd to its address space. Some machines translate the messages
    /// of interrupts as well.
    pub(crate) fn attach(&self) -> Result<(), Errno> {
        if let Translation::Iommufd { .. } = &self.translation {
            self.space()?;
        }
        Ok(())
    }

    fn unmap(&self, iova: u64, size: u64) -> Result<(), Errno> {
        match &self.translation {
            Translation::Container { container, .. } => {
                // struct vfio_iommu_type1_dma_unmap: its length and flags, the address, the size.
                let mut unmap = [0, iova, size];
                raw::setup(container.as_fd(), Setup::UnmapDma, unmap.as_mut_bytes())
            }
            Translation::Iommufd { iommufd, .. } => {
                let mut unmap = abi::iommu_ioas_unmap {
                    ioas_id: self.space()?,
                    iova,
                    length: size,
                    ..Default::default()
                };
                raw::setup(iommufd.as_fd(), Setup::IoasUnmap, unmap.as_mut_bytes())
            }
        }
    }
}

impl Dma<'_> {
    /// Returns the device's address of the byte at `offset`.
    #[must_use]
    pub const fn iova(&self, offset: usize) -> u64 {
        self.iova + offset as u64
    }

    /// Returns the size in bytes, which is whole pages.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.pages.size()
    }

    /// Loads the value at `offset`.
    ///
    /// # Errors
    ///
    /// The value is not within the memory, or not aligned.
    pub fn get<T: FromBytes>(&self, offset: usize) -> Result<T, AccessError> {
        self.pages.get(offset).ok_or_else(|| refused::<T>(offset))
    }

    /// Stores `value` at `offset`.
    ///
    /// # Errors
    ///
    /// As [`Dma::get`].
    pub fn put<T: IntoBytes + Immutable>(
        &self,
        offset: usize,
        value: T,
    ) -> Result<(), AccessError> {
        self.pages
            .put(offset, value)
            .ok_or_else(|| refused::<T>(offset))
    }
}

/// Why there is no `T` at `offset`.
const fn refused<T>(offset: usize) -> AccessError {
    if offset % align_of::<T>() == 0 {
        AccessError::OutOfBounds
    } else {
        AccessError::Unaligned
    }
}

impl Drop for Dma<'_> {
    fn drop(&mut self) {
        let _ = self.opened.unmap(self.iova, self.pages.size() as u64);
    }
}
