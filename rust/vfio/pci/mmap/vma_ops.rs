// SPDX-License-Identifier: GPL-2.0-only

//! The operations of VMAs.
//!
//! A file of the device keeps the device open, but a mapping of an export can outlive it. The
//! operations of a VMA therefore get the device from a [`Source`], which the file of the VMA keeps
//! alive.

use super::{
    super::reset::now,
    file_offset,
    fork,
    patience,
    refusal,
    Fault,
    GuestTypes,
    OpenDevice,
    Operations,
    LARGEST_ORDER, //
};
use crate::{
    bindings,
    compat::MemType, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        vm_area_struct,
        vm_fault,
        vm_fault_t,
        vm_operations_struct, //
    },
    mm::virt::VmaRef,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// The origin of the device that a VMA maps: the open device itself, or an export.
pub(super) trait Source<T: Operations> {
    /// A reference to the device, which remains open while the reference exists.
    type Device<'a>: Deref<Target = OpenDevice<T>>
    where
        Self: 'a;

    /// Returns the device, or `None` if it has been closed.
    fn device(&self) -> Option<Self::Device<'_>>;

    /// Returns the range to which the VMA leads, or `None` if it leads to the whole device.
    fn exported(&self) -> Option<T::Exported>;

    /// Called when the VMA that maps the device file at `offset` has been copied or split.
    fn copied(&self, _offset: u64) {}

    /// Called when a VMA stops mapping the device file at `offset`.
    fn unmapped(&self, _offset: u64) {}
}

impl<T: Operations> Source<T> for OpenDevice<T> {
    type Device<'a> = &'a OpenDevice<T>;

    #[inline]
    fn device(&self) -> Option<&OpenDevice<T>> {
        Some(self)
    }

    #[inline]
    fn exported(&self) -> Option<T::Exported> {
        None
    }

    fn copied(&self, offset: u64) {
        self.data().copied(self, offset);
    }

    fn unmapped(&self, offset: u64) {
        self.data().unmapped(self, offset);
    }
}

/// Completes a VMA: it maps device memory with the type `mem`, and [`Operations::fault`] makes its
/// page-table entries.
///
/// # Safety
///
/// mmap() must be setting up `vma` as a shared mapping of a file that keeps `source` alive. The
/// calling thread must hold the mmap lock for writing, and no other code may find the VMA.
pub(super) unsafe fn complete<T: Operations, S: Source<T>>(
    vma: NonNull<vm_area_struct>,
    source: &S,
    mem: MemType,
    guest: GuestTypes,
) {
    let vma = vma.as_ptr();
    // SAFETY: No other code can find the VMA, as the caller guarantees, so this thread may read the
    // field.
    let prot = unsafe { (*vma).vm_page_prot };
    // SAFETY: No other code can find the VMA, as the caller guarantees, so this thread may write
    // the field.
    unsafe { (*vma).vm_page_prot = mem.apply(prot) };
    let any = matches!(guest, GuestTypes::AnyUncached);
    // SAFETY: mmap() is setting up the VMA, as the caller guarantees, so its flags may change.
    unsafe { bindings::vfio_rs_vma_set_flags(vma, any) };
    let source = core::ptr::from_ref(source).cast_mut().cast();
    // SAFETY: No other code can find the VMA, as the caller guarantees, so this thread may write
    // the field.
    unsafe { (*vma).vm_private_data = source };
    // SAFETY: As above.
    unsafe { (*vma).vm_ops = &VmaOps::<T, S>::TABLE };
}

/// The operations of VMAs that get the device from an `S`.
struct VmaOps<T: Operations, S: Source<T>>(PhantomData<(T, S)>);

impl<T: Operations, S: Source<T>> VmaOps<T, S> {
    const TABLE: vm_operations_struct = vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        huge_fault: if cfg!(CONFIG_ARCH_SUPPORTS_HUGE_PFNMAP) {
            Some(Self::huge_fault)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// Returns the source of `vma`, which has these operations.
    fn source(vma: &VmaRef) -> &S {
        // SAFETY: `complete` set this field before it set these operations, and nothing changes it.
        let source = unsafe { (*vma.as_ptr()).vm_private_data };
        // SAFETY: The field points to an `S`, which the file of the VMA keeps alive.
        unsafe { &*source.cast() }
    }

    /// # Safety
    ///
    /// Only the memory manager may call this, for a fault in a VMA that has these operations.
    unsafe extern "C" fn fault(vmf: *mut vm_fault) -> vm_fault_t {
        // SAFETY: The caller guarantees the conditions of `handle`, which are the same.
        unsafe { Self::handle(vmf, 0) }
    }

    /// # Safety
    ///
    /// Only the memory manager may call this, for a fault in a VMA that has these operations.
    unsafe extern "C" fn huge_fault(vmf: *mut vm_fault, order: c_uint) -> vm_fault_t {
        // The kernel makes entries read-only to see the first write (/proc/PID/clear_refs). The
        // core leaves a huge entry as it is, so that a write would fault for ever. After this
        // refusal the memory manager removes the entry and asks for a small one, which it makes
        // writable itself.
        #[cfg(CONFIG_X86)]
        // SAFETY: The caller guarantees the fault in progress.
        if unsafe { needs_small_entry(vmf, order) } {
            return refusal(order);
        }
        // SAFETY: The caller guarantees the conditions of `handle`, which are the same.
        unsafe { Self::handle(vmf, order) }
    }

    /// Handles a fault. The common path of a fault is inlined here, because calls between the
    /// modules of the driver would take a quarter of the driver's time.
    ///
    /// # Safety
    ///
    /// Only the memory manager may call this, for a fault in a VMA that has these operations.
    #[inline(never)]
    unsafe fn handle(vmf: *mut vm_fault, order: c_uint) -> vm_fault_t {
        // Two conditions of a filter would take three instructions more.
        if order > LARGEST_ORDER {
            return refusal(order);
        }
        let Some(vmf) = NonNull::new(vmf) else {
            return refusal(order);
        };
        // SAFETY: The memory manager passes a valid `vmf`, as the caller guarantees.
        let vma = unsafe { (*vmf.as_ptr()).__bindgen_anon_1.vma };
        // SAFETY: The memory manager keeps the VMA locked during the fault.
        let source = Self::source(unsafe { VmaRef::from_raw(vma) });
        // SAFETY: The caller guarantees the fault in progress, and `source` is that of its VMA.
        match unsafe { Self::attempt(source, vmf, order) } {
            Ok(answer) => answer,
            Err(device) => {
                // SAFETY: As above.
                let answer = unsafe { Self::handle_later(source, device, vmf, order) };
                answer.unwrap_or_else(|| {
                    // SAFETY: The fault in progress may release the mmap lock, and this thread does
                    // not use the VMA or `source` any more.
                    unsafe { sleep_without_mmap_lock(vmf) };
                    kernel::bindings::vm_fault_reason_VM_FAULT_RETRY
                })
            }
        }
    }

    /// Handles a fault a moment later, without a reference to `device` in between, so that the
    /// device can be closed. [`patience`] says why the fault does not wait for long. While the gate
    /// is closed, an access by the kernel waits without the mmap lock, if its caller permits that:
    /// the function returns `None`, and the thread, which holds the mmap lock for reading, may
    /// release it. It must not do so here, since the source may end then.
    ///
    /// # Safety
    ///
    /// As for [`Self::attempt`].
    #[cold]
    #[inline(never)]
    unsafe fn handle_later<'a>(
        source: &'a S,
        mut device: S::Device<'a>,
        vmf: NonNull<vm_fault>,
        order: c_uint,
    ) -> Option<vm_fault_t> {
        // SAFETY: The caller guarantees that `vmf` is valid.
        let flags = unsafe { (*vmf.as_ptr()).flags };
        let patience = patience(flags);
        let mut found_open = now();
        loop {
            let (is_open, waited) = match device.gate().is_open() {
                Ok(true) => (true, now().saturating_sub(found_open)),
                Ok(false) => {
                    found_open = now();
                    (false, device.gate().closed_for())
                }
                Err(_) => return Some(refusal(order)),
            };
            drop(device);
            if patience.is_some_and(|most| waited > most) {
                return Some(kernel::bindings::vm_fault_reason_VM_FAULT_SIGBUS);
            }
            if is_open {
                fsleep(Delta::from_micros(100));
            } else if patience.is_some() && may_release_mmap_lock(flags) {
                return None;
            } else {
                fsleep(Delta::from_millis(1));
            }
            if patience.is_none() {
                return Some(kernel::bindings::vm_fault_reason_VM_FAULT_NOPAGE);
            }
            // SAFETY: The caller guarantees the conditions.
            device = match unsafe { Self::attempt(source, vmf, order) } {
                Ok(answer) => return Some(answer),
                Err(device) => device,
            };
        }
    }

    /// Handles a fault, or returns the device if the fault is to be handled later.
    ///
    /// # Safety
    ///
    /// The calling thread must handle the fault `vmf`, for an entry of `1 << order` pages, in a VMA
    /// that has these operations and this source. `order` must be at most [`LARGEST_ORDER`].
    #[inline(always)]
    unsafe fn attempt(
        source: &S,
        vmf: NonNull<vm_fault>,
        order: c_uint,
    ) -> Result<vm_fault_t, S::Device<'_>> {
        let Some(device) = source.device() else {
            return Ok(refusal(order));
        };
        // Before the fault takes the memory lock, which a reset tries to take.
        if device.gate().is_closed() {
            return Err(device);
        }
        // SAFETY: The caller guarantees the fault in progress, its lock and the order. `complete`
        // has set up the VMA for the device that the source returns.
        let fault = unsafe { Fault::from_raw(&device, source.exported(), vmf, order) };
        let Some(fault) = fault else {
            return Ok(refusal(order));
        };
        match device.data().fault(&device, &fault).answer() {
            Some(answer) => Ok(answer),
            None => Err(device),
        }
    }

    /// # Safety
    ///
    /// Only the memory manager may call this, with a locked VMA that has these operations.
    unsafe extern "C" fn open(vma: *mut vm_area_struct) {
        // SAFETY: The memory manager passes a locked VMA, as the caller guarantees.
        let vma = unsafe { VmaRef::from_raw(vma) };
        Self::source(vma).copied(file_offset(vma));
        if cfg!(CONFIG_ARCH_SUPPORTS_HUGE_PFNMAP) {
            fork::remove_huge_entries(vma);
        }
    }

    /// # Safety
    ///
    /// Only the memory manager may call this, with a locked VMA that has these operations.
    unsafe extern "C" fn close(vma: *mut vm_area_struct) {
        // SAFETY: The memory manager passes a locked VMA, as the caller guarantees.
        let vma = unsafe { VmaRef::from_raw(vma) };
        Self::source(vma).unmapped(file_offset(vma));
    }
}

/// Returns whether the fault `vmf` for a huge entry is a write, and an entry exists or would not
/// permit it. Only x86 has soft-dirty bits, of the supported architectures.
///
/// Another thread may have made or removed the entry by now.
///
/// # Safety
///
/// The calling thread must handle the fault `vmf`, for an entry of `1 << order` pages.
#[cfg(CONFIG_X86)]
#[inline(always)]
unsafe fn needs_small_entry(vmf: *mut vm_fault, order: c_uint) -> bool {
    const WRITABLE: u64 = 1 << kernel::bindings::_PAGE_BIT_RW;

    // SAFETY: The caller guarantees that `vmf` is valid.
    let flags = unsafe { (*vmf).flags };
    if flags & kernel::bindings::fault_flag_FAULT_FLAG_WRITE == 0 {
        return false;
    }
    // SAFETY: As above.
    let vma = unsafe { (*vmf).__bindgen_anon_1.vma };
    // SAFETY: The fault keeps the VMA alive.
    let prot: *const u64 = unsafe { &raw const (*vma).vm_page_prot }.cast();
    // SAFETY: As above. Other threads may change the field meanwhile, as a single word.
    let prot = unsafe { prot.read_volatile() };
    let entry: *const u64 = if order == bindings::PMD_ORDER {
        // SAFETY: As for `vmf`.
        unsafe { (*vmf).pmd }.cast()
    } else {
        // SAFETY: As for `vmf`.
        unsafe { (*vmf).pud }.cast()
    };
    // SAFETY: The memory manager has looked up the place of the entry. Other threads may change it
    // meanwhile, as a single word.
    let entry = unsafe { entry.read_volatile() };
    prot & WRITABLE == 0 || entry != 0
}

/// Returns whether a fault with these `flags` holds the mmap lock and may release it, to be handled
/// again from the beginning.
fn may_release_mmap_lock(flags: c_uint) -> bool {
    const MUST_NOT: c_uint = kernel::bindings::fault_flag_FAULT_FLAG_RETRY_NOWAIT
        | kernel::bindings::fault_flag_FAULT_FLAG_VMA_LOCK;

    flags & kernel::bindings::fault_flag_FAULT_FLAG_ALLOW_RETRY != 0 && flags & MUST_NOT == 0
}

/// Releases the mmap lock before a fault returns `VM_FAULT_RETRY`, and sleeps for a moment.
///
/// Without the lock, the VMA can end, and the file of the VMA is all that keeps this module loaded.
/// This function holds a reference to the file. A thread of a user that drops the last one closes
/// the file on its way back to user mode, when it has left the module.
///
/// # Safety
///
/// `vmf` and its VMA must be valid. The calling thread must hold the mmap lock for reading, and
/// must not use the VMA afterwards.
unsafe fn sleep_without_mmap_lock(vmf: NonNull<vm_fault>) {
    // SAFETY: The caller guarantees that `vmf` is valid.
    let vma = unsafe { (*vmf.as_ptr()).__bindgen_anon_1.vma };
    // SAFETY: The caller guarantees that the VMA is valid and locked.
    let mm = unsafe { VmaRef::from_raw(vma) }.mm().as_raw();
    // SAFETY: As above. The VMA has had its file since mmap().
    let file = unsafe { (*vma).vm_file };
    // SAFETY: The VMA has a reference to the file.
    let file = unsafe { kernel::bindings::get_file(file) };
    // SAFETY: The caller guarantees that this thread holds the lock.
    unsafe { kernel::bindings::mmap_read_unlock(mm) };
    fsleep(Delta::from_millis(1));
    // SAFETY: The reference is the one that was taken above.
    unsafe { kernel::bindings::fput(file) };
}
