// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Region indices, BARs, and ranges of bytes.

use crate::bindings as abi;
use core::fmt;

/// The kernel's index of a region.
///
/// Only the index identifies a region. A position in a list does not, because indices have gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionIndex(pub u32);

impl RegionIndex {
    /// PCI configuration space.
    pub const CONFIG: Self = Self(abi::VFIO_PCI_CONFIG_REGION_INDEX);
}

impl fmt::Display for RegionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the six BARs of a PCI device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bar(u8);

impl Bar {
    /// All six BARs.
    pub const ALL: [Self; 6] = [Self(0), Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// Returns the BAR with this number; `None` above 5.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 6 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns its number, 0 to 5.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the BAR with this region index, or `None` if it is not the index of a BAR.
    #[must_use]
    pub fn from_index(index: RegionIndex) -> Option<Self> {
        u8::try_from(index.0).ok().and_then(Self::new)
    }
}

impl From<Bar> for RegionIndex {
    fn from(bar: Bar) -> Self {
        Self(abi::VFIO_PCI_BAR0_REGION_INDEX + u32::from(bar.0))
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of bytes of a region. It is never empty, and its end does not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    offset: u64,
    size: u64,
}

impl ByteRange {
    /// Returns the range of `size` bytes that begins at `offset`; `None` if it is empty or wraps.
    #[must_use]
    pub const fn new(offset: u64, size: u64) -> Option<Self> {
        if size == 0 || offset.checked_add(size).is_none() {
            return None;
        }
        Some(Self { offset, size })
    }

    /// Returns the offset of the first byte.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Returns the offset of the byte after the last one.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.offset + self.size
    }

    /// Returns whether the two ranges share a byte.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}-{:#010x}", self.offset, self.end() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: userspace.values
    #[test]
    fn a_range_is_neither_empty_nor_wraps() {
        assert_eq!(ByteRange::new(0, 0), None);
        assert_eq!(ByteRange::new(u64::MAX, 1), None);
        assert_eq!(
            ByteRange::new(u64::MAX - 1, 1).map(ByteRange::end),
            Some(u64::MAX)
        );
    }

    // contract: userspace.values
    #[test]
    fn touching_ranges_do_not_overlap() {
        let range = |offset, size| ByteRange::new(offset, size).unwrap();
        assert!(!range(0, 8).overlaps(range(8, 1)));
        assert!(!range(8, 1).overlaps(range(0, 8)));
        assert!(range(0, 9).overlaps(range(8, 1)));
        assert!(range(2, 1).overlaps(range(0, 8)));
    }

    // contract: userspace.values
    #[test]
    fn the_seventh_bar_is_none() {
        assert_eq!(Bar::new(6), None);
        assert_eq!(Bar::from_index(RegionIndex::CONFIG), None);
        assert_eq!(Bar::from_index(RegionIndex(258)), None);
    }
}
