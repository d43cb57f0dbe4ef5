// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What `VFIO_DEVICE_GET_REGION_INFO` says of a region.
//!
//! Nothing in the bytes is taken on trust: offsets, lengths and chains that lead nowhere give
//! [`Malformed`].

use crate::{
    bindings as abi,
    Attribute,
    Bar,
    ByteRange,
    EffectiveType,
    RegionIndex, //
};
use core::fmt;
use zerocopy::{
    FromBytes,
    Immutable,
    KnownLayout, //
};

bitflags::bitflags! {
    /// What can be done with a region.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct RegionFlags: u32 {
        /// `pread()` works.
        const READ = abi::VFIO_REGION_INFO_FLAG_READ;
        /// `pwrite()` works.
        const WRITE = abi::VFIO_REGION_INFO_FLAG_WRITE;
        /// `mmap()` works.
        const MMAP = abi::VFIO_REGION_INFO_FLAG_MMAP;
        /// Capabilities follow.
        const CAPS = abi::VFIO_REGION_INFO_FLAG_CAPS;

        const _ = !0;
    }
}

/// The kernel's answer makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel's description of a region makes no sense")
    }
}

impl core::error::Error for Malformed {}

/// What a subregion is, out of its region's capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubregionInfo {
    /// The BAR that it is a part of.
    pub parent: Bar,
    /// Which part.
    pub range: ByteRange,
    /// What was asked for.
    pub attribute: Attribute,
    /// What the page tables hold.
    pub effective: EffectiveType,
}

/// A part of a BAR that a subregion holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which part.
    pub range: ByteRange,
    /// The subregion.
    pub index: RegionIndex,
}

/// What a BAR's own mappings are made with, and which parts of it subregions hold.
#[derive(Clone, Copy, Debug)]
pub struct BarInfo<'a> {
    /// The attribute of the BAR's own window.
    pub attribute: Attribute,
    /// What its page tables hold.
    pub effective: EffectiveType,
    claims: &'a [abi::vfio_region_claim],
}

impl<'a> BarInfo<'a> {
    /// The claims, ordered by offset.
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
}

/// The part of `vfio_region_info_cap_claims` that has a length of its own.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct ClaimsHead {
    header: abi::vfio_info_cap_header,
    nr_claims: u32,
    attribute: u32,
    effective_type: u32,
    reserved: u32,
}

/// A region, as the bytes of `struct vfio_region_info` and what follows it describe it.
#[derive(Clone, Copy, Debug)]
pub struct RegionInfo<'a> {
    head: abi::vfio_region_info,
    bytes: &'a [u8],
}

impl<'a> RegionInfo<'a> {
    /// Reads a description, which must begin at an address that is a multiple of 8.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the bytes are too few for the structure, or their address is odd.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (head, _) = abi::vfio_region_info::ref_from_prefix(bytes).map_err(|_| Malformed)?;
        Ok(Self { head: *head, bytes })
    }

    /// Which region it is.
    #[must_use]
    pub const fn index(&self) -> RegionIndex {
        RegionIndex(self.head.index)
    }

    /// Its length in bytes; 0 for one that is not there.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.head.size
    }

    /// Where it begins in the device file.
    #[must_use]
    pub const fn file_offset(&self) -> u64 {
        self.head.offset
    }

    /// What can be done with it.
    #[must_use]
    pub const fn flags(&self) -> RegionFlags {
        RegionFlags::from_bits_retain(self.head.flags)
    }

    /// The bytes of the capability `id`, header included, up to the end of all.
    fn capability(&self, id: u32) -> Result<Option<&'a [u8]>, Malformed> {
        if !self.flags().contains(RegionFlags::CAPS) {
            return Ok(None);
        }
        let mut at = self.head.cap_offset;
        // So many fit; a chain that is longer runs in a circle.
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

    /// What the subregion is, if the region is one.
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
            attribute: Attribute::from_number(cap.attribute).ok_or(Malformed)?,
            effective: EffectiveType::from_number(cap.effective_type),
        }))
    }

    /// What is claimed of a BAR; `None` for a region with no claims and no attribute of its own.
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
            attribute: Attribute::from_number(head.attribute).ok_or(Malformed)?,
            effective: EffectiveType::from_number(head.effective_type),
            claims,
        }))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{
        vec,
        vec::Vec, //
    };
    use zerocopy::IntoBytes;

    const HEAD: u32 = 32;

    /// A description with `caps` behind the structure, in memory that is aligned.
    fn description(head: abi::vfio_region_info, caps: &[u32]) -> Vec<u64> {
        let mut words = vec![0_u64; 4 + caps.len().div_ceil(2)];
        let bytes = words.as_mut_bytes();
        bytes[..32].copy_from_slice(head.as_bytes());
        bytes[32..32 + caps.len() * 4].copy_from_slice(caps.as_bytes());
        words
    }

    fn with_caps() -> abi::vfio_region_info {
        abi::vfio_region_info {
            flags: abi::VFIO_REGION_INFO_FLAG_CAPS,
            cap_offset: HEAD,
            size: 0x4000,
            ..Default::default()
        }
    }

    fn subregion(next: u32) -> [u32; 8] {
        let id = abi::VFIO_REGION_INFO_CAP_SUBREGION | (1 << 16);
        [id, next, 2, abi::VFIO_SUBREGION_ATTR_WC, 2, 0, 0x1000, 0]
    }

    #[test]
    fn the_generated_head_of_claims_is_as_long_as_the_headers() {
        assert_eq!(size_of::<ClaimsHead>(), 24);
        assert_eq!(size_of::<abi::vfio_region_info>(), 32);
    }

    #[test]
    fn a_subregion_is_found_behind_another_capability() {
        let mut caps = vec![1 | (1 << 16), HEAD + 8];
        caps.extend(subregion(0));
        let words = description(with_caps(), &caps);
        let info = RegionInfo::parse(words.as_bytes()).unwrap();
        let found = info.subregion().unwrap().unwrap();
        assert_eq!(found.parent.number(), 2);
        assert_eq!(found.range, ByteRange::new(0x1000, 0x4000).unwrap());
        assert_eq!(found.attribute, Attribute::WriteCombining);
        assert_eq!(found.effective, EffectiveType::X86_WC);
        assert!(info.bar().unwrap().is_none());
    }

    #[test]
    fn claims_come_in_their_order() {
        let id = abi::VFIO_REGION_INFO_CAP_CLAIMS | (1 << 16);
        let mut caps = vec![id, 0, 2, 0, 1, 0];
        caps.extend([0x1000, 0, 0x1000, 0, 9, 0]);
        caps.extend([0x3000, 0, 0x2000, 0, 10, 0]);
        let words = description(with_caps(), &caps);
        let info = RegionInfo::parse(words.as_bytes()).unwrap();
        let bar = info.bar().unwrap().unwrap();
        let claims: Result<Vec<_>, _> = bar.claims().collect();
        let indices: Vec<_> = claims.unwrap().iter().map(|claim| claim.index.0).collect();
        assert_eq!(indices, [9, 10]);
    }

    #[test]
    fn more_claims_than_there_are_bytes_are_malformed() {
        let id = abi::VFIO_REGION_INFO_CAP_CLAIMS | (1 << 16);
        let words = description(with_caps(), &[id, 0, u32::MAX, 0, 1, 0]);
        let info = RegionInfo::parse(words.as_bytes()).unwrap();
        assert_eq!(info.bar().unwrap_err(), Malformed);
    }

    #[test]
    fn a_chain_that_runs_in_a_circle_is_malformed() {
        let words = description(with_caps(), &[1 | (1 << 16), HEAD]);
        let info = RegionInfo::parse(words.as_bytes()).unwrap();
        assert_eq!(info.subregion(), Err(Malformed));
    }

    #[test]
    fn an_unknown_attribute_is_malformed() {
        let mut caps = subregion(0);
        caps[3] = 17;
        let words = description(with_caps(), &caps);
        let info = RegionInfo::parse(words.as_bytes()).unwrap();
        assert_eq!(info.subregion(), Err(Malformed));
    }

    #[test]
    fn without_the_flag_there_are_no_capabilities() {
        let mut head = with_caps();
        head.flags = 0;
        let words = description(head, &subregion(0));
        let info = RegionInfo::parse(words.as_bytes()).unwrap();
        assert_eq!(info.subregion(), Ok(None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            words in proptest::collection::vec(any::<u64>(), 0..40),
            offset in 0_u32..400,
            id in prop_oneof![Just(abi::VFIO_REGION_INFO_CAP_CLAIMS),
                Just(abi::VFIO_REGION_INFO_CAP_SUBREGION)],
            next in 0_u32..400,
            count in 0_u32..9,
        ) {
            let mut words = words;
            // Random alone would rarely have a chain to follow.
            for (at, value) in [(1, 8), (3, offset), (8, id | (1 << 16)), (9, next), (10, count)] {
                if let Some(bytes) = words.as_mut_bytes().get_mut(at * 4..at * 4 + 4) {
                    bytes.copy_from_slice(&value.to_ne_bytes());
                }
            }
            if let Ok(info) = RegionInfo::parse(words.as_bytes()) {
                let _ = info.subregion();
                if let Ok(Some(bar)) = info.bar() {
                    prop_assert!(bar.claims().count() <= words.len());
                }
            }
        }
    }
}
