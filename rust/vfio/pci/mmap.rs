// SPDX-License-Identifier: GPL-2.0

//! Mappings of BARs into userspace.

use super::Bar;
use crate::{
    bindings,
    vfio::{
        device::{
            Device,
            Operations, //
        },
        GuestTypes,
        MemType,
        OpenDevice, //
    }, //
};
use core::{
    ffi::c_void,
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
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// A mapping that userspace asks for by mmap() and that is yet to be filled in.
///
/// # Invariants
///
/// `vma` is being set up by mmap() on this device's file: the mmap lock is held for writing, and
/// nobody else knows of it.
pub(crate) struct NewMapping<'a> {
    vma: NonNull<vm_area_struct>,
    _vma: PhantomData<&'a mut vm_area_struct>,
}

impl NewMapping<'_> {
    /// Wraps the argument of the mmap operation.
    ///
    /// # Safety
    ///
    /// The type's invariant holds for `vma`, for as long as the result lives.
    pub(in crate::vfio) unsafe fn from_raw(vma: NonNull<vm_area_struct>) -> Self {
        // INVARIANT: The caller says so.
        Self {
            vma,
            _vma: PhantomData,
        }
    }

    fn vma(&self) -> &VmaRef {
        // SAFETY: The type's invariant; writing includes reading.
        unsafe { VmaRef::from_raw(self.vma.as_ptr()) }
    }

    /// Returns the offset in the device file that the first byte is to map.
    pub(crate) fn file_offset(&self) -> u64 {
        file_offset(self.vma())
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> u64 {
        // CAST: `usize` has at most 64 bits.
        self.vma().end().saturating_sub(self.vma().start()) as u64
    }

    /// Makes it a mapping of device memory of the given type, filled in by
    /// [`Operations::fault`].
    ///
    /// Fails with [`EINVAL`] for a private mapping.
    pub(crate) fn map<T: Operations>(
        self,
        device: &OpenDevice<T>,
        mem: MemType,
        guest: GuestTypes,
    ) -> Result {
        if self.vma().flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }
        let vma = self.vma.as_ptr();
        // SAFETY: The type's invariant: the field is ours to read.
        let prot = unsafe { (*vma).vm_page_prot };
        // SAFETY: The type's invariant: the field is ours to write.
        unsafe { (*vma).vm_page_prot = mem.apply(prot) };
        let any = matches!(guest, GuestTypes::AnyUncached);
        // SAFETY: The type's invariant: the VMA is being set up.
        unsafe { bindings::vfio_rs_vma_set_flags(vma, any) };
        let device = core::ptr::from_ref(device).cast_mut().cast::<c_void>();
        // SAFETY: The type's invariant: the field is ours to write.
        unsafe { (*vma).vm_private_data = device };
        // SAFETY: The type's invariant: the field is ours to write.
        unsafe { (*vma).vm_ops = &MappingOps::<T>::TABLE };
        Ok(())
    }
}

/// Returns the offset in the file that the first byte of `vma` maps.
fn file_offset(vma: &VmaRef) -> u64 {
    // SAFETY: Whoever has a `VmaRef` may read the VMA, and this field changes only before a VMA can
    // be found and in a move, under the locks that exclude readers.
    let pages = unsafe { (*vma.as_ptr()).vm_pgoff };
    // CAST: `usize` has at most 64 bits.
    (pages as u64) << PAGE_SHIFT
}

/// How a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultOutcome {
    /// The page-table entry is there, or was not entered for a reason that the core has told.
    Core(vm_fault_t),
    /// Nothing is reachable there: SIGBUS.
    Gone,
    /// An entry of this size does not fit; ask for a smaller one.
    TooLarge,
}

impl FaultOutcome {
    fn into_raw(self) -> vm_fault_t {
        match self {
            Self::Core(raw) => raw,
            Self::Gone => kernel::bindings::vm_fault_reason_VM_FAULT_SIGBUS,
            Self::TooLarge => kernel::bindings::vm_fault_reason_VM_FAULT_FALLBACK,
        }
    }
}

/// A touch of a page of a mapping that has no page-table entry yet.
///
/// # Invariants
///
/// `vmf` describes a fault in progress, in a VMA that [`NewMapping::map`] set up; the mmap lock or
/// the VMA's own is held for reading.
pub(crate) struct Fault<'a> {
    vmf: NonNull<vm_fault>,
    order: u32,
    _vmf: PhantomData<&'a mut vm_fault>,
}

impl Fault<'_> {
    fn vma(&self) -> &VmaRef {
        // SAFETY: The type's invariant: `vmf` is valid.
        let vma = unsafe { (*self.vmf.as_ptr()).__bindgen_anon_1.vma };
        // SAFETY: The type's invariant: the VMA is locked for the time of the fault.
        unsafe { VmaRef::from_raw(vma) }
    }

    /// Returns how many bytes the entry is to map.
    pub(crate) fn len(&self) -> u64 {
        // CAST: `usize` has at most 64 bits. The order is that of an entry of some level, so the
        // shift loses nothing.
        (PAGE_SIZE as u64) << self.order
    }

    /// Returns whether this is about an entry of the smallest size.
    pub(crate) fn is_single_page(&self) -> bool {
        self.order == 0
    }

    /// Returns the offset in the device file of the first byte that the entry is to map, or `None`
    /// if such an entry would map more than the VMA.
    pub(crate) fn file_offset(&self) -> Option<u64> {
        // SAFETY: The type's invariant: `vmf` is valid.
        let address = unsafe { (*self.vmf.as_ptr()).__bindgen_anon_1.address };
        // CAST: `usize` has at most 64 bits, here and below.
        let start = address as u64 & !self.len().wrapping_sub(1);
        let end = start.checked_add(self.len())?;
        let vma = self.vma();
        if end > vma.end() as u64 {
            return None;
        }
        let within = start.checked_sub(vma.start() as u64)?;
        file_offset(vma).checked_add(within)
    }

    /// Enters the page-table entry: the bytes of `bar` from `offset`, a multiple of the page size.
    pub(crate) fn map(self, bar: Bar<'_>, offset: u64) -> FaultOutcome {
        let Some(end) = offset.checked_add(self.len()) else {
            return FaultOutcome::Gone;
        };
        if !bar.is_memory() || !bar.can_mmap() || end > bar.mmap_len() {
            // A huge entry may end behind the BAR where a small one would not.
            return if self.is_single_page() {
                FaultOutcome::Gone
            } else {
                FaultOutcome::TooLarge
            };
        }
        let phys = bar.phys().wrapping_add(offset);
        if phys & self.len().wrapping_sub(1) != 0 {
            return FaultOutcome::TooLarge;
        }
        // CAST: `usize` is as wide as a physical address on the 64-bit platforms that there are.
        let pfn = (phys >> PAGE_SHIFT) as usize;
        let core = bar.core();
        let _memory = core.memory_lock();
        // SAFETY: The memory lock is held for reading. `vmf` is valid by the type's invariant and of
        // a shared VMA of device memory (`NewMapping::map`); the frames from `pfn` on are of a BAR
        // that can be mapped, and the core says no while it is not decoded.
        FaultOutcome::Core(unsafe {
            bindings::vfio_pci_vmf_insert_pfn(core.as_ptr(), self.vmf.as_ptr(), pfn, self.order)
        })
    }
}

/// The operations of the mappings of a driver's devices.
struct MappingOps<T: Operations>(PhantomData<T>);

impl<T: Operations> MappingOps<T> {
    const TABLE: vm_operations_struct = vm_operations_struct {
        fault: Some(Self::fault),
        huge_fault: if cfg!(CONFIG_ARCH_SUPPORTS_HUGE_PFNMAP) {
            Some(Self::huge_fault)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// To be called by the memory manager, on a fault in a VMA that has these operations.
    unsafe extern "C" fn fault(vmf: *mut vm_fault) -> vm_fault_t {
        // SAFETY: The same obligations.
        unsafe { Self::huge_fault(vmf, 0) }
    }

    /// # Safety
    ///
    /// To be called by the memory manager, on a fault in a VMA that has these operations.
    unsafe extern "C" fn huge_fault(vmf: *mut vm_fault, order: c_uint) -> vm_fault_t {
        let Some(vmf) = NonNull::new(vmf) else {
            return FaultOutcome::Gone.into_raw();
        };
        // INVARIANT: The caller says so, and only `NewMapping::map` hands out these operations.
        let fault = Fault {
            vmf,
            order,
            _vmf: PhantomData,
        };
        // SAFETY: `NewMapping::map` set this field, together with these operations.
        let device = unsafe { (*fault.vma().as_ptr()).vm_private_data };
        // SAFETY: It was set to a device of the same `T`, which the VMA's file keeps open.
        let device = unsafe { Device::<T>::open_from_raw(device.cast()) };
        T::fault(device, fault).into_raw()
    }
}
