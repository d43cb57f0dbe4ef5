// SPDX-License-Identifier: GPL-2.0-only

//! Reservations of device memory with a memory type. Upstream home: rust/kernel/io/mem.rs.
//!
//! x86 keeps a list of the mapped ranges of device memory with the type of each, and gives every
//! other mapping of these pages the same type (arch/x86/mm/pat/memtype.c). A kernel mapping adds an
//! entry to this list, but also uses address space and page tables. `arch_io_reserve_memtype_wc()`
//! adds an entry without a mapping. As its name says, it asks for write combining. If another entry
//! overlaps the range, however, the new entry gets the type of that entry, and the return value
//! does not tell which type that is. The function can therefore reserve a range with any type: map
//! one page of the range, which adds an entry; check the type of that mapping; then reserve the
//! range. The kernel refuses an entry that disagrees with an overlapping one. The type of the one
//! page is therefore the type of the whole range.
//!
//! Other architectures have no such list, and no type can disagree.

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

/// A reservation of device memory. All mappings of the memory have the same type until it is
/// dropped.
///
/// # Invariants
///
/// `arch_io_reserve_memtype_wc()` has succeeded for this range, and has not been undone.
pub(crate) struct Reservation(PhysRange);

impl Reservation {
    /// Reserves `range`, which must consist of whole pages, with the type `mem`.
    ///
    /// Fails with [`EBUSY`] if another mapping or reservation gives a part of the range another
    /// type. Fails with [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn new(range: PhysRange, mem: MemType) -> Result<Self> {
        if !cfg!(CONFIG_X86) {
            return Self::with_present_type(range);
        }
        if mem == MemType::WriteCombining {
            // The function asks for this type itself. The kernel logs a conflict only if other
            // reservations disagree with each other.
            let reservation = Self::with_present_type(range)?;
            IoMap::with_type(range.first_page(), mem)?;
            return Ok(reservation);
        }
        let _page = IoMap::with_type(range.first_page(), mem)?;
        Self::with_present_type(range)
    }

    /// Reserves `range`, which must consist of whole pages, with the type that it already has.
    /// Other reservations or a [`TypeCheck`] must determine the type of every page.
    ///
    /// Fails with [`EBUSY`] if parts of the range have different types. Fails with [`ENOMEM`] if
    /// the kernel has no memory.
    pub(crate) fn with_present_type(range: PhysRange) -> Result<Self> {
        // SAFETY: The function adds a range to the list of types; it accesses no memory.
        to_result(unsafe { bindings::vfio_rs_reserve_memtype(range.start(), range.size()) })?;
        // INVARIANT: The call above has succeeded for `range`.
        Ok(Self(range))
    }

    /// Reserves `range`, which must consist of whole pages, with the type of the reservation
    /// `other`, which must overlap it.
    ///
    /// Fails with [`EINVAL`] if `other` does not overlap `range`. Fails with [`EBUSY`] if a part of
    /// the range has another type. Fails with [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn with_type_of(range: PhysRange, other: &Self) -> Result<Self> {
        if !range.overlaps(other.0) {
            return Err(EINVAL);
        }
        Self::with_present_type(range)
    }

    /// Returns the errno for an ioremap() of `range` that has failed: [`EBUSY`] if another mapping
    /// has a type that device memory cannot share, or if other mappings have different types, and
    /// [`ENOMEM`] otherwise. ioremap() itself returns no errno.
    pub(super) fn ioremap_error(range: PhysRange) -> Error {
        // The kernel refuses a request for WC under the same conditions as one for UC-.
        match Self::with_present_type(range) {
            Ok(_) => ENOMEM,
            Err(error) => error,
        }
    }

    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.0.size()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: The range is reserved by the type's invariant. This releases it, and nothing uses
        // it afterwards.
        unsafe { bindings::vfio_rs_free_memtype(self.0.start(), self.0.size()) };
    }
}

/// A check of the type of some pages. It keeps the type fixed until it is dropped.
#[must_use = "the type can change after the drop"]
pub(crate) struct TypeCheck(#[expect(dead_code, reason = "only dropped")] Option<IoMap>);

impl TypeCheck {
    /// Checks that all mappings of `range`, which must consist of whole pages, have the type `mem`,
    /// and keeps it so until the result is dropped.
    ///
    /// Fails with [`EBUSY`] if another mapping or reservation gives a part of the range another
    /// type. The kernel logs such a conflict only if the types of the others differ from each
    /// other, which those of a single page do not. Fails with [`ENOMEM`] if the kernel has no
    /// memory.
    pub(crate) fn new(range: PhysRange, mem: MemType) -> Result<Self> {
        if !cfg!(CONFIG_X86) {
            return Ok(Self(None));
        }
        // As in `IoMap::with_present_type`.
        drop(Reservation::with_present_type(range)?);
        // The mapping gets the type that other mappings of the range have. The kernel refuses it if
        // these differ from each other.
        Ok(Self(Some(IoMap::with_type(range, mem)?)))
    }
}
