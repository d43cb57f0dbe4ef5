// SPDX-License-Identifier: GPL-2.0

//! Device memory that is reserved under a memory type. Upstream home: rust/kernel/io/mem.rs.
//!
//! x86 keeps a list of the ranges of device memory that are mapped, each with its type, and gives
//! every other mapping of these pages the same type (arch/x86/mm/pat/memtype.c). A mapping for the
//! kernel makes an entry in that list, but also takes address space and page tables.
//! `arch_io_reserve_memtype_wc()` makes an entry without a mapping. By its name it asks for write
//! combining; but where another entry overlaps the range, the new one gets the type of that entry. Its
//! return value does not tell which. This makes it good for any type: map one page of the range,
//! which makes an entry, look at the type of that mapping, and reserve the range. The types of
//! overlapping entries agree, because the kernel refuses an entry that disagrees, so the type of one
//! page is the type of the range.
//!
//! Architectures without such a list have nothing that could disagree.

use super::{
    IoMap,
    MemType,
    PhysRange, //
};
use crate::bindings;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Device memory that has a certain type in all mappings, until this is dropped.
///
/// # Invariants
///
/// `arch_io_reserve_memtype_wc()` was called for this range, and succeeded.
pub(crate) struct Reservation(PhysRange);

impl Reservation {
    /// Reserves `range`, whole pages, under the type `mem`.
    ///
    /// Fails with [`EBUSY`] when another user in the kernel has any of it with another type.
    pub(crate) fn new(range: PhysRange, mem: MemType) -> Result<Self> {
        if !cfg!(CONFIG_X86) {
            return Self::alike(range);
        }
        if mem == MemType::WriteCombining {
            // The type that the function asks for. The kernel logs a conflict only if others made it.
            let reservation = Self::alike(range)?;
            IoMap::of(range.first_page(), mem)?;
            return Ok(reservation);
        }
        let _page = IoMap::of(range.first_page(), mem)?;
        Self::alike(range)
    }

    /// Reserves `range`, whole pages, under the type that all of it has: by other reservations, or
    /// because a [`Look`] keeps it.
    pub(crate) fn alike(range: PhysRange) -> Result<Self> {
        // SAFETY: Adds a range of device memory to the list.
        to_result(unsafe { bindings::vfio_rs_reserve_memtype(range.start(), range.len()) })?;
        // INVARIANT: That was the call.
        Ok(Self(range))
    }

    /// Reserves `range`, whole pages, under the type that `other`, which overlaps it, was reserved
    /// under.
    ///
    /// Fails with [`EBUSY`] when another user in the kernel has any of it with another type, and with
    /// [`EINVAL`] when `other` does not overlap it.
    pub(crate) fn like(range: PhysRange, other: &Self) -> Result<Self> {
        if !range.overlaps(other.0) {
            return Err(EINVAL);
        }
        Self::alike(range)
    }

    /// Returns why ioremap() could not map a range, which it does not say: [`EBUSY`] if another mapping
    /// in the kernel has a type that it may not give, or several have different ones, and otherwise
    /// [`ENOMEM`].
    pub(super) fn why_not_mapped(range: PhysRange) -> Error {
        // For a request of write combining the rules are those for uncached memory.
        match Self::alike(range) {
            Ok(_) => ENOMEM,
            Err(error) => error,
        }
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: The type's invariant; this is the last use.
        unsafe { bindings::vfio_rs_free_memtype(self.0.start(), self.0.len()) };
    }
}

/// Keeps the type of pages that have been looked at.
#[must_use = "the type may change once this is gone"]
pub(crate) struct Look(#[expect(dead_code, reason = "it is there to be dropped")] Option<IoMap>);

impl Look {
    /// Finds out whether all mappings of `range`, whole pages, have the type `mem`, and keeps it so
    /// until the result is dropped.
    ///
    /// Fails with [`EBUSY`] when another user in the kernel has any of it with another type. The
    /// kernel does not log that unless the types of others differ among themselves.
    pub(crate) fn new(range: PhysRange, mem: MemType) -> Result<Self> {
        if !cfg!(CONFIG_X86) {
            return Ok(Self(None));
        }
        // A mapping gets the type that part of its range has, and is refused where parts differ.
        Ok(Self(Some(IoMap::of(range, mem)?)))
    }
}
