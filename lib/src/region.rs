// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is known of a region.

use crate::{
    Attribute,
    Claim,
    EffectiveType,
    Error,
    RegionFlags,
    RegionIndex,
    RegionInfo,
    SubregionInfo, //
};
use std::vec::Vec;

/// A region and what the kernel said of it when it was asked.
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
    /// Its name.
    #[must_use]
    pub const fn index(&self) -> RegionIndex {
        self.index
    }

    /// Its length in bytes; 0 for one that is not there, such as a subregion that was destroyed.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Where it begins in the device file.
    #[must_use]
    pub const fn file_offset(&self) -> u64 {
        self.file_offset
    }

    /// What can be done with it.
    #[must_use]
    pub const fn flags(&self) -> RegionFlags {
        self.flags
    }

    /// What it is a part of, if it is a subregion.
    #[must_use]
    pub const fn subregion(&self) -> Option<&SubregionInfo> {
        self.subregion.as_ref()
    }

    /// What mappings of it are made with; `None` for what this crate does not know.
    #[must_use]
    pub const fn attribute(&self) -> Option<Attribute> {
        self.attribute
    }

    /// What their page tables hold, if the kernel says so: it does of subregions, and of a BAR that has
    /// subregions or an attribute of its own.
    #[must_use]
    pub const fn effective(&self) -> Option<EffectiveType> {
        self.effective
    }

    /// The parts of a BAR that subregions hold, ordered by offset.
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
            // A BAR as vfio-pci maps it.
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

    /// Where the byte at `offset` is in the device file.
    pub(crate) fn position(&self, offset: u64) -> Result<u64, Error> {
        if offset >= self.size {
            return Err(Error::OutsideRegion(self.index));
        }
        self.file_offset
            .checked_add(offset)
            .ok_or(Error::OutsideRegion(self.index))
    }
}
