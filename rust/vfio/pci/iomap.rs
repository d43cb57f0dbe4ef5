// SPDX-License-Identifier: GPL-2.0

//! Who holds the kernel's mapping of a BAR.
//!
//! When a device is opened, vfio-pci-core maps every BAR as a whole for read(), write() and
//! ioeventfds, and on x86 that fixes the memory type of all its pages. A driver that is to give
//! part of a BAR another type takes the BAR from the core and maps it in parts. All that uses the
//! core's mapping, or the driver's, does so holding the lock of [`Holders`] for reading
//! ([`IoShared`]), all that changes them for writing ([`IoExclusive`]).
//!
//! An ioeventfd keeps an address of the core's mapping for as long as it exists, without the lock.
//! So a BAR can be taken only while there is none, and one cannot be made in a BAR that is taken.

use super::{
    core_device::BARS,
    Bar,
    CoreDevice, //
};
use crate::{
    bindings,
    vfio::{
        device::{
            Operations,
            Transfer, //
        },
        rwsem::{
            ReadGuard,
            WriteGuard, //
        },
        MemType,
        OpenDevice, //
    }, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    bindings::pgprot_t,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Bytes of a BAR that read() finds as ones and write() leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excluded {
    start: u64,
    end: u64,
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

/// Part of a BAR, mapped for the kernel; unmapped when dropped.
///
/// # Invariants
///
/// `io` is a mapping of `len` bytes of device memory, made by ioremap() or one of its like.
pub(crate) struct IoMap {
    io: NonNull<c_void>,
    len: usize,
}

// SAFETY: A mapping belongs to no thread.
unsafe impl Send for IoMap {}

// SAFETY: All that can be done with a shared reference is device access, which the device orders.
unsafe impl Sync for IoMap {}

impl IoMap {
    /// Takes over a mapping.
    ///
    /// # Safety
    ///
    /// `io` was returned by ioremap() or one of its like for `len` bytes and is not used otherwise.
    pub(super) unsafe fn from_raw(io: NonNull<c_void>, len: usize) -> Self {
        // INVARIANT: The caller says so.
        Self { io, len }
    }

    /// Returns whether the CPU accesses the mapping, and so all that x86 will let userspace map of
    /// these pages, by the type `mem`.
    pub(crate) fn is_of(&self, mem: MemType) -> bool {
        is_mapped_as(self.io.as_ptr(), mem)
    }

    /// Reads or writes `count` bytes from byte `at` of the mapping on behalf of userspace, and
    /// returns how many were; bytes of `excluded` (counted from the mapping's first) are hidden.
    ///
    /// Fails with [`EIO`] while memory decoding is off and with [`EFAULT`] on a bad user address.
    pub(crate) fn transfer(
        &self,
        core: &CoreDevice,
        at: u64,
        count: usize,
        excluded: Excluded,
        transfer: &mut Transfer<'_>,
    ) -> Result<usize> {
        let count = count.min(transfer.remaining());
        let at = usize::try_from(at)?;
        if at.checked_add(count).is_none_or(|end| end > self.len) {
            return Err(EINVAL);
        }
        // SAFETY: The core device is valid, and the bytes are in the mapping by the check above and
        // the type's invariant. The user buffer is one: the function copies as to and from
        // userspace, and fails if it is bad.
        let done = unsafe {
            bindings::vfio_pci_core_do_io_rw(
                core.as_ptr(),
                true,
                self.io.as_ptr(),
                transfer.buffer(),
                i64::try_from(at)?,
                count,
                usize::try_from(excluded.start)?,
                usize::try_from(excluded.end)?,
                transfer.is_write(),
                bindings::vfio_pci_io_width_VFIO_PCI_IO_WIDTH_8,
            )
        };
        transfer.advance(done)
    }
}

impl Drop for IoMap {
    fn drop(&mut self) {
        // SAFETY: The type's invariant; this is the last use.
        unsafe { kernel::bindings::iounmap(self.io.as_ptr()) };
    }
}

/// Returns whether the kernel mapping at `io` is of type `mem`.
fn is_mapped_as(io: *mut c_void, mem: MemType) -> bool {
    let prot = mem.apply(pgprot_t::default());
    // SAFETY: Looks up a kernel address; one that is not mapped is answered by `false`.
    unsafe { bindings::vfio_rs_kernel_is_mapped(io, prot) }
}

/// Who holds the kernel's mapping of a BAR.
pub(crate) enum Holder<M> {
    /// vfio-pci-core, as a whole; or nobody, where the core could not map the BAR.
    Core,
    /// The driver, in its own way.
    Driver(M),
}

/// The holder of each BAR of a device.
pub(in crate::vfio) struct Holders<M>([Holder<M>; BARS]);

impl<M> Holders<M> {
    /// All held by the core.
    pub(in crate::vfio) fn new() -> Self {
        Self([const { Holder::Core }; BARS])
    }

    /// Drops what the driver holds and releases those BARs, for the core will not: as it is to
    /// find no mapping of them, it takes them for never reserved.
    ///
    /// # Safety
    ///
    /// The device is being closed: nothing uses it any more, and `vfio_pci_core_disable()` follows.
    pub(in crate::vfio) unsafe fn close(&mut self, core: &CoreDevice) {
        for (index, holder) in self.0.iter_mut().enumerate() {
            if let Holder::Driver(maps) = core::mem::replace(holder, Holder::Core) {
                drop(maps);
                // SAFETY: The PCI device is valid; the core reserved this BAR in
                // `vfio_pci_core_enable()`, or `take` would have refused it.
                unsafe { kernel::bindings::pci_release_selected_regions(core.pdev(), 1 << index) };
            }
        }
    }
}

/// What the core finds in place of the mapping of a BAR that is taken from it.
const TAKEN: isize = -(kernel::bindings::EBUSY as isize);

/// Keeps the kernel's mappings of the BARs as they are.
pub(crate) struct IoShared<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    holders: ReadGuard<'a, Holders<T::BarMaps>>,
}

impl<'a, T: Operations> IoShared<'a, T> {
    /// Waits for the lock, or for a fatal signal ([`EINTR`]).
    pub(in crate::vfio) fn new(
        device: &'a OpenDevice<T>,
        holders: ReadGuard<'a, Holders<T::BarMaps>>,
    ) -> Self {
        Self { device, holders }
    }

    /// Returns what the driver holds of `bar`, if it does.
    pub(crate) fn taken(&self, bar: Bar<'_>) -> Option<&T::BarMaps> {
        match self.holders.0.get(bar.index())? {
            Holder::Core => None,
            Holder::Driver(maps) => Some(maps),
        }
    }

    /// Lets the core do a transfer of at most `limit` bytes at `offset` of the device file, and
    /// returns how many were done. A BAR that is taken from it fails with [`EBUSY`].
    pub(crate) fn core_transfer(
        &self,
        offset: u64,
        limit: usize,
        transfer: &mut Transfer<'_>,
    ) -> Result<usize> {
        let vdev = self.device.core().as_vdev();
        let count = limit.min(transfer.remaining());
        let mut offset = i64::try_from(offset)?;
        let done = if transfer.is_write() {
            // SAFETY: The device is open, and this guard keeps the mapping that the core uses. The
            // user buffer is copied from as such.
            unsafe {
                bindings::vfio_pci_core_write(vdev, transfer.buffer(), count, &raw mut offset)
            }
        } else {
            // SAFETY: As above; the user buffer is copied to as such.
            unsafe { bindings::vfio_pci_core_read(vdev, transfer.buffer(), count, &raw mut offset) }
        };
        transfer.advance(done)
    }

    /// Lets the core handle an ioctl that may use its mapping of a BAR.
    pub(in crate::vfio) fn core_ioctl(&self, cmd: u32, arg: usize) -> Result<c_long> {
        // SAFETY: The device is open, and this guard keeps the mapping that the core uses.
        let ret = unsafe { bindings::vfio_pci_core_ioctl(self.device.core().as_vdev(), cmd, arg) };
        super::super::device::long_result(ret)
    }
}

/// Lets the kernel's mappings of the BARs be changed.
pub(crate) struct IoExclusive<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    holders: WriteGuard<'a, Holders<T::BarMaps>>,
}

impl<'a, T: Operations> IoExclusive<'a, T> {
    /// Waits for the lock, or for a fatal signal ([`EINTR`]).
    pub(in crate::vfio) fn new(
        device: &'a OpenDevice<T>,
        holders: WriteGuard<'a, Holders<T::BarMaps>>,
    ) -> Self {
        Self { device, holders }
    }

    /// Returns the core's mapping of `bar`, if it has one.
    fn core_map(&self, bar: Bar<'_>) -> Option<NonNull<c_void>> {
        // SAFETY: The core device is valid, and the guard keeps the field from changing.
        let io = unsafe { bindings::vfio_rs_barmap(self.device.core().as_ptr(), bar.number()) };
        NonNull::new(kernel::error::from_err_ptr(io).ok()?)
    }

    /// Returns whether the core has mapped `bar` and the CPU accesses it by the type `mem`.
    pub(crate) fn core_map_is_of(&self, bar: Bar<'_>, mem: MemType) -> bool {
        self.core_map(bar)
            .is_some_and(|io| is_mapped_as(io.as_ptr(), mem))
    }

    /// Returns what the driver holds of `bar`, if it does.
    pub(crate) fn taken(&mut self, bar: Bar<'_>) -> Option<&mut T::BarMaps> {
        match self.holders.0.get_mut(bar.index())? {
            Holder::Core => None,
            Holder::Driver(maps) => Some(maps),
        }
    }

    /// Returns whether [`IoExclusive::take`] could take `bar` now, or has.
    pub(crate) fn can_take(&mut self, bar: Bar<'_>) -> Result {
        if self.taken(bar).is_some() {
            return Ok(());
        }
        if self.device.core().has_ioeventfds() || self.core_map(bar).is_none() {
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Takes `bar` from the core, whose mapping is undone, and holds it by `maps` from now on.
    ///
    /// Fails with [`EBUSY`] when an ioeventfd may use that mapping, or when there is none.
    pub(crate) fn take(&mut self, bar: Bar<'_>, maps: T::BarMaps) -> Result {
        self.can_take(bar)?;
        let Some(io) = self.core_map(bar) else {
            return Err(EBUSY);
        };
        let Some(holder) = self.holders.0.get_mut(bar.index()) else {
            return Err(EINVAL);
        };
        let core = self.device.core();
        // CAST: An errno as a pointer is what the C field holds in place of a mapping.
        let taken = TAKEN as *mut c_void;
        // SAFETY: The core device is valid, and the guard keeps all users of the field away.
        unsafe { bindings::vfio_rs_set_barmap(core.as_ptr(), bar.number(), taken) };
        // SAFETY: `io` is the core's mapping of this device. Nothing uses it: transfers and the
        // ioctl that makes ioeventfds are kept out by the guard, and there is no ioeventfd.
        unsafe { kernel::bindings::pci_iounmap(core.pdev(), io.as_ptr()) };
        *holder = Holder::Driver(maps);
        Ok(())
    }

    /// Gives `bar` back to the core, with a mapping like the one it had, and returns what the
    /// driver held it by. Fails with [`ENOMEM`], and then the driver still holds it.
    pub(crate) fn give_back(&mut self, bar: Bar<'_>) -> Result<Option<T::BarMaps>> {
        let Some(holder) = self.holders.0.get_mut(bar.index()) else {
            return Err(EINVAL);
        };
        if matches!(holder, Holder::Core) {
            return Ok(None);
        }
        let core = self.device.core();
        // SAFETY: The PCI device is valid, and has this BAR reserved.
        let io = unsafe { kernel::bindings::pci_iomap(core.pdev(), bar.number(), 0) };
        let io = NonNull::new(io).ok_or(ENOMEM)?;
        // SAFETY: The core device is valid, the guard keeps all users of the field away, and this
        // is a mapping such as the core itself would have made.
        unsafe { bindings::vfio_rs_set_barmap(core.as_ptr(), bar.number(), io.as_ptr()) };
        match core::mem::replace(holder, Holder::Core) {
            Holder::Core => Ok(None),
            Holder::Driver(maps) => Ok(Some(maps)),
        }
    }

    /// Lets the core export a BAR as a dma-buf.
    ///
    /// It refuses to where it finds no mapping, although it does not use it: what it wants to know
    /// is whether the BAR is reserved, which one that is taken is.
    pub(in crate::vfio) fn core_dma_buf(
        &mut self,
        flags: u32,
        arg: *mut c_void,
        size: usize,
    ) -> Result<c_int> {
        let core = self.device.core();
        let taken = |(index, holder): (usize, &Holder<T::BarMaps>)| match holder {
            Holder::Core => None,
            // CAST: There are 6 BARs.
            Holder::Driver(_) => Some(index as c_int),
        };
        let any = NonNull::<c_void>::dangling().as_ptr();
        for bar in self.holders.0.iter().enumerate().filter_map(taken) {
            // SAFETY: The core device is valid, and the guard keeps all away who would use this.
            unsafe { bindings::vfio_rs_set_barmap(core.as_ptr(), bar, any) };
        }
        // SAFETY: The device is open; the user structure is copied from as such.
        let ret =
            unsafe { bindings::vfio_pci_core_ioctl_feature(core.as_vdev(), flags, arg, size) };
        for bar in self.holders.0.iter().enumerate().filter_map(taken) {
            // CAST: As in `take`.
            let taken = TAKEN as *mut c_void;
            // SAFETY: As above.
            unsafe { bindings::vfio_rs_set_barmap(core.as_ptr(), bar, taken) };
        }
        if ret < 0 {
            return Err(Error::from_errno(ret));
        }
        Ok(ret)
    }
}
