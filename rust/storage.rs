// SPDX-License-Identifier: GPL-2.0-only

//! Storage for the table of [`region`](crate::region) in the kernel's arrays and trees.

use crate::region::{
    Array,
    Map,
    Stores,
    Table, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    }, //
};

/// The storage types of the kernel.
pub(crate) struct Kernel;

/// The claims and subregions of an open device. The memory lock protects them.
pub(crate) type Claims = Table<Kernel>;

impl Stores for Kernel {
    type Array<T: Copy> = KVVec<T>;
    type Map<V: Copy> = RBTree<u64, V>;
}

impl<T: Copy> Array<T> for KVVec<T> {
    fn elements(&self) -> &[T] {
        self
    }

    fn elements_mut(&mut self) -> &mut [T] {
        self
    }

    fn room(&self) -> usize {
        self.capacity()
    }

    fn push(&mut self, value: T) -> Result<(), T> {
        self.push_within_capacity(value).map_err(|_| value)
    }
}

impl<V: Copy> Map<V> for RBTree<u64, V> {
    type Memory = RBTreeNodeReservation<u64, V>;

    fn insert(&mut self, memory: Self::Memory, key: u64, value: V) {
        RBTree::insert(self, memory.into_node(key, value));
    }

    fn remove(&mut self, key: u64) -> Option<Self::Memory> {
        self.remove_node(&key).map(RBTreeNode::into_reservation)
    }

    fn remove_if(&mut self, key: u64, end: impl FnOnce(&mut V) -> bool) -> Option<Self::Memory> {
        let mut entry = self.find_mut(&key)?;
        end(entry.get_mut()).then(|| entry.remove_node().into_reservation())
    }

    fn value_mut(&mut self, key: u64) -> Option<&mut V> {
        self.get_mut(&key)
    }

    // A page fault would spend 25 instructions on the call.
    #[inline(always)]
    fn at_or_above(&self, key: u64) -> Option<(u64, V)> {
        let cursor = self.cursor_lower_bound(&key)?;
        let (key, value) = cursor.current();
        Some((*key, *value))
    }
}
