// SPDX-License-Identifier: GPL-2.0-only

//! The buffers of one CPU.

use crate::{Departure, Gather, MemoryType, Partial, Policy, Reason, LINE};

/// An event that may empty the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Orders stores: `sfence`; `dmb` and `dsb` with the option `st`.
    StoreFence,
    /// Orders everything: `mfence`; `dmb` and `dsb` with the option `sy`.
    FullFence,
    /// Orders loads only: `lfence`; `dmb` and `dsb` with the option `ld`.
    LoadFence,
    /// arm64: `dgh`.
    Hint,
    /// x86: the prefix `lock`, `xchg` with memory.
    Locked,
    /// arm64: `stlr`, and atomic operations that release.
    Release,
    /// x86: `cpuid`, `iret`, `wrmsr` and the like.
    Serializing,
    /// x86: `in` and `out`.
    Port,
    /// An interrupt.
    Interrupt,
    /// A system call or an exception.
    Trap,
}

impl Order {
    fn reason(self) -> Reason {
        match self {
            Self::StoreFence | Self::FullFence | Self::LoadFence => Reason::Fence,
            Self::Hint => Reason::Hint,
            Self::Locked => Reason::Locked,
            Self::Release => Reason::Release,
            Self::Serializing => Reason::Serializing,
            Self::Port => Reason::Port,
            Self::Interrupt => Reason::Interrupt,
            Self::Trap => Reason::Trap,
        }
    }

    /// Whether a program executes it in order to make stores visible to a device.
    fn is_store_fence(self) -> bool {
        matches!(self, Self::StoreFence | Self::FullFence)
    }
}

/// A store.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// The physical address.
    pub address: u64,
    /// The data of the store.
    pub data: &'a [u8],
    /// The instruction.
    pub place: u64,
    /// The instruction before this one in the program is a store too, or this is another part of the
    /// same instruction.
    pub follows: bool,
}

#[derive(Clone, Copy, Debug)]
struct Buffer {
    line: u64,
    mask: u64,
    data: [u8; 64],
    last_store: u64,
}

impl Buffer {
    /// The address behind the last byte that is valid.
    fn end(&self) -> u64 {
        self.line + LINE - u64::from(self.mask.leading_zeros())
    }
}

/// Part of a store that lies in one line.
struct Piece<'a> {
    line: u64,
    offset: usize,
    data: &'a [u8],
}

impl Piece<'_> {
    fn mask(&self) -> u64 {
        (u64::MAX >> (64 - self.data.len())) << self.offset
    }

    fn put(&self, data: &mut [u8; 64]) {
        for (to, from) in data.iter_mut().skip(self.offset).zip(self.data) {
            *to = *from;
        }
    }
}

/// The parts of `data` at `address`, by lines of `line` bytes.
fn pieces(mut address: u64, mut data: &[u8], line: u64) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        let offset = usize::try_from(address % line).ok()?;
        let room = usize::try_from(line).ok()? - offset;
        let (head, rest) = data.split_at(data.len().min(room));
        let piece = Piece {
            line: address / line * line,
            offset,
            data: head,
        };
        address = piece.line.wrapping_add(line);
        data = rest;
        (!head.is_empty()).then_some(piece)
    })
}

/// The write-combining buffers of one CPU.
#[derive(Debug)]
pub struct Cpu {
    policy: Policy,
    /// The buffers in use, in the order in which they were opened.
    open: Vec<Buffer>,
    /// Bytes were gathered, and no fence came since.
    unfenced: bool,
    absorbed: u64,
    fences: u64,
    idle_fences: u64,
    unfenced_doorbells: u64,
    overtaking_doorbells: u64,
}

impl Cpu {
    /// A CPU whose buffers are empty.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            open: Vec::with_capacity(policy.buffers),
            unfenced: false,
            absorbed: 0,
            fences: 0,
            idle_fences: 0,
            unfenced_doorbells: 0,
            overtaking_doorbells: 0,
        }
    }

    /// Whether a buffer is in use.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// Returns the number of bytes that were stored again before they left.
    #[must_use]
    pub fn absorbed(&self) -> u64 {
        self.absorbed
    }

    /// Returns the number of fences for stores.
    #[must_use]
    pub fn fences(&self) -> u64 {
        self.fences
    }

    /// Returns the number of these that had no gathered store to order.
    #[must_use]
    pub fn idle_fences(&self) -> u64 {
        self.idle_fences
    }

    /// Returns the number of strict stores that came after gathered stores without a fence.
    #[must_use]
    pub fn unfenced_doorbells(&self) -> u64 {
        self.unfenced_doorbells
    }

    /// Returns the number of strict stores that left while gathered stores still waited.
    #[must_use]
    pub fn overtaking_doorbells(&self) -> u64 {
        self.overtaking_doorbells
    }

    /// Performs a store.
    pub fn store(&mut self, store: &Store<'_>, kind: MemoryType, left: &mut impl FnMut(Departure)) {
        match kind {
            MemoryType::Cached => {}
            MemoryType::Strict => self.store_strict(store, left),
            MemoryType::Gathering => {
                self.unfenced = true;
                for piece in pieces(store.address, store.data, self.policy.line) {
                    self.gather(&piece, store.place, store.follows, left);
                }
            }
        }
    }

    fn store_strict(&mut self, store: &Store<'_>, left: &mut impl FnMut(Departure)) {
        self.unfenced_doorbells += u64::from(self.unfenced);
        self.strict_access(store.place, left);
        self.overtaking_doorbells += u64::from(self.is_waiting());
        for piece in pieces(store.address, store.data, LINE) {
            let mut data = [0; 64];
            piece.put(&mut data);
            left(Departure {
                line: piece.line,
                mask: piece.mask(),
                data,
                reason: Reason::Type,
                place: store.place,
                last_store: store.place,
                partial: Partial::Runs,
                full: u64::MAX,
            });
        }
    }

    /// Performs a load.
    pub fn load(
        &mut self,
        address: u64,
        size: u64,
        kind: MemoryType,
        place: u64,
        left: &mut impl FnMut(Departure),
    ) {
        match kind {
            MemoryType::Cached => {}
            MemoryType::Strict => self.strict_access(place, left),
            MemoryType::Gathering => {
                let line = self.policy.line;
                self.leave(Reason::Load, place, left, |buffer| {
                    buffer.line < address.saturating_add(size) && address < buffer.line + line
                });
            }
        }
    }

    /// Performs an access to strict memory that is not traced itself.
    pub fn strict_access(&mut self, place: u64, left: &mut impl FnMut(Departure)) {
        if self.policy.strict_access_drains() {
            self.leave(Reason::Strict, place, left, |_| true);
        }
    }

    /// Performs an instruction or an event that may empty the buffers.
    pub fn order(&mut self, order: Order, place: u64, left: &mut impl FnMut(Departure)) {
        if order.is_store_fence() {
            self.fences += 1;
            self.idle_fences += u64::from(!self.unfenced);
            self.unfenced = false;
        }
        if self.policy.drains(order) {
            self.leave(order.reason(), place, left, |_| true);
        }
    }

    /// Ends the trace: what still waits leaves.
    pub fn end(&mut self, left: &mut impl FnMut(Departure)) {
        self.leave(Reason::End, 0, left, |_| true);
    }

    fn gather(
        &mut self,
        piece: &Piece<'_>,
        place: u64,
        follows: bool,
        left: &mut impl FnMut(Departure),
    ) {
        if self.policy.gather == Gather::Adjacent {
            self.end_run(piece, place, follows, left);
        }
        let found = self
            .open
            .iter()
            .position(|buffer| buffer.line == piece.line);
        let index = found.unwrap_or_else(|| {
            if self.open.len() == self.policy.buffers {
                let oldest = self.open.remove(0);
                left(self.departure(&oldest, Reason::Line, place));
            }
            self.open.push(Buffer {
                line: piece.line,
                mask: 0,
                data: [0; 64],
                last_store: place,
            });
            self.open.len() - 1
        });
        let buffer = &mut self.open[index];
        self.absorbed += u64::from((buffer.mask & piece.mask()).count_ones());
        buffer.mask |= piece.mask();
        piece.put(&mut buffer.data);
        buffer.last_store = place;
        if buffer.mask == self.policy.full() {
            let full = self.open.remove(index);
            left(self.departure(&full, Reason::Full, place));
        }
    }

    /// Lets the run that waits leave, if `piece` does not continue it.
    fn end_run(
        &mut self,
        piece: &Piece<'_>,
        place: u64,
        follows: bool,
        left: &mut impl FnMut(Departure),
    ) {
        let start = piece.line + piece.offset as u64;
        let Some(buffer) = self.open.last() else {
            return;
        };
        let reason = if buffer.line != piece.line {
            Reason::Line
        } else if buffer.end() != start {
            Reason::Gap
        } else if !follows {
            Reason::Between
        } else {
            return;
        };
        self.leave(reason, place, left, |_| true);
    }

    /// Lets the buffers leave that `which` selects.
    fn leave(
        &mut self,
        reason: Reason,
        place: u64,
        left: &mut impl FnMut(Departure),
        which: impl Fn(&Buffer) -> bool,
    ) {
        for buffer in &self.open {
            if which(buffer) {
                left(self.departure(buffer, reason, place));
            }
        }
        self.open.retain(|buffer| !which(buffer));
    }

    fn departure(&self, buffer: &Buffer, reason: Reason, place: u64) -> Departure {
        Departure {
            line: buffer.line,
            mask: buffer.mask,
            data: buffer.data,
            reason,
            place,
            last_store: buffer.last_store,
            partial: self.policy.partial,
            full: self.policy.full(),
        }
    }
}
