// SPDX-License-Identifier: GPL-2.0

//! Storage that somebody else allocates.

/// A growable array that inserts only within the capacity it has.
pub(crate) trait Store<T: Copy>: Default {
    /// Returns the elements.
    fn elements(&self) -> &[T];

    /// Returns how many elements there is room for in all.
    fn room(&self) -> usize;

    /// Inserts `value` before element `at`; gives it back when there is no room or no such place.
    fn insert(&mut self, at: usize, value: T) -> Result<(), T>;

    /// Removes element `at`, if there is one.
    fn remove(&mut self, at: usize) -> Option<T>;
}

/// The kind of [`Store`] that a table is built of.
pub(crate) trait Stores {
    /// That store for elements of type `T`.
    type Of<T: Copy>: Store<T>;
}

/// Moves the elements of `old` into `new` if they fit, puts that in place of `old`, and returns the
/// array that is no longer needed.
pub(super) fn exchange<T: Copy, V: Store<T>>(old: &mut V, mut new: V) -> V {
    if new.room() <= old.elements().len() {
        return new;
    }
    for (at, element) in old.elements().iter().enumerate() {
        let _ = new.insert(at, *element);
    }
    core::mem::replace(old, new)
}
