// SPDX-License-Identifier: GPL-2.0

//! Memory of BARs that is reserved under a type.
//!
//! x86 notes for every range of device memory that is mapped which type it has, and gives all other
//! mappings of these pages that type (arch/x86/mm/pat/memtype.c). A mapping for the kernel makes such
//! a note, but takes address space and page tables too, and `arch_io_reserve_memtype_wc()` makes one
//! without. By its name it asks for write combining; but what is noted is the type that the range
//! has already where there is another note of a part of it. That is why nobody can rely on what it
//! returns, and here it is what makes it good for any type: one page of the range is mapped, which
//! makes such a note, and the type of that mapping is looked at. Since all notes of a range agree, or
//! else the last one is refused, the type of a page is the type of the range.
//!
//! Architectures that take no such notes have nothing that could disagree.

use super::{
    Bar,
    IoMap, //
};
use crate::{
    bindings,
    vfio::MemType, //
};
use core::num::NonZeroU64;
use kernel::{
    error::to_result,
    page::PAGE_SIZE,
    prelude::*, //
};

/// A part of a BAR that has a certain type in all mappings, until this is dropped.
///
/// # Invariants
///
/// `arch_io_reserve_memtype_wc()` was called for this range, and succeeded.
pub(crate) struct Reservation {
    phys: u64,
    len: NonZeroU64,
}

impl Reservation {
    /// Reserves a range under the type that a part of it has been reserved under.
    fn new(phys: u64, len: u64) -> Result<Self> {
        let size = NonZeroU64::new(len).ok_or(EINVAL)?;
        // SAFETY: Takes note of a range of device memory.
        to_result(unsafe { bindings::vfio_rs_reserve_memtype(phys, len) })?;
        // INVARIANT: That was the call.
        Ok(Self { phys, len: size })
    }

    /// Returns why ioremap() could not map a range, which it does not say: [`EBUSY`] if another mapping
    /// in the kernel has a type that it may not give, or several have different ones, and [`ENOMEM`]
    /// if not.
    pub(super) fn why_not_mapped(phys: u64, len: u64) -> Error {
        // For a request of write combining the rules are those for uncached memory.
        match Self::new(phys, len) {
            Ok(_) => ENOMEM,
            Err(error) => error,
        }
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len.get()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: The type's invariant; this is the last use.
        unsafe { bindings::vfio_rs_free_memtype(self.phys, self.len.get()) };
    }
}

/// Keeps the type of pages that [`Bar::look`] looked at.
#[must_use = "the type may change once this is gone"]
pub(crate) struct Look(#[expect(dead_code, reason = "it is there to be dropped")] Option<IoMap>);

impl Bar<'_> {
    /// Reserves `len` bytes from `start`, whole pages, under the type `mem`.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has any of them with another type.
    pub(crate) fn reserve(&self, start: u64, len: u64, mem: MemType) -> Result<Reservation> {
        let phys = self.range(start, len)?;
        if !cfg!(CONFIG_X86) {
            return Reservation::new(phys, len);
        }
        if mem == MemType::WriteCombining {
            // What is asked for by itself. The kernel logs a conflict only if others have made it.
            let held = Reservation::new(phys, len)?;
            self.first_page(start, mem)?;
            return Ok(held);
        }
        let _page = self.first_page(start, mem)?;
        Reservation::new(phys, len)
    }

    /// Maps the page at `start`, and fails with [`EBUSY`] if its type is not `mem`.
    fn first_page(&self, start: u64, mem: MemType) -> Result<IoMap> {
        // CAST: `usize` has at most 64 bits.
        self.ioremap_as(start, PAGE_SIZE as u64, mem)
    }

    /// Maps `len` bytes from `start`, and fails with [`EBUSY`] if their type is not `mem`.
    fn ioremap_as(&self, start: u64, len: u64, mem: MemType) -> Result<IoMap> {
        let map = self.ioremap(start, len, mem)?;
        if !map.is_of(mem) {
            return Err(EBUSY);
        }
        Ok(map)
    }

    /// Looks whether all mappings of `len` bytes from `start`, whole pages, have the type `mem`, and
    /// keeps it so until the result is dropped.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has any of them with another type. The
    /// kernel logs nothing of that unless the types of others differ among themselves.
    pub(crate) fn look(&self, start: u64, len: u64, mem: MemType) -> Result<Look> {
        if !cfg!(CONFIG_X86) {
            return Ok(Look(None));
        }
        // A mapping gets the type that part of its range has, and is refused where parts differ.
        Ok(Look(Some(self.ioremap_as(start, len, mem)?)))
    }

    /// Reserves `len` bytes from `start`, whole pages, under the type that all of them have: by other
    /// reservations, or because they are looked at ([`Self::look`]).
    pub(crate) fn reserve_alike(&self, start: u64, len: u64) -> Result<Reservation> {
        Reservation::new(self.range(start, len)?, len)
    }

    /// Reserves `len` bytes from `start`, whole pages, under the type that `other`, which has some of
    /// them, was reserved under.
    ///
    /// Fails with [`EBUSY`] when something else in the kernel has any of them with another type, and
    /// with [`EINVAL`] when `other` has none.
    pub(crate) fn reserve_like(
        &self,
        start: u64,
        len: u64,
        other: &Reservation,
    ) -> Result<Reservation> {
        let phys = self.range(start, len)?;
        let end = phys.saturating_add(len);
        let other_end = other.phys.saturating_add(other.len());
        if phys >= other_end || other.phys >= end {
            return Err(EINVAL);
        }
        Reservation::new(phys, len)
    }
}
