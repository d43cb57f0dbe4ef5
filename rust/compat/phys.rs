// SPDX-License-Identifier: GPL-2.0-only

//! Physical addresses of device memory. Upstream home: rust/kernel/io/resource.rs.

use core::{
    num::NonZeroU64,
    ops::Range, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// Returns whether two ranges, neither of which is empty, have a number in common.
pub(crate) fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// A range of physical addresses of device memory that the driver may map.
///
/// The kernel crate's `Region` is a reservation. vfio-pci-core reserves BARs, and the driver needs
/// parts of them.
///
/// # Invariants
///
/// - The range is memory of a resource of a device that is bound to this driver, and the driver has
///   reserved the resource.
/// - The end of the range does not wrap.
#[derive(Clone, Copy)]
pub(crate) struct PhysRange {
    start: u64,
    len: NonZeroU64,
}

impl PhysRange {
    /// Makes a range of `len` bytes from the physical address `start`.
    ///
    /// Fails with [`EINVAL`] if the range is empty or its end wraps.
    ///
    /// # Safety
    ///
    /// The first of the type's invariants must hold for this range while the result exists, and
    /// while any mapping or reservation made from it exists.
    pub(crate) unsafe fn new(start: u64, len: u64) -> Result<Self> {
        start.checked_add(len).ok_or(EINVAL)?;
        let len = NonZeroU64::new(len).ok_or(EINVAL)?;
        // INVARIANT: The caller guarantees the first one, and `checked_add()` the second.
        Ok(Self { start, len })
    }

    /// Returns the address of the first byte.
    pub(crate) fn start(self) -> u64 {
        self.start
    }

    /// Returns the addresses.
    fn addresses(self) -> Range<u64> {
        // This does not saturate, by the type's invariant.
        self.start..self.start.saturating_add(self.len.get())
    }

    /// Returns the length in bytes, which is not 0.
    pub(crate) fn size(self) -> u64 {
        self.len.get()
    }

    /// Returns whether the two ranges have a byte in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        overlap(&self.addresses(), &other.addresses())
    }

    /// Returns the first page of the range, or the whole range if it is shorter.
    pub(crate) fn first_page(self) -> Self {
        // CAST: `usize` has at most 64 bits.
        let page = NonZeroU64::new(PAGE_SIZE as u64).map_or(self.len, |page| page.min(self.len));
        // INVARIANT: The result is a part of `self`, so both hold for it as well.
        Self {
            start: self.start,
            len: page,
        }
    }
}
