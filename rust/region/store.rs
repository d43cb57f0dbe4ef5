// SPDX-License-Identifier: GPL-2.0-only

//! Storage for the table. The caller provides it, so that the table itself never allocates.

/// An array that grows only within its capacity.
pub(crate) trait Array<T: Copy>: Default {
    /// Returns the elements.
    fn elements(&self) -> &[T];

    /// Returns the elements for modification.
    fn elements_mut(&mut self) -> &mut [T];

    /// Returns the capacity: the number of elements for which the array has memory.
    fn room(&self) -> usize;

    /// Appends `value`, or returns it as an error if the array is full.
    fn push(&mut self, value: T) -> Result<(), T>;
}

/// A map from numbers to values, ordered by number. The caller provides the memory of each entry.
/// Insertion and removal take no longer than a search.
pub(crate) trait Map<V: Copy>: Default {
    /// The memory of one entry.
    type Memory;

    /// Inserts `value` under `key`, which the map must not contain yet.
    fn insert(&mut self, memory: Self::Memory, key: u64, value: V);

    /// Removes the entry of `key` and returns its memory, or returns `None` if there is no such
    /// entry.
    fn remove(&mut self, key: u64) -> Option<Self::Memory>;

    /// Calls `end` with the value of `key`. Removes the entry if that returns `true`, and returns
    /// its memory.
    fn remove_if(&mut self, key: u64, end: impl FnOnce(&mut V) -> bool) -> Option<Self::Memory>;

    /// Returns the value of `key` for modification.
    fn value_mut(&mut self, key: u64) -> Option<&mut V>;

    /// Returns the smallest key that is at least `key`, and its value.
    fn at_or_above(&self, key: u64) -> Option<(u64, V)>;
}

/// The types of storage that a table uses.
pub(crate) trait Stores {
    /// An array of elements of type `T`.
    type Array<T: Copy>: Array<T>;

    /// A map to values of type `V`.
    type Map<V: Copy>: Map<V>;
}
