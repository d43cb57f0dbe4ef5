// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Parts of a mapping whose bounds and alignment were checked when they were made, so that accesses
//! to them need no check.

use super::{
    lines::{CopyLines, LineStore, Routines, LINE},
    Memory,
};
use crate::Word;
use core::{marker::PhantomData, ptr::NonNull};
use zerocopy::{Immutable, IntoBytes};

/// One word of a mapping.
///
/// # Invariants
///
/// `at` is aligned, and the word is within the memory that is borrowed for `'a`.
#[derive(Debug)]
pub(crate) struct Place<'a, T> {
    at: NonNull<T>,
    memory: PhantomData<&'a Memory>,
}

impl<T> Clone for Place<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<'_, T> {}

// SAFETY: it can do no more than the `&Memory` from which it was made, which is Send.
unsafe impl<T> Send for Place<'_, T> {}
// SAFETY: as above; a `&Memory` is Sync.
unsafe impl<T> Sync for Place<'_, T> {}

impl<'a, T: Word> Place<'a, T> {
    pub(super) const fn new(at: NonNull<T>, _: &'a Memory) -> Self {
        Self {
            at,
            memory: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn load(self) -> T {
        // SAFETY: the invariant; other accesses at the same time are allowed.
        unsafe { T::load(self.at.as_ptr()) }
    }

    #[inline]
    pub(crate) fn store(self, value: T) {
        // SAFETY: the invariant; other accesses at the same time are allowed.
        unsafe { T::store(self.at.as_ptr(), value) };
    }
}

/// A part of a mapping for copies.
///
/// # Invariants
///
/// The `size` bytes from `base` on are within the memory that is borrowed for `'a`, `base` is a
/// multiple of a line, and `routines` are for this CPU and the type of the memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyTarget<'a> {
    base: NonNull<u8>,
    size: usize,
    routines: Routines,
    memory: PhantomData<&'a Memory>,
}

// SAFETY: it can do no more than the `&Memory` from which it was made, which is Send.
unsafe impl Send for CopyTarget<'_> {}
// SAFETY: as above; a `&Memory` is Sync.
unsafe impl Sync for CopyTarget<'_> {}

impl<'a> CopyTarget<'a> {
    /// All of the memory, which is of the type that the routines are for.
    pub(crate) fn new(memory: &'a Memory, routines: Routines) -> Self {
        Self {
            base: memory.base(),
            size: memory.size(),
            routines,
            memory: PhantomData,
        }
    }

    /// The same part, with another way to store lines; `None` if this CPU does not support it.
    pub(crate) fn with_line_store(self, way: LineStore) -> Option<Self> {
        let routines = self.routines.with_line_store(way)?;
        Some(Self { routines, ..self })
    }

    /// Copies `bytes` to `offset`; `None` if they do not fit.
    #[inline]
    pub(crate) fn copy(&self, offset: usize, bytes: &[u8]) -> Option<()> {
        let room = self.size.checked_sub(offset)?;
        if bytes.len() > room {
            return None;
        }
        let to = self.base.as_ptr().wrapping_add(offset);
        // SAFETY: offset + bytes.len() <= size, by the invariant within the memory.
        unsafe { self.routines.copy(to, bytes.as_ptr(), bytes.len()) };
        Some(())
    }

    /// Copies one line to `offset`, a multiple of its size; `None` if it is not or does not fit.
    #[inline]
    pub(crate) fn write_line(&self, offset: usize, line: &[u8; LINE]) -> Option<()> {
        // A line fits if it begins before the end of the last one that fits.
        if offset % LINE != 0 || offset >= self.size - self.size % LINE {
            return None;
        }
        let to = self.base.as_ptr().wrapping_add(offset);
        // SAFETY: the line is within the memory, aligned as `base` is, and the routine is for this CPU.
        unsafe { (self.routines.lines.one)(to, line.as_ptr(), 1) };
        Some(())
    }

    /// `count` slots for values of the type `T` from `offset` on; `None` if they do not fit or there
    /// are none. `offset` and the size of `T` must be multiples of 8.
    pub(crate) fn slots<T>(&self, offset: usize, count: usize) -> Option<Slots<'a, T>> {
        let size = count.checked_mul(size_of::<T>()).filter(|&size| size > 0)?;
        let room = self.size.checked_sub(offset)?;
        let first = NonNull::new(self.base.as_ptr().wrapping_add(offset))?;
        let word = size_of::<u64>();
        if size > room || first.addr().get() % word != 0 || size_of::<T>() % word != 0 {
            return None;
        }
        let (copy, units) = if first.addr().get() % LINE == 0 && size_of::<T>() % LINE == 0 {
            let lines = self.routines.lines;
            match size_of::<T>() / LINE {
                1 => (lines.one, 1),
                count => (lines.many, count),
            }
        } else {
            (self.routines.slot, size_of::<T>() / word)
        };
        Some(Slots {
            first,
            count,
            next: 0,
            copy,
            units,
            memory: PhantomData,
            entry: PhantomData,
        })
    }
}

/// Slots of one size, one behind the other, and which of them is next.
///
/// # Invariants
///
/// `count` slots from `first` on are within the memory that is borrowed for `'a`, and `next < count`.
/// `copy` stores `units` units of a slot, to which `first` and the size of a slot are aligned.
#[derive(Debug)]
pub(crate) struct Slots<'a, T> {
    first: NonNull<u8>,
    count: usize,
    next: usize,
    copy: CopyLines,
    units: usize,
    memory: PhantomData<&'a Memory>,
    entry: PhantomData<T>,
}

impl<T> Clone for Slots<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slots<'_, T> {}

// SAFETY: it can do no more than the `&Memory` from which it was made, which is Send. It has no `T`.
unsafe impl<T> Send for Slots<'_, T> {}
// SAFETY: as above; a `&Memory` is Sync, and values of `T` are copied from the caller's.
unsafe impl<T> Sync for Slots<'_, T> {}

impl<T: IntoBytes + Immutable> Slots<'_, T> {
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    pub(crate) const fn next(&self) -> usize {
        self.next
    }

    /// Writes the slot `index`; `None` if there is no such slot.
    #[inline]
    pub(crate) fn write(&self, index: usize, entry: &T) -> Option<()> {
        if index >= self.count {
            return None;
        }
        // SAFETY: index < count.
        unsafe { self.store(index, entry) };
        Some(())
    }

    /// Writes the next slot, and moves on, from the last one to the first.
    #[inline]
    pub(crate) fn push(&mut self, entry: &T) {
        let index = self.next;
        // Before the store, so that nothing has to be kept across the call of the routine.
        self.next = index.wrapping_add(1);
        if self.next == self.count {
            self.next = 0;
        }
        // SAFETY: index < count, by the invariant.
        unsafe { self.store(index, entry) };
    }

    /// # Safety
    ///
    /// `index` must be less than `count`.
    #[inline]
    unsafe fn store(&self, index: usize, entry: &T) {
        let at = index.wrapping_mul(size_of::<T>());
        let to = self.first.as_ptr().wrapping_add(at);
        // SAFETY: the slot is within the memory and aligned by the invariant, and the entry has the
        // size of a slot, of which each byte is initialized.
        unsafe { (self.copy)(to, entry.as_bytes().as_ptr(), self.units) };
    }
}
