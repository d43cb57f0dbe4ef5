// SPDX-License-Identifier: GPL-2.0

//! The device of vfio-pci-core, and its BARs.

use super::{
    iomap::{
        is_mapped_as,
        Excluded,
        IoMap, //
    },
    Reservation, //
};
use crate::{
    bindings,
    vfio::MemType, //
};
use core::ptr::NonNull;
use kernel::{
    bindings::{
        pci_dev,
        rw_semaphore, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    page::PAGE_SIZE,
    prelude::*,
    types::Opaque, //
};

/// How many BARs a PCI function has.
pub(crate) const BARS: usize = kernel::bindings::PCI_STD_NUM_BARS as usize;

/// What of vfio-pci-core's doing is switched off for a device.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// INTx is masked at the interrupt controller, never in the device.
    pub(crate) nointxmask: bool,
    /// The device stays in full power while nobody uses it.
    pub(crate) disable_idle_d3: bool,
    /// The legacy ranges of a VGA device are no region.
    pub(crate) disable_vga: bool,
}

impl Settings {
    /// Gives a device these settings.
    ///
    /// # Safety
    ///
    /// `core` is valid, and `vfio_pci_core_init_dev()` has not been called on it.
    pub(in crate::vfio) unsafe fn apply(self, core: *mut bindings::vfio_pci_core_device) {
        // SAFETY: The caller's obligation: nobody else has the device yet.
        unsafe { bindings::vfio_rs_set_nointxmask(core, self.nointxmask) };
        // SAFETY: As above.
        unsafe { bindings::vfio_rs_set_disable_idle_d3(core, self.disable_idle_d3) };
        // SAFETY: As above.
        unsafe { bindings::vfio_rs_set_disable_vga(core, self.disable_vga) };
    }
}

/// A `struct vfio_pci_core_device`.
///
/// # Invariants
///
/// `vfio_pci_core_init_dev()` has been called on it, its PCI device included, and it lives as long
/// as any reference to it.
#[repr(transparent)]
pub(crate) struct CoreDevice(Opaque<bindings::vfio_pci_core_device>);

// SAFETY: Whatever a shared reference lets one do is made for concurrent use by vfio-pci-core: the
// fields that are read are either fixed while the device is open or single words.
unsafe impl Sync for CoreDevice {}

impl CoreDevice {
    /// Returns the C structure.
    pub(in crate::vfio) fn as_ptr(&self) -> *mut bindings::vfio_pci_core_device {
        self.0.get()
    }

    /// Returns the embedded `struct vfio_device`.
    pub(in crate::vfio) fn as_vdev(&self) -> *mut bindings::vfio_device {
        // It is the first field, as helpers.c makes sure.
        self.as_ptr().cast()
    }

    /// Returns vfio-pci-core's memory lock, which is initialised.
    pub(in crate::vfio) fn memory_lock(&self) -> *mut rw_semaphore {
        // SAFETY: The type's invariant; this is the address of a field.
        unsafe { bindings::vfio_rs_memory_lock(self.as_ptr()) }
    }

    /// Returns the PCI device, whose memory VFIO's device keeps in being.
    pub(in crate::vfio) fn pdev(&self) -> *mut pci_dev {
        // SAFETY: The type's invariant: the field was set by `vfio_pci_core_init_dev()`.
        unsafe { bindings::vfio_rs_pdev(self.as_ptr()) }
    }

    /// Returns how many region indices vfio-pci-core uses; fixed while the device is open.
    pub(crate) fn num_regions(&self) -> u32 {
        // SAFETY: The type's invariant; the field changes in `vfio_pci_core_disable()` only, and in
        // `vfio_pci_core_register_dev_region()`, which nothing here calls.
        let own = unsafe { bindings::vfio_rs_num_regions(self.as_ptr()) };
        bindings::VFIO_PCI_NUM_REGIONS.saturating_add(u32::try_from(own).unwrap_or(0))
    }

    /// Returns whether any ioeventfd exists on the device.
    ///
    /// Good for as long as the caller keeps the ioctl out; see [`super::IoExclusive`].
    pub(super) fn has_ioeventfds(&self) -> bool {
        // SAFETY: The type's invariant; the field is a single word.
        unsafe { bindings::vfio_rs_ioeventfds(self.as_ptr()) != 0 }
    }

    /// Wakes the PCI device up and keeps it so until the guard goes.
    pub(crate) fn power_on(&self) -> Result<PowerGuard<'_>> {
        // SAFETY: The type's invariant: the PCI device is valid.
        to_result(unsafe { bindings::vfio_rs_pm_get(self.pdev()) }).map_err(|_| EIO)?;
        Ok(PowerGuard(self))
    }
}

/// Keeps a PCI device awake.
#[must_use = "the device may sleep once the guard is gone"]
pub(crate) struct PowerGuard<'a>(&'a CoreDevice);

impl Drop for PowerGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: The PCI device is valid, and the guard was made by taking this reference.
        unsafe { bindings::vfio_rs_pm_put(self.0.pdev()) };
    }
}

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
        // SAFETY: The PCI device is valid and `number` a BAR's.
        let phys = unsafe { bindings::vfio_rs_bar_start(pdev, number) };
        // SAFETY: As above.
        let len = unsafe { bindings::vfio_rs_bar_len(pdev, number) };
        // SAFETY: As above.
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
pub(in crate::vfio) struct Bars([Facts; BARS]);

impl Bars {
    /// Finds out about the BARs of a device that is being opened. Resources are fixed while a
    /// driver is bound.
    ///
    /// # Safety
    ///
    /// `vfio_pci_core_finish_enable()` was called, and nobody else uses the device yet.
    pub(in crate::vfio) unsafe fn new(core: &CoreDevice) -> Self {
        Self(core::array::from_fn(|index| {
            // SAFETY: The caller's obligations, and the array has `BARS` elements.
            unsafe { Facts::of(core, index) }
        }))
    }

    /// Returns BAR `index` of `core`, whose BARs these are, if it has such a one.
    pub(in crate::vfio) fn get<'a>(
        &'a self,
        core: &'a CoreDevice,
        index: usize,
    ) -> Option<Bar<'a>> {
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

    /// Returns the physical address of `len` bytes from `start`, if these are memory of this BAR.
    pub(super) fn range(&self, start: u64, len: u64) -> Result<u64> {
        let end = start.checked_add(len).ok_or(EINVAL)?;
        if len == 0 || end > self.len() || !self.is_memory() {
            return Err(EINVAL);
        }
        self.phys().checked_add(start).ok_or(EINVAL)
    }

    /// Maps `len` bytes from `start` for the kernel; what the CPU then has may be of another type
    /// than `mem`, so ask [`IoMap::is_of`].
    ///
    /// Fails with [`EBUSY`] when another mapping in the kernel has a type that no mapping of a device
    /// can share, which is write-back.
    pub(crate) fn ioremap(&self, start: u64, len: u64, mem: MemType) -> Result<IoMap> {
        let phys = self.range(start, len)?;
        let size = usize::try_from(len)?;
        let io = match mem {
            // SAFETY: The range is device memory of a BAR that this driver has bound.
            MemType::WriteCombining => unsafe { bindings::vfio_rs_ioremap_wc(phys, size) },
            // SAFETY: As above.
            MemType::Noncached | MemType::Device => unsafe {
                kernel::bindings::ioremap(phys, size)
            },
        };
        let io = NonNull::new(io).ok_or_else(|| Reservation::why_not_mapped(phys, len))?;
        // SAFETY: `io` is what ioremap() returned for `size` bytes, and nobody else has it.
        Ok(unsafe { IoMap::from_raw(io, size) })
    }
}
