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
    Bar,
    CoreDevice,
    Excluded,
    OpenDevice,
    Operations,
    BARS, //
};
use crate::{
    bindings,
    compat::{
        int_result,
        is_mapped_as,
        long_result,
        IoMap,
        MemType,
        ReadGuard,
        WriteGuard, //
    },
    vfio::Transfer, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Who holds the kernel's mapping of a BAR.
pub(crate) enum Holder<M> {
    /// vfio-pci-core, as a whole; or nobody, where the core could not map the BAR.
    Core,
    /// The driver, in its own way.
    Driver(M),
}

/// The holder of each BAR of a device.
pub(crate) struct Holders<M>([Holder<M>; BARS]);

impl<M> Holders<M> {
    /// All held by the core.
    pub(super) fn new() -> Self {
        Self([const { Holder::Core }; BARS])
    }

    /// Drops what the driver holds, and returns which BARs these were, by bits.
    ///
    /// The core takes them for never reserved, as it is to find no mapping of them; so they are the
    /// caller's to release.
    ///
    /// # Safety
    ///
    /// The device is being closed: nothing uses it any more, and `vfio_pci_core_disable()` follows.
    pub(super) unsafe fn close(&mut self) -> c_int {
        let mut taken = 0;
        for (index, holder) in self.0.iter_mut().enumerate() {
            if matches!(holder, Holder::Driver(_)) {
                *holder = Holder::Core;
                taken |= 1 << index;
            }
        }
        taken
    }
}

/// What the core finds in place of the mapping of a BAR that is taken from it.
const TAKEN: isize = -(kernel::bindings::EBUSY as isize);

/// The kernel's mappings of the BARs, held by [`IoShared`] or [`IoExclusive`].
pub(crate) trait Io<T: Operations> {
    /// Returns the device.
    fn device(&self) -> &OpenDevice<T>;

    /// Returns who holds each BAR.
    fn holders(&self) -> &Holders<T::BarMaps>;

    /// Returns what the driver holds of `bar`, if it does.
    fn taken(&self, bar: Bar<'_>) -> Option<&T::BarMaps> {
        match self.holders().0.get(bar.index())? {
            Holder::Core => None,
            Holder::Driver(maps) => Some(maps),
        }
    }

    /// Returns whether the core has mapped `bar` and the CPU accesses it by the type `mem`.
    fn core_map_is_of(&self, bar: Bar<'_>, mem: MemType) -> bool {
        core_map(self.device().core(), bar).is_some_and(|io| is_mapped_as(io.as_ptr(), mem))
    }

    /// Returns whether [`IoExclusive::take`] could take `bar` now, or has: it fails with [`EBUSY`]
    /// when an ioeventfd may use the core's mapping, or when there is none.
    fn can_take(&self, bar: Bar<'_>) -> Result {
        let core = self.device().core();
        if self.taken(bar).is_none() && (core.has_ioeventfds() || core_map(core, bar).is_none()) {
            return Err(EBUSY);
        }
        Ok(())
    }
}

/// Returns how many bytes from `at` on may be transferred until the gate is looked at again.
///
/// The accesses are those of one transfer of them all, as the limits are multiples of every width.
fn gated_step(at: u64) -> usize {
    const STEP: u64 = 4096;
    // CAST: At most `STEP`.
    (STEP - at % STEP) as usize
}

/// Returns the core's mapping of `bar`, if it has one. Whoever calls this holds the lock.
fn core_map(core: &CoreDevice, bar: Bar<'_>) -> Option<NonNull<c_void>> {
    // SAFETY: The core device is valid; the field is a single word.
    let io = unsafe { bindings::vfio_rs_barmap(core.as_ptr(), bar.number()) };
    NonNull::new(kernel::error::from_err_ptr(io).ok()?)
}

/// Keeps the kernel's mappings of the BARs as they are.
pub(crate) struct IoShared<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    holders: ReadGuard<'a, Holders<T::BarMaps>>,
}

impl<T: Operations> Io<T> for IoShared<'_, T> {
    fn device(&self) -> &OpenDevice<T> {
        self.device
    }

    fn holders(&self) -> &Holders<T::BarMaps> {
        &self.holders
    }
}

impl<'a, T: Operations> IoShared<'a, T> {
    /// Wraps the lock, held for reading.
    pub(super) fn new(
        device: &'a OpenDevice<T>,
        holders: ReadGuard<'a, Holders<T::BarMaps>>,
    ) -> Self {
        Self { device, holders }
    }

    /// Lets the core do a transfer of at most `limit` bytes at `offset` of the device file, and
    /// returns how many were done. A BAR that is taken from it fails with [`EBUSY`]; on the way it waits
    /// while somebody other than VFIO resets the device.
    pub(crate) fn core_transfer(
        &self,
        offset: u64,
        limit: usize,
        transfer: &mut Transfer<'_>,
    ) -> Result<usize> {
        let all = limit.min(transfer.remaining());
        // Beyond the end of the BAR the core is left to say no.
        let all = match self.device.rest_of_bar(offset) {
            0 => all,
            rest => all.min(usize::try_from(rest).unwrap_or(usize::MAX)),
        };
        let mut done = 0;
        loop {
            self.device.gate().pass()?;
            // CAST: `usize` has at most 64 bits.
            let at = offset.saturating_add(done as u64);
            let step = gated_step(at).min(all.saturating_sub(done));
            // SAFETY: This guard keeps the mapping that the core uses.
            let now = unsafe { self.device.core().transfer(transfer, at, step) }?;
            done = done.saturating_add(now);
            if now < step || done >= all {
                return Ok(done);
            }
        }
    }

    /// Lets the core handle an ioctl that may use its mapping of a BAR.
    pub(super) fn core_ioctl(&self, cmd: u32, arg: usize) -> Result<c_long> {
        // SAFETY: The device is open, and this guard keeps the mapping that the core uses.
        let ret = unsafe { bindings::vfio_pci_core_ioctl(self.device.core().as_vdev(), cmd, arg) };
        long_result(ret)
    }

    /// Lets the core export a BAR as a dma-buf, which it does where it finds its mapping of it.
    pub(super) fn core_dma_buf(&self, flags: u32, arg: *mut c_void, size: usize) -> Result<c_int> {
        let vdev = self.device.core().as_vdev();
        // SAFETY: The device is open, and this guard keeps the mapping that the core looks at. The
        // user structure is copied from as such.
        int_result(unsafe { bindings::vfio_pci_core_ioctl_feature(vdev, flags, arg, size) })
    }

    /// Returns whether the driver holds any BAR.
    pub(super) fn any_taken(&self) -> bool {
        let taken = |holder: &Holder<T::BarMaps>| matches!(holder, Holder::Driver(_));
        self.holders.0.iter().any(taken)
    }
}

/// Lets the kernel's mappings of the BARs be changed.
pub(crate) struct IoExclusive<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    holders: WriteGuard<'a, Holders<T::BarMaps>>,
}

impl<T: Operations> Io<T> for IoExclusive<'_, T> {
    fn device(&self) -> &OpenDevice<T> {
        self.device
    }

    fn holders(&self) -> &Holders<T::BarMaps> {
        &self.holders
    }
}

impl<'a, T: Operations> IoExclusive<'a, T> {
    /// Wraps the lock, held for writing.
    pub(super) fn new(
        device: &'a OpenDevice<T>,
        holders: WriteGuard<'a, Holders<T::BarMaps>>,
    ) -> Self {
        Self { device, holders }
    }

    /// Goes on keeping the mappings as they are; nobody can change them in between.
    pub(crate) fn downgrade(self) -> IoShared<'a, T> {
        IoShared::new(self.device, self.holders.downgrade())
    }

    /// Returns what the driver holds of `bar`, if it does, to be changed.
    pub(crate) fn taken_mut(&mut self, bar: Bar<'_>) -> Option<&mut T::BarMaps> {
        match self.holders.0.get_mut(bar.index())? {
            Holder::Core => None,
            Holder::Driver(maps) => Some(maps),
        }
    }

    /// Takes `bar` from the core, whose mapping is undone, and holds it by `maps` from now on.
    ///
    /// Fails with [`EBUSY`] when an ioeventfd may use that mapping, or when there is none.
    pub(crate) fn take(&mut self, bar: Bar<'_>, maps: T::BarMaps) -> Result {
        self.can_take(bar)?;
        let Some(io) = core_map(self.device.core(), bar) else {
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
    pub(super) fn core_dma_buf(
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
        int_result(ret)
    }
}

/// Reads or writes at most `count` bytes from byte `at` of the mapping on behalf of userspace, and
/// returns how many were; bytes of `excluded` (counted from the mapping's first) are hidden.
///
/// `map` maps memory of a BAR of `device`. Waits while somebody other than VFIO resets the device, and
/// transfers no more than may go without asking again. Fails with [`EIO`] while memory decoding is off
/// and with [`EFAULT`] on a bad user address.
pub(crate) fn transfer_mapped<T: Operations>(
    map: &IoMap,
    device: &OpenDevice<T>,
    at: u64,
    count: usize,
    excluded: Excluded,
    transfer: &mut Transfer<'_>,
) -> Result<usize> {
    let count = count.min(transfer.remaining()).min(gated_step(at));
    let at = usize::try_from(at)?;
    if at.checked_add(count).is_none_or(|end| end > map.len()) {
        return Err(EINVAL);
    }
    device.gate().pass()?;
    // SAFETY: The core device is valid, and the bytes are in the mapping by the check above and
    // `IoMap`'s invariant. The user buffer is one: the function copies as to and from
    // userspace, and fails if it is bad.
    let done = unsafe {
        bindings::vfio_pci_core_do_io_rw(
            device.core().as_ptr(),
            true,
            map.as_ptr(),
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
