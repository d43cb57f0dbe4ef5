// SPDX-License-Identifier: GPL-2.0

//! Storage that somebody else allocates.

/// A growable array that grows only within the capacity it has.
pub(crate) trait Array<T: Copy>: Default {
    /// Returns the elements.
    fn elements(&self) -> &[T];

    /// Returns the elements, to be changed.
    fn elements_mut(&mut self) -> &mut [T];

    /// Returns how many elements there is room for in all.
    fn room(&self) -> usize;

    /// Adds `value` behind the others; gives it back when there is no room.
    fn push(&mut self, value: T) -> Result<(), T>;
}

/// A map from numbers to values, in the order of the numbers, of which each entry has memory of its
/// own. No operation takes longer than looking for an entry does.
pub(crate) trait Map<V: Copy>: Default {
    /// The memory of an entry.
    type Memory;

    /// Enters `value` under `key`, for which there is none yet.
    fn insert(&mut self, memory: Self::Memory, key: u64, value: V);

    /// Removes the value of `key`, if there is one, and returns the memory that its entry had.
    fn remove(&mut self, key: u64) -> Option<Self::Memory>;

    /// Returns the value with the smallest key that is not less than `key`.
    fn at_or_above(&self, key: u64) -> Option<V>;
}

/// The kinds of storage that a table is built of.
pub(crate) trait Stores {
    /// That array for elements of type `T`.
    type Array<T: Copy>: Array<T>;

    /// That map to values of type `V`.
    type Map<V: Copy>: Map<V>;
}
