// SPDX-License-Identifier: GPL-2.0

//! Devices and their operations.

use super::{
    bar::{
        Bar,
        Bars,
        BARS, //
    },
    driver::dev,
    holders::Holders,
    ops::DeviceOps,
    reset::Gate,
    CoreDevice,
    Driver,
    Fault,
    FaultOutcome,
    IoExclusive,
    IoShared,
    MemoryExclusive,
    MemoryShared,
    NewMapping, //
};
use crate::{
    bindings,
    compat::{
        int_result,
        long_result,
        RwSemaphore, //
    },
    vfio::{
        RegionInfo,
        Transfer, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::{
        align_of,
        offset_of,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::{
    bindings::rw_semaphore,
    device::Core,
    error::{
        from_err_ptr,
        to_result, //
    },
    pci,
    prelude::*, //
};

/// The state of an open device, and what is done differently from vfio-pci.
///
/// Unless said otherwise an operation may sleep, and may run at the same time as any other one of
/// the same device, in other threads. The defaults do what vfio-pci does.
pub(crate) trait Operations: Sized + Send + Sync + 'static {
    /// The data that vfio-pci-core's memory lock protects while the device is open; see
    /// [`MemoryShared`].
    type Locked: Default + Send + Sync;

    /// How a BAR is mapped for the kernel that was taken from vfio-pci-core; see
    /// [`IoExclusive::take`].
    type BarMaps: Send + Sync;

    /// Makes the state of a device that is being opened. Nothing else runs on it yet.
    fn open_device(core: &CoreDevice) -> Result<Self>;

    /// Completes the opening of a device. Nothing else runs on it yet. After an error it is closed.
    fn opened(&self, _device: &OpenDevice<Self>) -> Result {
        Ok(())
    }

    /// Handles an ioctl other than those of VFIO itself.
    fn ioctl(&self, device: &OpenDevice<Self>, cmd: u32, arg: usize) -> Result<c_long> {
        device.core_ioctl(cmd, arg)
    }

    /// Describes a region.
    fn get_region_info(&self, device: &OpenDevice<Self>, info: &mut RegionInfo<'_>) -> Result {
        device.core_get_region_info(info)
    }

    /// Handles read() and write().
    fn transfer(&self, device: &OpenDevice<Self>, transfer: &mut Transfer<'_>) -> Result<usize> {
        device.core_transfer(transfer)
    }

    /// Handles mmap(). The mmap lock is held for writing.
    fn mmap(&self, device: &OpenDevice<Self>, mapping: NewMapping<'_, Self>) -> Result;

    /// Called when a VMA starts mapping the device file from `offset`: by mmap(), or as a copy or a
    /// part of another VMA. Must not sleep on anything that mmap() does not.
    fn mapped(&self, _device: &OpenDevice<Self>, _offset: u64) {}

    /// Called when a VMA stops mapping the device file from `offset`, after its page-table entries were
    /// removed.
    fn unmapped(&self, _device: &OpenDevice<Self>, _offset: u64) {}

    /// Handles the touch of a page that has no page-table entry. The mmap lock or the VMA's own is
    /// held for reading.
    fn fault(&self, device: &OpenDevice<Self>, fault: &Fault<'_, Self>) -> FaultOutcome;
}

/// A VFIO device whose state while it is open is a `T`.
///
/// VFIO allocates it, counts the references to it and frees it.
///
/// # Invariants
///
/// - `core` is at offset 0, where VFIO expects it.
/// - `open` is initialised from the first open to the last close.
#[repr(C)]
pub(crate) struct Device<T: Operations> {
    pub(super) core: CoreDevice,
    pub(super) gate: Gate,
    pub(super) holders: RwSemaphore<Holders<T::BarMaps>>,
    pub(super) open: UnsafeCell<MaybeUninit<Opened<T>>>,
}

/// What a [`Device`] has while it is open.
pub(super) struct Opened<T: Operations> {
    pub(super) bars: Bars,
    /// The core's, which only C can find.
    pub(super) memory_lock: *mut rw_semaphore,
    /// Accessed by those who hold the memory lock.
    pub(super) locked: UnsafeCell<T::Locked>,
    pub(super) data: T,
}

/// A [`Device`] between its first open and its last close.
#[repr(transparent)]
pub(crate) struct OpenDevice<T: Operations>(Device<T>);

impl<T: Operations> Device<T> {
    /// Allocates a device for `pdev`, which is being bound to the driver `D`.
    pub(super) fn new<D: Driver<Device = T>>(
        pdev: &pci::Device<Core<'_>>,
    ) -> Result<NonNull<CoreDevice>> {
        const { assert!(offset_of!(Self, core) == 0) };
        // kvzalloc() aligns like kmalloc() does.
        const { assert!(align_of::<Self>() <= align_of::<u64>()) };
        let dev = dev(core::ptr::from_ref(pdev).cast_mut().cast());
        // SAFETY: `dev` is valid. The operations are those of the structure whose size is given,
        // and `init` initialises that structure; VFIO's device is at its start.
        let vdev =
            unsafe { bindings::_vfio_alloc_device(size_of::<Self>(), dev, &DeviceOps::<D>::TABLE) };
        let vdev = from_err_ptr(vdev)?;
        NonNull::new(vdev.cast()).ok_or(ENOMEM)
    }

    /// Borrows the device that an operation is called for.
    ///
    /// # Safety
    ///
    /// `vdev` points to a `Device<T>`, which is open as long as the result lives.
    pub(super) unsafe fn open_from_raw<'a>(vdev: *mut bindings::vfio_device) -> &'a OpenDevice<T> {
        // SAFETY: VFIO's device is at the start of ours, and `OpenDevice` is the same in memory.
        unsafe { &*vdev.cast() }
    }
}

impl<T: Operations> OpenDevice<T> {
    /// Returns vfio-pci-core's part.
    pub(crate) fn core(&self) -> &CoreDevice {
        &self.0.core
    }

    fn opened(&self) -> &Opened<T> {
        // SAFETY: `Device`'s invariant: it is initialised as long as the device is open, and shared
        // only.
        let opened = unsafe { &*self.0.open.get() };
        // SAFETY: As above.
        unsafe { opened.assume_init_ref() }
    }

    /// Returns the driver's part.
    pub(crate) fn data(&self) -> &T {
        &self.opened().data
    }

    /// Returns BAR `index`, or `None` if the device does not implement it.
    pub(crate) fn bar(&self, index: usize) -> Option<Bar<'_>> {
        self.opened().bars.get(self.core(), index)
    }

    /// Returns how many bytes from `offset` of the device file there are to the end of the BAR in whose
    /// window that is, or 0 if it is not in a BAR.
    pub(super) fn rest_of_bar(&self, offset: u64) -> u64 {
        let index = usize::try_from(offset >> bindings::VFIO_PCI_OFFSET_SHIFT).unwrap_or(BARS);
        let at = offset & (1_u64 << bindings::VFIO_PCI_OFFSET_SHIFT).wrapping_sub(1);
        self.bar(index)
            .map_or(0, |bar| bar.len().saturating_sub(at))
    }

    /// Returns what keeps userspace from the BARs while somebody other than VFIO resets the device.
    pub(super) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Returns vfio-pci-core's memory lock, which is initialised.
    pub(super) fn memory_lock(&self) -> *mut rw_semaphore {
        self.opened().memory_lock
    }

    /// Returns what the memory lock protects; which references can be made is for the guards to say.
    pub(super) fn locked(&self) -> *mut T::Locked {
        self.opened().locked.get()
    }

    /// Holds vfio-pci-core's memory lock for reading, until the guard goes.
    ///
    /// The calling thread must not hold it already. User memory must not be touched under it.
    pub(crate) fn memory_shared(&self) -> MemoryShared<'_, T> {
        MemoryShared::new(self)
    }

    /// Holds vfio-pci-core's memory lock for writing, until the guard goes.
    ///
    /// The calling thread must not hold it already. User memory must not be touched under it.
    pub(crate) fn memory_exclusive(&self) -> MemoryExclusive<'_, T> {
        MemoryExclusive::new(self)
    }

    /// Keeps the kernel's mappings of the BARs as they are, until the guard goes; a fatal signal
    /// ends the wait with [`EINTR`].
    pub(crate) fn io_shared(&self) -> Result<IoShared<'_, T>> {
        Ok(IoShared::new(self, self.0.holders.read_killable()?))
    }

    /// Lets the kernel's mappings of the BARs be changed, until the guard goes; a fatal signal ends
    /// the wait with [`EINTR`].
    pub(crate) fn io_exclusive(&self) -> Result<IoExclusive<'_, T>> {
        Ok(IoExclusive::new(self, self.0.holders.write_killable()?))
    }

    /// Does as [`Self::io_exclusive`] if that is possible at once, for threads that hold locks which
    /// are taken inside of it.
    pub(crate) fn try_io_exclusive(&self) -> Option<IoExclusive<'_, T>> {
        Some(IoExclusive::new(self, self.0.holders.try_write()?))
    }

    /// Lets the core handle an ioctl, as vfio-pci would.
    pub(crate) fn core_ioctl(&self, cmd: u32, arg: usize) -> Result<c_long> {
        if cmd == bindings::VFIO_DEVICE_IOEVENTFD {
            return self.core_ioeventfd(arg);
        }
        // SAFETY: The device is open. Of all ioctls only the one above uses a mapping of a BAR.
        long_result(unsafe { bindings::vfio_pci_core_ioctl(self.core().as_vdev(), cmd, arg) })
    }

    /// Lets the core make or end an ioeventfd.
    #[inline(never)]
    fn core_ioeventfd(&self, arg: usize) -> Result<c_long> {
        let io = self.io_shared()?;
        io.core_ioctl(bindings::VFIO_DEVICE_IOEVENTFD, arg)
    }

    /// Lets the core do a transfer at the place that it is for, as vfio-pci would.
    pub(crate) fn core_transfer(&self, transfer: &mut Transfer<'_>) -> Result<usize> {
        let offset = transfer.file_offset()?;
        let all = transfer.remaining();
        let region = offset >> bindings::VFIO_PCI_OFFSET_SHIFT;
        if region < BARS as u64 {
            return self.io_shared()?.core_transfer(offset, all, transfer);
        }
        // Configuration space has a lock for this.
        if region != u64::from(bindings::VFIO_PCI_CONFIG_REGION_INDEX) {
            self.gate().pass()?;
        }
        // SAFETY: The offset is in no BAR. The core's mappings of these are all that is not its
        // own; the ROM and VGA it maps anew each time.
        unsafe { self.core().transfer(transfer, offset, all) }
    }

    /// Lets the core handle a device feature, as vfio-pci would.
    pub(super) fn core_feature(&self, flags: u32, arg: *mut c_void, size: usize) -> Result<c_int> {
        if flags & bindings::VFIO_DEVICE_FEATURE_MASK == bindings::VFIO_DEVICE_FEATURE_DMA_BUF {
            return self.core_dma_buf(flags, arg, size);
        }
        // SAFETY: The device is open, and the user structure is used as such. Of all features only
        // the one above looks at the mapping of a BAR.
        let ret = unsafe {
            bindings::vfio_pci_core_ioctl_feature(self.core().as_vdev(), flags, arg, size)
        };
        int_result(ret)
    }

    /// Lets the core export a BAR as a dma-buf.
    #[inline(never)]
    fn core_dma_buf(&self, flags: u32, arg: *mut c_void, size: usize) -> Result<c_int> {
        let io = self.io_shared()?;
        if !io.any_taken() {
            return io.core_dma_buf(flags, arg, size);
        }
        drop(io);
        // This one looks again which BARs are taken.
        self.io_exclusive()?.core_dma_buf(flags, arg, size)
    }

    /// Lets the core describe a region, as vfio-pci would.
    pub(crate) fn core_get_region_info(&self, info: &mut RegionInfo<'_>) -> Result {
        let caps = info.caps_ptr();
        // SAFETY: The device is open, and both pointers are to what VFIO passed.
        to_result(unsafe {
            bindings::vfio_pci_ioctl_get_region_info(self.core().as_vdev(), info.as_ptr(), caps)
        })
    }
}
