// SPDX-License-Identifier: GPL-2.0-only

//! vfio-pci-core's memory lock, and the driver's data that it protects.
//!
//! The core holds the lock for reading while it accesses a BAR or makes a page-table entry for one,
//! and for writing while the device must not be accessed. A thread that holds it for writing can
//! therefore remove entries and change the data from which new ones are made. A fault reads them
//! under no other lock. The core does not hold the lock during resets that VFIO does not start;
//! reset.rs covers these.

use super::{
    CoreDevice,
    OpenDevice,
    Operations,
    BARS, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    bindings::rw_semaphore,
    ffi::c_uint, //
};

/// The memory lock, held for reading. VFIO does not turn memory decoding off or reset the device,
/// and [`Operations::Locked`] does not change.
#[must_use = "the lock is released with the guard"]
pub(crate) struct MemoryShared<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    _lock: MemoryHeld,
}

impl<'a, T: Operations> MemoryShared<'a, T> {
    /// Takes the lock for reading, but gives way to a reset that begins.
    ///
    /// A waiting writer blocks new readers. A thread that holds the lock must therefore not call
    /// this.
    pub(super) fn new(device: &'a OpenDevice<T>) -> Self {
        device.gate().give_way();
        Self::in_fault(device)
    }

    /// Takes the lock for reading, for a caller that has found the gate open. Such a caller cannot
    /// hinder a reset twice.
    #[inline]
    pub(super) fn in_fault(device: &'a OpenDevice<T>) -> Self {
        Self {
            device,
            _lock: MemoryHeld::new(device),
        }
    }

    /// Returns the device.
    pub(super) fn device(&self) -> &OpenDevice<T> {
        self.device
    }

    /// Takes the lock for reading if no thread holds it for writing or waits for that, or returns
    /// `None`. This does not sleep.
    #[inline]
    pub(super) fn try_new(device: &'a OpenDevice<T>) -> Option<Self> {
        let lock = MemoryHeld::try_new(device)?;
        Some(Self {
            device,
            _lock: lock,
        })
    }

    /// Returns whether memory decoding is on and the device is in full power. It remains so while
    /// the guard exists.
    #[inline]
    pub(super) fn is_memory_enabled(&self) -> bool {
        // SAFETY: The core device is valid, and this guard holds its memory lock.
        unsafe { bindings::__vfio_pci_memory_enabled(self.device.core().as_ptr()) }
    }
}

impl<T: Operations> Deref for MemoryShared<'_, T> {
    type Target = T::Locked;

    fn deref(&self) -> &T::Locked {
        // SAFETY: The guard holds the lock for reading, so no mutable reference to the data exists:
        // nobody has borrowed the data, since no reset keeps the lock.
        unsafe { &*self.device.locked() }
    }
}

/// The memory lock, held for writing. No other thread accesses a BAR by read() or write(), or makes
/// a page-table entry for one.
///
/// A reset can have stopped a disk, so the thread allocates memory without I/O while it holds the
/// lock. Otherwise it could wait for the disk, and others for the lock.
#[must_use = "the lock is released with the guard"]
pub(crate) struct MemoryExclusive<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    _lock: MemoryLocked,
    _no_io: NoIo,
}

impl<'a, T: Operations> MemoryExclusive<'a, T> {
    /// Takes the lock for writing, but gives way to a reset that begins.
    pub(super) fn new(device: &'a OpenDevice<T>) -> Self {
        device.gate().give_way();
        Self {
            device,
            _lock: MemoryLocked::new(device),
            _no_io: NoIo::new(),
        }
    }

    /// Takes the lock for writing if no thread holds it or waits for it, or returns `None`.
    pub(super) fn if_free(device: &'a OpenDevice<T>) -> Option<Self> {
        let lock = MemoryLocked::if_free(device)?;
        Some(Self {
            device,
            _lock: lock,
            _no_io: NoIo::new(),
        })
    }

    /// Removes the page-table entries of all mappings of the `len` bytes at `offset` of the device
    /// file. No new entry appears while the guard exists.
    pub(crate) fn zap(&self, offset: u64, len: u64) {
        zap(self.device.core(), offset, len);
    }
}

impl<T: Operations> Deref for MemoryExclusive<'_, T> {
    type Target = T::Locked;

    fn deref(&self) -> &T::Locked {
        // SAFETY: The guard holds the lock for writing, so no other reference to the data exists:
        // nobody has borrowed the data, since no reset keeps the lock.
        unsafe { &*self.device.locked() }
    }
}

impl<T: Operations> DerefMut for MemoryExclusive<'_, T> {
    fn deref_mut(&mut self) -> &mut T::Locked {
        // SAFETY: The guard holds the lock for writing, so no other reference to the data exists:
        // nobody has borrowed the data, since no reset keeps the lock.
        unsafe { &mut *self.device.locked() }
    }
}

/// While this exists, the calling thread allocates memory without I/O, whatever flags it passes.
struct NoIo {
    /// The flags of the task that this set and the end clears.
    flags: c_uint,
    /// Prevents moves to another thread, whose flags these are not.
    _not_send: PhantomData<*mut ()>,
}

impl NoIo {
    fn new() -> Self {
        Self {
            // SAFETY: The function may be called in any context.
            flags: unsafe { bindings::vfio_rs_noio_save() },
            _not_send: PhantomData,
        }
    }
}

impl Drop for NoIo {
    fn drop(&mut self) {
        // SAFETY: This thread got the flags from `vfio_rs_noio_save()`, and restores them once.
        unsafe { bindings::vfio_rs_noio_restore(self.flags) };
    }
}

/// The memory lock of a device, held for reading.
#[must_use = "the lock is released with the guard"]
pub(super) struct MemoryHeld(
    // The thread that took a semaphore must release it. The raw pointer prevents moves to another
    // thread.
    *mut rw_semaphore,
);

impl MemoryHeld {
    /// Takes the lock for reading.
    #[inline]
    pub(super) fn new<T: Operations>(device: &OpenDevice<T>) -> Self {
        let lock = device.memory_lock();
        // SAFETY: `vfio_pci_core_init_dev()` has initialised the semaphore.
        unsafe { kernel::bindings::down_read(lock) };
        Self(lock)
    }

    /// Takes the lock for reading if no thread holds it for writing or waits for that.
    #[inline]
    pub(super) fn try_new<T: Operations>(device: &OpenDevice<T>) -> Option<Self> {
        let lock = device.memory_lock();
        // SAFETY: `vfio_pci_core_init_dev()` has initialised the semaphore.
        let taken = unsafe { kernel::bindings::down_read_trylock(lock) } != 0;
        // `then_some()` would make a guard and drop it even without the lock.
        taken.then(|| Self(lock))
    }
}

impl Drop for MemoryHeld {
    fn drop(&mut self) {
        // SAFETY: The guard exists because this thread took the semaphore for reading.
        unsafe { kernel::bindings::up_read(self.0) };
    }
}

/// The memory lock of a device, held for writing. The device need not be open.
#[must_use = "the lock is released with the guard"]
pub(super) struct MemoryLocked(
    // The thread that took a semaphore must release it. The raw pointer prevents moves to another
    // thread.
    *mut rw_semaphore,
);

impl MemoryLocked {
    /// Takes the lock for writing.
    pub(super) fn new<T: Operations>(device: &OpenDevice<T>) -> Self {
        let lock = device.memory_lock();
        // SAFETY: `vfio_pci_core_init_dev()` has initialised the semaphore.
        unsafe { kernel::bindings::down_write(lock) };
        Self(lock)
    }

    /// Takes the lock for writing if no thread holds it or waits for it, or returns `None`.
    #[inline]
    pub(super) fn if_free<T: Operations>(device: &OpenDevice<T>) -> Option<Self> {
        Self::try_lock(device.memory_lock())
    }

    /// Does the same for a device that need not be open.
    pub(super) fn try_new(core: &CoreDevice) -> Option<Self> {
        Self::try_lock(core.memory_lock())
    }

    #[inline]
    fn try_lock(lock: *mut rw_semaphore) -> Option<Self> {
        // SAFETY: `vfio_pci_core_init_dev()` has initialised the semaphore.
        let taken = unsafe { kernel::bindings::down_write_trylock(lock) } != 0;
        // `then_some()` would make a guard and drop it even without the lock.
        taken.then(|| Self(lock))
    }

    /// Drops the guard but keeps the lock. Lockdep does not know of it meanwhile. It would report a
    /// cycle of the memory lock, the locks of other drivers in the same reset, the mmap lock and
    /// the memory lock. But a thread with the mmap lock does not wait for a memory lock that a
    /// reset keeps (reset/lend.rs).
    pub(super) fn keep(self) {
        let kept = ManuallyDrop::new(self);
        // SAFETY: This thread holds the semaphore, and releases it only after `from_kept`.
        unsafe { bindings::vfio_rs_lockdep_keep(kept.0) };
    }

    /// Makes a guard for a lock that [`MemoryLocked::keep`] has kept.
    ///
    /// # Safety
    ///
    /// The calling thread must have called [`MemoryLocked::keep`] on a guard of the same device,
    /// and must not have called this function since.
    pub(super) unsafe fn from_kept(core: &CoreDevice) -> Self {
        let lock = core.memory_lock();
        // SAFETY: This thread holds the semaphore, and `keep` has hidden it, as the caller
        // guarantees.
        unsafe { bindings::vfio_rs_lockdep_return(lock) };
        Self(lock)
    }
}

impl Drop for MemoryLocked {
    fn drop(&mut self) {
        // SAFETY: The guard exists because this thread took the semaphore for writing.
        unsafe { kernel::bindings::up_write(self.0) };
    }
}

/// Returns whether any thread holds the memory lock for writing, including the calling one.
pub(super) fn is_write_locked(core: &CoreDevice) -> bool {
    // SAFETY: `vfio_pci_core_init_dev()` has initialised the semaphore, and its state is a single
    // word.
    unsafe { bindings::vfio_rs_is_write_locked(core.memory_lock()) }
}

/// The end of the offsets in the device file whose entries [`zap_bars`] and the core's
/// `vfio_pci_zap_bars()` remove. No mapping goes beyond it.
// CAST: A device has 6 BARs.
pub(super) const BARS_END: u64 = (BARS as u64) << bindings::VFIO_PCI_OFFSET_SHIFT;

/// Removes the page-table entries of all mappings of BARs and subregions.
pub(super) fn zap_bars(core: &CoreDevice) {
    zap(core, 0, BARS_END);
}

/// Removes the page-table entries of all mappings of the `len` bytes at `offset` of the device
/// file.
fn zap(core: &CoreDevice, offset: u64, len: u64) {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return;
    };
    // SAFETY: VFIO sets the device's inode when it allocates the device.
    let mapping = unsafe { bindings::vfio_rs_mapping(core.as_ptr()) };
    // SAFETY: `mapping` is valid, and `unmap_mapping_range()` may be called at any time.
    unsafe { kernel::bindings::unmap_mapping_range(mapping, offset, len, 1) };
}
