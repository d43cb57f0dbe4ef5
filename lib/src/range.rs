// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Names of regions, and parts of them.

use crate::bindings as abi;
use core::fmt;

/// The kernel's index of a region.
///
/// It is the only name of one. Position in a list is none: indices have gaps.
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
    /// All of them.
    pub const ALL: [Self; 6] = [Self(0), Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The BAR of that number; `None` above 5.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 6 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number, 0 to 5.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The BAR that a region is, if it is one.
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

/// Some bytes of a region; never empty, and its end does not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    offset: u64,
    size: u64,
}

impl ByteRange {
    /// `size` bytes from `offset` on; `None` when that is empty or wraps.
    #[must_use]
    pub const fn new(offset: u64, size: u64) -> Option<Self> {
        if size == 0 || offset.checked_add(size).is_none() {
            return None;
        }
        Some(Self { offset, size })
    }

    /// The first byte.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// How many bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// The byte after the last one.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.offset + self.size
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
    fn the_seventh_bar_is_none() {
        assert_eq!(Bar::new(6), None);
        assert_eq!(Bar::from_index(RegionIndex::CONFIG), None);
        assert_eq!(Bar::from_index(RegionIndex(258)), None);
    }
}
