// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The answer of `VFIO_DEVICE_GET_REGION_INFO`.
//!
//! This trusts none of the bytes: wrong offsets, lengths and chains result in [`Malformed`].

use crate::{bindings as abi, Attribute, Bar, ByteRange, EffectiveType, RegionIndex};
use core::fmt;
use zerocopy::{FromBytes, Immutable, KnownLayout};

bitflags::bitflags! {
    /// The operations that a region supports.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct RegionFlags: u32 {
        /// `pread()` works.
        const READ = abi::VFIO_REGION_INFO_FLAG_READ;
        /// `pwrite()` works.
        const WRITE = abi::VFIO_REGION_INFO_FLAG_WRITE;
        /// `mmap()` works.
        const MMAP = abi::VFIO_REGION_INFO_FLAG_MMAP;
        /// The description has capabilities.
        const CAPS = abi::VFIO_REGION_INFO_FLAG_CAPS;

        const _ = !0;
    }
}

/// The kernel's description of a region is inconsistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel's description of a region is inconsistent")
    }
}

impl core::error::Error for Malformed {}

/// The parent, range and types of a subregion, from the capability of its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubregionInfo {
    /// The parent: the BAR that it is a part of.
    pub parent: Bar,
    /// Its range in the BAR.
    pub range: ByteRange,
    /// The attribute; `None` if this crate does not know it.
    pub attribute: Option<Attribute>,
    /// The effective type.
    pub effective: EffectiveType,
}

/// A part of a BAR that a subregion has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// Its range in the BAR.
    pub range: ByteRange,
    /// The subregion.
    pub index: RegionIndex,
}

/// The types of a BAR's own mappings, and the parts of it that subregions have claimed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BarInfo<'a> {
    /// The attribute of the BAR's own mappings; `None` if this crate does not know it.
    pub attribute: Option<Attribute>,
    /// The effective type of the BAR's own mappings.
    pub effective: EffectiveType,
    claims: &'a [abi::vfio_region_claim],
}

impl<'a> BarInfo<'a> {
    /// Returns the claims, ordered by offset.
    #[must_use]
    pub fn claims(&self) -> Claims<'a> {
        Claims(self.claims.iter())
    }
}

/// Iterates over a BAR's claims; see [`BarInfo::claims`].
#[derive(Clone, Debug)]
pub struct Claims<'a>(core::slice::Iter<'a, abi::vfio_region_claim>);

impl Iterator for Claims<'_> {
    type Item = Result<Claim, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let claim = self.0.next()?;
        Some(
            ByteRange::new(claim.offset, claim.size)
                .map(|range| Claim {
                    range,
                    index: RegionIndex(claim.index),
                })
                .ok_or(Malformed),
        )
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Claims<'_> {}
impl core::iter::FusedIterator for Claims<'_> {}

/// The part of `vfio_region_info_cap_claims` that has a fixed size.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct ClaimsHead {
    header: abi::vfio_info_cap_header,
    nr_claims: u32,
    attribute: u32,
    effective_type: u32,
    reserved: u32,
}

/// The description of a region: the bytes of `struct vfio_region_info` and its capabilities.
#[derive(Clone, Copy, Debug)]
pub struct RegionInfo<'a> {
    head: abi::vfio_region_info,
    bytes: &'a [u8],
}

impl<'a> RegionInfo<'a> {
    /// Parses a description, whose address must be a multiple of 8.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if there are fewer bytes than the structure has, or they are not aligned.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (head, _) = abi::vfio_region_info::ref_from_prefix(bytes).map_err(|_| Malformed)?;
        Ok(Self { head: *head, bytes })
    }

    /// Returns the index of the region.
    #[must_use]
    pub const fn index(&self) -> RegionIndex {
        RegionIndex(self.head.index)
    }

    /// Returns its size in bytes; 0 if it does not exist.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.head.size
    }

    /// Returns the offset of its first byte in the device file.
    #[must_use]
    pub const fn file_offset(&self) -> u64 {
        self.head.offset
    }

    /// Returns which operations it supports.
    #[must_use]
    pub const fn flags(&self) -> RegionFlags {
        RegionFlags::from_bits_retain(self.head.flags)
    }

    /// The bytes from the header of the capability `id` to the end of the description.
    fn capability(&self, id: u32) -> Result<Option<&'a [u8]>, Malformed> {
        if !self.flags().contains(RegionFlags::CAPS) {
            return Ok(None);
        }
        let mut at = self.head.cap_offset;
        // A longer chain than this has a loop.
        let most = self.bytes.len() / size_of::<abi::vfio_info_cap_header>();
        for _ in 0..=most {
            if at == 0 {
                return Ok(None);
            }
            let offset = usize::try_from(at).map_err(|_| Malformed)?;
            let bytes = self.bytes.get(offset..).ok_or(Malformed)?;
            let (header, _) =
                abi::vfio_info_cap_header::ref_from_prefix(bytes).map_err(|_| Malformed)?;
            if u32::from(header.id) == id && header.version == 1 {
                return Ok(Some(bytes));
            }
            at = header.next;
        }
        Err(Malformed)
    }

    /// Returns the parent, range and types, if the region is a subregion.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn subregion(&self) -> Result<Option<SubregionInfo>, Malformed> {
        let Some(bytes) = self.capability(abi::VFIO_REGION_INFO_CAP_SUBREGION)? else {
            return Ok(None);
        };
        let (cap, _) =
            abi::vfio_region_info_cap_subregion::ref_from_prefix(bytes).map_err(|_| Malformed)?;
        Ok(Some(SubregionInfo {
            parent: Bar::from_index(RegionIndex(cap.parent)).ok_or(Malformed)?,
            range: ByteRange::new(cap.offset, self.size()).ok_or(Malformed)?,
            attribute: Attribute::from_number(cap.attribute),
            effective: EffectiveType::from_number(cap.effective_type),
        }))
    }

    /// Returns the claims and types of a BAR; `None` if it has no claims and no attribute.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn bar(&self) -> Result<Option<BarInfo<'a>>, Malformed> {
        let Some(bytes) = self.capability(abi::VFIO_REGION_INFO_CAP_CLAIMS)? else {
            return Ok(None);
        };
        let (head, rest) = ClaimsHead::ref_from_prefix(bytes).map_err(|_| Malformed)?;
        let count = usize::try_from(head.nr_claims).map_err(|_| Malformed)?;
        let (claims, _) = <[abi::vfio_region_claim]>::ref_from_prefix_with_elems(rest, count)
            .map_err(|_| Malformed)?;
        Ok(Some(BarInfo {
            attribute: Attribute::from_number(head.attribute),
            effective: EffectiveType::from_number(head.effective_type),
            claims,
        }))
    }
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
