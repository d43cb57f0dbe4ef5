// SPDX-License-Identifier: GPL-2.0-only

//! The capabilities of subregions and BARs in `VFIO_DEVICE_GET_REGION_INFO`.

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
            // CAST: The constants of the user interface fit into their fields.
            id: bindings::VFIO_REGION_INFO_CAP_SUBREGION as u16,
            version: 1,
            next: 0,
        },
        // CAST: The number of a BAR is less than 6.
        parent: region.bar().index() as u32,
        attribute: attribute_number(region.attribute()),
        effective_type: effective_type(mem),
        reserved: 0,
        offset: region.span().start(),
    }
}

/// The capability that lists the claims of a BAR (`struct vfio_region_info_cap_claims`), while it
/// is composed.
///
/// With the maximum number of claims it has 384 KiB.
pub(crate) struct Claims(KVVec<u64>);

/// The number of words before the claims.
const CLAIMS_HEADER: usize = 3;

/// The number of words of a claim (`struct vfio_region_claim`).
const CLAIM: usize = 3;

impl Claims {
    /// Returns the number of words of the capability with `claims` claims.
    fn words(claims: u32) -> Result<usize> {
        let words = usize::try_from(claims)?.checked_mul(CLAIM);
        let words = words.and_then(|words| words.checked_add(CLAIMS_HEADER));
        words.ok_or(EOVERFLOW)
    }

    /// Returns the size in bytes of the capability with `claims` claims.
    pub(crate) fn size(claims: u32) -> Result<usize> {
        let size = Self::words(claims)?.checked_mul(size_of::<u64>());
        size.ok_or(EOVERFLOW)
    }

    /// Makes a capability without claims but with memory for `claims` of them.
    pub(crate) fn with_capacity(claims: u32) -> Result<Self> {
        let mut words = KVVec::with_capacity(Self::words(claims)?, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..CLAIMS_HEADER {
            words.push_within_capacity(0)?;
        }
        Ok(Self(words))
    }

    /// Adds the claim `span` of the subregion with the region index `index`.
    pub(crate) fn push(&mut self, span: Span, index: u32) -> Result {
        self.0.push_within_capacity(span.start())?;
        self.0.push_within_capacity(span.len())?;
        Ok(self.0.push_within_capacity(pair(index, 0))?)
    }

    /// Completes the capability of a BAR with `attribute`, and returns it as words of eight bytes.
    pub(crate) fn into_words(mut self, attribute: Attribute, mem: MemType) -> KVVec<u64> {
        // The header has a 16-bit id, a 16-bit version, and a 32-bit offset that VFIO fills in.
        let id = join(bindings::VFIO_REGION_INFO_CAP_CLAIMS, 1);
        // CAST: The number is at most `region::LIMIT`.
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

/// Returns a word that contains the bytes of `first` and then those of `second`.
fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the four bytes of the low half of `first` and then that of `second`.
fn join(first: u32, second: u32) -> u32 {
    // CAST: The function uses only the low halves.
    let ([a, b], [c, d]) = ((first as u16).to_ne_bytes(), (second as u16).to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}
