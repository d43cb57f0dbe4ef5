// SPDX-License-Identifier: GPL-2.0-only

//! Ranges of bytes.

/// A range of bytes that is not empty and whose end does not wrap.
///
/// # Invariants
///
/// `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u64,
    end: u64,
}

/// The reason for which an offset and a size make no [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanError {
    /// The size is zero.
    Empty,
    /// The offset or the size is not a multiple of the granule.
    Unaligned,
    /// The sum of offset and size does not fit into 64 bits.
    Wraps,
}

impl Span {
    /// Makes a span of `size` bytes from `offset`. Both must be multiples of `granule`, a power of
    /// two.
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
        // INVARIANT: `size` is not zero, and `checked_add()` excludes an end that wraps.
        Ok(Self { start: offset, end })
    }

    /// Makes the span from `start` to just before `end`, or returns `None` if it would be empty.
    pub(crate) fn between(start: u64, end: u64) -> Option<Self> {
        // INVARIANT: The condition is the invariant.
        (start < end).then_some(Self { start, end })
    }

    /// Returns the offset of the first byte.
    pub(crate) fn start(self) -> u64 {
        self.start
    }

    /// Returns the offset after the first byte: a range that ends there or later has a byte of this
    /// span or lies above its first byte.
    pub(crate) fn after_start(self) -> u64 {
        // This does not wrap, by the type's invariant.
        self.start.wrapping_add(1)
    }

    /// Returns the offset after the last byte.
    pub(crate) fn end(self) -> u64 {
        self.end
    }

    /// Returns the length in bytes, which is never zero.
    pub(crate) fn len(self) -> u64 {
        // This does not wrap, by the type's invariant.
        self.end.wrapping_sub(self.start)
    }

    /// Returns whether the two spans have a byte in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Returns whether this span includes every byte of `other`.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Returns the bytes of this span below `limit`, or `None` if there are none.
    pub(crate) fn below(self, limit: u64) -> Option<Self> {
        Self::between(self.start, self.end.min(limit))
    }

    /// Returns the bytes of this span at or above `limit`, or `None` if there are none.
    pub(crate) fn above(self, limit: u64) -> Option<Self> {
        Self::between(self.start.max(limit), self.end)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(subregion_span))]
mod tests {
    use super::{
        super::EDGES,
        *, //
    };

    fn span(offset: u64, size: u64) -> Span {
        Span::new(offset, size).unwrap()
    }

    // contract: create.touching
    #[test]
    fn touching_ranges_do_not_overlap() {
        assert!(!span(0, 0x1000).overlaps(span(0x1000, 0x1000)));
        assert!(!span(0x1000, 0x1000).overlaps(span(0, 0x1000)));
    }

    // contract: create.overlap
    #[test]
    fn one_common_byte_is_an_overlap() {
        assert!(span(0, 0x1001).overlaps(span(0x1000, 0x1000)));
        assert!(span(0x1000, 0x1000).overlaps(span(0, 0x1001)));
        assert!(span(0x1000, 0x10).overlaps(span(0, 0x10000)));
        assert!(span(0, 0x10000).overlaps(span(0x1000, 0x10)));
    }

    // contract: create.size-zero
    #[test]
    fn an_empty_range_is_refused() {
        assert_eq!(Span::aligned(0x1000, 0, 0x1000), Err(SpanError::Empty));
    }

    // contract: create.alignment
    #[test]
    fn unaligned_offset_or_size_is_refused() {
        assert_eq!(Span::aligned(1, 0x1000, 0x1000), Err(SpanError::Unaligned));
        assert_eq!(Span::aligned(0, 0x1001, 0x1000), Err(SpanError::Unaligned));
        assert_eq!(
            Span::aligned(0x800, 0x800, 0x1000),
            Err(SpanError::Unaligned)
        );
    }

    // contract: create.wrap
    #[test]
    fn a_sum_that_wraps_is_refused() {
        let top = !0xfff;
        assert_eq!(Span::aligned(top, 0x1000, 0x1000), Err(SpanError::Wraps));
        assert_eq!(Span::aligned(0x1000, top, 0x1000), Err(SpanError::Wraps));
        assert!(Span::aligned(top - 0x1000, 0x1000, 0x1000).is_ok());
    }

    /// Returns all spans that begin and end at values of `edges`.
    fn spans(edges: &[u64]) -> impl Iterator<Item = Span> + Clone + '_ {
        let from = move |start| {
            let sizes = edges.iter().map(move |end: &u64| end.checked_sub(start));
            sizes.filter_map(move |size| Span::new(start, size?).ok())
        };
        edges.iter().flat_map(move |start| from(*start))
    }

    /// Returns the span from `start` to `end`, or `None` if it would be empty.
    fn between(start: u64, end: u64) -> Option<Span> {
        Span::new(start, end.checked_sub(start)?).ok()
    }

    // contract: rules.arithmetic
    #[test]
    fn at_every_edge_a_span_agrees_with_wider_arithmetic() {
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

    // contract: rules.arithmetic
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
}
