// SPDX-License-Identifier: GPL-2.0

//! The capabilities of regions.

use super::{
    attribute_number,
    effective_type, //
};
use crate::{
    bindings::{
        self,
        vfio_info_cap_header,
        vfio_region_info_cap_subregion, //
    },
    compat::MemType,
    region::{
        Attribute,
        Span,
        Subregion, //
    }, //
};
use kernel::prelude::*;

/// Makes the capability that describes a subregion.
pub(crate) fn subregion_capability(
    region: &Subregion,
    mem: MemType,
) -> vfio_region_info_cap_subregion {
    vfio_region_info_cap_subregion {
        header: vfio_info_cap_header {
            // CAST: The constants of the user interface fit their fields.
            id: bindings::VFIO_REGION_INFO_CAP_SUBREGION as u16,
            version: 1,
            next: 0,
        },
        // CAST: A BAR's number is less than 6.
        parent: region.bar().index() as u32,
        attribute: attribute_number(region.attribute()),
        effective_type: effective_type(mem),
        reserved: 0,
        offset: region.span().start(),
    }
}

/// The capability that tells the subregions and the attribute of a BAR, being made up
/// (`struct vfio_region_info_cap_claims`).
///
/// With all the claims that there can be it has hundreds of kilobytes.
pub(crate) struct Claims(KVVec<u64>);

/// How many words of [`Claims`] come before the claims.
const CLAIMS_HEADER: usize = 3;

/// How many words a claim has (`struct vfio_region_claim`).
const CLAIM: usize = 3;

impl Claims {
    /// Returns how many words the capability has for `claims` subregions.
    fn words(claims: u32) -> Result<usize> {
        let words = usize::try_from(claims)?.checked_mul(CLAIM);
        let words = words.and_then(|words| words.checked_add(CLAIMS_HEADER));
        words.ok_or(EOVERFLOW)
    }

    /// Returns how many bytes the capability has for `claims` subregions.
    pub(crate) fn size(claims: u32) -> Result<usize> {
        let size = Self::words(claims)?.checked_mul(size_of::<u64>());
        size.ok_or(EOVERFLOW)
    }

    /// Makes the capability for `claims` subregions that are yet to be given.
    pub(crate) fn with_capacity(claims: u32) -> Result<Self> {
        let mut words = KVVec::with_capacity(Self::words(claims)?, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..CLAIMS_HEADER {
            words.push_within_capacity(0)?;
        }
        Ok(Self(words))
    }

    /// Adds the subregion `index`, which holds `span`.
    pub(crate) fn push(&mut self, span: Span, index: u32) -> Result {
        self.0.push_within_capacity(span.start())?;
        self.0.push_within_capacity(span.len())?;
        Ok(self.0.push_within_capacity(pair(index, 0))?)
    }

    /// Completes it for a BAR whose own window has `attribute`, and returns its bytes, by eights.
    pub(crate) fn into_words(mut self, attribute: Attribute, mem: MemType) -> KVVec<u64> {
        // A 16-bit id, a 16-bit version, and a 32-bit offset that VFIO fills in.
        let id = join(bindings::VFIO_REGION_INFO_CAP_CLAIMS, 1);
        // CAST: At most as many as there are subregions.
        let claims = (self.0.len().saturating_sub(CLAIMS_HEADER) / CLAIM) as u32;
        let header = [
            pair(id, 0),
            pair(claims, attribute_number(attribute)),
            pair(effective_type(mem), 0),
        ];
        for (word, value) in self.0.iter_mut().zip(header) {
            *word = value;
        }
        self.0
    }
}

/// Returns the eight bytes that hold `first` and then `second`.
fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the four bytes that hold the low halves of `first` and then of `second`.
fn join(first: u32, second: u32) -> u32 {
    // CAST: The low halves are what is meant.
    let ([a, b], [c, d]) = ((first as u16).to_ne_bytes(), (second as u16).to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}
