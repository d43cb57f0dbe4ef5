// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Descriptions of regions, valid and malformed ones.

extern crate std;
use super::*;
use proptest::prelude::*;
use std::{vec, vec::Vec};
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

// contract: userspace.info
#[test]
fn the_generated_head_of_claims_is_as_long_as_the_headers() {
    assert_eq!(size_of::<ClaimsHead>(), 24);
    assert_eq!(size_of::<abi::vfio_region_info>(), 32);
}

// contract: userspace.info
#[test]
fn a_subregion_is_found_behind_another_capability() {
    let mut caps = vec![1 | (1 << 16), HEAD + 8];
    caps.extend(subregion(0));
    let words = description(with_caps(), &caps);
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    let found = info.subregion().unwrap().unwrap();
    assert_eq!(found.parent.number(), 2);
    assert_eq!(found.range, ByteRange::new(0x1000, 0x4000).unwrap());
    assert_eq!(found.attribute, Some(Attribute::WriteCombining));
    assert_eq!(found.effective, EffectiveType::X86_WC);
    assert!(info.bar().unwrap().is_none());
}

// contract: userspace.info
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

// contract: userspace.info-malformed
#[test]
fn more_claims_than_there_are_bytes_are_malformed() {
    let id = abi::VFIO_REGION_INFO_CAP_CLAIMS | (1 << 16);
    let words = description(with_caps(), &[id, 0, u32::MAX, 0, 1, 0]);
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    assert_eq!(info.bar().unwrap_err(), Malformed);
}

// contract: userspace.info-malformed
#[test]
fn a_chain_that_runs_in_a_circle_is_malformed() {
    let words = description(with_caps(), &[1 | (1 << 16), HEAD]);
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    assert_eq!(info.subregion(), Err(Malformed));
}

// contract: userspace.info-malformed
#[test]
fn an_attribute_of_a_newer_kernel_is_told_as_unknown() {
    let mut caps = subregion(0);
    caps[3] = 17;
    let words = description(with_caps(), &caps);
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    let found = info.subregion().unwrap().unwrap();
    assert_eq!(found.attribute, None);
    assert_eq!(found.parent.number(), 2);
}

// contract: userspace.info-malformed
#[test]
fn a_capability_of_another_version_is_another_capability() {
    let mut caps = subregion(0);
    caps[0] += 1 << 16;
    let words = description(with_caps(), &caps);
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    assert_eq!(info.subregion(), Ok(None));
}

// contract: userspace.info-malformed
#[test]
fn a_description_that_is_cut_off_is_malformed() {
    let words = description(with_caps(), &subregion(0));
    for len in 0..32 {
        assert!(
            RegionInfo::parse(&words.as_bytes()[..len]).is_err(),
            "{len}"
        );
    }
    for len in 32..64 {
        let info = RegionInfo::parse(&words.as_bytes()[..len]).unwrap();
        assert_eq!(info.subregion(), Err(Malformed), "{len}");
    }
}

// contract: userspace.info-malformed
#[test]
fn a_parent_that_is_no_bar_is_malformed() {
    let mut caps = subregion(0);
    caps[2] = 7;
    let words = description(with_caps(), &caps);
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    assert_eq!(info.subregion(), Err(Malformed));
}

// contract: userspace.info-malformed
#[test]
fn a_claim_that_wraps_is_malformed() {
    let id = abi::VFIO_REGION_INFO_CAP_CLAIMS | (1 << 16);
    let mut caps = vec![id, 0, 1, 0, 1, 0];
    caps.extend([u32::MAX, u32::MAX, 0x1000, 0, 9, 0]);
    let words = description(with_caps(), &caps);
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    let mut claims = info.bar().unwrap().unwrap().claims();
    assert_eq!(claims.next(), Some(Err(Malformed)));
    assert_eq!(claims.next(), None);
}

// contract: userspace.info
#[test]
fn without_the_flag_there_are_no_capabilities() {
    let mut head = with_caps();
    head.flags = 0;
    let words = description(head, &subregion(0));
    let info = RegionInfo::parse(words.as_bytes()).unwrap();
    assert_eq!(info.subregion(), Ok(None));
}

proptest! {
    // contract: userspace.info-malformed
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
