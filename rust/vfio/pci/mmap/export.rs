// SPDX-License-Identifier: GPL-2.0-only

//! Mappings of exports.
//!
//! A VMA of an export has the same type, flags and file offsets as one that maps the same range of
//! the device file. Its file has the inode of the device as well, so the removal of entries finds
//! the VMA by its file offset. Two things differ. The VMA can outlive the device, so each of its
//! operations first asks the [`Export`] for the device. And a fault that finds the gate closed
//! must not sleep at the gate, which is part of the device; it asks again from time to time.

use super::{
    super::export::Export,
    file_offset,
    fork,
    refusal,
    Fault,
    NewMapping,
    Operations,
    Outcome,
    LARGEST_ORDER, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        vm_area_struct,
        vm_fault,
        vm_fault_t,
        vm_operations_struct, //
    },
    mm::virt::{
        flags,
        VmaRef, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Handles mmap() on the file of `export`.
///
/// Fails with [`EINVAL`] if the range leaves the export, or if the mapping is private. Fails with
/// [`ENODEV`] if the export has ended.
///
/// # Safety
///
/// mmap() must be setting up `vma` for a file that keeps `export` alive. The calling thread must
/// hold the mmap lock for writing, and no other code may find the VMA.
pub(in super::super) unsafe fn map_export<T: Operations>(
    export: &Export<T>,
    vma: NonNull<vm_area_struct>,
) -> Result {
    let device = export.device().ok_or(ENODEV)?;
    let range = device
        .data()
        .exported(&device, export.target())
        .ok_or(ENODEV)?;
    // A shared mapping of a file that is not writable has only this one of the two flags.
    // SAFETY: The caller guarantees the type's invariant.
    let mapping = unsafe { NewMapping::from_raw(&device, vma, flags::MAYSHARE) };
    let start = range.start.checked_add(mapping.file_offset());
    let end = start.and_then(|start| start.checked_add(mapping.len()));
    let (Some(start), Some(end)) = (start, end) else {
        return Err(EINVAL);
    };
    if end > range.end || mapping.vma().flags() & flags::MAYSHARE == 0 {
        return Err(EINVAL);
    }
    // CAST: `usize` has 64 bits on all supported platforms.
    let pages = (start >> PAGE_SHIFT) as usize;
    // SAFETY: No other code can find the VMA, as the caller guarantees, so this thread may write
    // the field.
    unsafe { (*vma.as_ptr()).vm_pgoff = pages };
    // The range was valid, so the export has ended if this fails.
    let mapped = device.data().mmap(&device, mapping);
    mapped.map_err(|_| ENODEV)?;
    // The VMA is counted now, so nothing else gets this range. If the export has ended before, the
    // range may be that of another export, and the VMA must not exist. The memory manager calls no
    // operation of a VMA whose mmap() fails.
    if device.data().exported(&device, export.target()) != Some(range) {
        device.data().unmapped(&device, start);
        return Err(ENODEV);
    }
    let data = core::ptr::from_ref(export).cast_mut().cast();
    // SAFETY: As above.
    unsafe { (*vma.as_ptr()).vm_private_data = data };
    // SAFETY: As above.
    unsafe { (*vma.as_ptr()).vm_ops = &ExportOps::<T>::TABLE };
    Ok(())
}

/// The operations of VMAs that map exports.
struct ExportOps<T: Operations>(PhantomData<T>);

impl<T: Operations> ExportOps<T> {
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

    /// Returns the export that `vma`, which has these operations, maps.
    fn export<'a>(vma: &'a VmaRef) -> &'a Export<T> {
        // SAFETY: `map_export` set this field before it set these operations, and nothing changes
        // it.
        let export = unsafe { (*vma.as_ptr()).vm_private_data };
        // SAFETY: The field points to an `Export<T>`, which the file of the VMA keeps alive.
        unsafe { &*export.cast() }
    }

    /// # Safety
    ///
    /// Only the memory manager may call this, for a fault in a VMA that has these operations.
    unsafe extern "C" fn fault(vmf: *mut vm_fault) -> vm_fault_t {
        // SAFETY: The caller guarantees the conditions of `huge_fault`, which are the same.
        unsafe { Self::huge_fault(vmf, 0) }
    }

    /// # Safety
    ///
    /// Only the memory manager may call this, for a fault in a VMA that has these operations.
    unsafe extern "C" fn huge_fault(vmf: *mut vm_fault, order: c_uint) -> vm_fault_t {
        let Some(vmf) = NonNull::new(vmf).filter(|_| order <= LARGEST_ORDER) else {
            return refusal(order);
        };
        // SAFETY: The memory manager passes a valid `vmf`, as the caller guarantees.
        let vma = unsafe { (*vmf.as_ptr()).__bindgen_anon_1.vma };
        // SAFETY: The memory manager keeps the VMA locked during the fault.
        let export = Self::export(unsafe { VmaRef::from_raw(vma) });
        loop {
            let Some(device) = export.device() else {
                return refusal(order);
            };
            // SAFETY: The caller guarantees the fault in progress and the lock. `map_export` let
            // `CountedMapping::map` set up the VMA for the device that `export.device()` returns.
            // The order was checked.
            let fault = unsafe { Fault::from_raw(&device, vmf, order) };
            if let Outcome::Done(answer) = device.data().fault(&device, &fault).0 {
                return answer;
            }
            if device.gate().is_open().is_err() {
                return refusal(order);
            }
            drop(device);
            fsleep(Delta::from_millis(1));
        }
    }

    /// # Safety
    ///
    /// Only the memory manager may call this, with a locked VMA that has these operations.
    unsafe extern "C" fn open(vma: *mut vm_area_struct) {
        // SAFETY: The memory manager passes a locked VMA, as the caller guarantees.
        let vma = unsafe { VmaRef::from_raw(vma) };
        // TODO(export): a mapping of an export needs no count.
        if let Some(device) = Self::export(vma).device() {
            // The VMA that is copied or split maps this offset, so the operation cannot fail.
            let _ = device.data().mapped(&device, file_offset(vma));
        }
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
        if let Some(device) = Self::export(vma).device() {
            device.data().unmapped(&device, file_offset(vma));
        }
    }
}
