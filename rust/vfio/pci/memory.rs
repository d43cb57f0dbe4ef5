// SPDX-License-Identifier: GPL-2.0

//! vfio-pci-core's memory lock, and what a driver keeps under it.
//!
//! The core holds the lock for reading while it accesses a BAR or makes a page-table entry for one,
//! and for writing while the device cannot be accessed. So whoever has it for writing can remove
//! entries and change what new ones will be, and no other lock is needed on the way of a fault. What
//! the core does not do at resets that it does not start is in reset.rs.

use super::{
    CoreDevice,
    OpenDevice,
    Operations,
    BARS, //
};
use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::bindings::rw_semaphore;

/// Holds the memory lock for reading: memory decoding is not switched off and the device is not
/// reset meanwhile, and [`Operations::Locked`] does not change.
#[must_use = "the lock is released with the guard"]
pub(crate) struct MemoryShared<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    // A semaphore is released by the thread that took it; a raw pointer keeps the guard there.
    lock: *mut rw_semaphore,
}

impl<'a, T: Operations> MemoryShared<'a, T> {
    /// Waits until the lock can be held for reading.
    ///
    /// A waiting writer keeps new readers out, so a thread that holds it must not call this.
    pub(super) fn new(device: &'a OpenDevice<T>) -> Self {
        let lock = device.memory_lock();
        // SAFETY: `vfio_pci_core_init_dev()` initialised the semaphore.
        unsafe { kernel::bindings::down_read(lock) };
        Self { device, lock }
    }

    /// Returns the device.
    pub(super) fn device(&self) -> &OpenDevice<T> {
        self.device
    }
}

impl<T: Operations> Deref for MemoryShared<'_, T> {
    type Target = T::Locked;

    fn deref(&self) -> &T::Locked {
        // SAFETY: The guard holds the lock for reading, so nobody has a mutable reference.
        unsafe { &*self.device.locked() }
    }
}

impl<T: Operations> Drop for MemoryShared<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard was made by taking the semaphore for reading on this thread.
        unsafe { kernel::bindings::up_read(self.lock) };
    }
}

/// Holds the memory lock for writing: nobody accesses a BAR by read() or write(), or makes a
/// page-table entry for one, meanwhile.
#[must_use = "the lock is released with the guard"]
pub(crate) struct MemoryExclusive<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    // A semaphore is released by the thread that took it; a raw pointer keeps the guard there.
    lock: *mut rw_semaphore,
}

impl<'a, T: Operations> MemoryExclusive<'a, T> {
    /// Waits until the lock can be held for writing.
    pub(super) fn new(device: &'a OpenDevice<T>) -> Self {
        let lock = device.memory_lock();
        // SAFETY: `vfio_pci_core_init_dev()` initialised the semaphore.
        unsafe { kernel::bindings::down_write(lock) };
        Self { device, lock }
    }

    /// Removes all page-table entries of all mappings of the `len` bytes of the device file from
    /// `offset`; none comes back while the guard lives.
    pub(crate) fn zap(&self, offset: u64, len: u64) {
        zap(self.device.core(), offset, len);
    }
}

impl<T: Operations> Deref for MemoryExclusive<'_, T> {
    type Target = T::Locked;

    fn deref(&self) -> &T::Locked {
        // SAFETY: The guard holds the lock for writing, so nobody else has a reference.
        unsafe { &*self.device.locked() }
    }
}

impl<T: Operations> DerefMut for MemoryExclusive<'_, T> {
    fn deref_mut(&mut self) -> &mut T::Locked {
        // SAFETY: The guard holds the lock for writing, so nobody else has a reference.
        unsafe { &mut *self.device.locked() }
    }
}

impl<T: Operations> Drop for MemoryExclusive<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard was made by taking the semaphore for writing on this thread.
        unsafe { kernel::bindings::up_write(self.lock) };
    }
}

/// Holds the memory lock of a device, which need not be open, for writing.
#[must_use = "the lock is released with the guard"]
pub(super) struct MemoryLocked(
    // A semaphore is released by the thread that took it; a raw pointer keeps the guard there.
    *mut rw_semaphore,
);

impl MemoryLocked {
    /// Takes the lock if nobody has it.
    pub(super) fn try_new(core: &CoreDevice) -> Option<Self> {
        let lock = core.memory_lock();
        // SAFETY: `vfio_pci_core_init_dev()` initialised the semaphore.
        let taken = unsafe { kernel::bindings::down_write_trylock(lock) } != 0;
        // A guard that is made is dropped some time, so none is made for nothing.
        taken.then(|| Self(lock))
    }

    /// Goes on holding the lock without the guard.
    pub(super) fn keep(self) {
        let _ = ManuallyDrop::new(self);
    }

    /// Makes the guard again.
    ///
    /// # Safety
    ///
    /// The calling thread has called [`MemoryLocked::keep`] on a guard of the same device, and has
    /// made no guard of it since.
    pub(super) unsafe fn from_kept(core: &CoreDevice) -> Self {
        Self(core.memory_lock())
    }
}

impl Drop for MemoryLocked {
    fn drop(&mut self) {
        // SAFETY: The guard was made by taking the semaphore for writing on this thread.
        unsafe { kernel::bindings::up_write(self.0) };
    }
}

/// Returns whether a thread, possibly the calling one, holds the memory lock for writing.
pub(super) fn is_write_locked(core: &CoreDevice) -> bool {
    // SAFETY: `vfio_pci_core_init_dev()` initialised the semaphore; its state is a single word.
    unsafe { bindings::vfio_rs_is_write_locked(core.memory_lock()) }
}

/// Removes all page-table entries of all mappings of BARs and subregions.
pub(super) fn zap_bars(core: &CoreDevice) {
    // CAST: There are 6 BARs.
    zap(core, 0, (BARS as u64) << bindings::VFIO_PCI_OFFSET_SHIFT);
}

/// Removes all page-table entries of all mappings of the `len` bytes of the device file from `offset`.
fn zap(core: &CoreDevice, offset: u64, len: u64) {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return;
    };
    // SAFETY: VFIO gives a device its inode when it is allocated.
    let mapping = unsafe { bindings::vfio_rs_mapping(core.as_ptr()) };
    // SAFETY: `mapping` is valid, and unmapping file pages is possible at any time.
    unsafe { kernel::bindings::unmap_mapping_range(mapping, offset, len, 1) };
}
