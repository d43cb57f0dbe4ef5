// SPDX-License-Identifier: GPL-2.0-only

//! Foreign mappings of BARs, and their effect on the pages that they keep.
//!
//! On x86 all mappings of a page have one type, and the first mapping determines it. A page that a
//! foreign mapping has write-combining therefore stays so when a subregion there ends, and is so
//! from the start if it was mapped before the device was opened. In a write-combining BAR the same
//! holds for an uncached page that was in a strict subregion. Such a page, a stray of the driver, is
//! *kept*: no mapping of the device reaches it, no subregion can contain it, and the attribute of
//! its BAR cannot be set. It becomes an ordinary page when the foreign mapping is gone. A foreign
//! mapping of a page that the device mapped first has the type of the device's mapping, and the page
//! cannot get another type then.

use super::facts::Attribute;
use super::{overlap, ranges::Ranges, Device, Mem, BARS};
use std::ops::Range;

/// The maximum number of foreign mappings at a time.
pub const FOREIGN: usize = 4;
/// The maximum number of pages of a foreign mapping. One check of the driver covers so many pages
/// that it always finds exactly the kept ones among them.
pub const FOREIGN_PAGES: u64 = 8;

/// A foreign mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignMapping {
    /// The BAR.
    pub bar: usize,
    /// The range in the BAR.
    pub span: Range<u64>,
    /// The type of its entries.
    pub mem: Mem,
}

/// All foreign mappings.
pub type ForeignMappings = [Option<ForeignMapping>; FOREIGN];

/// The driver's knowledge of foreign mappings, in the model of a device.
#[derive(Clone, Debug, Default)]
pub struct Strays {
    /// All foreign mappings.
    foreign: Vec<ForeignMapping>,
    /// The pages of each BAR that the driver may consider kept: those that are, and those that were
    /// at its last check. The kernel knows no type of these pages.
    unsettled: [Ranges; BARS],
}

impl Strays {
    /// Returns the ranges of a BAR in foreign mappings of a type.
    fn mapped(&self, bar: usize, mem: Mem) -> impl Iterator<Item = &Range<u64>> {
        let of = move |other: &&ForeignMapping| other.bar == bar && other.mem == mem;
        self.foreign.iter().filter(of).map(|other| &other.span)
    }
}

impl Device {
    /// Records the current foreign mappings.
    pub fn see(&mut self, foreign: &ForeignMappings) {
        self.strays.foreign = foreign.iter().flatten().cloned().collect();
        self.find_strays();
    }

    /// Records an event after which more pages may be kept.
    pub(super) fn find_strays(&mut self) {
        for bar in 0..BARS {
            for span in self.kept(bar).all() {
                self.strays.unsettled[bar].insert(span);
            }
        }
    }

    /// Records that the driver has checked which pages of a BAR are kept.
    pub(super) fn settle(&mut self, bar: usize) {
        self.strays.unsettled[bar] = self.kept(bar);
    }

    /// Returns the pages of a BAR that are kept.
    #[must_use]
    pub fn kept(&self, bar: usize) -> Ranges {
        let mut kept = Ranges::default();
        if self.strays.foreign.is_empty() {
            return kept;
        }
        let combines = self.windows[bar].combines();
        for span in self.strays.mapped(bar, other(combines)) {
            kept.insert(span.clone());
        }
        for (_, region) in self.claims(bar) {
            if region.attribute.combines() != combines {
                kept.remove(&region.span);
            }
        }
        kept
    }

    /// Returns whether any page of `span` is kept.
    pub(super) fn keeps(&self, bar: usize, span: &Range<u64>) -> bool {
        !self.strays.foreign.is_empty() && !self.kept(bar).within(span).is_empty()
    }

    /// Returns whether a foreign mapping prevents any page of `span` from having the type of
    /// `attribute`.
    pub(super) fn is_held(&self, bar: usize, span: &Range<u64>, attribute: Attribute) -> bool {
        let mut held = self.strays.mapped(bar, other(attribute.combines()));
        held.any(|other| overlap(other, span))
    }

    /// Returns whether a foreign mapping is uncached where the device is write-combining.
    #[must_use]
    pub fn has_two_types(&self, mapping: &ForeignMapping) -> bool {
        let claims = self.claims(mapping.bar);
        let combines = mapping.mem == Mem::WriteCombining;
        let mut regions = claims.iter().map(|(_, region)| region);
        regions.any(|r| r.attribute.combines() != combines && overlap(&r.span, &mapping.span))
    }

    /// Returns the type of a new foreign mapping; `None` if it is not certain, or if the pages have
    /// several types.
    fn foreign_type(&self, bar: usize, span: &Range<u64>) -> Option<Mem> {
        let kept = self.kept(bar);
        let mut unknown = self.strays.unsettled[bar].clone();
        for part in kept.all() {
            unknown.remove(&part);
        }
        if !unknown.within(span).is_empty() {
            return None;
        }
        let combines = self.windows[bar].combines();
        let mut differs = kept;
        for (_, region) in self.claims(bar) {
            if region.attribute.combines() != combines {
                differs.insert(region.span.clone());
            }
        }
        if differs.within(span).is_empty() {
            Some(other(!combines))
        } else {
            differs.contains(span).then(|| other(combines))
        }
    }
}

/// Returns the type of a foreign mapping whose pages are write-combining if others are not, and the
/// reverse.
fn other(combines: bool) -> Mem {
    if combines {
        Mem::Noncached
    } else {
        Mem::WriteCombining
    }
}

/// Returns the type of a new foreign mapping, like [`Device::foreign_type`]; `device` is the device
/// if it is open.
#[must_use]
pub fn foreign_type(
    device: Option<&Device>,
    foreign: &ForeignMappings,
    bar: usize,
    span: &Range<u64>,
) -> Option<Mem> {
    if let Some(device) = device {
        return device.foreign_type(bar, span);
    }
    let meets = |other: &&ForeignMapping| other.bar == bar && overlap(&other.span, span);
    let mut types = foreign
        .iter()
        .flatten()
        .filter(meets)
        .map(|other| other.mem);
    let Some(first) = types.next() else {
        return Some(Mem::WriteCombining);
    };
    types.all(|mem| mem == first).then_some(first)
}

/// Returns whether the foreign mappings of a BAR have two types. If the device is opened then,
/// vfio-pci-core cannot map the BAR, which the kernel logs, and the driver divides it into segments.
#[must_use]
pub fn are_mixed(foreign: &ForeignMappings) -> bool {
    let mut all = foreign.iter().flatten();
    all.any(|one| {
        let mut others = foreign.iter().flatten();
        others.any(|other| other.bar == one.bar && other.mem != one.mem)
    })
}
