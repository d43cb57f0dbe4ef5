// SPDX-License-Identifier: GPL-2.0

//! A reader/writer semaphore that owns the data that it protects. Upstream home:
//! rust/kernel/sync/rwsem.rs.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ops::{
        Deref,
        DerefMut, //
    },
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

/// A sleeping lock that many readers or one writer can hold.
///
/// A waiting writer keeps new readers out, so a thread that holds it for reading must not take it
/// for reading again.
#[pin_data]
pub(crate) struct RwSemaphore<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    data: UnsafeCell<T>,
}

// SAFETY: The semaphore can be used from any thread, and the data goes wherever the lock does.
unsafe impl<T: Send> Send for RwSemaphore<T> {}

// SAFETY: Readers share the data between threads (`T: Sync`), and a writer has the use of it from a
// thread that may not be the one that made it (`T: Send`); the semaphore keeps the two apart.
unsafe impl<T: Send + Sync> Sync for RwSemaphore<T> {}

impl<T> RwSemaphore<T> {
    /// Makes an unlocked semaphore around `data`.
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            data: UnsafeCell::new(data),
            sem <- Opaque::ffi_init(|sem| {
                // SAFETY: `sem` is the memory of the field, `name` and `key` are static, and the
                // semaphore stays where it is because it is pinned.
                unsafe { bindings::__init_rwsem(sem, name.as_char_ptr(), key.as_ptr()) }
            }),
        })
    }

    /// Waits until it can be held for reading; a fatal signal ends the wait with [`EINTR`].
    pub(crate) fn read_killable(&self) -> Result<ReadGuard<'_, T>> {
        // SAFETY: `new` initialised the semaphore.
        let ret = unsafe { bindings::down_read_killable(self.sem.get()) };
        if ret != 0 {
            return Err(EINTR);
        }
        Ok(ReadGuard {
            lock: self,
            _thread: NotThreadSafe,
        })
    }

    /// Waits until it can be held for writing.
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: `new` initialised the semaphore.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard {
            lock: self,
            _thread: NotThreadSafe,
        }
    }

    /// Holds it for writing if that is possible at once.
    pub(crate) fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: `new` initialised the semaphore.
        let taken = unsafe { bindings::down_write_trylock(self.sem.get()) };
        if taken == 0 {
            return None;
        }
        Some(WriteGuard {
            lock: self,
            _thread: NotThreadSafe,
        })
    }

    /// Waits until it can be held for writing; a fatal signal ends the wait with [`EINTR`].
    pub(crate) fn write_killable(&self) -> Result<WriteGuard<'_, T>> {
        // SAFETY: `new` initialised the semaphore.
        to_result(unsafe { bindings::down_write_killable(self.sem.get()) })?;
        Ok(WriteGuard {
            lock: self,
            _thread: NotThreadSafe,
        })
    }
}

/// Holds a [`RwSemaphore`] for reading.
#[must_use = "the lock is released with the guard"]
pub(crate) struct ReadGuard<'a, T> {
    lock: &'a RwSemaphore<T>,
    // A semaphore is released by the thread that took it.
    _thread: NotThreadSafe,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the semaphore for reading, so nobody has a mutable reference.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard was made by taking the semaphore for reading on this thread.
        unsafe { bindings::up_read(self.lock.sem.get()) };
    }
}

/// Holds a [`RwSemaphore`] for writing.
#[must_use = "the lock is released with the guard"]
pub(crate) struct WriteGuard<'a, T> {
    lock: &'a RwSemaphore<T>,
    // A semaphore is released by the thread that took it.
    _thread: NotThreadSafe,
}

impl<'a, T> WriteGuard<'a, T> {
    /// Goes on holding it for reading; nobody else can hold it for writing in between.
    pub(crate) fn downgrade(self) -> ReadGuard<'a, T> {
        // Not dropped: it would release the semaphore.
        let lock = ManuallyDrop::new(self).lock;
        // SAFETY: The guard was made by taking the semaphore for writing on this thread.
        unsafe { bindings::downgrade_write(lock.sem.get()) };
        ReadGuard {
            lock,
            _thread: NotThreadSafe,
        }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the semaphore for writing, so nobody else has a reference.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The guard holds the semaphore for writing, so nobody else has a reference.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard was made by taking the semaphore for writing on this thread.
        unsafe { bindings::up_write(self.lock.sem.get()) };
    }
}
