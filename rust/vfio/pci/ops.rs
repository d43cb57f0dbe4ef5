// SPDX-License-Identifier: GPL-2.0-only

//! The operations that VFIO calls, implemented by those of the driver.

use super::{
    bar::Bars,
    bar_owners::BarOwners,
    debugfs::Opener,
    device::Opened,
    ioeventfd::Ioeventfds,
    memory,
    reset::Gate,
    CoreDevice,
    Device,
    Driver,
    NewMapping,
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::{
        raw_init,
        RwSemaphore, //
    },
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
    sync::Mutex,
    uaccess::UserPtr, //
};

/// The `struct vfio_device_ops` of a driver.
///
/// # Safety
///
/// Only VFIO may call the functions, with a device that [`Device::alloc`] allocates. VFIO calls
/// `init` during the allocation, and `release` when the last reference is gone. It calls
/// `open_device` at the first open and `close_device` at the last close, with the lock of the
/// device set held. It calls all others while the device is open.
pub(super) struct DeviceOps<D: Driver>(PhantomData<D>);

impl<D: Driver> DeviceOps<D> {
    /// The table for VFIO.
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
        // SAFETY: VFIO has allocated memory for a whole `Device<D::Device>`.
        let owners = unsafe { &raw mut (*device).owners };
        let init = RwSemaphore::new(BarOwners::new(), c"vfio_bar_maps", static_lock_class!());
        // SAFETY: `owners` is the uninitialised memory of the field, and VFIO never moves the
        // device.
        unsafe { raw_init(owners, init) };
        // SAFETY: VFIO has allocated memory for a whole `Device<D::Device>`.
        let gate = unsafe { &raw mut (*device).gate };
        // SAFETY: As for `owners`.
        unsafe { raw_init(gate, Gate::new()) };
        // SAFETY: VFIO has allocated memory for a whole `Device<D::Device>`.
        let ioeventfds = unsafe { &raw mut (*device).ioeventfds };
        let init = Mutex::new(
            Ioeventfds::default(),
            c"vfio_ioeventfds",
            static_lock_class!(),
        );
        // SAFETY: As for `owners`.
        unsafe { raw_init(ioeventfds, init) };
        // SAFETY: VFIO has allocated memory for a whole `Device<D::Device>`.
        let exports = unsafe { &raw mut (*device).exports };
        let init = Mutex::new(None, c"vfio_device_exports", static_lock_class!());
        // SAFETY: As for `owners`.
        unsafe { raw_init(exports, init) };
        // SAFETY: VFIO has allocated memory for a whole `Device<D::Device>`.
        let opener = unsafe { &raw mut (*device).opener };
        let init = RwSemaphore::new(None, c"vfio_opener", static_lock_class!());
        // SAFETY: As for `owners`.
        unsafe { raw_init(opener, init) };
        // SAFETY: VFIO has allocated memory for a whole `Device<D::Device>`.
        let debug = unsafe { &raw mut (*device).debug };
        let init = Mutex::new(None, c"vfio_debugfs", static_lock_class!());
        // SAFETY: As for `owners`.
        unsafe { raw_init(debug, init) };
        // SAFETY: The core device is the first field, and `vfio_pci_core_init_dev()` has not been
        // called on it.
        unsafe { D::settings().apply(vdev.cast()) };
        // SAFETY: `vdev` is the device that VFIO is allocating. If this fails, VFIO frees the
        // memory. No field that is initialised above needs a drop: each is a lock, a condition
        // variable, an array without mappings, an empty vector or `None`.
        let result = unsafe { bindings::vfio_pci_core_init_dev(vdev) };
        if result == 0 {
            // SAFETY: `vdev` is an initialised core device, and its PCI device is being bound.
            let pdev = unsafe { &*vdev.cast::<CoreDevice>() }.pdev();
            // INVARIANT: `release` gives up this reference.
            // SAFETY: The PCI device is being bound.
            unsafe { kernel::bindings::pci_dev_get(pdev) };
        }
        result
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn release(vdev: *mut bindings::vfio_device) {
        // SAFETY: `init` succeeded for `vdev`, and VFIO frees it after this call.
        let pdev = unsafe { &*vdev.cast::<CoreDevice>() }.pdev();
        // SAFETY: `init` succeeded for `vdev`, and no reference to it is left. `close_device` has
        // dropped the driver's mappings, ioeventfds and exports, and the driver's remove callback
        // the file in debugfs, so no field of the driver's needs a drop.
        unsafe { bindings::vfio_pci_core_release_dev(vdev) };
        // SAFETY: This is the reference that `init` took, and nobody uses the core device any more.
        unsafe { kernel::bindings::pci_dev_put(pdev) };
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn open_device(vdev: *mut bindings::vfio_device) -> c_int {
        let device: *mut Device<D::Device> = vdev.cast();
        // SAFETY: `core` is the first field of the device and is initialised.
        let core = unsafe { &(*device).core };
        // SAFETY: `init` has initialised the field.
        unsafe { &(*device).gate }.forget_failure();
        from_result(|| {
            // SAFETY: VFIO holds the lock of the device set, and the device is closed.
            to_result(unsafe { bindings::vfio_pci_core_enable(core.as_ptr()) })?;
            let data = D::Device::open_device(core).inspect_err(|_| {
                // SAFETY: The core is enabled, and no other code has used it since.
                unsafe { bindings::vfio_pci_core_disable(core.as_ptr()) };
            })?;
            // SAFETY: The core is enabled.
            unsafe { bindings::vfio_pci_core_finish_enable(core.as_ptr()) };
            let opened = Opened {
                // SAFETY: `vfio_pci_core_finish_enable()` has been called, and no other thread uses
                // the device before it is open.
                bars: unsafe { Bars::new(core) },
                memory_lock: core.memory_lock(),
                pdev: core.pdev(),
                locked: UnsafeCell::new(Default::default()),
                data,
            };
            // SAFETY: `device` is valid, and this only computes the address of a field.
            let open = unsafe { &raw const (*device).open };
            // SAFETY: The device is closed, so the field is not initialised and no other code uses
            // it.
            unsafe { UnsafeCell::raw_get(open).write(MaybeUninit::new(opened)) };
            // SAFETY: All fields are initialised, and remain so until `close_device`.
            let opened = unsafe { Device::<D::Device>::open_from_raw(vdev) };
            // SAFETY: `init` has initialised the field.
            let opener = unsafe { &(*device).opener };
            // INVARIANT: The device is open.
            *opener.write() = Some(Opener::current());
            opened.data().opened(opened).inspect_err(|_| {
                // SAFETY: VFIO holds the lock of the device set, and no other operation has run on
                // the device.
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
        // SAFETY: VFIO passes a valid device.
        let device = unsafe { &*device };
        // Afterwards no thread makes a description of the device.
        *device.opener.write() = None;
        let exports = device.exports.lock().clone();
        if let Some(exports) = exports {
            // Exports can outlive the device file. Afterwards their mappings have no entries and
            // get none, and no call uses the device.
            exports.revoke();
            memory::zap_bars(&device.core);
            // Not earlier: a call that uses an export could have set the field again.
            *device.exports.lock() = None;
        }
        // The ioeventfds that are left end here, while the device is still open. The drop waits for
        // their writes.
        device.ioeventfds.lock().clear();
        // SAFETY: The last file of the device has been closed, so no mapping of it is left, and no
        // entry of a mapping of an export. `vfio_pci_core_close_device()`, which disables the core,
        // follows.
        let owned = unsafe { device.owners.write().close() };
        let open: *mut Opened<D::Device> = device.open.get().cast();
        // SAFETY: `open_device` initialised the field, and no operation runs any more.
        unsafe { core::ptr::drop_in_place(open) };
        // SAFETY: The core is enabled, and VFIO holds the lock of the device set.
        unsafe { bindings::vfio_pci_core_close_device(vdev) };
        if owned != 0 {
            // SAFETY: The PCI device is valid. The core or `reserve_for_driver` reserved these BARs
            // when the device was opened. The core has not released them, because it found no
            // mapping of them. The lock of the device set prevents a new open.
            unsafe { kernel::bindings::pci_release_selected_regions(device.core.pdev(), owned) };
        }
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
        // SAFETY: The caller guarantees the conditions of `transfer`, and VFIO passes a valid
        // `offset`.
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
        // SAFETY: The caller guarantees the conditions of `transfer`, and VFIO passes a valid
        // `offset`.
        unsafe { Self::transfer(vdev, buffer.cast_mut(), count, offset, Direction::Write) }
    }

    /// # Safety
    ///
    /// See [`DeviceOps`]. `offset` must point to an offset that no other code accesses during the
    /// call.
    unsafe fn transfer(
        vdev: *mut bindings::vfio_device,
        buffer: *mut c_char,
        count: usize,
        offset: *mut i64,
        direction: Direction,
    ) -> isize {
        // SAFETY: VFIO keeps the device open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        // SAFETY: `offset` is valid and not shared during the call, as the caller guarantees.
        let offset = unsafe { &mut *offset };
        if count == 0 {
            return 0;
        }
        let transfer = Transfer::new(UserPtr::from_ptr(buffer.cast()), count, offset, direction);
        match device.data().transfer(device, transfer) {
            // CAST: The number is at most `count`, which the VFS limits to less than `isize::MAX`.
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
        // SAFETY: VFIO keeps the device open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        device.data().ioctl(device, cmd, arg).into_raw()
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn get_region_info_caps(
        vdev: *mut bindings::vfio_device,
        info: *mut bindings::vfio_region_info,
        caps: *mut bindings::vfio_info_cap,
    ) -> c_int {
        // SAFETY: VFIO keeps the device open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        // SAFETY: VFIO passes a valid structure.
        let index = unsafe { (*info).index };
        if index == bindings::VFIO_PCI_ROM_REGION_INDEX {
            // The core turns memory on to look at the ROM.
            device.gate().let_reset_end();
        }
        if device.data().core_describes(index) {
            // SAFETY: The device is open, and the other pointers are those that VFIO passes.
            return unsafe { bindings::vfio_pci_ioctl_get_region_info(vdev, info, caps) };
        }
        // SAFETY: VFIO passes both pointers.
        unsafe { Self::region_info(device, info, caps) }
    }

    /// Lets the driver describe a region.
    ///
    /// # Safety
    ///
    /// `info` and `caps` must be those of a call of `get_region_info_caps` for `device`.
    #[inline(never)]
    unsafe fn region_info(
        device: &OpenDevice<D::Device>,
        info: *mut bindings::vfio_region_info,
        caps: *mut bindings::vfio_info_cap,
    ) -> c_int {
        // SAFETY: VFIO passes a structure that no other code accesses during the call.
        let info = unsafe { &mut *info };
        // SAFETY: As above.
        let caps = unsafe { &mut *caps };
        // SAFETY: VFIO passes an empty list, to which no function has added a capability yet.
        let caps = unsafe { InfoCap::new(caps) };
        from_result(|| {
            let mut info = RegionInfo::new(info, caps);
            device.data().get_region_info(device, &mut info)?;
            info.finish()?;
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
        // SAFETY: VFIO keeps the device open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        from_result(|| device.core_feature(flags, arg, size))
    }

    /// # Safety
    ///
    /// See [`DeviceOps`].
    unsafe extern "C" fn mmap(vdev: *mut bindings::vfio_device, vma: *mut vm_area_struct) -> c_int {
        // SAFETY: VFIO keeps the device open during the call.
        let device = unsafe { Device::<D::Device>::open_from_raw(vdev) };
        let Some(vma) = NonNull::new(vma) else {
            return EINVAL.to_errno();
        };
        from_result(|| {
            // SAFETY: VFIO passes a VMA that mmap() is setting up for a file of this device, with
            // the mmap lock held for writing.
            let mapping = unsafe { NewMapping::from_raw(device, vma) }?;
            device.data().mmap(device, mapping)?.complete();
            Ok(0)
        })
    }
}
