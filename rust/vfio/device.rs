// SPDX-License-Identifier: GPL-2.0

//! Devices and the operations of their driver.

use super::{
    info::RegionInfo,
    ops::DeviceOps,
    pci::{
        Bar,
        Bars,
        CoreDevice,
        Fault,
        FaultOutcome,
        Gate,
        Holders,
        IdTable,
        IoExclusive,
        IoShared,
        MemoryExclusive,
        MemoryShared,
        NewMapping,
        Settings,
        BARS, //
    },
    RwSemaphore, //
};
use crate::bindings;
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
    bindings::{
        pci_dev,
        rw_semaphore, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    pci,
    prelude::*,
    str::CStr,
    uaccess::UserPtr, //
};

/// What a variant driver of vfio-pci does in its own way.
///
/// Unless said otherwise an operation may sleep, and may run at the same time as any other one of
/// the same device, in other threads.
pub(crate) trait Operations: Sized + 'static {
    /// The name of the driver; a PF's VFs are offered to the driver of this name.
    const NAME: &'static CStr;

    /// What the driver keeps while the device is open.
    type OpenData: Send + Sync;

    /// What the driver keeps under vfio-pci-core's memory lock while the device is open; see
    /// [`MemoryShared`].
    type Locked: Default + Send + Sync;

    /// What the driver keeps of a BAR that it has taken from the core; see [`super::pci::IoMap`].
    type BarMaps: Send + Sync;

    /// Returns which devices the driver may have; whatever this is, one whose `driver_override` names
    /// the driver is bound to it.
    fn id_table() -> IdTable;

    /// Decides whether a device is taken that is being bound; an error refuses it.
    fn probe(pdev: &pci::Device) -> Result;

    /// Returns what of vfio-pci-core's doing is switched off for a device that is being bound.
    fn settings() -> Settings;

    /// Returns whether virtual functions may be enabled on a device that this driver has.
    fn allows_sriov() -> bool;

    /// Makes the data for a device that is being opened. Nothing else runs on it yet.
    fn open(core: &CoreDevice) -> Result<Self::OpenData>;

    /// Completes the opening of a device. Nothing else runs on it yet. After an error it is closed.
    fn opened(device: &OpenDevice<Self>) -> Result;

    /// Handles an ioctl other than those of VFIO itself; [`OpenDevice::core_ioctl`] is what
    /// vfio-pci does.
    fn ioctl(device: &OpenDevice<Self>, cmd: u32, arg: usize) -> Result<c_long>;

    /// Describes a region; [`OpenDevice::core_region_info`] is what vfio-pci does.
    fn region_info(device: &OpenDevice<Self>, info: &mut RegionInfo<'_>) -> Result;

    /// Handles read() and write(); [`OpenDevice::core_transfer`] is what vfio-pci does.
    fn transfer(device: &OpenDevice<Self>, transfer: &mut Transfer<'_>) -> Result<usize>;

    /// Handles mmap(). The mmap lock is held for writing.
    fn mmap(device: &OpenDevice<Self>, mapping: NewMapping<'_, Self>) -> Result;

    /// Takes note of one more VMA, which maps the device file from `offset` on: by mmap(), or as a
    /// copy or a part of another. Must not sleep on anything that mmap() does not.
    fn mapped(device: &OpenDevice<Self>, offset: u64);

    /// Takes note that one VMA less maps the device file from `offset` on. Its entries are gone.
    fn unmapped(device: &OpenDevice<Self>, offset: u64);

    /// Handles the touch of a page that has no page-table entry. The mmap lock or the VMA's own is
    /// held for reading.
    fn fault(device: &OpenDevice<Self>, fault: &Fault<'_, Self>) -> FaultOutcome;
}

/// A VFIO device of the driver `T`.
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
    pub(super) data: T::OpenData,
}

/// A [`Device`] between its first open and its last close.
#[repr(transparent)]
pub(crate) struct OpenDevice<T: Operations>(Device<T>);

impl<T: Operations> Device<T> {
    /// Allocates a device for `pdev`.
    ///
    /// # Safety
    ///
    /// `pdev` is a valid PCI device that is being bound to the driver `T`.
    pub(super) unsafe fn alloc(pdev: *mut pci_dev) -> Result<NonNull<CoreDevice>> {
        const { assert!(offset_of!(Self, core) == 0) };
        // kvzalloc() aligns like kmalloc() does.
        const { assert!(align_of::<Self>() <= align_of::<u64>()) };
        // SAFETY: `pdev` is valid.
        let dev = unsafe { bindings::vfio_rs_dev(pdev) };
        // SAFETY: `dev` is valid. The operations are those of the structure whose size is given,
        // and `init` initialises that structure; VFIO's device is at its start.
        let vdev =
            unsafe { bindings::_vfio_alloc_device(size_of::<Self>(), dev, &DeviceOps::<T>::TABLE) };
        let vdev = from_err_ptr(vdev)?;
        NonNull::new(vdev.cast()).ok_or(ENOMEM)
    }

    /// Borrows the device that an operation is called for.
    ///
    /// # Safety
    ///
    /// `vdev` points to a device of the driver `T`, which is open as long as the result lives.
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
    pub(crate) fn data(&self) -> &T::OpenData {
        &self.opened().data
    }

    /// Returns BAR `index`, if the device has such a one.
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
        unsafe { transfer.by_core(self.core(), offset, all) }
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
    pub(crate) fn core_region_info(&self, info: &mut RegionInfo<'_>) -> Result {
        let caps = info.caps_ptr();
        // SAFETY: The device is open, and both pointers are to what VFIO passed.
        to_result(unsafe {
            bindings::vfio_pci_ioctl_get_region_info(self.core().as_vdev(), info.as_ptr(), caps)
        })
    }
}

/// Turns what a C function returned, a count or a negative errno, into a result.
pub(super) fn long_result(ret: c_long) -> Result<c_long> {
    match i32::try_from(ret) {
        Ok(errno) if errno < 0 => Err(Error::from_errno(errno)),
        _ => Ok(ret),
    }
}

/// Turns what a C function returned, a number or a negative errno, into a result.
pub(super) fn int_result(ret: c_int) -> Result<c_int> {
    if ret < 0 {
        return Err(Error::from_errno(ret));
    }
    Ok(ret)
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the device to userspace.
    Read,
    /// From userspace to the device.
    Write,
}

/// A read() or write() in progress.
pub(crate) struct Transfer<'a> {
    buffer: UserPtr,
    remaining: usize,
    offset: &'a mut i64,
    direction: Direction,
}

impl<'a> Transfer<'a> {
    /// Begins a transfer of `count` bytes.
    pub(super) fn new(
        buffer: UserPtr,
        count: usize,
        offset: &'a mut i64,
        direction: Direction,
    ) -> Self {
        Self {
            buffer,
            remaining: count,
            offset,
            direction,
        }
    }

    /// Returns the offset in the device file of the next byte.
    pub(crate) fn file_offset(&self) -> Result<u64> {
        Ok(u64::try_from(*self.offset)?)
    }

    /// Returns how many bytes are still to be transferred.
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }

    /// Returns whether bytes go to the device.
    pub(super) fn is_write(&self) -> bool {
        self.direction == Direction::Write
    }

    /// Returns the user buffer for the next byte.
    pub(super) fn buffer(&self) -> *mut c_char {
        self.buffer.as_mut_ptr().cast()
    }

    /// Lets the core transfer at most `limit` bytes at `offset` of the device file, and returns how
    /// many were.
    ///
    /// # Safety
    ///
    /// `core` is of an open device. If `offset` is in a BAR, the core's mappings of the BARs are
    /// kept as they are.
    pub(super) unsafe fn by_core(
        &mut self,
        core: &CoreDevice,
        offset: u64,
        limit: usize,
    ) -> Result<usize> {
        let vdev = core.as_vdev();
        let count = limit.min(self.remaining);
        let mut offset = i64::try_from(offset)?;
        let done = if self.is_write() {
            // SAFETY: The caller's obligations; the user buffer is copied from as such.
            unsafe { bindings::vfio_pci_core_write(vdev, self.buffer(), count, &raw mut offset) }
        } else {
            // SAFETY: The caller's obligations; the user buffer is copied to as such.
            unsafe { bindings::vfio_pci_core_read(vdev, self.buffer(), count, &raw mut offset) }
        };
        self.advance(done)
    }

    /// Takes note of what a C function did: a count of bytes transferred, or a negative errno.
    pub(super) fn advance(&mut self, done: isize) -> Result<usize> {
        // CAST: `c_long` and `isize` are the same type in the kernel.
        let done = usize::try_from(long_result(done as c_long)?)?;
        self.buffer = self.buffer.wrapping_byte_add(done);
        self.remaining = self.remaining.saturating_sub(done);
        *self.offset = self.offset.saturating_add_unsigned(done as u64);
        Ok(done)
    }
}
