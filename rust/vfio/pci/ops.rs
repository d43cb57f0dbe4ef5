// SPDX-License-Identifier: GPL-2.0

//! The operations of a driver as VFIO calls them.

use super::{
    bar::Bars,
    device::Opened,
    holders::Holders,
    reset::Gate,
    Device,
    Driver,
    NewMapping,
    Operations, //
};
use crate::{
    bindings,
    compat::RwSemaphore,
    vfio::{
        info::{
            InfoCap,
            RegionInfo, //
        },
        transfer::{
            Direction,
            Transfer, //
        }, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    bindings::vm_area_struct,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    static_lock_class,
    uaccess::UserPtr, //
};

/// The `struct vfio_device_ops` of a driver.
///
/// # Safety
///
/// The functions are for VFIO to call, with a device that [`Device::new`] allocated: `init` while
/// it is being allocated, `release` when nobody has it any more, `open_device` and `close_device` at
/// its first open and last close under the lock of the device set, and all others while it is open.
pub(super) struct DeviceOps<D: Driver>(PhantomData<D>);

impl<D: Driver> DeviceOps<D> {
    /// The table.
    pub(super) const TABLE: bindings::vfio_device_ops = bindings::vfio_device_ops {
        name: kernel::str::as_char_ptr_in_const_context(D::NAME).cast_mut(),
        init: Some(Self::init),
        release: Some(Self::release),
        open_device: Some(Self::open_device),
        close_device: Some(Self::close_device),
        read: Some(Self::read),
        write: Some(Self::write),
        ioctl: Some(Self::ioctl),
        get_region_info_caps: Some(Self::get_region_info_caps),
        mmap: Some(Self::mmap),
        request: Some(bindings::vfio_pci_core_request),
        match_: Some(bindings::vfio_pci_core_match),
        match_token_uuid: Some(bindings::vfio_pci_core_match_token_uuid),
        device_feature: Some(Self::device_feature),
        #[cfg(CONFIG_IOMMUFD)]
        bind_iommufd: Some(bindings::vfio_iommufd_physical_bind),
        #[cfg(CONFIG_IOMMUFD)]
        unbind_iommufd: Some(bindings::vfio_iommufd_physical_unbind),
        #[cfg(CONFIG_IOMMUFD)]
        attach_ioas: Some(bindings::vfio_iommufd_physical_attach_ioas),
        #[cfg(CONFIG_IOMMUFD)]
        detach_ioas: Some(bindings::vfio_iommufd_physical_detach_ioas),
        #[cfg(CONFIG_IOMMUFD)]
        pasid_attach_ioas: Some(bindings::vfio_iommufd_physical_pasid_attach_ioas),
        #[cfg(CONFIG_IOMMUFD)]
        pasid_detach_ioas: Some(bindings::vfio_iommufd_physical_pasid_detach_ioas),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn init(vdev: *mut bindings::vfio_device) -> c_int {
        let device: *mut Device<D::Device> = vdev.cast();
        // SAFETY: VFIO allocated a whole `Device<D::Device>`.
        let holders = unsafe { &raw mut (*device).holders };
        let init = RwSemaphore::new(Holders::new(), c"vfio_bar_maps", static_lock_class!());
        // SAFETY: `holders` is memory for a field that is not initialised, and VFIO's device stays
        // where it is.
        unsafe { pin_init::raw_init(holders, init) };
        // SAFETY: VFIO allocated a whole `Device<D::Device>`.
        let gate = unsafe { &raw mut (*device).gate };
        // SAFETY: As for `holders`.
        unsafe { pin_init::raw_init(gate, Gate::new()) };
        // SAFETY: The core's device is at the start of ours, and is being initialised.
        unsafe { D::settings().apply(vdev.cast()) };
        // SAFETY: `vdev` is the device being initialised. When this fails VFIO frees the memory;
        // locks and an array of nothing need no dropping.
        unsafe { bindings::vfio_pci_core_init_dev(vdev) }
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn release(vdev: *mut bindings::vfio_device) {
        // SAFETY: `vdev` is a device that `init` succeeded on, and nobody has it any more. The BARs
        // were given up when it was closed, so there is nothing of ours to drop.
        unsafe { bindings::vfio_pci_core_release_dev(vdev) };
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn open_device(vdev: *mut bindings::vfio_device) -> c_int {
        let device: *mut Device<D::Device> = vdev.cast();
        // SAFETY: The field is at the start of the device, and is initialised.
        let core = unsafe { &(*device).core };
        // SAFETY: The field is initialised.
        unsafe { &(*device).gate }.forget_failure();
        from_result(|| {
            // SAFETY: VFIO holds the lock of the device set, and the device is closed.
            to_result(unsafe { bindings::vfio_pci_core_enable(core.as_ptr()) })?;
            let data = D::Device::open_device(core).inspect_err(|_| {
                // SAFETY: The core was enabled above, and not used since.
                unsafe { bindings::vfio_pci_core_disable(core.as_ptr()) };
            })?;
            // SAFETY: The core was enabled above.
            unsafe { bindings::vfio_pci_core_finish_enable(core.as_ptr()) };
            let opened = Opened {
                // SAFETY: That is done, and the device is not open yet.
                bars: unsafe { Bars::new(core) },
                memory_lock: core.memory_lock(),
                locked: UnsafeCell::new(Default::default()),
                data,
            };
            // SAFETY: The address of a field of a valid structure.
            let open = unsafe { &raw const (*device).open };
            // SAFETY: The device is closed, so this field is not initialised and not used.
            unsafe { UnsafeCell::raw_get(open).write(MaybeUninit::new(opened)) };
            // SAFETY: From here on it is as an open device is, and stays so until `close_device`.
            let opened = unsafe { Device::<D::Device>::open_from_raw(vdev) };
            opened.data().opened(opened).inspect_err(|_| {
                // SAFETY: VFIO holds the lock of the device set, and no other operation has run.
                unsafe { Self::close_device(vdev) };
            })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn close_device(vdev: *mut bindings::vfio_device) {
        let device: *mut Device<D::Device> = vdev.cast();
        // SAFETY: The device is a valid one.
        let device = unsafe { &*device };
        // SAFETY: The last file that had the device open is gone, and with it all mappings.
        let taken = unsafe { device.holders.write().close() };
        let open: *mut Opened<D::Device> = device.open.get().cast();
        // SAFETY: `open_device` initialised this, and no operation runs any more.
        unsafe { core::ptr::drop_in_place(open) };
        // SAFETY: The device is open to the core, and VFIO holds the lock of the device set.
        unsafe { bindings::vfio_pci_core_close_device(vdev) };
        // SAFETY: The PCI device is valid. The core reserved these BARs when the device was opened
        // and, finding no mapping, has not released them; the lock of the device set keeps the next
        // open away.
        unsafe { kernel::bindings::pci_release_selected_regions(device.core.pdev(), taken) };
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn read(
        vdev: *mut bindings::vfio_device,
        buffer: *mut c_char,
        count: usize,
        offset: *mut i64,
    ) -> isize {
        // SAFETY: The same obligations.
        unsafe { Self::transfer(vdev, buffer, count, offset, Direction::Read) }
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn write(
        vdev: *mut bindings::vfio_device,
        buffer: *const c_char,
        count: usize,
        offset: *mut i64,
    ) -> isize {
        // SAFETY: The same obligations.
        unsafe { Self::transfer(vdev, buffer.cast_mut(), count, offset, Direction::Write) }
    }

    /// # Safety
    ///
    /// See [`DeviceOps`]; `offset` points to an offset that is the callee's for the time.
    unsafe fn transfer(
        vdev: *mut bindings::vfio_device,
        buffer: *mut c_char,
        count: usize,
        offset: *mut i64,
        direction: Direction,
    ) -> isize {
        // SAFETY: The device is open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        // SAFETY: The caller says so.
        let offset = unsafe { &mut *offset };
        if count == 0 {
            return 0;
        }
        let mut transfer =
            Transfer::new(UserPtr::from_ptr(buffer.cast()), count, offset, direction);
        match device.data().transfer(device, &mut transfer) {
            // CAST: At most `count`, which the VFS keeps below `isize::MAX`.
            Ok(done) => done as isize,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn ioctl(
        vdev: *mut bindings::vfio_device,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: The device is open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        match device.data().ioctl(device, cmd, arg) {
            Ok(ret) => ret,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn get_region_info_caps(
        vdev: *mut bindings::vfio_device,
        info: *mut bindings::vfio_region_info,
        caps: *mut bindings::vfio_info_cap,
    ) -> c_int {
        // SAFETY: The device is open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        // SAFETY: VFIO passes a structure that is the callee's for the time.
        let info = unsafe { &mut *info };
        // SAFETY: As above.
        let caps = unsafe { &mut *caps };
        // SAFETY: VFIO passes an empty list.
        let caps = unsafe { InfoCap::new(caps) };
        from_result(|| {
            let mut info = RegionInfo::new(info, caps);
            device.data().get_region_info(device, &mut info)?;
            info.finish();
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn device_feature(
        vdev: *mut bindings::vfio_device,
        flags: u32,
        arg: *mut c_void,
        size: usize,
    ) -> c_int {
        // SAFETY: The device is open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        from_result(|| device.core_feature(flags, arg, size))
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn mmap(vdev: *mut bindings::vfio_device, vma: *mut vm_area_struct) -> c_int {
        // SAFETY: The device is open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        let Some(vma) = NonNull::new(vma) else {
            return EINVAL.to_errno();
        };
        // SAFETY: VFIO passes a VMA that is being set up for this device.
        let mapping = unsafe { NewMapping::from_raw(device, vma) };
        from_result(|| device.data().mmap(device, mapping).map(|()| 0))
    }
}
