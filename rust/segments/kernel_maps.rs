// SPDX-License-Identifier: GPL-2.0-only

//! The kernel mappings that read() and write() need in a BAR in segments.

use super::range;
use crate::{
    compat::{
        IoMap,
        MemType, //
    },
    region::Span,
    vfio::pci::{
        Bar,
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

/// A kernel mapping of a range of a BAR.
pub(crate) struct KernelMap {
    span: Span,
    map: IoMap,
}

impl KernelMap {
    /// Returns the mapped bytes from `at` on, or `None` if `at` is not mapped. `bar` is the BAR.
    #[inline]
    pub(crate) fn bytes<'a>(&'a self, bar: Bar<'a>, at: u64) -> Option<MappedBytes<'a>> {
        MappedBytes::in_map(bar, at, &self.map, self.span.start())
    }

    /// Maps the page of `segment` that includes byte `at`, with the type `mem`, or, without one,
    /// with the type that the page has.
    ///
    /// Fails with [`EBUSY`] if another mapping has another type. Fails with [`ENOMEM`] if the
    /// kernel has no memory.
    pub(super) fn of_page(
        bar: Bar<'_>,
        segment: Span,
        mem: Option<MemType>,
        at: u64,
    ) -> Result<Self> {
        // CAST: `usize` has at most 64 bits.
        let page = PAGE_SIZE as u64;
        let start = at & !page.wrapping_sub(1);
        let span = segment.above(start);
        let span = span.and_then(|span| span.below(start.saturating_add(page)));
        let span = span.ok_or(EINVAL)?;
        let range = range(bar, span)?;
        let map = match mem {
            Some(mem) => IoMap::with_type(range, mem)?,
            None => IoMap::with_present_type(range)?,
        };
        Ok(Self { span, map })
    }
}

/// The kernel mappings of a BAR.
#[derive(Default)]
pub(super) struct KernelMaps {
    maps: [Option<KernelMap>; MAX_MAPS],
    /// The index of the oldest mapping, which the next one replaces.
    oldest: usize,
}

impl KernelMaps {
    /// Returns the mapping that includes byte `at`, or `None`.
    pub(super) fn find(&self, at: u64) -> Option<&KernelMap> {
        let has = |map: &&KernelMap| map.span.start() <= at && at < map.span.end();
        self.maps.iter().flatten().find(has)
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
        let map = IoMap::with_type(range(bar, span)?, mem)?;
        self.add(KernelMap { span, map });
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
        self.add(KernelMap::of_page(bar, segment, None, at)?);
        Ok(())
    }

    /// Adds `map` in place of the oldest mapping.
    fn add(&mut self, map: KernelMap) {
        if let Some(oldest) = self.maps.get_mut(self.oldest) {
            *oldest = Some(map);
        }
        self.oldest = self.oldest.wrapping_add(1) % MAX_MAPS;
    }

    /// Removes all mappings that overlap `span`.
    pub(super) fn unmap(&mut self, span: Span) {
        for map in &mut self.maps {
            drop(map.take_if(|map| map.span.overlaps(span)));
        }
    }
}
