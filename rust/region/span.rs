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

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(subregion_span))]
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
    /// Values at which arithmetic on offsets can go wrong.
    const EDGES: [u64; 19] = [
        0,
        1,
        0xfff,
        0x1000,
        0x1001,
        (2 << 20) - 1,
        2 << 20,
        1 << 30,
        (1 << 39) - 1,
        1 << 39,
        (1 << 39) + 1,
        (1 << 40) - 1,
        1 << 40,
        (1 << 63) - 1,
        1 << 63,
        (1 << 63) + 1,
        u64::MAX - 0xfff,
        u64::MAX - 1,
        u64::MAX,
    ];

    /// Returns all spans from one value of `edges` to another.
    fn spans(edges: &[u64]) -> impl Iterator<Item = Span> + Clone + '_ {
        let from = move |start| {
            let sizes = edges.iter().map(move |end: &u64| end.checked_sub(start));
            sizes.filter_map(move |size| Span::new(start, size?).ok())
        };
        edges.iter().flat_map(move |start| from(*start))
    }

    /// Returns the span from `start` to `end`, if it has any bytes.
    fn between(start: u64, end: u64) -> Option<Span> {
        Span::new(start, end.checked_sub(start)?).ok()
    }

    #[test]
    fn at_every_edge_a_span_is_what_wider_arithmetic_says() {
        for offset in EDGES {
            for size in EDGES {
                let end = u128::from(offset) + u128::from(size);
                let expected = match u64::try_from(end) {
                    _ if size == 0 => Err(SpanError::Empty),
                    Ok(end) => Ok((offset, end, size)),
                    Err(_) => Err(SpanError::Wraps),
                };
                let made = Span::new(offset, size);
                assert_eq!(made.map(|s| (s.start(), s.end(), s.len())), expected);
                for granule in [1, 0x1000, 0x4000, 0x10000, 2 << 20, 1 << 63] {
                    let made = Span::aligned(offset, size, granule);
                    let whole = offset % granule == 0 && size % granule == 0;
                    if size != 0 && !whole {
                        assert_eq!(made, Err(SpanError::Unaligned));
                    } else {
                        assert_eq!(made, Span::new(offset, size));
                    }
                }
            }
        }
    }

    #[test]
    fn at_every_edge_two_spans_relate_as_their_bytes_do() {
        for one in spans(&EDGES) {
            for other in spans(&EDGES) {
                let first = one.start().max(other.start());
                let end = one.end().min(other.end());
                assert_eq!(one.overlaps(other), first < end);
                assert_eq!(one.overlaps(other), other.overlaps(one));
                assert_eq!(one.contains(other), between(first, end) == Some(other));
            }
            for limit in EDGES {
                assert_eq!(one.below(limit), between(one.start(), one.end().min(limit)));
                assert_eq!(one.above(limit), between(one.start().max(limit), one.end()));
            }
        }
    }

    #[test]
    fn at_every_edge_a_gap_is_the_largest_one() {
        const FEW: [u64; 8] = [
            0,
            1,
            0xfff,
            0x1000,
            1 << 39,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ];
        for low in spans(&FEW) {
            for high in spans(&FEW).filter(|high| low.end() <= high.start()) {
                let taken = [low, high];
                for whole in spans(&FEW) {
                    for at in FEW {
                        let holds = |span: &Span| span.start() <= at && at < span.end();
                        let begins = taken.iter().map(|taken| taken.end());
                        let begins = begins.filter(|end| *end <= at).max().unwrap_or(0);
                        let ends = taken.iter().map(|taken| taken.start());
                        let ends = ends.filter(|start| *start > at).min().unwrap_or(u64::MAX);
                        let free = holds(&whole) && !taken.iter().any(holds);
                        let largest = between(whole.start().max(begins), whole.end().min(ends));
                        let gap = whole.gap_around(at, &taken, |taken| *taken);
                        assert_eq!(gap, largest.filter(|_| free));
                    }
                }
            }
        }
    }
}
