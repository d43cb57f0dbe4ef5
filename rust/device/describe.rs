// SPDX-License-Identifier: GPL-2.0-only

//! The description of an open device for the administrator, in debugfs.
//!
//! Each line is made under the memory lock, which is released before the line is written. The
//! description therefore delays a writer of the lock by one line at most, however many subregions
//! there are. A line shows one moment, and different lines may show different ones.

use super::{
    mem_type,
    OpenDevice, //
};
use crate::region::{
    Attribute,
    BarIndex,
    Span,
    Subregion, //
};
use core::fmt;
use kernel::sync::atomic::Relaxed;

/// A range of a BAR that is claimed or a stray.
struct Range {
    span: Span,
    /// The subregion that claims it, the number of its mappings, and of requests that share it.
    /// `None` for a stray.
    subregion: Option<(Subregion, u32, u16)>,
}

impl Range {
    /// Returns the first range of `bar` that ends after `at`.
    fn after(device: &OpenDevice, bar: BarIndex, at: u64) -> Option<Self> {
        let table = device.memory_shared();
        let claim = table.first_ending_after(bar, at)?;
        let region = claim.region().and_then(|id| table.get(id));
        Some(Self {
            span: claim.span(),
            subregion: region.map(|region| {
                let shares = table.shares(region.id()).unwrap_or(1);
                (region, table.mappings(&region), shares)
            }),
        })
    }

    fn write(&self, device: &OpenDevice, bar: BarIndex, text: &mut dyn fmt::Write) -> fmt::Result {
        let (bar, start, size) = (bar.index(), self.span.start(), self.span.len());
        let Some((region, mappings, requests)) = &self.subregion else {
            return writeln!(text, "stray bar={bar} offset={start:#x} size={size:#x}");
        };
        let attribute = region.attribute();
        writeln!(
            text,
            "subregion index={} bar={bar} offset={start:#x} size={size:#x} attribute={} type={} \
             mmap_offset={:#x} mappings={mappings} requests={requests}",
            device.data().index(region.id()),
            attribute.name(),
            mem_type(attribute).name(),
            region.file_offset()
        )
    }
}

/// Writes a line for each BAR that is mapped or not in its initial state, and below it one for each
/// of its subregions and strays, in the order of their offsets.
pub(super) fn describe(device: &OpenDevice, text: &mut dyn fmt::Write) -> fmt::Result {
    for bar in BarIndex::all() {
        let mappings = device.data().vma_counts.get(bar.index());
        let mappings = mappings.map_or(0, |count| count.load(Relaxed));
        let attribute = device.memory_shared().attribute(bar);
        let mut range = Range::after(device, bar, 0);
        if attribute == Attribute::Noncached && mappings == 0 && range.is_none() {
            continue;
        }
        writeln!(
            text,
            "bar number={} attribute={} type={} mappings={mappings}",
            bar.index(),
            attribute.name(),
            mem_type(attribute).name()
        )?;
        // The offsets only grow, so this ends.
        while let Some(this) = range {
            this.write(device, bar, text)?;
            range = Range::after(device, bar, this.span.end());
        }
    }
    Ok(())
}
