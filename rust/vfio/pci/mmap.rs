// SPDX-License-Identifier: GPL-2.0-only

//! Mappings of BARs into userspace, and their page faults.

mod export;
mod fork;
mod vma_ops;

pub(super) use self::export::map_export;

pub(crate) use self::export::ExportTarget;

use super::{
    memory::BARS_END,
    MemoryShared,
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::MemType, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        vm_area_struct,
        vm_fault,
        vm_fault_t, //
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

/// The memory types that KVM lets a guest choose for a mapping of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestTypes {
    /// Device memory only. This matters on arm64; on x86 the guest's PAT always decides.
    Device,
    /// Any uncached type (`VM_ALLOW_ANY_UNCACHED`).
    AnyUncached,
}

/// A mapping that mmap() is setting up and that the driver has not counted yet.
///
/// The kernel crate's `VmaNew` cannot replace it in Linux 7.3, because it sets neither `VM_PFNMAP`
/// nor the page protection, the private data and the operations of a VMA.
///
/// # Invariants
///
/// - mmap() on a file of `device` is setting up `vma`. The calling thread holds the mmap lock for
///   writing, and no other code can find the VMA.
/// - The VMA ends at `BARS_END` of the device file or before.
pub(crate) struct NewMapping<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    vma: NonNull<vm_area_struct>,
    _vma: PhantomData<&'a mut vm_area_struct>,
}

impl<'a, T: Operations> NewMapping<'a, T> {
    /// Wraps the argument of the mmap operation.
    ///
    /// Fails with [`EINVAL`] if a reset would leave entries of the mapping.
    ///
    /// # Safety
    ///
    /// The first of the type's invariants must hold for `device` and `vma` while the result exists.
    pub(super) unsafe fn from_raw(
        device: &'a OpenDevice<T>,
        vma: NonNull<vm_area_struct>,
    ) -> Result<Self> {
        // INVARIANT: The caller guarantees the first, and the second is checked below.
        let new = Self {
            device,
            vma,
            _vma: PhantomData,
        };
        let vma = new.vma();
        // In pages, so that no offset overflows.
        let end = page_offset(vma).checked_add(size(vma) >> PAGE_SHIFT);
        end.filter(|end| *end <= BARS_END >> PAGE_SHIFT)
            .map(|_| new)
            .ok_or(EINVAL)
    }

    fn vma(&self) -> &VmaRef {
        // SAFETY: The thread holds the mmap lock for writing, by the type's invariant, and this
        // permits reading.
        unsafe { VmaRef::from_raw(self.vma.as_ptr()) }
    }

    /// Returns the offset in the device file at which the mapping begins.
    pub(crate) fn file_offset(&self) -> u64 {
        file_offset(self.vma())
    }

    /// Returns the length in bytes.
    pub(crate) fn size(&self) -> u64 {
        size(self.vma())
    }

    /// Counts the mapping by calling `count`, and returns its result too. [`Operations::unmapped`]
    /// takes the count back.
    ///
    /// Fails with [`EINVAL`] if the mapping is private, and with the errors of `count`.
    #[inline]
    pub(crate) fn count_by<R>(
        self,
        count: impl FnOnce() -> Result<R>,
    ) -> Result<(CountedMapping<'a, T>, R)> {
        if self.vma().flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }
        let result = count()?;
        Ok((CountedMapping(self), result))
    }
}

/// A mapping that mmap() is setting up and that the driver has counted. Dropping it calls
/// [`Operations::unmapped`].
///
/// # Invariants
///
/// The mapping is shared.
pub(crate) struct CountedMapping<'a, T: Operations>(NewMapping<'a, T>);

impl<'a, T: Operations> CountedMapping<'a, T> {
    /// Chooses the type of the mapping, and the types that KVM lets a guest choose.
    pub(crate) fn with_type(self, mem: MemType, guest: GuestTypes) -> TypedMapping<'a, T> {
        TypedMapping {
            mapping: self,
            mem,
            guest,
        }
    }
}

impl<T: Operations> Drop for CountedMapping<'_, T> {
    fn drop(&mut self) {
        let device = self.0.device;
        device.data().unmapped(device, self.0.file_offset());
    }
}

/// A mapping that mmap() is setting up, and that lacks only the changes of its VMA. Dropping it
/// does what dropping the [`CountedMapping`] does.
#[must_use = "mmap() needs the mapping"]
pub(crate) struct TypedMapping<'a, T: Operations> {
    mapping: CountedMapping<'a, T>,
    mem: MemType,
    guest: GuestTypes,
}

impl<T: Operations> TypedMapping<'_, T> {
    /// Completes the VMA: it maps device memory, and [`Operations::fault`] makes its page-table
    /// entries.
    pub(super) fn complete(self) {
        // The memory manager reports the end of the VMA from now on, so the guard must not.
        let new = &ManuallyDrop::new(self.mapping).0;
        // SAFETY: mmap() is setting up the VMA for a file of the device, and the conditions are the
        // invariants of the mapping.
        unsafe { vma_ops::complete(new.vma, new.device, self.mem, self.guest) };
    }
}

/// Returns the page of the device file at which `vma` begins.
fn page_offset(vma: &VmaRef) -> u64 {
    // SAFETY: A `VmaRef` permits reading of the VMA. This field changes only before other code can
    // find the VMA, and in a split, under locks that exclude readers.
    let pages = unsafe { (*vma.as_ptr()).vm_pgoff };
    // CAST: `usize` has at most 64 bits.
    pages as u64
}

/// Returns the offset in the device file at which `vma` begins.
fn file_offset(vma: &VmaRef) -> u64 {
    page_offset(vma) << PAGE_SHIFT
}

/// Returns the length of `vma` in bytes.
fn size(vma: &VmaRef) -> u64 {
    // CAST: `usize` has at most 64 bits.
    vma.end().saturating_sub(vma.start()) as u64
}

/// The order of the largest page-table entries that this driver makes: those of a page middle
/// directory, which map 2 MiB if a page has 4 KiB.
///
/// x86 also has entries of 1 GiB, and vfio-pci makes them. Up to Linux 7.3, however, the operations
/// on VMAs do not support such entries, and an unprivileged user can cause harm with them:
///
/// - munmap(), mprotect() and other calls on a part of a mapping split its VMA.
///   `vma_adjust_trans_huge()` (mm/huge_memory.c) then removes the huge entry that crosses the
///   split, which it finds with `mm_find_pmd()` (mm/rmap.c). That function takes an entry of 1 GiB
///   for a pointer to a table of smaller entries, and the kernel oopses.
/// - If the split is at a multiple of 2 MiB, no code looks for such an entry, and both VMAs keep
///   it. fork() then copies the whole entry to the child even if the child has only one of the VMAs
///   (`copy_pud_range()`, mm/memory.c), and nothing removes the copy while the child exists.
/// - mremap() takes the entry for a corrupt one (`get_old_pud()`, mm/mremap.c). It clears the entry
///   without flushing the TLB, so the old address still works.
///
/// `vm_operations_struct::may_split` could prevent the first two. Nothing could prevent the last
/// one, because mremap() calls no operation of a driver before it moves a whole VMA.
const LARGEST_ORDER: c_uint = bindings::PMD_ORDER;

/// The result of a fault: that for the memory manager, or [`Self::LATER`]. An enumeration would
/// take another register, and instructions in each fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the memory manager needs the result"]
pub(crate) struct FaultOutcome(vm_fault_t);

impl FaultOutcome {
    /// The gate of the device is closed, or a lock is not free. The fault must be handled again. No
    /// result for the memory manager has all bits.
    const LATER: Self = Self(vm_fault_t::MAX);

    /// Returns the result for the memory manager, or `None` if the fault must be handled again.
    #[inline]
    fn answer(self) -> Option<vm_fault_t> {
        (self != Self::LATER).then_some(self.0)
    }

    /// Returns whether the access ends in SIGBUS.
    #[inline]
    pub(crate) fn is_sigbus(self) -> bool {
        self.0 == kernel::bindings::vm_fault_reason_VM_FAULT_SIGBUS
    }
}

/// An access to a page of a mapping that has no page-table entry.
///
/// # Invariants
///
/// - `vmf` describes a fault that the calling thread handles, for an entry of `1 << order` pages,
///   which have `len` bytes.
/// - `vma_ops::complete` has set up the VMA of `vmf` for `device`.
/// - The entry is within the VMA, and maps the device file from `offset`.
/// - The calling thread holds the mmap lock or the VMA's lock for reading.
pub(crate) struct Fault<'a, T: Operations> {
    device: &'a OpenDevice<T>,
    exported: Option<T::Exported>,
    vmf: NonNull<vm_fault>,
    order: u32,
    len: u64,
    offset: u64,
    _vmf: PhantomData<&'a mut vm_fault>,
}

impl<'a, T: Operations> Fault<'a, T> {
    /// Wraps the arguments of the memory manager's call. `exported` is the range to which a
    /// mapping of an export leads, and `None` for every other mapping.
    ///
    /// Returns `None` if the entry would leave the VMA. The memory manager does not check this for
    /// huge entries.
    ///
    /// # Safety
    ///
    /// The type's invariants, except for the one on the range of the entry, must hold for `device`
    /// and `vmf` while the result exists, and `order` must be at most [`LARGEST_ORDER`].
    #[inline]
    unsafe fn from_raw(
        device: &'a OpenDevice<T>,
        exported: Option<T::Exported>,
        vmf: NonNull<vm_fault>,
        order: c_uint,
    ) -> Option<Self> {
        // CAST: `usize` has at most 64 bits, here and below. The order is at most `LARGEST_ORDER`,
        // so the shift does not overflow.
        let len = (PAGE_SIZE as u64).wrapping_shl(order);
        // SAFETY: `vmf` is valid, as the caller guarantees.
        let address = unsafe { (*vmf.as_ptr()).__bindgen_anon_1.address };
        // SAFETY: As above.
        let vma = unsafe { (*vmf.as_ptr()).__bindgen_anon_1.vma };
        // SAFETY: The caller guarantees that the VMA is locked.
        let vma = unsafe { VmaRef::from_raw(vma) };
        let start = address as u64 & !len.wrapping_sub(1);
        if start.checked_add(len)? > vma.end() as u64 {
            return None;
        }
        let within = start.checked_sub(vma.start() as u64)?;
        let offset = file_offset(vma).checked_add(within)?;
        // INVARIANT: The range of the entry was checked, `len` is the size of `1 << order` pages,
        // and the caller guarantees the rest.
        Some(Self {
            device,
            exported,
            vmf,
            order,
            len,
            offset,
            _vmf: PhantomData,
        })
    }

    /// Returns the number of bytes that the entry must map.
    pub(crate) fn size(&self) -> u64 {
        self.len
    }

    /// Returns whether the entry must map a single page.
    pub(crate) fn is_single_page(&self) -> bool {
        self.order == 0
    }

    /// Returns whether the mapping may lead to `exported`. A mapping of an export may lead to its
    /// own range only; every other mapping may lead to anything at its offsets.
    pub(crate) fn may_reach(&self, exported: T::Exported) -> bool {
        self.exported.is_none_or(|this| this == exported)
    }

    /// Takes the core's memory lock for reading until the guard is dropped.
    ///
    /// Returns `None` if the lock is not free, and if the gate is closed or about to close or the
    /// fault [may hold any lock](may_hold_any_lock). The fault is then to be handled
    /// [later](Fault::later).
    #[inline]
    pub(crate) fn memory_shared(&self) -> Option<MemoryShared<'a, T>> {
        MemoryShared::try_new(self.device).or_else(|| self.memory_shared_later())
    }

    #[cold]
    #[inline(never)]
    fn memory_shared_later(&self) -> Option<MemoryShared<'a, T>> {
        // SAFETY: `vmf` is valid during the fault, by the type's invariant.
        let flags = unsafe { (*self.vmf.as_ptr()).flags };
        if may_hold_any_lock(flags) || self.device.gate().is_closed() {
            return None;
        }
        let wait = || MemoryShared::in_fault(self.device);
        self.device.gate().unless_kept(wait)
    }

    /// Returns whether the program itself made the access, and not the kernel on its behalf.
    pub(crate) fn is_by_program(&self) -> bool {
        // SAFETY: `vmf` is valid during the fault, by the type's invariant.
        is_by_program(unsafe { (*self.vmf.as_ptr()).flags })
    }

    /// Makes no entry, and has the fault handled again a moment later. An access by the program is
    /// repeated, and signals are handled before that.
    pub(crate) fn later(&self) -> FaultOutcome {
        FaultOutcome::LATER
    }

    /// Makes no entry. For a huge entry the memory manager tries smaller ones; for a single page it
    /// raises SIGBUS.
    ///
    /// If the gate of the device is closed, a single page is not refused, and the fault is handled
    /// again [later](Fault::later).
    pub(crate) fn refuse(&self) -> FaultOutcome {
        if self.is_single_page() && self.device.gate().is_closed() {
            return self.later();
        }
        FaultOutcome(self.refusal())
    }

    fn refusal(&self) -> vm_fault_t {
        refusal(self.order)
    }

    /// Returns the offset in the device file of the first byte that the entry must map.
    pub(crate) fn file_offset(&self) -> u64 {
        self.offset
    }

    /// Ensures that a table of small entries exists for this fault of a single page, and returns
    /// whether it does. Otherwise a huge entry maps the page already, or the CPU must repeat the
    /// access.
    ///
    /// The memory manager first asks for a huge entry, and for a small one after a refusal. The
    /// reason for the refusal may no longer exist then, since subregions and strays can end at any
    /// time, and another thread may have made the huge entry in between. `vmf_insert_pfn()` does
    /// not support this: it is a BUG() with `CONFIG_DEBUG_VM`, and otherwise returns a result that
    /// the kernel logs. A table exists until the end of the fault, because only operations that
    /// hold the VMA's lock for writing replace it.
    ///
    /// The table is the one that the memory manager has allocated before it called the driver.
    /// `vmf_insert_pfn()` would allocate another one, which can wait for a disk, while a reset that
    /// has stopped this disk waits for the memory lock.
    fn has_table(&self) -> bool {
        // SAFETY: `vmf` describes a fault that this thread handles, by the type's invariant, and
        // the only caller checks that it is one of a single page.
        unsafe { bindings::vfio_rs_fault_has_table(self.vmf.as_ptr()) }
    }

    /// Makes the page-table entry. It maps the bytes of BAR `bar` from `offset`, a multiple of the
    /// page size.
    ///
    /// An entry that does not fit is refused as by [`Fault::refuse`]. If the gate of the device is
    /// closed, the function makes no entry, and the fault is handled again [later](Fault::later).
    ///
    /// `memory` must be the lock of the same device. The caller must have held it since before the
    /// decision about the entry.
    #[inline(always)]
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
            .checked_add(self.size())
            .is_some_and(|end| end <= bar.mmap_len());
        let phys = bar.phys().wrapping_add(offset);
        // Firmware can place a small BAR at any address, even within a page. The entry then maps
        // the whole page.
        let aligned = self.is_single_page() || phys & self.size().wrapping_sub(1) == 0;
        let ours = core::ptr::eq(device, self.device);
        if !fits || !aligned || !ours {
            return self.refuse();
        }
        if device.gate().is_closed() {
            return self.later();
        }
        if self.is_single_page() && !self.has_table() {
            return FaultOutcome(kernel::bindings::vm_fault_reason_VM_FAULT_NOPAGE);
        }
        // CAST: `usize` has 64 bits on all supported platforms.
        let pfn = (phys >> PAGE_SHIFT) as usize;
        let core = device.core().as_ptr();
        // SAFETY: `memory` holds the memory lock of `core` for reading. `vmf` is valid by the
        // type's invariant, and `vma_ops::complete` has set up its VMA, which includes the entry,
        // as a shared one of device memory. The frames from `pfn` on are those of a BAR of this
        // device that userspace may mmap. The core refuses them while memory decoding is off.
        FaultOutcome(unsafe {
            bindings::vfio_pci_vmf_insert_pfn(core, self.vmf.as_ptr(), pfn, self.order)
        })
    }
}

/// Returns for how long a fault with these `flags` may wait for the gate or for a lock, in
/// nanoseconds; the access fails then. The gate's time counts from its closing, because a copy can
/// fault several times. `None` means that the fault does not wait, and that the program repeats the
/// access.
///
/// The reset of a bus calls the drivers of all devices on it, and these take locks. If a fault that
/// waits for the end of the reset holds such a lock, neither ends:
///
/// - The kernel may hold any lock when it accesses user memory, as copy_to_user() does. Some ioctls
///   of network devices, for example, hold the lock of all network devices then.
/// - A fault holds the mmap lock or the lock of the VMA. While a thread waits for the mmap lock to
///   change the address space, no other fault gets that lock, not even that of a copy_to_user().
///   The program therefore repeats its access, which also lets it handle signals.
/// - KVM asks for a page of a guest by `fixup_user_fault()`, and the guest would not survive a
///   failure. It waits for as long as the PCI core waits for a device after a reset
///   (`PCIE_RESET_READY_POLL_MS`), and without the mmap lock. So does `fault_in_safe_writeable()`,
///   which has the same flags.
/// - A futex uses the same function, but keeps the mmap lock and cannot be killed. It hardly waits.
///
/// Faults that may hold any lock do not wait for the memory lock either, since a thread that holds
/// it for writing can wait for the end of a reset. Others do wait for it: under many writers, a
/// fault that only tries could fail for ever. Only for pages that were strays do they try, as they
/// do to take the io lock.
fn patience(flags: c_uint) -> Option<i64> {
    const SECOND: i64 = 1_000_000_000;

    if is_by_program(flags) {
        None
    } else if may_hold_any_lock(flags) {
        Some(10 * SECOND)
    } else if flags & kernel::bindings::fault_flag_FAULT_FLAG_ALLOW_RETRY != 0 {
        Some(60 * SECOND)
    } else {
        Some(SECOND / 10)
    }
}

/// Returns whether a fault with these `flags` is one of the kernel in an access to user memory, and
/// not one of the program or of `fixup_user_fault()`.
fn may_hold_any_lock(flags: c_uint) -> bool {
    // All page-fault handlers set this flag, and `fixup_user_fault()` does not.
    const EXCEPTION: c_uint = kernel::bindings::fault_flag_FAULT_FLAG_INTERRUPTIBLE;

    !is_by_program(flags) && flags & EXCEPTION != 0
}

/// Returns whether a fault with these `flags` is one of the program.
fn is_by_program(flags: c_uint) -> bool {
    flags & kernel::bindings::fault_flag_FAULT_FLAG_USER != 0
}

/// Returns the result of a fault for `1 << order` pages that gets no entry.
fn refusal(order: c_uint) -> vm_fault_t {
    if order == 0 {
        kernel::bindings::vm_fault_reason_VM_FAULT_SIGBUS
    } else {
        kernel::bindings::vm_fault_reason_VM_FAULT_FALLBACK
    }
}
