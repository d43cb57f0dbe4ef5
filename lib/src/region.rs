// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's description of a region.

use crate::{
    Attribute, Claim, EffectiveType, Error, RegionFlags, RegionIndex, RegionInfo, SubregionInfo,
};
use std::vec::Vec;

/// A region, as the kernel described it when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub(crate) index: RegionIndex,
    pub(crate) size: u64,
    pub(crate) file_offset: u64,
    pub(crate) flags: RegionFlags,
    pub(crate) subregion: Option<SubregionInfo>,
    pub(crate) attribute: Option<Attribute>,
    pub(crate) effective: Option<EffectiveType>,
    pub(crate) claims: Vec<Claim>,
}

impl Region {
    /// Returns its index, which identifies it.
    #[must_use]
    pub const fn index(&self) -> RegionIndex {
        self.index
    }

    /// Returns its size in bytes; 0 if it does not exist, for example after it was destroyed.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the offset of its first byte in the device file.
    #[must_use]
    pub const fn file_offset(&self) -> u64 {
        self.file_offset
    }

    /// Returns which operations it supports.
    #[must_use]
    pub const fn flags(&self) -> RegionFlags {
        self.flags
    }

    /// Returns its parent and range, if it is a subregion.
    #[must_use]
    pub const fn subregion(&self) -> Option<&SubregionInfo> {
        self.subregion.as_ref()
    }

    /// Returns the attribute of its mappings; `None` if this crate does not know it.
    #[must_use]
    pub const fn attribute(&self) -> Option<Attribute> {
        self.attribute
    }

    /// Returns the effective type of its mappings. The kernel reports it for subregions, and for a BAR
    /// that has subregions or an attribute of its own.
    #[must_use]
    pub const fn effective(&self) -> Option<EffectiveType> {
        self.effective
    }

    /// Returns the parts of a BAR that subregions have claimed, ordered by offset.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let info = RegionInfo::parse(bytes)?;
        let subregion = info.subregion()?;
        let bar = info.bar()?;
        let (attribute, effective) = match (&subregion, &bar) {
            (Some(subregion), _) => (subregion.attribute, Some(subregion.effective)),
            (None, Some(bar)) => (bar.attribute, Some(bar.effective)),
            // A BAR that is mapped as by vfio-pci.
            (None, None) => (Some(Attribute::Noncached), None),
        };
        Ok(Self {
            index: info.index(),
            size: info.size(),
            file_offset: info.file_offset(),
            flags: info.flags(),
            subregion,
            attribute,
            effective,
            claims: bar.map_or(Ok(Vec::new()), |bar| bar.claims().collect())?,
        })
    }

    /// The offset in the device file of the byte at `offset`.
    pub(crate) fn position(&self, offset: u64) -> Result<u64, Error> {
        if offset >= self.size {
            return Err(Error::OutsideRegion(self.index));
        }
        self.file_offset
            .checked_add(offset)
            .ok_or(Error::OutsideRegion(self.index))
    }
}
