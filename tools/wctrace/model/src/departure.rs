// SPDX-License-Identifier: GPL-2.0-only

//! Bytes that leave a CPU together.

use crate::{Partial, LINE};

/// Why bytes left the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The line was full.
    Full,
    /// The memory is strict, so the store left by itself.
    Type,
    /// A fence.
    Fence,
    /// arm64: the hint that nothing more will be gathered (DGH).
    Hint,
    /// All buffers were in use, and a store to another line needed one.
    Line,
    /// The store was not to the byte after the previous store (where only adjacent stores gather).
    Gap,
    /// Another instruction came between two stores (where only adjacent stores gather).
    Between,
    /// x86: a locked instruction.
    Locked,
    /// arm64: an instruction with release semantics.
    Release,
    /// x86: a serializing instruction.
    Serializing,
    /// x86: an access to an I/O port.
    Port,
    /// x86: an access to strict memory.
    Strict,
    /// A load from the line.
    Load,
    /// An interrupt.
    Interrupt,
    /// A system call or an exception.
    Trap,
    /// The trace ended.
    End,
}

impl Reason {
    /// Every reason, in the order of reports.
    pub const ALL: [Self; 16] = [
        Self::Full,
        Self::Type,
        Self::Fence,
        Self::Hint,
        Self::Line,
        Self::Gap,
        Self::Between,
        Self::Locked,
        Self::Release,
        Self::Serializing,
        Self::Port,
        Self::Strict,
        Self::Load,
        Self::Interrupt,
        Self::Trap,
        Self::End,
    ];

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Type => "type",
            Self::Fence => "fence",
            Self::Hint => "hint",
            Self::Line => "line",
            Self::Gap => "gap",
            Self::Between => "between",
            Self::Locked => "locked",
            Self::Release => "release",
            Self::Serializing => "serializing",
            Self::Port => "port",
            Self::Strict => "strict",
            Self::Load => "load",
            Self::Interrupt => "interrupt",
            Self::Trap => "trap",
            Self::End => "end",
        }
    }
}

/// A memory write on the PCI Express link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The first byte that is written.
    pub address: u64,
    /// The number of bytes that are written. Byte enables can leave out some of those between.
    pub bytes: u64,
    /// The bytes from the first to the last one, in whole double words, as the packet has them.
    pub payload: u64,
}

impl Write {
    /// The bytes of a packet besides its payload: the header with a 64-bit address, framing,
    /// sequence number and LCRC.
    pub const OVERHEAD: u64 = 24;

    /// The bytes of the packet on the link.
    #[must_use]
    pub fn link_bytes(&self) -> u64 {
        Self::OVERHEAD + self.payload
    }

    /// The write of the bytes of `mask`, which counts from `line`.
    fn new(line: u64, mask: u64) -> Self {
        let first = u64::from(mask.trailing_zeros());
        let end = LINE - u64::from(mask.leading_zeros());
        Self {
            address: line + first,
            bytes: u64::from(mask.count_ones()),
            payload: end.next_multiple_of(4) - first / 4 * 4,
        }
    }
}

/// Bytes of one line that left the CPU together.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    /// The address of the line.
    pub line: u64,
    /// Which bytes of the line are valid: bit 0 for the first one.
    pub mask: u64,
    /// The bytes of the line.
    pub data: [u8; 64],
    /// Why they left.
    pub reason: Reason,
    /// The instruction that made them leave.
    pub place: u64,
    /// The last instruction that stored to them.
    pub last_store: u64,
    /// The way in which they leave if the line is not full.
    pub partial: Partial,
    /// The mask of a whole line.
    pub full: u64,
}

impl Departure {
    /// Whether all bytes of the line are valid.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.mask == self.full
    }

    /// The writes that carry the bytes.
    pub fn writes(&self) -> impl Iterator<Item = Write> {
        let (line, partial, full) = (self.line, self.partial, self.full);
        let mut rest = self.mask;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let first = rest.trailing_zeros();
            let part = if rest == full {
                rest
            } else {
                match partial {
                    Partial::Words => 0xff << (first / 8 * 8),
                    // The run ends at the first byte above `first` that is not valid.
                    Partial::Runs => {
                        let length = (rest >> first).trailing_ones();
                        (u64::MAX >> (64 - length)) << first
                    }
                }
            };
            let taken = rest & part;
            rest &= !part;
            Some(Write::new(line, taken))
        })
    }
}
