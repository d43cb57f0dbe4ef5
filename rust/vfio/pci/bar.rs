// SPDX-License-Identifier: GPL-2.0-only

//! The BARs of a device.

use super::CoreDevice;
use crate::{
    bindings,
    compat::{
        is_mapped_as,
        overlap,
        MemType,
        PhysRange, //
    }, //
};
use core::{
    ffi::c_void,
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The number of BARs of a PCI function.
pub(crate) const BARS: usize = kernel::bindings::PCI_STD_NUM_BARS as usize;

/// The properties of a BAR that do not change while its device is open.
///
/// They are stored because only C code can read the fields of the core's structure, and every fault
/// needs most of them.
struct BarInfo {
    /// The physical address of the first byte.
    phys: u64,
    /// The length in bytes, or 0 if the device does not implement the BAR.
    len: u64,
    /// The length of the range that the core lets userspace mmap: whole pages of a memory BAR, or
    /// 0.
    mmap_len: u64,
    /// Whether the BAR is memory and not I/O ports.
    is_memory: bool,
    /// The bytes of the MSI-X table.
    msix_table: Excluded,
    /// The address of the core's mapping of the BAR. If there is none, it contains an errno in the
    /// form of a pointer. The io lock protects the mapping.
    core_map: *mut *mut c_void,
    /// 0 if the BAR is reserved for this device and can be used, or the errno for userspace. It
    /// changes only while the device is being opened.
    errno: Atomic<c_int>,
}

impl BarInfo {
    /// Reads the properties of BAR `index`, which must be less than [`BARS`].
    ///
    /// # Safety
    ///
    /// `vfio_pci_core_finish_enable()` must have been called, and no other thread may use the
    /// device yet.
    unsafe fn read(core: &CoreDevice, index: usize) -> Self {
        let pdev = core.pdev();
        // CAST: `index` is less than 6.
        let number = index as c_int;
        // SAFETY: The core device is valid, and `number` is that of a BAR.
        let core_map = unsafe { bindings::vfio_rs_barmap(core.as_ptr(), number) };
        // SAFETY: The address is that of a field of the core device. No other thread changes the
        // field, as the caller guarantees.
        let io = unsafe { core_map.read() };
        // CAST: `index` is less than 6.
        let resource = index as u32;
        // The resource exists, because every BAR has one.
        let phys = core.pci().resource_start(resource).unwrap_or(0);
        let len = core.pci().resource_len(resource).unwrap_or(0);
        // SAFETY: The PCI device is valid, and `number` is that of a BAR.
        let is_memory = unsafe { bindings::vfio_rs_bar_is_mem(pdev, number) };
        // SAFETY: The core device is valid, and `vfio_pci_core_finish_enable()` has filled the
        // array, as the caller guarantees.
        let can_mmap = unsafe { bindings::vfio_rs_bar_mmap_supported(core.as_ptr(), number) };
        // CAST: `usize` has at most 64 bits.
        let pages = len.checked_next_multiple_of(PAGE_SIZE as u64);
        let usable = match from_err_ptr(io).map(NonNull::new) {
            Ok(None) => Err(ENODEV),
            // Another mapping has given the BAR's page another type. The driver can divide only a
            // BAR of whole pages into segments.
            Ok(Some(io)) if is_memory && !is_whole_pages(phys, len) => {
                // SAFETY: The core has mapped the BAR at `io`. No other thread uses the device, as
                // the caller guarantees, so the mapping remains during the call.
                let ordinary = unsafe { is_mapped_as(io, MemType::Noncached) };
                ordinary.then_some(()).ok_or(EBUSY)
            }
            Ok(Some(_)) => Ok(()),
            Err(error) => Err(error),
        };
        Self {
            phys,
            len,
            mmap_len: pages.filter(|_| is_memory && can_mmap).unwrap_or(0),
            is_memory,
            msix_table: Excluded::msix_table(core, index),
            core_map,
            errno: Atomic::new(usable.map_or_else(Error::to_errno, |()| 0)),
        }
    }
}

/// Returns whether a range of `len` bytes from `phys` consists of whole pages.
fn is_whole_pages(phys: u64, len: u64) -> bool {
    // CAST: `usize` has at most 64 bits.
    let below_page = (PAGE_SIZE as u64).wrapping_sub(1);
    (phys | len) & below_page == 0
}

/// The properties of all BARs of an open device.
pub(super) struct Bars([BarInfo; BARS]);

impl Bars {
    /// Reads the properties of the BARs of a device that is being opened. They do not change while
    /// a driver is bound.
    ///
    /// # Safety
    ///
    /// `vfio_pci_core_finish_enable()` must have been called, and no other thread may use the
    /// device yet.
    pub(super) unsafe fn new(core: &CoreDevice) -> Self {
        Self(core::array::from_fn(|index| {
            // SAFETY: The caller guarantees both conditions. `index` is less than `BARS`, the
            // length of the array.
            unsafe { BarInfo::read(core, index) }
        }))
    }

    /// Returns BAR `index`, or `None` if the device does not implement it.
    pub(super) fn get(&self, index: usize) -> Option<Bar<'_>> {
        let info = self.0.get(index)?;
        // INVARIANT: `index` is less than `BARS`, the length of the array, and the condition
        // excludes a length of 0.
        (info.len != 0).then_some(Bar { index, info })
    }

    /// Returns whether `bar` is one of these BARs, and not one of another device.
    #[inline]
    pub(super) fn contains(&self, bar: Bar<'_>) -> bool {
        let info = self.0.get(bar.index);
        info.is_some_and(|info| core::ptr::eq(info, bar.info))
    }
}

/// A BAR of an open device. It is not empty.
///
/// # Invariants
///
/// `index` is less than [`BARS`], and `info.len` is not 0.
#[derive(Clone, Copy)]
pub(crate) struct Bar<'a> {
    index: usize,
    info: &'a BarInfo,
}

impl Bar<'_> {
    /// Returns the BAR's number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns the BAR's number in C's type.
    pub(super) fn number(&self) -> c_int {
        // CAST: `index` is less than 6, by the type's invariant.
        self.index as c_int
    }

    /// Returns the physical address of the first byte.
    pub(crate) fn phys(&self) -> u64 {
        self.info.phys
    }

    /// Returns the length in bytes, which can be less than a page.
    pub(crate) fn size(&self) -> u64 {
        self.info.len
    }

    /// Returns the length of the range that userspace may mmap: whole pages, or 0 if the BAR is not
    /// memory or shares a page with other resources.
    pub(crate) fn mmap_len(&self) -> u64 {
        self.info.mmap_len
    }

    /// Returns whether the BAR consists of whole pages.
    pub(crate) fn is_whole_pages(&self) -> bool {
        is_whole_pages(self.phys(), self.size())
    }

    /// Returns whether the BAR is memory and not I/O ports.
    pub(crate) fn is_memory(&self) -> bool {
        self.info.is_memory
    }

    /// Returns whether the BAR was reserved for this device, and mapped unless the driver owns it,
    /// when the device was opened.
    ///
    /// Fails with [`EBUSY`] if another driver has reserved the BAR, or if the BAR shares its page
    /// with a mapping of another type. Fails with [`ENOMEM`] if the core could not map it. Fails
    /// with [`ENODEV`] if the core did not try.
    pub(crate) fn expect_usable(&self) -> Result {
        to_result(self.info.errno.load(Relaxed))
    }

    /// Records that the driver has become the owner of the BAR, which the core could not map. The
    /// device is being opened, and no other operation runs yet.
    pub(super) fn set_usable(&self) {
        self.info.errno.store(0, Relaxed);
    }

    /// Returns the core's mapping of the whole BAR, or `None` if it has none. The caller holds the
    /// io lock of the BAR's device.
    #[inline]
    pub(super) fn core_map(&self) -> Option<NonNull<c_void>> {
        // SAFETY: The address is that of a word of the core device, which outlives the BAR. A
        // volatile load of a word is `READ_ONCE()`.
        let io = unsafe { self.info.core_map.read_volatile() };
        // CAST: `usize` has at least 32 bits.
        let errnos = (kernel::bindings::MAX_ERRNO as usize).wrapping_neg();
        NonNull::new(io).filter(|io| io.as_ptr().addr() < errnos)
    }

    /// Replaces the core's mapping by `io`, which can be an errno in the form of a pointer.
    ///
    /// # Safety
    ///
    /// The caller must hold the io lock of the BAR's device for writing. Until the lock is
    /// released, `io` must become a mapping of the whole BAR by pci_iomap() or an errno.
    pub(super) unsafe fn set_core_map(&self, io: *mut c_void) {
        // SAFETY: The address is that of a word of the core device, which outlives the BAR. The
        // caller excludes all users of the word. A volatile store of a word is `WRITE_ONCE()`.
        unsafe { self.info.core_map.write_volatile(io) };
    }

    /// Returns the bytes of the MSI-X table, which read() and write() cannot access. They are empty
    /// if the table is not in this BAR.
    pub(crate) fn msix_table(&self) -> Excluded {
        self.info.msix_table
    }

    /// Returns the physical addresses of `bytes` of the BAR.
    ///
    /// The caller drops all mappings and reservations of the range before the device is closed.
    ///
    /// Fails with [`EINVAL`] if `bytes` is empty or leaves the BAR, or if the BAR is not memory.
    /// Other errors are those of [`Self::expect_usable`].
    pub(crate) fn range(&self, bytes: Range<u64>) -> Result<PhysRange> {
        let len = bytes.end.checked_sub(bytes.start).ok_or(EINVAL)?;
        if bytes.end > self.size() || !self.is_memory() {
            return Err(EINVAL);
        }
        self.expect_usable()?;
        let start = self.phys().checked_add(bytes.start).ok_or(EINVAL)?;
        // SAFETY: The range is in a memory BAR, and the BAR is reserved for the device, since it is
        // usable. The PCI device is bound while it is open. The last close drops the mappings and
        // reservations in [`super::bar_owners`] and [`super::ioeventfd`]. The caller drops others.
        unsafe { PhysRange::new(start, len) }
    }
}

/// A range of a BAR that read() returns as ones and write() does not change.
///
/// It can be empty, and its addresses are offsets in the BAR. A [`PhysRange`] is never empty, and
/// having one is the permission to map its addresses, so neither type can replace the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excluded {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Excluded {
    /// Returns the bytes of the MSI-X table of `core` if the table is in BAR `index`.
    fn msix_table(core: &CoreDevice, index: usize) -> Self {
        let core = core.as_ptr();
        // SAFETY: The core device is valid, and the core sets the field before the device is open.
        let bar = unsafe { bindings::vfio_rs_msix_bar(core) };
        if usize::from(bar) != index {
            return Self { start: 0, end: 0 };
        }
        // SAFETY: The core device is valid, and the core sets the field before the device is open.
        let start = unsafe { bindings::vfio_rs_msix_offset(core) };
        // SAFETY: The core device is valid, and the core sets the field before the device is open.
        let size = unsafe { bindings::vfio_rs_msix_size(core) };
        let start = u64::from(start);
        Self {
            start,
            end: start.saturating_add(u64::from(size)),
        }
    }

    /// Returns the range of the pages that include these bytes.
    pub(crate) fn pages(&self) -> Self {
        // CAST: `usize` has at most 64 bits.
        let page = PAGE_SIZE as u64;
        Self {
            start: self.start & !page.wrapping_sub(1),
            end: self.end.checked_next_multiple_of(page).unwrap_or(u64::MAX),
        }
    }

    /// Returns whether the range is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Returns whether the range includes all of `bytes`, which are not empty.
    pub(crate) fn includes(&self, bytes: &Range<u64>) -> bool {
        self.start <= bytes.start && bytes.end <= self.end
    }

    /// Returns whether the range has a byte in common with `bytes`, which are not empty.
    pub(crate) fn overlaps(&self, bytes: &Range<u64>) -> bool {
        overlap(&(self.start..self.end), bytes) && !self.is_empty()
    }
}
