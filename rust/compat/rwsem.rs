// SPDX-License-Identifier: GPL-2.0-only

//! A reader/writer semaphore that contains the data that it protects. Upstream home:
//! rust/kernel/sync/rwsem.rs.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    str::CStr,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// A sleeping lock that either several readers or one writer can hold.
///
/// A waiting writer blocks new readers. A thread that holds the lock for reading must therefore not
/// take it for reading again.
#[pin_data]
pub(crate) struct RwSemaphore<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    data: UnsafeCell<T>,
}

// SAFETY: Any thread can use the semaphore, and `T: Send` allows the data to move with it.
unsafe impl<T: Send> Send for RwSemaphore<T> {}

// SAFETY: Readers share the data between threads, which needs `T: Sync`. A writer changes the data
// on any thread, which needs `T: Send`. The semaphore excludes readers while there is a writer.
unsafe impl<T: Send + Sync> Sync for RwSemaphore<T> {}

impl<T> RwSemaphore<T> {
    /// Makes an unlocked semaphore that contains `data`.
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            data: UnsafeCell::new(data),
            sem <- Opaque::ffi_init(|sem| {
                // SAFETY: `sem` is the memory of the field. `name` and `key` are static. The
                // semaphore does not move, because it is pinned.
                unsafe { bindings::__init_rwsem(sem, name.as_char_ptr(), key.as_ptr()) }
            }),
        })
    }

    /// Takes the lock for reading.
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: `new` initialised the semaphore.
        unsafe { bindings::down_read(self.sem.get()) };
        // SAFETY: This thread has just taken the semaphore.
        unsafe { self.read_guard() }
    }

    /// Takes the lock for reading if no thread holds it for writing or waits for it, or returns
    /// `None`.
    pub(crate) fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        // SAFETY: `new` initialised the semaphore.
        let taken = unsafe { bindings::down_read_trylock(self.sem.get()) };
        if taken == 0 {
            return None;
        }
        // SAFETY: This thread has just taken the semaphore.
        Some(unsafe { self.read_guard() })
    }

    /// Takes the lock for reading.
    ///
    /// Fails with [`EINTR`] if a fatal signal arrives.
    pub(crate) fn read_killable(&self) -> Result<ReadGuard<'_, T>> {
        // SAFETY: `new` initialised the semaphore.
        let ret = unsafe { bindings::down_read_killable(self.sem.get()) };
        if ret != 0 {
            return Err(EINTR);
        }
        // SAFETY: This thread has just taken the semaphore.
        Ok(unsafe { self.read_guard() })
    }

    /// Takes the lock for writing.
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: `new` initialised the semaphore.
        unsafe { bindings::down_write(self.sem.get()) };
        // SAFETY: This thread has just taken the semaphore.
        unsafe { self.write_guard() }
    }

    /// Takes the lock for writing if no thread holds it or waits for it, or returns `None`.
    pub(crate) fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: `new` initialised the semaphore.
        let taken = unsafe { bindings::down_write_trylock(self.sem.get()) };
        if taken == 0 {
            return None;
        }
        // SAFETY: This thread has just taken the semaphore.
        Some(unsafe { self.write_guard() })
    }

    /// Takes the lock for writing.
    ///
    /// Fails with [`EINTR`] if a fatal signal arrives.
    pub(crate) fn write_killable(&self) -> Result<WriteGuard<'_, T>> {
        // SAFETY: `new` initialised the semaphore.
        to_result(unsafe { bindings::down_write_killable(self.sem.get()) })?;
        // SAFETY: This thread has just taken the semaphore.
        Ok(unsafe { self.write_guard() })
    }

    /// Makes the guard for a lock for reading that this thread has taken.
    ///
    /// # Safety
    ///
    /// The calling thread must hold the semaphore for reading, without a guard.
    unsafe fn read_guard(&self) -> ReadGuard<'_, T> {
        ReadGuard {
            lock: self,
            _thread: NotThreadSafe,
        }
    }

    /// Makes the guard for a lock for writing that this thread has taken.
    ///
    /// # Safety
    ///
    /// The calling thread must hold the semaphore for writing, without a guard.
    unsafe fn write_guard(&self) -> WriteGuard<'_, T> {
        WriteGuard {
            lock: self,
            _thread: NotThreadSafe,
        }
    }
}

/// Holds a [`RwSemaphore`] for reading.
#[must_use = "the lock is released with the guard"]
pub(crate) struct ReadGuard<'a, T> {
    lock: &'a RwSemaphore<T>,
    // The thread that took a semaphore must release it.
    _thread: NotThreadSafe,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the semaphore for reading, so no writer has a reference to the
        // data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard exists because this thread took the semaphore for reading.
        unsafe { bindings::up_read(self.lock.sem.get()) };
    }
}

/// Holds a [`RwSemaphore`] for writing.
#[must_use = "the lock is released with the guard"]
pub(crate) struct WriteGuard<'a, T> {
    lock: &'a RwSemaphore<T>,
    // The thread that took a semaphore must release it.
    _thread: NotThreadSafe,
}

impl<'a, T> WriteGuard<'a, T> {
    /// Turns the lock for writing into a lock for reading. No other writer can hold it in between.
    pub(crate) fn downgrade(self) -> ReadGuard<'a, T> {
        // The guard must not be dropped, since that would release the semaphore.
        let lock = ManuallyDrop::new(self).lock;
        // SAFETY: The guard exists because this thread took the semaphore for writing.
        unsafe { bindings::downgrade_write(lock.sem.get()) };
        // SAFETY: This thread now holds the semaphore for reading.
        unsafe { lock.read_guard() }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the semaphore for writing, so no other reference to the data
        // exists.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The guard holds the semaphore for writing, so no other reference to the data
        // exists.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard exists because this thread took the semaphore for writing.
        unsafe { bindings::up_write(self.lock.sem.get()) };
    }
}
