// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! An open VFIO device.

use crate::{
    bindings as abi,
    mapping::Mapping,
    raw::{self, Memory, Request},
    Attribute, Attributes, Bar, Busy, ByteRange, Call, EffectiveType, Error, Export, ExportAccess,
    Region, RegionFlags, RegionIndex, SubregionInfo,
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
};
use std::{collections::BTreeMap, vec, vec::Vec};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The attributes that a region supports, and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// The attributes that would be effective now; for a subregion, the attribute that it has.
    pub attributes: Attributes,
    /// Offsets and sizes of subregions are multiples of this number of bytes.
    pub granule: u64,
    /// The number of subregions that the device can have at a time.
    pub limit: u32,
    /// The number of subregions that it has.
    pub count: u32,
    /// The reasons for which [`Device::create`] of some part of the BAR, or [`Device::set_attribute`],
    /// would fail with EBUSY now. There can be some although all attributes are available:
    /// [`Busy::MAPPED`] prevents only [`Device::set_attribute`].
    pub busy: Busy,
}

/// An open VFIO device.
///
/// It wraps any [`AsFd`] that refers to the device file: `&File`, `OwnedFd`, `BorrowedFd` and others.
/// Subregions belong to the open device, not to this value. They exist until [`Device::destroy`] or
/// the last close of the device; a mapping keeps the device open too.
#[derive(Clone, Copy, Debug)]
pub struct Device<F>(F);

/// Adds the reason to an EBUSY, if the kernel gave one.
fn with_reason(error: Error, busy: u32) -> Error {
    match error {
        Error::Refused {
            call,
            errno: Errno::BUSY,
            index,
        } if busy != 0 => Error::Busy {
            call,
            index,
            busy: Busy::from_bits_retain(busy),
        },
        error => error,
    }
}

fn refused(call: Call, index: RegionIndex) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Refused { call, errno, index }
}

impl<F: AsFd> Device<F> {
    /// Wraps an open device, without a call to it.
    pub const fn new(fd: F) -> Self {
        Self(fd)
    }

    /// Returns the file descriptor that it was made from.
    pub fn into_inner(self) -> F {
        self.0
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(crate) fn request<T: IntoBytes + FromBytes + Immutable>(
        &self,
        request: Request,
        index: RegionIndex,
        argument: &mut T,
    ) -> Result<(), Error> {
        raw::request(self.0.as_fd(), request, argument.as_mut_bytes())
            .map_err(refused(request.call(), index))
    }

    /// Creates a subregion of the part `range` of a BAR.
    ///
    /// On success its mappings have the type of the attribute; there is no fallback to another. From
    /// then on these pages can be mapped only through the subregion.
    ///
    /// ```no_run
    /// # use vfio_subregion::{Attribute, Bar, ByteRange, Device};
    /// # fn example(device: std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
    /// let device = Device::new(device);
    /// const DATA: ByteRange = ByteRange::new(1 << 20, 4 << 20).unwrap(); // as it is compiled
    /// let region = device.create(Bar::ALL[2], DATA, Attribute::WriteCombining)?;
    /// let data = device.map(&region)?;
    /// data.write_combining()?.copy(0, b"data")?;
    /// vfio_subregion::flush_stores();
    /// device.destroy(region.index())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Overlaps`] with the subregion that has claimed a part of the range, [`Error::Busy`],
    /// [`Error::Unsuitable`], and the kernel's.
    pub fn create(
        &self,
        bar: Bar,
        range: ByteRange,
        attribute: Attribute,
    ) -> Result<Region, Error> {
        self.create_with(0, bar, range, attribute)
    }

    /// Creates a subregion that identical calls share, or joins the one that such a call created.
    ///
    /// The kernel counts the calls. Each needs its own [`Device::destroy`], and the last of these
    /// destroys the subregion.
    ///
    /// # Errors
    ///
    /// Those of [`Device::create`]. [`Error::Overlaps`] also means that the subregion there has
    /// another range or another attribute, or that [`Device::create`] made it.
    pub fn create_shared(
        &self,
        bar: Bar,
        range: ByteRange,
        attribute: Attribute,
    ) -> Result<Region, Error> {
        self.create_with(abi::VFIO_SUBREGION_CREATE_SHARED, bar, range, attribute)
    }

    fn create_with(
        &self,
        flags: u32,
        bar: Bar,
        range: ByteRange,
        attribute: Attribute,
    ) -> Result<Region, Error> {
        let index = RegionIndex::from(bar);
        let mut create = abi::vfio_subregion_create {
            flags,
            parent: index.0,
            attribute: attribute.number(),
            offset: range.offset(),
            size: range.size(),
            ..Default::default()
        };
        match self.request(Request::Create, index, &mut create) {
            Err(Error::Refused {
                errno: Errno::EXIST,
                ..
            }) => Err(Error::Overlaps(RegionIndex(create.index))),
            done => done.map_err(|error| self.explain(with_reason(error, create.busy), attribute)),
        }?;
        let effective = EffectiveType::from_number(create.effective_type);
        Ok(Region {
            index: RegionIndex(create.index),
            size: range.size(),
            file_offset: create.mmap_offset,
            flags: RegionFlags::READ | RegionFlags::WRITE | RegionFlags::MMAP | RegionFlags::CAPS,
            subregion: Some(SubregionInfo {
                parent: bar,
                range,
                attribute: Some(attribute),
                effective,
            }),
            attribute: Some(attribute),
            effective: Some(effective),
            claims: Vec::new(),
        })
    }

    /// Destroys a subregion, or ends one of the calls of [`Device::create_shared`] that share it. The
    /// mappings of a destroyed subregion remain, and an access to them raises SIGBUS.
    ///
    /// Stores that are still in the CPU may be lost, so call [`flush_stores`](crate::flush_stores)
    /// before.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: ENOENT if there is no such subregion, EBUSY if an ioeventfd writes to a
    /// page of it whose memory type would change.
    pub fn destroy(&self, index: RegionIndex) -> Result<(), Error> {
        let mut destroy = abi::vfio_subregion_destroy {
            index: index.0,
            ..Default::default()
        };
        self.request(Request::Destroy, index, &mut destroy)
    }

    /// Returns the attributes that a BAR supports, or the attribute of a subregion.
    ///
    /// A program can also use it to find out whether the driver has subregions
    /// ([`Error::is_unsupported`]).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: EINVAL if `index` is neither a BAR nor a subregion, ENOTTY if the driver
    /// has no subregions.
    pub fn query(&self, index: impl Into<RegionIndex>) -> Result<Support, Error> {
        let index = index.into();
        let mut query = abi::vfio_subregion_query {
            index: index.0,
            ..Default::default()
        };
        self.request(Request::Query, index, &mut query)?;
        Ok(Support {
            attributes: Attributes::from_bits_retain(query.attributes),
            granule: query.granule,
            limit: query.limit,
            count: query.count,
            busy: Busy::from_bits_retain(query.busy),
        })
    }

    /// Sets the attribute of a whole BAR, except for its subregions, before it is mapped;
    /// [`Attribute::Noncached`] restores the default.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] says what prevents it, such as a mapping of the BAR, or a subregion if write
    /// combining begins or ends. [`Error::Unsuitable`] says why the BAR cannot be mapped.
    /// [`Error::Refused`]: EPERM for write combining if it has the MSI-X table, EOPNOTSUPP if the
    /// machine cannot give the type.
    pub fn set_attribute(&self, bar: Bar, attribute: Attribute) -> Result<EffectiveType, Error> {
        let index = RegionIndex::from(bar);
        let mut set = abi::vfio_region_set_attr {
            index: index.0,
            attribute: attribute.number(),
            ..Default::default()
        };
        self.request(Request::SetAttr, index, &mut set)
            .map_err(|error| self.explain(with_reason(error, set.busy), attribute))?;
        Ok(EffectiveType::from_number(set.effective_type))
    }

    /// Returns the kernel's description of a region.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: EINVAL if there is no region `index`. [`Error::Malformed`] if the
    /// description contradicts itself.
    pub fn region(&self, index: impl Into<RegionIndex>) -> Result<Region, Error> {
        let index = index.into();
        let mut size = size_of::<abi::vfio_region_info>();
        loop {
            // Words, for their alignment.
            let mut words = vec![0_u64; size.div_ceil(size_of::<u64>())];
            let bytes = words.as_mut_bytes();
            let ask = abi::vfio_region_info {
                index: index.0,
                ..Default::default()
            };
            bytes
                .get_mut(..size_of_val(&ask))
                .ok_or(crate::Malformed)?
                .copy_from_slice(ask.as_bytes());
            let request = Request::RegionInfo;
            raw::request(self.0.as_fd(), request, bytes).map_err(refused(request.call(), index))?;
            // The kernel leaves out capabilities that do not fit, and sets argsz to the size of all.
            let (said, _) = u32::read_from_prefix(bytes).map_err(|_| crate::Malformed)?;
            let needed = usize::try_from(said).map_err(|_| crate::Malformed)?;
            if needed > bytes.len() {
                size = needed;
                continue;
            }
            return Region::parse(bytes);
        }
    }

    /// Returns all regions that exist, by their index: those of the device, and its subregions.
    ///
    /// # Errors
    ///
    /// As [`Device::region`].
    pub fn regions(&self) -> Result<BTreeMap<RegionIndex, Region>, Error> {
        let mut all = abi::vfio_device_info::default();
        self.request(Request::DeviceInfo, RegionIndex(0), &mut all)?;
        let mut regions = BTreeMap::new();
        for index in (0..all.num_regions).map(RegionIndex) {
            match self.region(index) {
                Ok(region) if region.size > 0 => {
                    regions.insert(index, region);
                }
                // An empty region, or one that does not exist, such as VGA on most devices.
                Ok(_)
                | Err(Error::Refused {
                    errno: Errno::INVAL,
                    ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(regions)
    }

    /// Maps a whole region.
    ///
    /// # Errors
    ///
    /// As [`Device::map_part`].
    pub fn map(&self, region: &Region) -> Result<Mapping, Error> {
        let range = ByteRange::new(0, region.size).ok_or(Error::OutsideRegion(region.index))?;
        self.map_part(region, range)
    }

    /// Maps a part of a region that begins at a multiple of the page size.
    ///
    /// Its address allows large page-table entries. The type of the mapping is asked of the kernel
    /// after the mapping exists, because from then on the type cannot change; so a `Region` that is out
    /// of date does no harm.
    ///
    /// # Errors
    ///
    /// [`Error::OutsideRegion`]; [`Error::Changed`] if the region no longer exists, or belongs to another
    /// device; [`Error::Unsuitable`] for a BAR that cannot be mapped; and the kernel's of `mmap()`.
    pub fn map_part(&self, region: &Region, part: ByteRange) -> Result<Mapping, Error> {
        let outside = Error::OutsideRegion(region.index);
        if part.end() > region.size {
            return Err(outside);
        }
        let size = usize::try_from(part.size()).map_err(|_| outside)?;
        let offset = region
            .file_offset
            .checked_add(part.offset())
            .ok_or(outside)?;
        let memory = Memory::map(self.0.as_fd(), offset, size, offset)
            .map_err(refused(Call::Mmap, region.index))
            .map_err(|error| self.explain(error, Attribute::Noncached))?;
        let now = self.region(region.index)?;
        if now.file_offset != region.file_offset || part.end() > now.size {
            return Err(Error::Changed(region.index));
        }
        Ok(Mapping::new(memory, now.attribute))
    }

    /// Opens a file for a subregion alone, for a process that must not have the device.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: ENOENT if the region is no subregion or was destroyed, EMFILE or ENFILE if
    /// there are too many open files.
    pub fn export(&self, region: &Region, access: ExportAccess) -> Result<Export, Error> {
        let fd = raw::export(self.0.as_fd(), region.index.0, access.open_flags())
            .map_err(refused(Call::Export, region.index))?;
        Ok(Export::new(fd, region))
    }

    /// Opens a part of a region as a dma-buf, by which other devices reach it: iommufd maps it
    /// (`IOMMU_IOAS_MAP_FILE`).
    ///
    /// The dma-buf remains when the subregion is destroyed. It ends with the last close of the device.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: ENODEV if the region was destroyed or is neither a BAR nor a subregion,
    /// EINVAL if the part leaves the region or does not consist of whole pages.
    pub fn dma_buf(
        &self,
        region: &Region,
        part: ByteRange,
        access: ExportAccess,
    ) -> Result<OwnedFd, Error> {
        raw::dma_buf(
            self.0.as_fd(),
            region.index.0,
            [part.offset(), part.size()],
            access.open_flags(),
        )
        .map_err(refused(Call::DmaBuf, region.index))
    }

    /// Reads from a region by `pread()`, which reaches claimed pages too; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Error::OutsideRegion`]. [`Error::Refused`]: EINVAL at the end of the region, EIO while memory
    /// accesses are disabled, EFAULT.
    pub fn read(&self, region: &Region, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        let at = region.position(offset)?;
        rustix::io::pread(self.0.as_fd(), bytes, at).map_err(refused(Call::Read, region.index))
    }

    /// Writes to a region by `pwrite()`; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// As [`Device::read`].
    pub fn write(&self, region: &Region, offset: u64, bytes: &[u8]) -> Result<usize, Error> {
        let at = region.position(offset)?;
        rustix::io::pwrite(self.0.as_fd(), bytes, at).map_err(refused(Call::Write, region.index))
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
