// SPDX-License-Identifier: GPL-2.0

//! Mappings of BARs into userspace.

mod fork;

use super::{
    Device,
    MemoryShared,
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::MemType, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    mem::ManuallyDrop,
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

/// The memory types that KVM may let a guest choose for a mapping of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestTypes {
    /// Device memory, whatever the guest asks for (on arm64; x86 asks only the guest's PAT).
    Device,
    /// Any uncached type that the guest asks for (`VM_ALLOW_ANY_UNCACHED`).
    AnyUncached,
}

/// A mapping that userspace asks for by mmap() and that is yet to be filled in.
///
/// # Invariants
///
/// `vma` is being set up by mmap() on a file of `device`: the mmap lock is held for writing, and
/// nobody else knows of it.
pub(crate) struct NewMapping<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    vma: NonNull<vm_area_struct>,
    _vma: PhantomData<&'a mut vm_area_struct>,
}

impl<'a, T: Operations> NewMapping<'a, T> {
    /// Wraps the argument of the mmap operation.
    ///
    /// # Safety
    ///
    /// The type's invariant holds for `device` and `vma`, for as long as the result lives.
    pub(super) unsafe fn from_raw(device: &'a OpenDevice<T>, vma: NonNull<vm_area_struct>) -> Self {
        // INVARIANT: The caller says so.
        Self {
            device,
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

    /// Calls [`Operations::mapped`] for it.
    ///
    /// Fails with [`EINVAL`] for a private mapping.
    pub(crate) fn count(self) -> Result<CountedMapping<'a, T>> {
        if self.vma().flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }
        self.device.data().mapped(self.device, self.file_offset());
        Ok(CountedMapping(self))
    }
}

/// A mapping that is yet to be filled in, and that the driver has taken note of; when it is dropped,
/// the driver takes note that there is one less.
///
/// # Invariants
///
/// It is shared.
pub(crate) struct CountedMapping<'a, T: Operations>(NewMapping<'a, T>);

impl<T: Operations> CountedMapping<'_, T> {
    /// Returns the offset in the device file that the first byte is to map.
    pub(crate) fn file_offset(&self) -> u64 {
        self.0.file_offset()
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Makes it a mapping of device memory of the given type, filled in by [`Operations::fault`].
    pub(crate) fn map(self, mem: MemType, guest: GuestTypes) {
        // From here on the memory manager tells of its end.
        let this = ManuallyDrop::new(self);
        let vma = this.0.vma.as_ptr();
        // SAFETY: The type's invariant: the field is ours to read.
        let prot = unsafe { (*vma).vm_page_prot };
        // SAFETY: The type's invariant: the field is ours to write.
        unsafe { (*vma).vm_page_prot = mem.apply(prot) };
        let any = matches!(guest, GuestTypes::AnyUncached);
        // SAFETY: The type's invariant: the VMA is being set up.
        unsafe { bindings::vfio_rs_vma_set_flags(vma, any) };
        let device = core::ptr::from_ref(this.0.device)
            .cast_mut()
            .cast::<c_void>();
        // SAFETY: The type's invariant: the field is ours to write.
        unsafe { (*vma).vm_private_data = device };
        // SAFETY: The type's invariant: the field is ours to write.
        unsafe { (*vma).vm_ops = &MappingOps::<T>::TABLE };
    }
}

impl<T: Operations> Drop for CountedMapping<'_, T> {
    fn drop(&mut self) {
        let device = self.0.device;
        device.data().unmapped(device, self.0.file_offset());
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

/// The order of the largest entries that are made: those of a page middle directory, of 2 MiB where a
/// page has 4 KiB.
///
/// x86 also has entries of 1 GiB, and vfio-pci makes them. But the operations on VMAs do not know them,
/// up to Linux 7.3, and an ordinary user can do harm by that:
///
/// - munmap(), mprotect() and others of a part of a mapping split its VMA. `vma_adjust_trans_huge()`
///   (mm/huge_memory.c) then removes the entry that lies on both sides of the split, which it looks for
///   by `mm_find_pmd()` (mm/rmap.c). That takes an entry of 1 GiB for a pointer to a table of smaller
///   ones, and the kernel oopses.
/// - Where the split is at a multiple of 2 MiB nothing is looked for, so both VMAs keep the entry. fork()
///   then copies all of it into a child that may have one of the VMAs only (`copy_pud_range()`,
///   mm/memory.c), and nothing removes that copy while the child lives.
/// - mremap() takes the entry for a broken one (`get_old_pud()`, mm/mremap.c): it clears it without
///   flushing the TLB, so that the old address still works.
///
/// The first two could be prevented by `vm_operations_struct::may_split`. The last cannot, because no
/// operation of a driver is called before a whole VMA is moved.
const LARGEST_ORDER: c_uint = bindings::PMD_ORDER;

/// How a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the memory manager is to be told"]
pub(crate) struct FaultOutcome(Outcome);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// This is what the memory manager is told.
    Is(vm_fault_t),
    /// The device's gate is closed: it is tried again when that is open.
    Gated,
}

/// A touch of a page of a mapping that has no page-table entry yet.
///
/// # Invariants
///
/// `vmf` describes a fault in progress, for an entry of `1 << order` pages, which are `len` bytes, in
/// a VMA that [`CountedMapping::map`] set up for `device`; the mmap lock or the VMA's own is held for
/// reading.
pub(crate) struct Fault<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    vmf: NonNull<vm_fault>,
    order: u32,
    len: u64,
    _vmf: PhantomData<&'a mut vm_fault>,
}

impl<T: Operations> Fault<'_, T> {
    fn vma(&self) -> &VmaRef {
        // SAFETY: The type's invariant: `vmf` is valid.
        let vma = unsafe { (*self.vmf.as_ptr()).__bindgen_anon_1.vma };
        // SAFETY: The type's invariant: the VMA is locked for the time of the fault.
        unsafe { VmaRef::from_raw(vma) }
    }

    /// Returns how many bytes the entry is to map.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the entry is to map one page only.
    pub(crate) fn is_single_page(&self) -> bool {
        self.order == 0
    }

    /// Enters nothing. A huge entry is then tried again as smaller ones, the touch of a single page
    /// raises SIGBUS.
    pub(crate) fn refuse(&self) -> FaultOutcome {
        FaultOutcome(Outcome::Is(self.refusal()))
    }

    fn refusal(&self) -> vm_fault_t {
        if self.is_single_page() {
            kernel::bindings::vm_fault_reason_VM_FAULT_SIGBUS
        } else {
            kernel::bindings::vm_fault_reason_VM_FAULT_FALLBACK
        }
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

    /// Returns whether a small entry can be made, in a table that exists from now on. If not, a huge
    /// entry maps the page already, or the fault has to be taken anew.
    ///
    /// The memory manager asks for a huge entry first, and for a small one if that is refused. The reason
    /// for the refusal can be gone by then, since subregions and strays end at any time, and another
    /// thread may make the huge entry in between. `vmf_insert_pfn()` does not expect one: it is a BUG()
    /// where `CONFIG_DEBUG_VM` is set, and elsewhere an answer that the kernel logs. A table that was
    /// found is good until the fault ends: only operations that hold the VMA's lock for writing replace it.
    fn has_table(&self) -> bool {
        if !cfg!(CONFIG_ARCH_SUPPORTS_HUGE_PFNMAP) {
            return true;
        }
        // SAFETY: The type's invariant: `vmf` describes a fault in progress, here of a single page.
        unsafe { bindings::vfio_rs_fault_has_table(self.vmf.as_ptr()) }
    }

    /// Enters the page-table entry: the bytes of BAR `bar` from `offset`, a multiple of the page
    /// size. One that does not fit there is refused as by [`Fault::refuse`]. While somebody other than
    /// VFIO resets the device nothing is entered, and [`Operations::fault`] is called again afterwards.
    ///
    /// `memory` is of the same device, and held since before it was decided what the entry is to be.
    pub(crate) fn map(
        &self,
        memory: &MemoryShared<'_, T>,
        bar: usize,
        offset: u64,
    ) -> FaultOutcome {
        let device = memory.device();
        let Some(bar) = device.bar(bar) else {
            return self.refuse();
        };
        let fits = offset
            .checked_add(self.len())
            .is_some_and(|end| end <= bar.mmap_len());
        let phys = bar.phys().wrapping_add(offset);
        // A BAR that the firmware placed may begin anywhere; what is mapped then are its pages.
        let aligned = self.is_single_page() || phys & self.len().wrapping_sub(1) == 0;
        let ours = core::ptr::eq(device, self.device);
        if !fits || !aligned || !ours {
            return self.refuse();
        }
        if device.gate().is_closed() {
            return FaultOutcome(Outcome::Gated);
        }
        if self.is_single_page() && !self.has_table() {
            return FaultOutcome(Outcome::Is(kernel::bindings::vm_fault_reason_VM_FAULT_NOPAGE));
        }
        // CAST: `usize` is as wide as a physical address on the 64-bit platforms that there are.
        let pfn = (phys >> PAGE_SHIFT) as usize;
        let core = device.core().as_ptr();
        // SAFETY: `memory` holds the memory lock of `core` for reading. `vmf` is valid by the type's
        // invariant and of a shared VMA of device memory (`CountedMapping::map`); the frames from `pfn`
        // on are of a BAR of this device that can be mapped, and the core says no while it is not
        // decoded.
        FaultOutcome(Outcome::Is(unsafe {
            bindings::vfio_pci_vmf_insert_pfn(core, self.vmf.as_ptr(), pfn, self.order)
        }))
    }
}

/// The operations of the mappings of a driver's devices.
struct MappingOps<T: Operations>(PhantomData<T>);

impl<T: Operations> MappingOps<T> {
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
        if order > LARGEST_ORDER {
            return kernel::bindings::vm_fault_reason_VM_FAULT_FALLBACK;
        }
        let Some(vmf) = NonNull::new(vmf) else {
            return kernel::bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        };
        // SAFETY: The caller says that `vmf` is valid.
        let vma = unsafe { (*vmf.as_ptr()).__bindgen_anon_1.vma };
        // SAFETY: The VMA is locked for the time of the fault.
        let vma = unsafe { VmaRef::from_raw(vma) };
        // INVARIANT: The caller says so, and only `CountedMapping::map` hands out these operations.
        let fault = Fault {
            device: Self::device(vma),
            vmf,
            order,
            // CAST: `usize` has at most 64 bits. The order is that of an entry of some level, so the
            // shift loses nothing.
            len: (PAGE_SIZE as u64).wrapping_shl(order),
            _vmf: PhantomData,
        };
        loop {
            match fault.device.data().fault(fault.device, &fault).0 {
                Outcome::Is(answer) => return answer,
                // Nothing is held now but what the memory manager holds, as when a fault waits for
                // the memory lock.
                Outcome::Gated => {
                    if fault.device.gate().pass().is_err() {
                        return fault.refusal();
                    }
                }
            }
        }
    }

    /// Returns the device that a VMA with these operations is a mapping of.
    fn device<'a>(vma: &'a VmaRef) -> &'a OpenDevice<T> {
        // SAFETY: `CountedMapping::map` set this field, together with these operations.
        let device = unsafe { (*vma.as_ptr()).vm_private_data };
        // SAFETY: It was set to a device of the same `T`, which the VMA's file keeps open.
        unsafe { Device::<T>::open_from_raw(device.cast()) }
    }

    /// # Safety
    ///
    /// To be called by the memory manager, with a VMA that has these operations and is locked.
    unsafe extern "C" fn open(vma: *mut vm_area_struct) {
        // SAFETY: The caller says so.
        let vma = unsafe { VmaRef::from_raw(vma) };
        let device = Self::device(vma);
        device.data().mapped(device, file_offset(vma));
        if cfg!(CONFIG_ARCH_SUPPORTS_HUGE_PFNMAP) {
            fork::remove_before(vma);
        }
    }

    /// # Safety
    ///
    /// To be called by the memory manager, with a VMA that has these operations and is locked.
    unsafe extern "C" fn close(vma: *mut vm_area_struct) {
        // SAFETY: The caller says so.
        let vma = unsafe { VmaRef::from_raw(vma) };
        let device = Self::device(vma);
        device.data().unmapped(device, file_offset(vma));
    }
}
