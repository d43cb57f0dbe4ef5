// SPDX-License-Identifier: GPL-2.0-only

//! ioeventfds: writes of a fixed value to a BAR, one each time an eventfd is signalled.
//!
//! vfio-pci-core makes ioeventfds that keep an address in its mapping of the BAR and use it without
//! a lock, so that the mapping could not be removed. This module makes them in its place. Each
//! ioeventfd on a memory BAR has a kernel mapping of its own, with the type that the pages have
//! when it is made. The owner of the BAR can therefore change at any time; the type of these pages
//! must not change while the ioeventfd exists ([`super::Io::has_ioeventfd`]).
//!
//! The kernel calls an ioeventfd in the thread that signals the eventfd, with a spinlock held. If
//! the memory lock or the gate are not free at that moment, it calls the ioeventfd again from a
//! kernel thread, which waits. As with vfio-pci, a write is lost while memory decoding is off. A
//! write is also lost while the device recovers from a PCIe error: the kernel thread must not wait
//! for that, because VFIO waits for the thread when a user removes an ioeventfd, of this or of
//! another device.

use super::{
    Bar,
    Io,
    IoShared,
    MemoryShared,
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::{
        overlap,
        IoMap,
        MemType, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    marker::PhantomPinned,
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// The maximum number of ioeventfds of a device: that of vfio-pci-core (`VFIO_PCI_IOEVENTFD_MAX`).
const MAX: usize = 1000;

/// The number of bytes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// 1 byte.
    One,
    /// 2 bytes.
    Two,
    /// 4 bytes.
    Four,
    /// 8 bytes.
    Eight,
}

impl Width {
    /// Returns the width of `bytes` bytes, or `None` if there is none.
    pub(crate) fn of(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    /// Returns the number of bytes.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// A write to a BAR. A device has at most one ioeventfd for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BarWrite {
    /// The BAR's number.
    pub(crate) bar: usize,
    /// The offset of the first byte in the BAR.
    pub(crate) at: u64,
    /// The number of bytes.
    pub(crate) width: Width,
    /// The value. A write of less than 8 bytes has its low bytes.
    pub(crate) value: u64,
}

impl BarWrite {
    /// Returns the bytes of the BAR that the write changes.
    pub(crate) fn bytes(&self) -> Range<u64> {
        self.at..self.at.saturating_add(self.width.bytes())
    }
}

/// The ioeventfds of a device.
pub(super) struct Ioeventfds<T: Operations>(KVVec<Pin<KBox<Ioeventfd<T>>>>);

impl<T: Operations> Default for Ioeventfds<T> {
    fn default() -> Self {
        Self(KVVec::new())
    }
}

impl<T: Operations> Ioeventfds<T> {
    /// Drops all of them. This calls no function of C if there never was one.
    pub(super) fn clear(&mut self) {
        if self.0.capacity() != 0 {
            *self = Self::default();
        }
    }

    fn position(&self, write: BarWrite) -> Option<usize> {
        self.0.iter().position(|event| event.write == write)
    }

    /// Returns whether one of them writes to a byte of `bytes` of the BAR `bar`.
    pub(super) fn any(&self, bar: usize, bytes: Range<u64>) -> bool {
        self.0.iter().any(|event| {
            let write = &event.write;
            write.bar == bar && overlap(&write.bytes(), &bytes)
        })
    }
}

/// The place at which an ioeventfd writes.
enum Place {
    /// The first byte of a mapping that has this type.
    Memory(IoMap, MemType),
    /// I/O ports, in the form of the core's mapping of their BAR.
    Ports(NonNull<c_void>),
}

/// An ioeventfd. It writes each time its eventfd is signalled, until it is dropped.
///
/// # Invariants
///
/// - `device` is open and does not move.
/// - `place` has the bytes of `write`, in a BAR of that device.
struct Ioeventfd<T: Operations> {
    device: NonNull<OpenDevice<T>>,
    write: BarWrite,
    place: Place,
    /// VFIO's part, or null while the ioeventfd waits for no signal. `virqfd_lock` of VFIO protects
    /// it.
    virqfd: UnsafeCell<*mut bindings::virqfd>,
    /// VFIO keeps the address of the ioeventfd and of `virqfd`.
    _pin: PhantomPinned,
}

// SAFETY: All fields but the pointers can be used by any thread. The device and VFIO's part of the
// ioeventfd can as well, and the pointers do not belong to a thread.
unsafe impl<T: Operations> Send for Ioeventfd<T> {}

// SAFETY: Shared references give access to fields that do not change. Only VFIO uses `virqfd`.
unsafe impl<T: Operations> Sync for Ioeventfd<T> {}

impl<T: Operations> Ioeventfd<T> {
    /// Makes the write. The caller holds the memory lock and the gate is open. Memory decoding is
    /// on, unless the BAR has I/O ports.
    #[inline(always)]
    fn perform(&self) {
        let (io, mem) = match &self.place {
            Place::Memory(map, mem) => (map.as_ptr().as_ptr(), *mem),
            Place::Ports(io) => (io.as_ptr(), MemType::Noncached),
        };
        let (value, bytes) = (self.write.value, self.write.width.bytes());
        // SAFETY: `io` leads to the bytes of the write, by the type's invariants.
        unsafe { bindings::vfio_rs_iowrite(io, value, bytes) };
        if mem == MemType::WriteCombining {
            // The store must not wait in the CPU for others that it could be combined with.
            // SAFETY: The function may be called in any context.
            unsafe { bindings::vfio_rs_wmb() };
        }
    }

    fn device(&self) -> &OpenDevice<T> {
        // SAFETY: The device is open, by the type's invariant.
        unsafe { self.device.as_ref() }
    }

    /// Makes the write if memory decoding is on or the BAR has I/O ports. The lock is the device's,
    /// and the gate is open.
    #[inline(always)]
    fn perform_locked(&self, lock: &MemoryShared<'_, T>) {
        if lock.is_memory_enabled() || matches!(self.place, Place::Ports(_)) {
            self.perform();
        }
    }

    /// Makes the write unless it would have to wait. Returns whether it must be made by a thread
    /// that can.
    fn signalled(&self) -> bool {
        // Signals must not take the lock again and again while a reset begins.
        let gate = self.device().gate();
        if gate.is_closed() {
            return true;
        }
        match MemoryShared::try_new(self.device()) {
            Some(lock) if !gate.is_closed() => {
                self.perform_locked(&lock);
                false
            }
            _ => true,
        }
    }

    /// Waits until the write is possible, and makes it.
    fn perform_later(&self) {
        let gate = self.device().gate();
        while gate.pass_reset().is_ok() {
            let lock = MemoryShared::in_fault(self.device());
            if !gate.is_closed() {
                return self.perform_locked(&lock);
            }
        }
    }

    /// Called by VFIO when the eventfd is signalled. Returns whether VFIO must call
    /// [`Self::thread`].
    ///
    /// # Safety
    ///
    /// `event` must point to an ioeventfd.
    unsafe extern "C" fn handler(event: *mut c_void, _: *mut c_void) -> c_int {
        // SAFETY: The caller guarantees this.
        let event: &Self = unsafe { &*event.cast() };
        event.signalled().into()
    }

    /// Called by VFIO in a kernel thread, after [`Self::handler`] has asked for it.
    ///
    /// # Safety
    ///
    /// `event` must point to an ioeventfd.
    unsafe extern "C" fn thread(event: *mut c_void, _: *mut c_void) {
        // SAFETY: The caller guarantees this.
        let event: &Self = unsafe { &*event.cast() };
        event.perform_later();
    }
}

impl<T: Operations> Drop for Ioeventfd<T> {
    fn drop(&mut self) {
        // SAFETY: The field is null or has what `vfio_virqfd_enable()` has stored. The function
        // returns after the last call of the handler and of the thread, even if the eventfd has
        // been closed before, and the last use of the field.
        unsafe { bindings::vfio_virqfd_disable(self.virqfd.get()) };
    }
}

impl<T: Operations> IoShared<'_, T> {
    /// Makes an ioeventfd for `write` to the BAR `bar`, whose pages there have the type `mem`. It
    /// waits for the eventfd `fd`.
    ///
    /// The type must not change while the ioeventfd exists; see [`super::Io::has_ioeventfd`].
    ///
    /// Fails with [`EINVAL`] if the BAR is one of another device, if the write leaves the BAR, or
    /// if `fd` is not an eventfd. Fails with [`EEXIST`] if there is an ioeventfd for this write.
    /// Fails with [`ENOSPC`] if there are too many. Fails with [`EBUSY`] if another mapping gives a
    /// page another type. Fails with [`ENOMEM`] if the kernel has no memory. Fails with [`EBADF`]
    /// if `fd` is not open.
    pub(crate) fn add_ioeventfd(
        &self,
        bar: Bar<'_>,
        write: BarWrite,
        mem: MemType,
        fd: c_int,
    ) -> Result {
        let bar = self.device().own(bar).ok_or(EINVAL)?;
        let mut events = self.device().ioeventfds().lock();
        if events.position(write).is_some() {
            return Err(EEXIST);
        }
        if events.0.len() >= MAX {
            return Err(ENOSPC);
        }
        if write.bar != bar.index() || write.bytes().end > bar.size() {
            return Err(EINVAL);
        }
        let place = if bar.is_memory() {
            let map = IoMap::with_type(bar.range(write.bytes())?, mem)?;
            Place::Memory(map, mem)
        } else {
            let io = bar.core_map().ok_or(ENODEV)?;
            let io = io.as_ptr().wrapping_byte_add(usize::try_from(write.at)?);
            Place::Ports(NonNull::new(io).ok_or(EINVAL)?)
        };
        events.0.reserve(1, GFP_KERNEL_ACCOUNT)?;
        // INVARIANT: The device is open while it has ioeventfds, and VFIO never moves it. The BAR
        // is one of this device, and the mapping has the bytes of the write. The driver cannot
        // become the owner of a BAR of I/O ports, so the core's mapping of one exists until the
        // device is closed.
        let event = Ioeventfd {
            device: self.device().into(),
            write,
            place,
            virqfd: UnsafeCell::new(core::ptr::null_mut()),
            _pin: PhantomPinned,
        };
        let event = KBox::pin(event, GFP_KERNEL_ACCOUNT)?;
        let pointer = core::ptr::from_ref(&*event).cast_mut().cast();
        // SAFETY: `event` stays at its address until it is dropped, and the drop ends all calls of
        // the functions. They expect a pointer to an ioeventfd. The field is null.
        to_result(unsafe {
            bindings::vfio_virqfd_enable(
                pointer,
                Some(Ioeventfd::<T>::handler),
                Some(Ioeventfd::<T>::thread),
                core::ptr::null_mut(),
                event.virqfd.get(),
                fd,
            )
        })?;
        // This cannot fail, since there is room.
        Ok(events.0.push(event, GFP_KERNEL_ACCOUNT)?)
    }

    /// Removes the ioeventfd for `write`.
    ///
    /// Fails with [`ENODEV`] if there is none.
    pub(crate) fn remove_ioeventfd(&self, write: BarWrite) -> Result {
        let mut events = self.device().ioeventfds().lock();
        let position = events.position(write).ok_or(ENODEV)?;
        let event = events.0.remove(position).map_err(|_| ENODEV)?;
        // The drop waits for writes in progress.
        drop(event);
        Ok(())
    }
}
