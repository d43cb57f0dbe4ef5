// SPDX-License-Identifier: GPL-2.0

//! What a subregion is, and why one cannot be.

use super::{
    attr::Attribute,
    span::Span,
    window::{
        slot_offset,
        Bar, //
    }, //
};

/// Numbers a device's subregions in the order in which they were created, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegionId(u32);

impl RegionId {
    /// Takes a number for an id; whether there is such a subregion is for the table to say.
    pub(crate) fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// A range of a BAR with an attribute and an mmap offset of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subregion {
    pub(super) id: RegionId,
    pub(super) bar: Bar,
    pub(super) attribute: Attribute,
    pub(super) span: Span,
    /// The first byte of its slot, which is as long as it is.
    pub(super) slot: u64,
}

impl Subregion {
    /// Returns its id.
    pub(crate) fn id(&self) -> RegionId {
        self.id
    }

    /// Returns the BAR it is a part of.
    pub(crate) fn bar(&self) -> Bar {
        self.bar
    }

    /// Returns its attribute.
    pub(crate) fn attribute(&self) -> Attribute {
        self.attribute
    }

    /// Returns its bytes within the BAR.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns the file offset of its first byte.
    pub(crate) fn file_offset(&self) -> u64 {
        slot_offset(self.bar, self.slot)
    }
}

/// Why a range of a BAR cannot be mapped through the BAR's own window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A subregion has it.
    Subregion(RegionId),
    /// It is a stray: something outside of the driver decides its memory type.
    Stray,
}

/// A range of a BAR that cannot be mapped through the BAR's own window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(super) span: Span,
    pub(super) holder: Holder,
}

impl Claim {
    /// Returns the subregion that has the range, unless it is a stray.
    pub(super) fn region(&self) -> Option<RegionId> {
        match self.holder {
            Holder::Subregion(id) => Some(id),
            Holder::Stray => None,
        }
    }
}

/// Why a subregion cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The range overlaps this subregion, the first one that it does.
    Overlap(RegionId),
    /// There are as many subregions, or as many bytes of slots, as a device can have.
    Limit,
    /// The BAR's own window has an attribute other than the one that every BAR has at first.
    Attributed,
    /// Part of the range is a stray, whose memory type the driver cannot choose.
    Stray,
}
