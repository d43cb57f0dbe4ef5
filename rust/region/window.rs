// SPDX-License-Identifier: GPL-2.0-only

//! The meaning of the file offsets of a VFIO PCI device.
//!
//! vfio-pci-core gives every region index a *window* of 1 TiB in the device file: the window of
//! index `i` begins at `i << 40`. When the core revokes mappings (reset, memory decoding switched
//! off, power states, hot reset by a sibling), it unmaps the windows of the BARs and nothing else.
//! The slot of a subregion is therefore in the upper half of its parent's window, and every
//! revocation of the BAR includes the subregion. A slot lies beyond the end of any BAR that can
//! have subregions, so the core would refuse its offset if it ever received one.

use super::span::Span;

/// The window of a region begins at its index, shifted by this number (`VFIO_PCI_OFFSET_SHIFT`).
pub(crate) const WINDOW_SHIFT: u32 = 40;

/// The number of bytes of a window. The rest of a larger region has no offsets of its own.
pub(crate) const WINDOW: u64 = 1 << WINDOW_SHIFT;

/// The start of the slots within a BAR's window.
const SLOTS_START: u64 = 1 << 39;

/// The number of bytes for slots in a BAR's window. A larger BAR cannot have subregions.
pub(crate) const SLOTS_SIZE: u64 = 1 << 39;

/// The number of BARs of a PCI function.
pub(crate) const BARS: usize = 6;

/// The length of an array that is indexed with a BAR's number, even under speculation.
pub(super) const PARENTS: usize = 8;

/// The region index of a BAR.
///
/// # Invariants
///
/// The number is less than [`BARS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BarIndex(u8);

impl BarIndex {
    /// Makes a BAR of its region index, or returns `None` if the index is not that of a BAR.
    pub(crate) fn new(index: u64) -> Option<Self> {
        let index = u8::try_from(index).ok()?;
        // INVARIANT: The condition is the invariant.
        (usize::from(index) < BARS).then_some(Self(index))
    }

    /// Returns all BARs.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        // INVARIANT: The range ends before `BARS`.
        // CAST: `BARS` is 6.
        (0..BARS as u8).map(Self)
    }

    /// Returns the BAR's number, which is less than [`BARS`].
    pub(crate) fn index(self) -> usize {
        // The mask limits a CPU that speculates past the check in `new` to indices below `PARENTS`.
        usize::from(self.0 & 7)
    }

    /// Returns the file offset of the BAR's first byte.
    pub(crate) fn window_start(self) -> u64 {
        u64::from(self.0) << WINDOW_SHIFT
    }
}

/// The meaning of a file offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A byte of a BAR, possibly beyond its end.
    Bar(BarIndex, u64),
    /// A byte of the slots of a BAR.
    Slot(BarIndex, u64),
    /// Another region, such as configuration space, ROM or VGA, or no region.
    Other,
}

impl Target {
    /// Returns the meaning of the file offset `offset`.
    pub(crate) fn of(offset: u64) -> Self {
        let Some(bar) = BarIndex::new(offset >> WINDOW_SHIFT) else {
            return Self::Other;
        };
        let within = offset & (WINDOW - 1);
        match within.checked_sub(SLOTS_START) {
            Some(slot) => Self::Slot(bar, slot),
            None => Self::Bar(bar, within),
        }
    }
}

/// Returns the file offset of byte `slot` of the slots of `bar`. `slot` must be less than
/// [`SLOTS_SIZE`].
pub(crate) fn slot_offset(bar: BarIndex, slot: u64) -> u64 {
    bar.window_start() | SLOTS_START | slot
}

/// The sizes of huge entries for which slots are aligned, largest first.
///
/// The driver makes no entry of 1 GiB (rust/vfio/pci/mmap.rs). Slots are aligned for them
/// nevertheless, so that a later kernel which can split such entries can use them without a change
/// for programs.
///
/// These are the sizes of a PUD entry with pages of 4 KiB, and of a PMD entry with pages of 64 KiB,
/// 16 KiB and 4 KiB. They are the same with each page size, since offsets are plentiful.
const HUGE: [u64; 4] = [1 << 30, 512 << 20, 32 << 20, 2 << 20];

/// Returns the slot for `span` of a BAR at the physical address `phys`. It is the first one from
/// `cursor` on that permits huge entries, or `None` if it does not fit into the window.
///
/// In a huge entry the virtual and the physical address must agree modulo its size, and programs
/// derive the virtual address from the file offset. The slot therefore agrees with the physical
/// address modulo the largest entry that fits into the span. A span that is too small for a huge
/// entry begins at `cursor` and wastes no offsets.
pub(crate) fn place_slot(cursor: u64, phys: u64, span: Span) -> Option<Span> {
    let phys = phys.checked_add(span.start())?;
    let start = match HUGE.into_iter().find(|huge| span.len() >= *huge) {
        Some(huge) => cursor.checked_add(phys.wrapping_sub(cursor) & huge.wrapping_sub(1))?,
        None => cursor,
    };
    let slot = Span::new(start, span.len()).ok()?;
    (slot.end() <= SLOTS_SIZE).then_some(slot)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(subregion_window))]
mod tests {
    use super::{
        super::EDGES,
        *, //
    };

    fn span(offset: u64, size: u64) -> Span {
        Span::new(offset, size).unwrap()
    }

    // contract: create.parent
    #[test]
    fn the_seventh_index_is_not_a_bar() {
        assert!(BarIndex::new(5).is_some());
        assert_eq!(BarIndex::new(6), None);
        assert_eq!(BarIndex::new(256), None);
        assert_eq!(BarIndex::new(u64::MAX), None);
    }

    // contract: create.slot
    #[test]
    fn a_slot_offset_leads_back_to_its_slot() {
        for index in 0..6 {
            let bar = BarIndex::new(index).unwrap();
            for slot in [0, 0x1000, SLOTS_SIZE - 1] {
                assert_eq!(Target::of(slot_offset(bar, slot)), Target::Slot(bar, slot));
            }
        }
    }

    // contract: create.slot
    #[test]
    fn a_bar_offset_is_not_a_slot() {
        let bar = BarIndex::new(2).unwrap();
        assert_eq!(Target::of(bar.window_start()), Target::Bar(bar, 0));
        let last = SLOTS_START - 1;
        assert_eq!(
            Target::of(bar.window_start() + last),
            Target::Bar(bar, last)
        );
    }

    // contract: create.slot
    #[test]
    fn configuration_space_is_neither() {
        assert_eq!(Target::of(7 << 40), Target::Other);
        assert_eq!(Target::of(6 << 40), Target::Other);
        assert_eq!(Target::of(u64::MAX), Target::Other);
    }

    // contract: create.slot-alignment
    #[test]
    fn small_slots_are_packed() {
        let slot = place_slot(0x3000, 0xe000_0000, span(0x5000, 0x1000)).unwrap();
        assert_eq!(slot, span(0x3000, 0x1000));
    }

    // contract: create.slot-alignment
    #[test]
    fn a_slot_agrees_with_the_physical_address_modulo_its_huge_size() {
        let slot = place_slot(0x3000, 0xe000_0000, span(0x10_0000, 4 << 20)).unwrap();
        assert_eq!(slot.start() % (2 << 20), 0x10_0000);
        assert!(slot.start() >= 0x3000 && slot.start() < 0x3000 + (2 << 20));
        let slot = place_slot(0x3000, 0x38_0000_0000, span(0x4000_0000, 1 << 30)).unwrap();
        assert_eq!(slot.start() % (1 << 30), 0);
    }

    // contract: create.slot
    #[test]
    fn a_slot_never_leaves_the_window() {
        assert_eq!(place_slot(SLOTS_SIZE, 0, span(0, 0x1000)), None);
        assert!(place_slot(SLOTS_SIZE - 0x1000, 0, span(0, 0x1000)).is_some());
        assert_eq!(place_slot(SLOTS_SIZE - 0x1000, 0, span(0, 0x2000)), None);
        assert_eq!(place_slot(0x1000, 0, span(0, SLOTS_SIZE)), None);
        assert!(place_slot(0, 0, span(0, SLOTS_SIZE)).is_some());
    }

    // contract: rules.arithmetic
    #[test]
    fn no_input_overflows() {
        assert_eq!(place_slot(0, u64::MAX, span(1, 0x1000)), None);
        assert_eq!(place_slot(u64::MAX, 0x1234, span(0, 1 << 30)), None);
    }
    // contract: rules.arithmetic
    #[test]
    fn at_every_edge_a_slot_agrees_with_wider_arithmetic() {
        for cursor in EDGES {
            for phys in EDGES {
                for start in EDGES {
                    for span in EDGES.iter().filter_map(|size| Span::new(start, *size).ok()) {
                        slot_is_right(cursor, phys, span);
                    }
                }
            }
        }
    }

    /// Checks [`place_slot`] against its definition: the first offset from the cursor on that
    /// agrees with the physical address, if the slot ends within the window.
    fn slot_is_right(cursor: u64, phys: u64, span: Span) {
        let huge = match span.len() {
            len if len >= 1 << 30 => 1 << 30,
            len if len >= 512 << 20 => 512 << 20,
            len if len >= 32 << 20 => 32 << 20,
            len if len >= 2 << 20 => 2 << 20,
            _ => 1,
        };
        let physical = u128::from(phys) + u128::from(span.start());
        let mut expected = u128::from(cursor);
        if expected & (huge - 1) > physical & (huge - 1) {
            expected += huge;
        }
        expected = (expected & !(huge - 1)) | (physical & (huge - 1));
        let fits = expected + u128::from(span.len()) <= u128::from(SLOTS_SIZE);
        let slot = place_slot(cursor, phys, span);
        // A BAR whose physical addresses wrap has no slot.
        let there = fits && physical <= u128::from(u64::MAX);
        let placed = slot.map(|slot| (u128::from(slot.start()), slot.len()));
        assert_eq!(placed, there.then_some((expected, span.len())));
    }

    // contract: rules.arithmetic
    #[test]
    fn at_every_edge_an_offset_leads_to_its_place_and_back() {
        for window in 0..=u64::from(u8::MAX) + 1 {
            for within in EDGES.iter().filter(|within| **within < 1 << WINDOW_SHIFT) {
                let offset = (window << WINDOW_SHIFT) | within;
                let back = match Target::of(offset) {
                    Target::Bar(bar, at) => bar.window_start() + at,
                    Target::Slot(bar, slot) => slot_offset(bar, slot),
                    Target::Other => {
                        assert!(BarIndex::new(window).is_none());
                        continue;
                    }
                };
                assert_eq!(back, offset);
            }
        }
        for offset in EDGES {
            // This must only return.
            let _ = Target::of(offset);
        }
    }
}
