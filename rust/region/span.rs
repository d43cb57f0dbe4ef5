// SPDX-License-Identifier: GPL-2.0

//! Ranges of bytes.

/// A range of bytes that is not empty and does not wrap.
///
/// # Invariants
///
/// `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u64,
    end: u64,
}

/// Why an offset and a size make no [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanError {
    /// The size is zero.
    Empty,
    /// The offset or the size is not a multiple of the granule.
    Unaligned,
    /// Offset plus size does not fit into 64 bits.
    Wraps,
}

impl Span {
    /// Makes a span of `size` bytes from `offset`, both multiples of `granule`.
    ///
    /// `granule` is a power of two.
    pub(crate) fn aligned(offset: u64, size: u64, granule: u64) -> Result<Self, SpanError> {
        let below_granule = granule.wrapping_sub(1);
        if size == 0 {
            return Err(SpanError::Empty);
        }
        if (offset | size) & below_granule != 0 {
            return Err(SpanError::Unaligned);
        }
        Self::new(offset, size)
    }

    /// Makes a span of `size` bytes from `offset`.
    pub(crate) fn new(offset: u64, size: u64) -> Result<Self, SpanError> {
        if size == 0 {
            return Err(SpanError::Empty);
        }
        let end = offset.checked_add(size).ok_or(SpanError::Wraps)?;
        // INVARIANT: `size` is not zero and the sum did not wrap.
        Ok(Self { start: offset, end })
    }

    /// Returns the first byte's offset.
    pub(crate) fn start(self) -> u64 {
        self.start
    }

    /// Returns the offset behind the last byte.
    pub(crate) fn end(self) -> u64 {
        self.end
    }

    /// Returns the length in bytes, which is never zero.
    pub(crate) fn len(self) -> u64 {
        // The type's invariant: this does not wrap.
        self.end.wrapping_sub(self.start)
    }

    /// Returns whether the two have a byte in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Returns whether every byte of `other` is one of this span.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Returns the part of this span that lies below `limit`.
    pub(crate) fn below(self, limit: u64) -> Option<Self> {
        let end = self.end.min(limit);
        // INVARIANT: an empty result is not returned.
        (self.start < end).then_some(Self { end, ..self })
    }

    /// Returns the part of this span that lies at or above `limit`.
    pub(crate) fn above(self, limit: u64) -> Option<Self> {
        let start = self.start.max(limit);
        // INVARIANT: an empty result is not returned.
        (start < self.end).then_some(Self { start, ..self })
    }

    /// Returns the largest span around `at` within this one that touches none of `taken`.
    ///
    /// `taken` is sorted and its spans do not overlap. `None` if `at` is outside this span or
    /// inside one of `taken`.
    pub(crate) fn gap_around<T>(
        self,
        at: u64,
        taken: &[T],
        span_of: impl Fn(&T) -> Self,
    ) -> Option<Self> {
        let above = taken.partition_point(|taken| span_of(taken).end() <= at);
        let (below, above) = taken.split_at_checked(above)?;
        let gap = match below.last() {
            Some(neighbour) => self.above(span_of(neighbour).end())?,
            None => self,
        };
        let gap = match above.first() {
            Some(neighbour) => gap.below(span_of(neighbour).start())?,
            None => gap,
        };
        (gap.start <= at && at < gap.end).then_some(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: u64, size: u64) -> Span {
        Span::new(offset, size).unwrap()
    }

    #[test]
    fn touching_ranges_do_not_overlap() {
        assert!(!span(0, 0x1000).overlaps(span(0x1000, 0x1000)));
        assert!(!span(0x1000, 0x1000).overlaps(span(0, 0x1000)));
    }

    #[test]
    fn one_common_byte_is_an_overlap() {
        assert!(span(0, 0x1001).overlaps(span(0x1000, 0x1000)));
        assert!(span(0x1000, 0x1000).overlaps(span(0, 0x1001)));
        assert!(span(0x1000, 0x10).overlaps(span(0, 0x10000)));
        assert!(span(0, 0x10000).overlaps(span(0x1000, 0x10)));
    }

    #[test]
    fn an_empty_range_is_refused() {
        assert_eq!(Span::aligned(0x1000, 0, 0x1000), Err(SpanError::Empty));
    }

    #[test]
    fn unaligned_offset_or_size_is_refused() {
        assert_eq!(Span::aligned(1, 0x1000, 0x1000), Err(SpanError::Unaligned));
        assert_eq!(Span::aligned(0, 0x1001, 0x1000), Err(SpanError::Unaligned));
        assert_eq!(
            Span::aligned(0x800, 0x800, 0x1000),
            Err(SpanError::Unaligned)
        );
    }

    #[test]
    fn a_sum_that_wraps_is_refused() {
        let top = !0xfff;
        assert_eq!(Span::aligned(top, 0x1000, 0x1000), Err(SpanError::Wraps));
        assert_eq!(Span::aligned(0x1000, top, 0x1000), Err(SpanError::Wraps));
        assert!(Span::aligned(top - 0x1000, 0x1000, 0x1000).is_ok());
    }

    #[test]
    fn a_gap_ends_at_its_neighbours() {
        let bar = span(0, 0x10000);
        let taken = [span(0x2000, 0x1000), span(0x8000, 0x2000)];
        let gap = |at| bar.gap_around(at, &taken, |taken| *taken);
        assert_eq!(gap(0), Some(span(0, 0x2000)));
        assert_eq!(gap(0x1fff), Some(span(0, 0x2000)));
        assert_eq!(gap(0x2000), None);
        assert_eq!(gap(0x3000), Some(span(0x3000, 0x5000)));
        assert_eq!(gap(0x9fff), None);
        assert_eq!(gap(0xa000), Some(span(0xa000, 0x6000)));
        assert_eq!(gap(0x10000), None);
    }

    #[test]
    fn a_gap_without_neighbours_is_the_whole() {
        let bar = span(0, 0x10000);
        assert_eq!(bar.gap_around(0x123, &[], |taken: &Span| *taken), Some(bar));
    }

    #[test]
    fn between_touching_neighbours_is_no_gap() {
        let bar = span(0, 0x4000);
        let taken = [span(0, 0x2000), span(0x2000, 0x2000)];
        for at in [0, 0x1fff, 0x2000, 0x3fff, 0x4000] {
            assert_eq!(bar.gap_around(at, &taken, |taken| *taken), None);
        }
    }
}
