// SPDX-License-Identifier: GPL-2.0-only

//! Subregions, claims, and the reasons for which a subregion is refused.

use super::{
    attr::Attribute,
    span::Span,
    window::{
        slot_offset,
        BarIndex, //
    }, //
};

/// The number of a subregion. A device's subregions are numbered from 0, in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegionId(u32);

impl RegionId {
    /// Makes an id of a number. The table knows whether such a subregion exists.
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
    pub(super) bar: BarIndex,
    pub(super) attribute: Attribute,
    pub(super) span: Span,
    /// The start of its slot.
    pub(super) slot: u64,
}

impl Subregion {
    /// Returns its id.
    pub(crate) fn id(&self) -> RegionId {
        self.id
    }

    /// Returns its parent.
    pub(crate) fn bar(&self) -> BarIndex {
        self.bar
    }

    /// Returns its attribute.
    pub(crate) fn attribute(&self) -> Attribute {
        self.attribute
    }

    /// Returns its range within the BAR.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns the file offset of its first byte.
    pub(crate) fn file_offset(&self) -> u64 {
        slot_offset(self.bar, self.slot)
    }
}

/// The reason for which userspace cannot map a range of a BAR through the BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimKind {
    /// A subregion claims the range.
    Subregion(RegionId),
    /// The range is a stray: this driver cannot choose its memory type.
    Stray,
}

/// A range of a BAR that userspace cannot map through the BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(super) span: Span,
    pub(super) kind: ClaimKind,
}

impl Claim {
    /// Returns the range.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns the subregion that claims the range, or `None` for a stray.
    pub(crate) fn region(&self) -> Option<RegionId> {
        match self.kind {
            ClaimKind::Subregion(id) => Some(id),
            ClaimKind::Stray => None,
        }
    }
}

/// The reason for which a subregion cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The range overlaps this subregion. If it overlaps several, this one begins first.
    Overlap(RegionId),
    /// The device has its maximum number of subregions or has used up its ids, or no slot is free.
    Limit,
    /// Another user of the BAR excludes the subregion.
    Busy(Busy),
}

/// A user of a range or of a BAR that excludes an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// An ioeventfd writes to a page whose memory type would change.
    Ioeventfd,
    /// The core could not reserve the BAR, because of another driver.
    Bar,
    /// Another mapping gives a page another memory type.
    Type,
    /// The range includes a page of a stray.
    Stray,
    /// The BAR has a subregion.
    Subregion,
    /// A VMA maps the BAR itself.
    Mapped,
}
