// SPDX-License-Identifier: GPL-2.0-only

//! Storage for the tested tables: the driver's own in the kernel, and the standard library's on the
//! host.

#[cfg(test)]
mod on_host {
    use super::super::super::*;
    use std::collections::BTreeMap;

    pub(in super::super) struct Storage;

    impl Stores for Storage {
        type Array<T: Copy> = Vec<T>;
        type Map<V: Copy> = BTreeMap<u64, V>;
    }

    impl<T: Copy> Array<T> for Vec<T> {
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
            if self.len() == self.capacity() {
                return Err(value);
            }
            Vec::push(self, value);
            Ok(())
        }
    }

    impl<V: Copy> Map<V> for BTreeMap<u64, V> {
        type Memory = ();

        fn insert(&mut self, (): (), key: u64, value: V) {
            assert!(BTreeMap::insert(self, key, value).is_none());
        }

        fn remove(&mut self, key: u64) -> Option<()> {
            BTreeMap::remove(self, &key).map(drop)
        }

        fn remove_if(&mut self, key: u64, end: impl FnOnce(&mut V) -> bool) -> Option<()> {
            end(self.get_mut(&key)?).then(|| Map::remove(self, key))?
        }

        fn value_mut(&mut self, key: u64) -> Option<&mut V> {
            self.get_mut(&key)
        }

        fn at_or_above(&self, key: u64) -> Option<(u64, V)> {
            self.range(key..).next().map(|(key, value)| (*key, *value))
        }
    }

    pub(in super::super) fn entries(room: usize) -> Entries<Storage> {
        Vec::with_capacity(room)
    }

    pub(in super::super) fn memory() -> ClaimMemory<Storage> {}

    pub(in super::super) fn slot_memory() -> SlotMemory<Storage> {}
}

#[cfg(not(test))]
mod in_kernel {
    use super::super::super::*;
    use kernel::{
        prelude::*,
        rbtree::RBTreeNodeReservation, //
    };

    pub(in super::super) use crate::storage::Kernel as Storage;

    pub(in super::super) fn entries(room: usize) -> Entries<Storage> {
        KVVec::with_capacity(room, GFP_KERNEL).unwrap()
    }

    pub(in super::super) fn memory() -> ClaimMemory<Storage> {
        RBTreeNodeReservation::new(GFP_KERNEL).unwrap()
    }

    pub(in super::super) fn slot_memory() -> SlotMemory<Storage> {
        RBTreeNodeReservation::new(GFP_KERNEL).unwrap()
    }
}

#[cfg(not(test))]
pub(super) use self::in_kernel::{
    entries,
    memory,
    slot_memory,
    Storage, //
};
#[cfg(test)]
pub(super) use self::on_host::{
    entries,
    memory,
    slot_memory,
    Storage, //
};
