// SPDX-License-Identifier: GPL-2.0-only

//! The owner of the kernel's mapping of each BAR.
//!
//! When a device is opened, vfio-pci-core maps every BAR as a whole, for read(), write() and
//! ioeventfds. On x86 this mapping fixes the memory type of all pages of the BAR. To give a part of
//! a BAR another type, the driver becomes the owner of the BAR: the core's mapping is removed, and
//! the driver makes mappings of its own. The *io lock* protects [`BarOwners`]. Code that uses a
//! kernel mapping of a BAR holds the lock for reading ([`IoShared`]), and code that changes the
//! owner or the mappings holds it for writing ([`IoExclusive`]). A guard protects the BARs of its
//! own device only, so its functions ask [`OpenDevice::own`] before they use a mapping of the
//! core's, and refuse a BAR of another device.
//!
//! An ioeventfd writes without the io lock, through a mapping of its own; see [`super::ioeventfd`].

use super::{
    Bar,
    MappedBytes,
    OpenDevice,
    Operations,
    BARS, //
};
use crate::{
    bindings,
    compat::{
        int_result,
        is_mapped_as,
        MemType,
        ReadGuard,
        WriteGuard, //
    }, //
};
use core::{
    ffi::c_void,
    num::NonZeroU64,
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// The owner of the kernel's mapping of a BAR.
enum BarOwner<M> {
    /// vfio-pci-core owns the mapping of the whole BAR, or has none because it could not reserve or
    /// map the BAR.
    Core,
    /// The driver owns the BAR, and has mappings of its own.
    Driver(M),
}

/// The owner of each BAR of a device. The io lock protects it.
pub(crate) struct BarOwners<M>([BarOwner<M>; BARS]);

impl<M> BarOwners<M> {
    /// Makes the core the owner of all BARs.
    pub(super) fn new() -> Self {
        Self([const { BarOwner::Core }; BARS])
    }

    /// Drops the mappings of all BARs that the driver owns, and returns a bit mask of these BARs.
    ///
    /// `vfio_pci_core_disable()` does not release the reservations of these BARs, because it finds
    /// no mapping of them. The caller must release them.
    ///
    /// # Safety
    ///
    /// The device is being closed: no other code uses it any more, and the caller calls
    /// `vfio_pci_core_disable()` next.
    pub(super) unsafe fn close(&mut self) -> c_int {
        let mut owned = 0;
        for (index, owner) in self.0.iter_mut().enumerate() {
            if matches!(owner, BarOwner::Driver(_)) {
                *owner = BarOwner::Core;
                owned |= 1 << index;
            }
        }
        owned
    }
}

/// The value of the core's `barmap` for a BAR that the driver owns: [`EBUSY`] as a pointer.
const NO_CORE_MAP: isize = -(kernel::bindings::EBUSY as isize);

/// Access to the kernel's mappings of the BARs, with the io lock held by [`IoShared`] or
/// [`IoExclusive`].
pub(crate) trait Io<T: Operations> {
    /// Returns the device.
    fn device(&self) -> &OpenDevice<T>;

    /// Returns the owner of each BAR.
    fn owners(&self) -> &BarOwners<T::BarMaps>;

    /// Returns the driver's mappings of `bar`, or `None` if the core owns it.
    fn driver_maps(&self, bar: Bar<'_>) -> Option<&T::BarMaps> {
        match self.owners().0.get(bar.index())? {
            BarOwner::Core => None,
            BarOwner::Driver(maps) => Some(maps),
        }
    }

    /// Returns whether the core has a mapping of `bar` with the type `mem`.
    fn core_maps_as(&self, bar: Bar<'_>, mem: MemType) -> bool {
        let io = self.device().own(bar).and_then(|bar| bar.core_map());
        io.is_some_and(|io| {
            // SAFETY: The core's mapping of the BAR exists, because only a holder of the io lock
            // for writing removes it.
            unsafe { is_mapped_as(io, mem) }
        })
    }

    /// Returns whether the driver owns `bar` or can become its owner by
    /// [`IoExclusive::give_to_driver`]. It cannot if the core has no mapping of the BAR, because
    /// the core could not reserve or map the BAR when the device was opened, and
    /// [`IoExclusive::reserve_for_driver`] has not made the driver the owner then.
    fn can_give_to_driver(&self, bar: Bar<'_>) -> bool {
        let own = self.device().own(bar);
        own.is_some_and(|bar| self.driver_maps(bar).is_some() || bar.core_map().is_some())
    }

    /// Returns whether an ioeventfd writes to a byte of `bytes` of `bar`. The type of these pages
    /// must not change then, because the ioeventfd has a mapping of them.
    ///
    /// While the io lock is held for writing, no ioeventfd is made or removed.
    fn has_ioeventfd(&self, bar: Bar<'_>, bytes: Range<u64>) -> bool {
        self.device().ioeventfds().lock().any(bar.index(), bytes)
    }
}

/// The io lock, held for reading: the owners and the kernel's mappings of the BARs do not change.
///
/// # Invariants
///
/// `owners` is the guard of the lock of `device`.
pub(crate) struct IoShared<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    owners: ReadGuard<'a, BarOwners<T::BarMaps>>,
}

impl<T: Operations> Io<T> for IoShared<'_, T> {
    fn device(&self) -> &OpenDevice<T> {
        self.device
    }

    fn owners(&self) -> &BarOwners<T::BarMaps> {
        &self.owners
    }
}

impl<'a, T: Operations> IoShared<'a, T> {
    /// Takes the lock. Fails with [`EINTR`] if a fatal signal arrives.
    pub(super) fn new(device: &'a OpenDevice<T>) -> Result<Self> {
        let owners = device.owners().read_killable()?;
        // INVARIANT: The lock is that of `device`.
        Ok(Self { device, owners })
    }

    /// Takes the lock if no thread holds it for writing or waits for it, or returns `None`.
    pub(super) fn try_new(device: &'a OpenDevice<T>) -> Option<Self> {
        let owners = device.owners().try_read()?;
        // INVARIANT: The lock is that of `device`.
        Some(Self { device, owners })
    }

    /// Returns the bytes of `bar` from `at` on in the core's mapping, or `None` if the core has
    /// none or if `at` is beyond the end.
    #[inline]
    pub(crate) fn core_bytes(&self, bar: Bar<'_>, at: u64) -> Option<MappedBytes<'_>> {
        let bar = self.device.own(bar)?;
        let io = bar.core_map()?;
        let len = NonZeroU64::new(bar.size().checked_sub(at)?)?;
        // SAFETY: `io` is the core's mapping of the whole BAR. The BAR is one of the guard's own
        // device, so the guard prevents the removal of the mapping.
        Some(unsafe { MappedBytes::new(io, at, len) })
    }

    /// Lets the core export a BAR as a dma-buf. The core refuses a BAR of which it has no mapping.
    pub(super) fn core_dma_buf(&self, flags: u32, arg: *mut c_void, size: usize) -> Result<c_int> {
        let vdev = self.device.core().as_vdev();
        // SAFETY: The device is open, and this guard prevents changes of the core's mapping. The
        // function accesses the structure as user memory.
        int_result(unsafe { bindings::vfio_pci_core_ioctl_feature(vdev, flags, arg, size) })
    }

    /// Returns whether the driver owns any BAR.
    pub(super) fn driver_owns_any(&self) -> bool {
        let owned = |owner: &BarOwner<T::BarMaps>| matches!(owner, BarOwner::Driver(_));
        self.owners.0.iter().any(owned)
    }
}

/// The io lock, held for writing: the guard can change the owners and the kernel's mappings of the
/// BARs.
///
/// # Invariants
///
/// `owners` is the guard of the lock of `device`.
pub(crate) struct IoExclusive<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    owners: WriteGuard<'a, BarOwners<T::BarMaps>>,
}

impl<T: Operations> Io<T> for IoExclusive<'_, T> {
    fn device(&self) -> &OpenDevice<T> {
        self.device
    }

    fn owners(&self) -> &BarOwners<T::BarMaps> {
        &self.owners
    }
}

impl<'a, T: Operations> IoExclusive<'a, T> {
    /// Takes the lock. Fails with [`EINTR`] if a fatal signal arrives.
    pub(super) fn new(device: &'a OpenDevice<T>) -> Result<Self> {
        let owners = device.owners().write_killable()?;
        // INVARIANT: The lock is that of `device`.
        Ok(Self { device, owners })
    }

    /// Takes the lock if no thread holds it or waits for it, or returns `None`.
    pub(super) fn try_new(device: &'a OpenDevice<T>) -> Option<Self> {
        let owners = device.owners().try_write()?;
        // INVARIANT: The lock is that of `device`.
        Some(Self { device, owners })
    }

    /// Turns the lock for writing into a lock for reading. No other thread can change the mappings
    /// in between.
    pub(crate) fn downgrade(self) -> IoShared<'a, T> {
        // INVARIANT: By this type's invariant, the lock is that of the device.
        IoShared {
            device: self.device,
            owners: self.owners.downgrade(),
        }
    }

    /// Returns the driver's mappings of `bar` for modification, or `None` if the core owns it.
    pub(crate) fn driver_maps_mut(&mut self, bar: Bar<'_>) -> Option<&mut T::BarMaps> {
        match self.owners.0.get_mut(bar.index())? {
            BarOwner::Core => None,
            BarOwner::Driver(maps) => Some(maps),
        }
    }

    /// Makes the driver the owner of `bar`, with the mappings `maps`, and removes the core's
    /// mapping. The last close of the device drops `maps`, which must be mappings of this BAR only;
    /// see [`Bar::range`].
    ///
    /// Fails with [`EBUSY`] if the core has no mapping. Fails with [`EINVAL`] if the BAR is not
    /// memory, or if it is one of another device.
    pub(crate) fn give_to_driver(&mut self, bar: Bar<'_>, maps: T::BarMaps) -> Result {
        let bar = self.device.own(bar).ok_or(EINVAL)?;
        if !bar.is_memory() {
            return Err(EINVAL);
        }
        let Some(io) = bar.core_map() else {
            return Err(EBUSY);
        };
        let Some(owner) = self.owners.0.get_mut(bar.index()) else {
            return Err(EINVAL);
        };
        let core = self.device.core();
        // CAST: The C field contains an errno in the form of a pointer if there is no mapping.
        let none = NO_CORE_MAP as *mut c_void;
        // SAFETY: The BAR is one of the guard's own device, so this guard is its io lock, held for
        // writing. `none` is an errno.
        unsafe { bar.set_core_map(none) };
        // SAFETY: `io` is the core's mapping of a BAR of this device. Nothing uses it: the guard
        // excludes transfers, and the core has no ioeventfds, because `core_ioctl` refuses them.
        // An ioeventfd of the driver uses the core's mapping only if the BAR has I/O ports.
        unsafe { kernel::bindings::pci_iounmap(core.pdev(), io.as_ptr()) };
        *owner = BarOwner::Driver(maps);
        Ok(())
    }

    /// Makes the driver the owner of `bar`, with the mappings `maps`, although the core could not
    /// map it. Reserves the BAR, because the core has released it for this reason.
    ///
    /// The device must be being opened: the lock of the device set excludes
    /// `vfio_pci_core_enable()` and `vfio_pci_core_disable()`, which also reserve, map and release
    /// BARs, and no other operation runs yet. [`BarOwners::close`] lets the last close release the
    /// BAR.
    ///
    /// Fails with [`EBUSY`] if another driver has reserved the BAR meanwhile. Fails with [`EINVAL`]
    /// if the BAR is not memory, has a mapping or an owner, or is one of another device.
    pub(crate) fn reserve_for_driver(&mut self, bar: Bar<'_>, maps: T::BarMaps) -> Result {
        let bar = self.device.own(bar).ok_or(EINVAL)?;
        if !bar.is_memory() || self.can_give_to_driver(bar) {
            return Err(EINVAL);
        }
        let Some(owner) = self.owners.0.get_mut(bar.index()) else {
            return Err(EINVAL);
        };
        let core = self.device.core();
        // SAFETY: The PCI device is valid, and the name is static.
        to_result(unsafe {
            kernel::bindings::pci_request_selected_regions(
                core.pdev(),
                1 << bar.number(),
                c"vfio".as_char_ptr(),
            )
        })?;
        // CAST: As in `give_to_driver`.
        let none = NO_CORE_MAP as *mut c_void;
        // SAFETY: As in `give_to_driver`.
        unsafe { bar.set_core_map(none) };
        *owner = BarOwner::Driver(maps);
        bar.set_usable();
        Ok(())
    }

    /// Makes the core the owner of `bar` again, with a new mapping of the whole BAR, and returns
    /// the driver's mappings. Returns `None` if the core owns the BAR already.
    ///
    /// Fails with [`ENOMEM`] if the kernel cannot map the BAR; the driver is still the owner then.
    /// Fails with [`EINVAL`] if the BAR is one of another device.
    pub(crate) fn return_to_core(&mut self, bar: Bar<'_>) -> Result<Option<T::BarMaps>> {
        let bar = self.device.own(bar).ok_or(EINVAL)?;
        let Some(owner) = self.owners.0.get_mut(bar.index()) else {
            return Err(EINVAL);
        };
        if matches!(owner, BarOwner::Core) {
            return Ok(None);
        }
        let core = self.device.core();
        // SAFETY: The PCI device is valid, and this BAR is reserved for it.
        let io = unsafe { kernel::bindings::pci_iomap(core.pdev(), bar.number(), 0) };
        let io = NonNull::new(io).ok_or(ENOMEM)?;
        // SAFETY: The BAR is one of the guard's own device, so this guard is its io lock, held for
        // writing. `io` is a mapping of the whole BAR by pci_iomap(), like the core's own.
        unsafe { bar.set_core_map(io.as_ptr()) };
        match core::mem::replace(owner, BarOwner::Core) {
            BarOwner::Core => Ok(None),
            BarOwner::Driver(maps) => Ok(Some(maps)),
        }
    }

    /// Lets the core export a BAR as a dma-buf.
    ///
    /// The core checks that it has a mapping of the BAR, to find out whether the BAR is reserved,
    /// but does not use the mapping. A BAR that the driver owns is reserved too, so it gets a
    /// placeholder during the call.
    pub(super) fn core_dma_buf(
        &mut self,
        flags: u32,
        arg: *mut c_void,
        size: usize,
    ) -> Result<c_int> {
        let (device, core) = (self.device, self.device.core());
        let owned = |(index, owner): (usize, &BarOwner<T::BarMaps>)| match owner {
            BarOwner::Core => None,
            BarOwner::Driver(_) => device.bar(index),
        };
        let any = NonNull::<c_void>::dangling().as_ptr();
        for bar in self.owners.0.iter().enumerate().filter_map(owned) {
            // SAFETY: This guard is the io lock, held for writing. An errno follows below.
            unsafe { bar.set_core_map(any) };
        }
        // SAFETY: The device is open, and the function accesses the structure as user memory.
        let ret =
            unsafe { bindings::vfio_pci_core_ioctl_feature(core.as_vdev(), flags, arg, size) };
        for bar in self.owners.0.iter().enumerate().filter_map(owned) {
            // CAST: As in `give_to_driver`.
            let none = NO_CORE_MAP as *mut c_void;
            // SAFETY: This guard is the io lock, held for writing, and `none` is an errno.
            unsafe { bar.set_core_map(none) };
        }
        int_result(ret)
    }
}
