// SPDX-License-Identifier: GPL-2.0-only

//! The kernel mappings that read() and write() need in a BAR in segments.

use crate::{
    compat::{
        overlap,
        MemType, //
    },
    region::Span,
    vfio::pci::{
        Bar,
        BarMap,
        MappedBytes, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// The maximum length and the alignment of a kernel mapping: the size that one entry of the
/// kernel's page tables can map.
const MAP_SIZE: u64 = 2 << 20;

/// The maximum number of kernel mappings of a BAR. A program that uses read() for a BAR accesses
/// few different ranges.
const MAX_MAPS: usize = 8;

/// Maps the page of `segment` that includes byte `at`, with the type `mem`, or, without one, with
/// the type that the page has.
///
/// Fails with [`EBUSY`] if another mapping has another type. Fails with [`ENOMEM`] if the kernel
/// has no memory.
pub(super) fn map_of_page(
    bar: Bar<'_>,
    segment: Span,
    mem: Option<MemType>,
    at: u64,
) -> Result<BarMap> {
    // CAST: `usize` has at most 64 bits.
    let page = PAGE_SIZE as u64;
    let start = at & !page.wrapping_sub(1);
    let span = segment.above(start);
    let span = span.and_then(|span| span.below(start.saturating_add(page)));
    let span = span.ok_or(EINVAL)?;
    BarMap::new(bar, span.start()..span.end(), mem)
}

/// The kernel mappings of a BAR.
#[derive(Default)]
pub(super) struct KernelMaps {
    maps: [Option<BarMap>; MAX_MAPS],
    /// The index of the oldest mapping, which the next one replaces.
    oldest: usize,
}

impl KernelMaps {
    /// Returns the mapped bytes from `at` on, or `None` if byte `at` is not mapped.
    #[inline(never)]
    pub(super) fn find(&self, at: u64) -> Option<MappedBytes<'_>> {
        let mut maps = self.maps.iter().flatten();
        maps.find_map(|map| map.bytes_from(at))
    }

    /// Makes a mapping that includes byte `at`, within `segment`, whose type is `mem`, unless there
    /// is one.
    ///
    /// Fails with [`EBUSY`] if another mapping gives the memory another type. Fails with [`ENOMEM`]
    /// if the kernel has no memory.
    pub(super) fn map(&mut self, bar: Bar<'_>, segment: Span, mem: MemType, at: u64) -> Result {
        if self.find(at).is_some() {
            return Ok(());
        }
        let phys = bar.phys().checked_add(at).ok_or(EINVAL)?;
        let above = MAP_SIZE.wrapping_sub(phys & MAP_SIZE.wrapping_sub(1));
        let end = at.saturating_add(above);
        let span = segment.above(end.saturating_sub(MAP_SIZE));
        let span = span.and_then(|span| span.below(end)).ok_or(EINVAL)?;
        self.add(BarMap::new(bar, span.start()..span.end(), Some(mem))?);
        Ok(())
    }

    /// Maps the page of `segment` that includes byte `at`, with the type that the page has, unless
    /// it is mapped.
    ///
    /// Fails with [`EBUSY`] if another mapping has a type that device memory cannot share. Fails
    /// with [`ENOMEM`] if the kernel has no memory.
    pub(super) fn map_page(&mut self, bar: Bar<'_>, segment: Span, at: u64) -> Result {
        if self.find(at).is_some() {
            return Ok(());
        }
        self.add(map_of_page(bar, segment, None, at)?);
        Ok(())
    }

    /// Adds `map` in place of the oldest mapping.
    fn add(&mut self, map: BarMap) {
        if let Some(oldest) = self.maps.get_mut(self.oldest) {
            *oldest = Some(map);
        }
        self.oldest = self.oldest.wrapping_add(1) % MAX_MAPS;
    }

    /// Removes all mappings that overlap `span`.
    pub(super) fn unmap(&mut self, span: Span) {
        let bytes = span.start()..span.end();
        for map in &mut self.maps {
            drop(map.take_if(|map| overlap(map.bytes(), &bytes)));
        }
    }
}
