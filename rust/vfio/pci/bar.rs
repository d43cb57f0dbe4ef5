// SPDX-License-Identifier: GPL-2.0

//! The BARs of a device.

use super::CoreDevice;
use crate::{
    bindings,
    compat::{
        is_mapped_as,
        MemType,
        PhysRange, //
    }, //
};
use core::ops::Range;
use kernel::{
    error::from_err_ptr,
    page::PAGE_SIZE,
    prelude::*, //
};

/// How many BARs a PCI function has.
pub(crate) const BARS: usize = kernel::bindings::PCI_STD_NUM_BARS as usize;

/// What is fixed about a BAR while its device is open.
///
/// It is kept because only C code can reach these fields, and every fault asks for most of them.
#[derive(Clone, Copy)]
struct Facts {
    /// The physical address of the first byte.
    phys: u64,
    /// The length in bytes; 0 if the device has no such BAR.
    len: u64,
    /// The length of what the core lets userspace mmap: whole pages of memory, or 0.
    mmap_len: u64,
    /// Whether this is memory, not I/O ports.
    is_memory: bool,
    /// Whether the core could reserve and map it, or why userspace cannot.
    was_mapped: Result,
}

impl Facts {
    /// Asks C about BAR `index`, which is less than [`BARS`].
    ///
    /// # Safety
    ///
    /// `vfio_pci_core_finish_enable()` was called, and nobody else uses the device yet.
    unsafe fn of(core: &CoreDevice, index: usize) -> Self {
        let pdev = core.pdev();
        // CAST: Less than 6, as the caller says.
        let number = index as c_int;
        // SAFETY: The core device is valid, and the caller says that nobody changes the field.
        let io = unsafe { bindings::vfio_rs_barmap(core.as_ptr(), number) };
        // CAST: As above.
        let resource = index as u32;
        // There is such a resource, as the number is a BAR's.
        let phys = core.pci().resource_start(resource).unwrap_or(0);
        let len = core.pci().resource_len(resource).unwrap_or(0);
        // SAFETY: The PCI device is valid and `number` a BAR's.
        let is_memory = unsafe { bindings::vfio_rs_bar_is_mem(pdev, number) };
        // SAFETY: The core device is valid; the caller says that the array is written.
        let can_mmap = unsafe { bindings::vfio_rs_bar_mmap_supported(core.as_ptr(), number) };
        // CAST: `usize` has at most 64 bits.
        let pages = len.checked_next_multiple_of(PAGE_SIZE as u64);
        let was_mapped = match from_err_ptr(io) {
            Ok(io) if io.is_null() => Err(ENODEV),
            // Somebody else has its page with another type; only one of whole pages can be held in
            // segments.
            Ok(io) if is_memory && !is_whole_pages(phys, len) => {
                let ordinary = is_mapped_as(io, MemType::Noncached);
                ordinary.then_some(()).ok_or(EBUSY)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        Self {
            phys,
            len,
            mmap_len: pages.filter(|_| is_memory && can_mmap).unwrap_or(0),
            is_memory,
            was_mapped,
        }
    }
}

/// Returns whether `len` bytes from `phys` begin and end with a page.
fn is_whole_pages(phys: u64, len: u64) -> bool {
    // CAST: `usize` has at most 64 bits.
    let below_page = (PAGE_SIZE as u64).wrapping_sub(1);
    (phys | len) & below_page == 0
}

/// The BARs of a device that is open.
pub(super) struct Bars([Facts; BARS]);

impl Bars {
    /// Finds out about the BARs of a device that is being opened. Resources are fixed while a
    /// driver is bound.
    ///
    /// # Safety
    ///
    /// `vfio_pci_core_finish_enable()` was called, and nobody else uses the device yet.
    pub(super) unsafe fn new(core: &CoreDevice) -> Self {
        Self(core::array::from_fn(|index| {
            // SAFETY: The caller's obligations, and the array has `BARS` elements.
            unsafe { Facts::of(core, index) }
        }))
    }

    /// Returns BAR `index` of `core`, whose BARs these are, if it has such a one.
    pub(super) fn get<'a>(&'a self, core: &'a CoreDevice, index: usize) -> Option<Bar<'a>> {
        let facts = self.0.get(index)?;
        // INVARIANT: The array has `BARS` elements, and the length is looked at.
        (facts.len != 0).then_some(Bar { core, index, facts })
    }
}

/// A BAR of an open device, which is not empty.
///
/// # Invariants
///
/// `index` is less than [`BARS`], and `facts.len` is not 0.
#[derive(Clone, Copy)]
pub(crate) struct Bar<'a> {
    core: &'a CoreDevice,
    index: usize,
    facts: &'a Facts,
}

impl Bar<'_> {
    /// Returns the BAR's number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns the BAR's number as C has it.
    pub(super) fn number(&self) -> c_int {
        // CAST: The type's invariant: less than 6.
        self.index as c_int
    }

    /// Returns the physical address of the first byte.
    pub(crate) fn phys(&self) -> u64 {
        self.facts.phys
    }

    /// Returns the length in bytes, which can be less than a page.
    pub(crate) fn len(&self) -> u64 {
        self.facts.len
    }

    /// Returns the length of what userspace may mmap: whole pages, or 0 if it is no memory, or not in
    /// pages of its own.
    pub(crate) fn mmap_len(&self) -> u64 {
        self.facts.mmap_len
    }

    /// Returns whether the BAR begins and ends with a page.
    pub(crate) fn is_whole_pages(&self) -> bool {
        is_whole_pages(self.phys(), self.len())
    }

    /// Returns whether this is memory, not I/O ports.
    pub(crate) fn is_memory(&self) -> bool {
        self.facts.is_memory
    }

    /// Returns whether the core could reserve and map it when the device was opened, or why userspace
    /// cannot.
    pub(crate) fn was_mapped(&self) -> Result {
        self.facts.was_mapped
    }

    /// Returns the bytes of the MSI-X table, which userspace cannot reach by read() and write(), or
    /// no bytes.
    pub(crate) fn msix_table(&self) -> Excluded {
        let core = self.core.as_ptr();
        // SAFETY: The core device is valid; the field is set when it is enabled.
        let bar = unsafe { bindings::vfio_rs_msix_bar(core) };
        if usize::from(bar) != self.index {
            return Excluded::NOTHING;
        }
        // SAFETY: The core device is valid; the field is set when it is enabled.
        let start = unsafe { bindings::vfio_rs_msix_offset(core) };
        // SAFETY: The core device is valid; the field is set when it is enabled.
        let size = unsafe { bindings::vfio_rs_msix_size(core) };
        Excluded::new(u64::from(start), u64::from(size))
    }

    /// Returns the physical addresses of the bytes `bytes` of the BAR.
    ///
    /// Fails with [`EINVAL`] if there are none, some lie beyond the end, or the BAR is no memory.
    pub(crate) fn range(&self, bytes: Range<u64>) -> Result<PhysRange> {
        let len = bytes.end.checked_sub(bytes.start).ok_or(EINVAL)?;
        if bytes.end > self.len() || !self.is_memory() {
            return Err(EINVAL);
        }
        let start = self.phys().checked_add(bytes.start).ok_or(EINVAL)?;
        // SAFETY: These are bytes of a memory BAR that the core has reserved. The PCI device stays
        // bound while it is open, and what is made of the range is dropped before the device is
        // closed ([`super::holders`]).
        unsafe { PhysRange::new(start, len) }
    }
}

/// Bytes of a BAR that read() finds as ones and write() leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excluded {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Excluded {
    /// No bytes.
    pub(crate) const NOTHING: Self = Self { start: 0, end: 0 };

    /// The `size` bytes from `start`.
    pub(super) fn new(start: u64, size: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(size),
        }
    }

    /// Returns all bytes of the pages that these bytes are on.
    pub(crate) fn pages(&self) -> Self {
        // CAST: `usize` has at most 64 bits.
        let page = PAGE_SIZE as u64;
        Self {
            start: self.start & !page.wrapping_sub(1),
            end: self.end.checked_next_multiple_of(page).unwrap_or(u64::MAX),
        }
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Returns whether a byte of `start..end` is among them.
    pub(crate) fn meets(&self, start: u64, end: u64) -> bool {
        self.start < self.end && self.start < end && start < self.end
    }

    /// Returns the same bytes as seen from a mapping that begins at byte `base` of the BAR.
    pub(crate) fn seen_from(&self, base: u64) -> Self {
        Self {
            start: self.start.saturating_sub(base),
            end: self.end.saturating_sub(base),
        }
    }
}
