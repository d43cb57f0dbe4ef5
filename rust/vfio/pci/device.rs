// SPDX-License-Identifier: GPL-2.0-only

//! VFIO PCI devices and the operations that a driver can override.

use super::{
    bar::{
        Bar,
        Bars,
        BARS, //
    },
    bar_owners::BarOwners,
    debugfs::{
        Description,
        Opener, //
    },
    dma_buf,
    driver::dev,
    export::{
        Exports,
        NewExport, //
    },
    ioeventfd::Ioeventfds,
    ops::DeviceOps,
    reset::{
        Gate,
        InMmap, //
    },
    Access,
    BarRange,
    CoreDevice,
    Driver,
    ExportTarget,
    Fault,
    FaultOutcome,
    IoExclusive,
    IoShared,
    MemoryExclusive,
    MemoryShared,
    NewMapping,
    TypedMapping, //
};
use crate::{
    bindings,
    compat::{
        int_result,
        DebugFile,
        PowerGuard,
        RwSemaphore, //
    },
    vfio::{
        LongResult,
        RegionInfo,
        Transfer, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    fmt,
    mem::{
        align_of,
        offset_of,
        MaybeUninit, //
    },
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        pci_dev,
        rw_semaphore, //
    },
    device::Core,
    error::{
        from_err_ptr,
        to_result, //
    },
    pci,
    prelude::*,
    str::CStr,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The state of an open device and its operations. The defaults do what vfio-pci does, except that
/// there are no ioeventfds; see [`OpenDevice::core_ioctl`].
///
/// Unless stated otherwise, an operation may sleep. It may run concurrently with all other
/// operations of the same device.
pub(crate) trait Operations: Sized + Send + Sync + 'static {
    /// The module that has the code of these operations. The files of exports and those in debugfs
    /// keep it loaded, even after unbinding. Only unsafe code makes a [`ThisModule`], and it
    /// guarantees that this is the module that it is part of.
    const OWNER: ThisModule;

    /// The name of the files of exports, which `/proc` shows after `anon_inode:`.
    const EXPORT_NAME: &'static CStr;

    /// The data that the core's memory lock protects while the device is open; see
    /// [`MemoryShared`].
    type Locked: Default + Send + Sync;

    /// The kernel mappings of a BAR that the driver owns; see [`IoExclusive::give_to_driver`].
    type BarMaps: Send + Sync;

    /// Identifies a range of the device file that has a file of its own; see
    /// [`OpenDevice::export`].
    type Exported: Copy + PartialEq + Send + Sync;

    /// Makes the state of a device that is being opened. No other operation runs yet.
    fn open_device(core: &CoreDevice) -> Result<Self>;

    /// Completes the opening of a device. Of the other operations only [`Operations::describe`] can
    /// run yet. If this fails, the device is closed.
    fn opened(&self, _device: &OpenDevice<Self>) -> Result {
        Ok(())
    }

    /// Handles an ioctl that VFIO does not handle itself.
    fn ioctl(&self, device: &OpenDevice<Self>, cmd: u32, arg: usize) -> LongResult {
        device.core_ioctl(cmd, arg)
    }

    /// Returns whether the core alone describes the region `index`, which can be any number. If so,
    /// [`Operations::get_region_info`] is not called.
    fn core_describes(&self, _index: u32) -> bool {
        true
    }

    /// Describes a region for `VFIO_DEVICE_GET_REGION_INFO`.
    fn get_region_info(&self, device: &OpenDevice<Self>, info: &mut RegionInfo<'_>) -> Result {
        device.core_get_region_info(info)
    }

    /// Handles read() and write().
    fn transfer(&self, device: &OpenDevice<Self>, transfer: Transfer<'_>) -> Result<usize>;

    /// Handles mmap(). The caller holds the mmap lock for writing.
    fn mmap<'a>(
        &self,
        device: &OpenDevice<Self>,
        mapping: NewMapping<'a, Self>,
    ) -> Result<TypedMapping<'a, Self>>;

    /// Called when a VMA starts mapping the device file at `offset` as a copy or a part of another
    /// one. VMAs of mmap() are counted by [`NewMapping::count_by`]. The call may wait only for
    /// locks that mmap() may wait for.
    fn copied(&self, _device: &OpenDevice<Self>, _offset: u64) {}

    /// Called when a VMA stops mapping the device file at `offset`, after its page-table entries
    /// have been removed.
    fn unmapped(&self, _device: &OpenDevice<Self>, _offset: u64) {}

    /// Handles an access to a page that has no page-table entry. The caller holds the mmap lock or
    /// the VMA's lock for reading.
    fn fault(&self, device: &OpenDevice<Self>, fault: &Fault<'_, Self>) -> FaultOutcome;

    /// Writes a description of the state for the administrator to `text`, and fails only if that
    /// does. The caller holds the opener lock.
    fn describe(&self, _device: &OpenDevice<Self>, _text: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }

    /// Returns the range of a BAR that a dma-buf of the region `index` exports, or `None` unless
    /// this is a region of the driver that exists. The caller holds the io lock.
    fn dma_range(&self, _device: &OpenDevice<Self>, _index: u32) -> Option<BarRange> {
        None
    }

    /// Returns the range of the device file to which an export leads, or `None` if it has ended.
    ///
    /// It must never lead to another range while the device is open. The range can be that of
    /// something else after the end of the export, so [`Operations::fault`] must ask
    /// [`Fault::may_reach`] before it makes an entry in such a range.
    fn exported(&self, device: &OpenDevice<Self>, exported: Self::Exported)
        -> Option<ExportTarget>;

    /// Handles read() and write() from byte `at` of an export, and returns the number of bytes, or
    /// `None` if the caller must try again later. The function must not wait for the io lock.
    fn access_exported(
        &self,
        device: &OpenDevice<Self>,
        exported: Self::Exported,
        at: u64,
        access: &mut Access<'_>,
    ) -> Result<Option<usize>>;
}

/// A VFIO device whose state while it is open is a `T`.
///
/// VFIO allocates it, counts its references and frees it.
///
/// # Invariants
///
/// - `core` is at offset 0, where VFIO expects it.
/// - `open` is initialised from the first open to the last close.
/// - There is an opener only while the device is open.
#[repr(C)]
pub(crate) struct Device<T: Operations> {
    pub(super) core: CoreDevice,
    pub(super) gate: Gate,
    pub(super) owners: RwSemaphore<BarOwners<T::BarMaps>>,
    pub(super) ioeventfds: Mutex<Ioeventfds<T>>,
    /// The common part of the exports, once there was one since the device was opened.
    pub(super) exports: Mutex<Option<Arc<Exports<T>>>>,
    /// The process that opened the device, for debugfs. The lock is the opener lock.
    pub(super) opener: RwSemaphore<Option<Opener>>,
    /// The file in debugfs, from probe to remove.
    pub(super) debug: Mutex<Option<DebugFile<Description<T>>>>,
    pub(super) open: UnsafeCell<MaybeUninit<Opened<T>>>,
}

/// The fields of a [`Device`] that exist while it is open.
pub(super) struct Opened<T: Operations> {
    pub(super) bars: Bars,
    /// The address of the core's lock, stored because only C code can compute it.
    pub(super) memory_lock: *mut rw_semaphore,
    /// The PCI device, stored because only C code can read the field.
    pub(super) pdev: *mut pci_dev,
    /// Only a thread that holds the memory lock accesses this, or one that has borrowed it
    /// (reset/lend.rs).
    pub(super) locked: UnsafeCell<T::Locked>,
    pub(super) data: T,
}

/// A [`Device`] between its first open and its last close.
#[repr(transparent)]
pub(crate) struct OpenDevice<T: Operations>(Device<T>);

impl<T: Operations> Device<T> {
    /// Allocates a device for `pdev`, which is being bound to the driver `D`.
    ///
    /// Fails with [`ENOMEM`] if the kernel has no memory.
    pub(super) fn alloc<D: Driver<Device = T>>(
        pdev: &pci::Device<Core<'_>>,
    ) -> Result<NonNull<CoreDevice>> {
        const { assert!(offset_of!(Self, core) == 0) };
        // kvzalloc() guarantees the same alignment as kmalloc().
        const { assert!(align_of::<Self>() <= align_of::<u64>()) };
        let dev = dev(core::ptr::from_ref(pdev).cast_mut().cast());
        // SAFETY: `dev` is valid. The size is that of `Device<T>`, whose first field is VFIO's
        // device. The operations in the table expect such a structure, and their `init` initialises
        // it.
        let vdev =
            unsafe { bindings::_vfio_alloc_device(size_of::<Self>(), dev, &DeviceOps::<D>::TABLE) };
        let vdev = from_err_ptr(vdev)?;
        NonNull::new(vdev.cast()).ok_or(ENOMEM)
    }

    /// Returns the device for which VFIO calls an operation.
    ///
    /// # Safety
    ///
    /// `vdev` must point to a `Device<T>` that is open as long as the result lives.
    pub(super) unsafe fn open_from_raw<'a>(vdev: *mut bindings::vfio_device) -> &'a OpenDevice<T> {
        // SAFETY: VFIO's device is the first field of a `Device<T>`, and `OpenDevice<T>` is a
        // transparent wrapper of it. The caller guarantees the lifetime.
        unsafe { &*vdev.cast() }
    }
}

impl<T: Operations> OpenDevice<T> {
    /// Returns the device structure of vfio-pci-core.
    pub(crate) fn core(&self) -> &CoreDevice {
        &self.0.core
    }

    fn opened(&self) -> &Opened<T> {
        // SAFETY: The field is initialised while the device is open, by `Device`'s invariant, and
        // `self` is an open device. Only shared references to it exist.
        let opened = unsafe { &*self.0.open.get() };
        // SAFETY: As above.
        unsafe { opened.assume_init_ref() }
    }

    /// Returns the driver's state of the open device.
    pub(crate) fn data(&self) -> &T {
        &self.opened().data
    }

    /// Returns BAR `index`, or `None` if the device does not implement it.
    pub(crate) fn bar(&self, index: usize) -> Option<Bar<'_>> {
        self.opened().bars.get(index)
    }

    /// Returns `bar` if it is a BAR of this device, or `None` if it is one of another device.
    #[inline]
    pub(super) fn own<'b>(&self, bar: Bar<'b>) -> Option<Bar<'b>> {
        self.opened().bars.contains(bar).then_some(bar)
    }

    /// Returns the io lock, with the owner of each BAR.
    pub(super) fn owners(&self) -> &RwSemaphore<BarOwners<T::BarMaps>> {
        &self.0.owners
    }

    /// Returns the gate of the device.
    pub(super) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Returns the ioeventfds of the device. A thread that makes or removes one also holds the io
    /// lock, which it takes first.
    pub(super) fn ioeventfds(&self) -> &Mutex<Ioeventfds<T>> {
        &self.0.ioeventfds
    }

    /// Returns the core's memory lock, which is initialised.
    pub(super) fn memory_lock(&self) -> *mut rw_semaphore {
        self.opened().memory_lock
    }

    /// Returns the data that the memory lock protects. The guards of the lock decide which
    /// references are allowed.
    pub(super) fn locked(&self) -> *mut T::Locked {
        self.opened().locked.get()
    }

    /// Resumes the PCI device and keeps it in full power until the guard is dropped.
    ///
    /// Fails with [`EIO`] if the device does not resume.
    #[inline]
    pub(crate) fn power_on(&self) -> Result<PowerGuard<'_>> {
        // SAFETY: The core device holds a reference to the PCI device, by its invariant.
        // `pci::Device` is a transparent wrapper of `struct pci_dev`.
        let pdev: &pci::Device = unsafe { &*self.opened().pdev.cast() };
        PowerGuard::new(pdev).map_err(|_| EIO)
    }

    /// Takes the core's memory lock for reading until the guard is dropped.
    ///
    /// The calling thread must not hold the lock already, and must not access user memory under it.
    pub(crate) fn memory_shared(&self) -> MemoryShared<'_, T> {
        MemoryShared::new(self)
    }

    /// Takes the core's memory lock for writing until the guard is dropped.
    ///
    /// The calling thread must not hold the lock already, and must not access user memory under it.
    pub(crate) fn memory_exclusive(&self) -> MemoryExclusive<'_, T> {
        MemoryExclusive::new(self)
    }

    /// Takes the core's memory lock for writing if no thread holds it or waits for it, or returns
    /// `None`.
    pub(crate) fn try_memory_exclusive(&self) -> Option<MemoryExclusive<'_, T>> {
        MemoryExclusive::if_free(self)
    }

    /// Does what [`Self::memory_shared`] does, for a thread that may hold the mmap lock: such a
    /// thread must not wait for the end of a reset.
    pub(crate) fn memory_shared_in_mmap(&self) -> impl Deref<Target = T::Locked> + '_ {
        InMmap::shared(self)
    }

    /// Does what [`Self::memory_exclusive`] does, for a thread that may hold the mmap lock: such a
    /// thread must not wait for the end of a reset.
    pub(crate) fn memory_exclusive_in_mmap(&self) -> impl DerefMut<Target = T::Locked> + '_ {
        InMmap::exclusive(self)
    }

    /// Takes the io lock for reading until the guard is dropped.
    ///
    /// Fails with [`EINTR`] if a fatal signal arrives.
    pub(crate) fn io_shared(&self) -> Result<IoShared<'_, T>> {
        IoShared::new(self)
    }

    /// Takes the io lock for reading if no thread holds it for writing or waits for it, or returns
    /// `None`. A thread that holds a lock which comes after the io lock must use this function.
    pub(crate) fn try_io_shared(&self) -> Option<IoShared<'_, T>> {
        IoShared::try_new(self)
    }

    /// Makes a file that leads to `exported`, with the open flags `flags`: `O_RDONLY` or `O_RDWR`,
    /// and `O_CLOEXEC` or not.
    ///
    /// Fails with [`EMFILE`] or [`ENFILE`] if there are too many open files. Fails with [`ENOMEM`]
    /// if the kernel has no memory.
    pub(crate) fn export(&self, exported: T::Exported, flags: u32) -> Result<NewExport> {
        NewExport::new(self.exports()?, exported, flags)
    }

    /// Returns the common part of the exports, which the first export makes.
    fn exports(&self) -> Result<Arc<Exports<T>>> {
        let exports = self.0.exports.lock().clone();
        if let Some(exports) = exports {
            return Ok(exports);
        }
        // SAFETY: The last close revokes the one in the field, and clears the field when no thread
        // uses the device any more. If another thread has set the field meanwhile, the new one is
        // dropped here.
        let new = unsafe { Exports::new(self) }?;
        let mut exports = self.0.exports.lock();
        Ok(exports.get_or_insert_with(|| new.clone()).clone())
    }

    /// Returns the number of files of exports.
    pub(super) fn export_files(&self) -> i64 {
        let exports = self.0.exports.lock();
        exports.as_ref().map_or(0, |exports| exports.files())
    }

    /// Takes the io lock for writing until the guard is dropped.
    ///
    /// Fails with [`EINTR`] if a fatal signal arrives.
    pub(crate) fn io_exclusive(&self) -> Result<IoExclusive<'_, T>> {
        IoExclusive::new(self)
    }

    /// Takes the io lock for writing if no thread holds it or waits for it, or returns `None`. A
    /// thread that holds a lock which comes after the io lock must use this function.
    pub(crate) fn try_io_exclusive(&self) -> Option<IoExclusive<'_, T>> {
        IoExclusive::try_new(self)
    }

    /// Lets the core handle an ioctl, as with vfio-pci. It fails with the core's errno.
    ///
    /// Fails with [`ENOTTY`] for `VFIO_DEVICE_IOEVENTFD`: the core's ioeventfds use its mapping of
    /// a BAR without a lock, and [`IoShared::add_ioeventfd`] replaces them.
    pub(crate) fn core_ioctl(&self, cmd: u32, arg: usize) -> LongResult {
        match cmd {
            bindings::VFIO_DEVICE_IOEVENTFD => Err(ENOTTY).into(),
            bindings::VFIO_DEVICE_RESET => self.core_reset(arg),
            bindings::VFIO_DEVICE_SET_IRQS => self.core_set_irqs(arg),
            // SAFETY: `cmd` is another ioctl.
            _ => unsafe { self.call_core(cmd, arg) },
        }
    }

    /// Lets the core reset the device. This function is not inlined, so that other ioctls do not
    /// save registers for it.
    #[inline(never)]
    fn core_reset(&self, arg: usize) -> LongResult {
        let _reset = self.gate().vfio_resets();
        // SAFETY: The ioctl is not `VFIO_DEVICE_IOEVENTFD`.
        unsafe { self.call_core(bindings::VFIO_DEVICE_RESET, arg) }
    }

    /// Lets the core set up interrupts, for which it turns memory on.
    #[inline(never)]
    fn core_set_irqs(&self, arg: usize) -> LongResult {
        self.gate().let_reset_end();
        // SAFETY: The ioctl is not `VFIO_DEVICE_IOEVENTFD`.
        unsafe { self.call_core(bindings::VFIO_DEVICE_SET_IRQS, arg) }
    }

    /// Calls the core's ioctl.
    ///
    /// # Safety
    ///
    /// `cmd` must not be `VFIO_DEVICE_IOEVENTFD`, the only one that keeps a mapping of a BAR.
    unsafe fn call_core(&self, cmd: u32, arg: usize) -> LongResult {
        // SAFETY: The device is open. The caller guarantees that the ioctl uses no mapping of a
        // BAR.
        LongResult::new(unsafe { bindings::vfio_pci_core_ioctl(self.core().as_vdev(), cmd, arg) })
    }

    /// Transfers at the file offset of `transfer`, which is in no BAR, as vfio-pci does. A transfer
    /// that fails after a part returns the length of that part.
    ///
    /// Fails with [`EINVAL`] if the offset is in a BAR, in no region or beyond its end. Fails with
    /// [`EIO`] if the recovery from an error has failed, or if the device does not resume. Fails
    /// with [`EFAULT`] if the user buffer is invalid. Fails with [`ENOMEM`] if the core cannot map
    /// the region.
    #[inline(never)]
    pub(crate) fn core_transfer(&self, mut transfer: Transfer<'_>) -> Result<usize> {
        /// The number of bytes after which a transfer looks at the gate again.
        const STEP: usize = 64 << 10;

        let region = transfer.file_offset()? >> bindings::VFIO_PCI_OFFSET_SHIFT;
        // CAST: A device has 6 BARs.
        if region < BARS as u64 {
            return Err(EINVAL);
        }
        let mut step = || -> Result<usize> {
            // Accesses to configuration space have a lock that excludes resets.
            if region != u64::from(bindings::VFIO_PCI_CONFIG_REGION_INDEX) {
                self.gate().pass()?;
            }
            // SAFETY: The device is open, and the offset is in no BAR. The core maps the ROM and
            // VGA ranges for each access.
            unsafe { self.core().transfer(&mut transfer, STEP) }
        };
        let mut total: usize = 0;
        loop {
            match step() {
                Ok(STEP) => total = total.saturating_add(STEP),
                Ok(done) => return Ok(total.saturating_add(done)),
                Err(error) if total == 0 => return Err(error),
                Err(_) => return Ok(total),
            }
        }
    }

    /// Lets the core handle a device feature, as with vfio-pci. It fails with the core's errno.
    pub(super) fn core_feature(&self, flags: u32, arg: *mut c_void, size: usize) -> Result<c_int> {
        if flags & bindings::VFIO_DEVICE_FEATURE_MASK == bindings::VFIO_DEVICE_FEATURE_DMA_BUF {
            return dma_buf::feature(self, flags, arg, size);
        }
        // SAFETY: The device is open, and the function accesses the structure as user memory. Of
        // the core's features only `VFIO_DEVICE_FEATURE_DMA_BUF` reads the mapping of a BAR.
        let ret = unsafe {
            bindings::vfio_pci_core_ioctl_feature(self.core().as_vdev(), flags, arg, size)
        };
        int_result(ret)
    }

    /// Lets the core describe a region, as with vfio-pci. It fails with the core's errno.
    pub(crate) fn core_get_region_info(&self, info: &mut RegionInfo<'_>) -> Result {
        let caps = info.caps_ptr();
        // SAFETY: The device is open, and both pointers come from VFIO's call of the operation.
        to_result(unsafe {
            bindings::vfio_pci_ioctl_get_region_info(self.core().as_vdev(), info.as_ptr(), caps)
        })
    }
}
