// SPDX-License-Identifier: GPL-2.0-only

//! The PCI driver of VFIO PCI devices.

use super::{
    debugfs::Description,
    Device,
    DynamicId,
    IdTable,
    Operations,
    Settings, //
};
use crate::{
    bindings,
    compat::DebugDir, //
};
use core::{
    marker::PhantomData,
    mem::offset_of, //
};
use kernel::{
    bindings::{
        pci_channel_state_t,
        pci_dev,
        pci_device_id,
        pci_driver,
        pci_error_handlers,
        pci_ers_result_t, //
    },
    device::Core,
    error::{
        from_result,
        to_result, //
    },
    pci,
    prelude::*,
    str::CStr,
    types::Opaque, //
};

/// A driver of VFIO PCI devices: the devices that it binds, and the type of their state.
pub(crate) trait Driver: 'static {
    /// The name of the driver. The core sets it as the `driver_override` of the virtual functions
    /// of a device.
    const NAME: &'static CStr;

    /// The state of an open device, with its operations.
    type Device: Operations;

    /// Returns the ids of the devices that the driver may bind. The driver also binds every device
    /// whose `driver_override` names it.
    fn id_table() -> IdTable;

    /// Checks a device that is being bound. An error refuses the device.
    fn probe(pdev: &pci::Device<Core<'_>>) -> Result;

    /// Returns the core's features that are switched off for a device that is being bound.
    fn settings() -> Settings;

    /// Returns whether the administrator may enable virtual functions on devices of this driver.
    fn allows_sriov() -> bool;
}

/// A registration of the driver `D` with the PCI core, until it is dropped.
///
/// The registration sets `driver_managed_dma`, because VFIO manages DMA ownership for its groups.
///
/// kernel::pci::Adapter is not usable here. It has no `driver_managed_dma`, error handlers or
/// SR-IOV, and it stores its own data where vfio-pci-core must find its device.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<D: Driver> {
    // The fields are dropped in this order, after the driver has been unregistered.
    #[pin]
    driver: Opaque<pci_driver>,
    /// The directory in debugfs for the files of devices.
    _debug: DebugDir,
    _operations: PhantomData<D>,
}

// SAFETY: A shared reference only allows `add_id`, and `pci_add_dynid()` has locks of its own.
unsafe impl<D: Driver> Sync for Registration<D> {}

// SAFETY: Any thread may unregister a driver.
unsafe impl<D: Driver> Send for Registration<D> {}

impl<D: Driver> Registration<D> {
    /// Registers the driver.
    ///
    /// Fails with [`EBUSY`] if a driver with the same name exists. Fails with [`ENOMEM`] if the
    /// kernel has no memory.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _debug: DebugDir::new(D::NAME),
            driver <- Opaque::try_ffi_init(|driver: *mut pci_driver| {
                let table = pci_driver {
                    name: D::NAME.as_char_ptr(),
                    id_table: D::id_table().as_ptr(),
                    probe: Some(Callbacks::<D>::probe),
                    remove: Some(Callbacks::<D>::remove),
                    sriov_configure: Some(Callbacks::<D>::sriov_configure),
                    err_handler: &Callbacks::<D>::ERROR_HANDLERS,
                    driver_managed_dma: true,
                    ..pin_init::zeroed()
                };
                // SAFETY: `driver` is the memory of the field.
                unsafe { driver.write(table) };
                // SAFETY: The structure is complete. It does not move until it is unregistered,
                // because it is pinned.
                to_result(unsafe {
                    kernel::bindings::__pci_register_driver(
                        driver,
                        module.as_ptr(),
                        D::NAME.as_char_ptr(),
                    )
                })
            }),
            _operations: PhantomData,
        })
    }

    /// Adds an id to the driver, and binds all devices that have this id and no driver.
    ///
    /// Fails with [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn add_id(&self, id: &DynamicId) -> Result {
        // SAFETY: `new` has registered the driver, and it stays registered as long as `self`
        // exists.
        to_result(unsafe {
            kernel::bindings::pci_add_dynid(
                self.driver.get(),
                id.vendor,
                id.device,
                id.subvendor,
                id.subdevice,
                id.class,
                id.class_mask,
                0,
            )
        })
    }
}

#[pinned_drop]
impl<D: Driver> PinnedDrop for Registration<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `new` has registered the driver; otherwise initialisation would have failed and
        // `self` would not exist.
        unsafe { kernel::bindings::pci_unregister_driver(self.driver.get()) };
    }
}

/// The operations that vfio-pci-core needs from a driver besides those of VFIO: the export of a
/// dma-buf.
static PCI_OPS: bindings::vfio_pci_device_ops = bindings::vfio_pci_device_ops {
    #[cfg(CONFIG_VFIO_PCI_DMABUF)]
    get_dmabuf_phys: Some(bindings::vfio_pci_core_get_dmabuf_phys),
    #[cfg(not(CONFIG_VFIO_PCI_DMABUF))]
    get_dmabuf_phys: None,
};

/// The functions that the PCI core calls.
///
/// # Safety
///
/// Only the PCI core may call them, with a valid device whose lock it holds. It calls `probe` for a
/// device that is being bound to the driver, and all others for a bound device. After
/// `reset_prepare` the same thread calls `reset_done` before it releases the device's lock.
struct Callbacks<D: Driver>(PhantomData<D>);

impl<D: Driver> Callbacks<D> {
    /// The calls around resets and after errors of the device.
    const ERROR_HANDLERS: pci_error_handlers = pci_error_handlers {
        error_detected: Some(Self::error_detected),
        resume: Some(Self::resume),
        reset_prepare: Some(Self::reset_prepare),
        reset_done: Some(Self::reset_done),
        ..pin_init::zeroed()
    };

    /// Returns the device that `probe` stored in the PCI device.
    ///
    /// # Safety
    ///
    /// `pdev` must be bound to the driver as long as the result lives.
    unsafe fn device<'a>(pdev: *mut pci_dev) -> &'a Device<D::Device> {
        // SAFETY: A bound device is valid.
        let core = unsafe { Self::core(pdev) };
        // SAFETY: `probe` stored the address of a `Device<D::Device>`, whose first field is its
        // core device. `remove` gives up this reference only when the device is unbound.
        unsafe { &*core.cast() }
    }

    /// Returns the pointer that `probe` stored in the PCI device.
    ///
    /// # Safety
    ///
    /// `pdev` must be valid.
    unsafe fn core(pdev: *mut pci_dev) -> *mut bindings::vfio_pci_core_device {
        // SAFETY: The caller guarantees a valid device.
        unsafe { kernel::bindings::dev_get_drvdata(dev(pdev)) }.cast()
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn probe(pdev: *mut pci_dev, _id: *const pci_device_id) -> c_int {
        from_result(|| {
            // SAFETY: The PCI core passes a valid device and holds its lock. `pci::Device` is a
            // transparent wrapper of the structure.
            let device = unsafe { &*pdev.cast::<pci::Device<Core<'_>>>() };
            D::probe(device)?;
            let core = Device::<D::Device>::alloc::<D>(device)?;
            let core = core.as_ptr().cast::<bindings::vfio_pci_core_device>();
            // SAFETY: `Device::alloc` has allocated the core device for this PCI device.
            let registered = unsafe { Self::register(pdev, core) };
            if registered.is_err() {
                // SAFETY: The PCI device is valid, and no other driver uses its driver data.
                unsafe { kernel::bindings::dev_set_drvdata(dev(pdev), core::ptr::null_mut()) };
                // SAFETY: This releases the reference that `Device::alloc` returned.
                unsafe { bindings::vfio_rs_put_device(core) };
            }
            registered.map(|()| 0)
        })
    }

    /// Registers a new device with VFIO, and makes its file in debugfs.
    ///
    /// # Safety
    ///
    /// The PCI core must be calling `probe` for `pdev`, and [`Device::alloc`] must have allocated
    /// `core` for it.
    unsafe fn register(pdev: *mut pci_dev, core: *mut bindings::vfio_pci_core_device) -> Result {
        // vfio-pci-core requires that the driver data points to its device.
        // SAFETY: The PCI device is valid, and no other driver uses its driver data.
        unsafe { kernel::bindings::dev_set_drvdata(dev(pdev), core.cast()) };
        // SAFETY: The device is valid, as the caller guarantees.
        unsafe { bindings::vfio_rs_set_pci_ops(core, &PCI_OPS) };
        // SAFETY: The driver data is a device that `Device::alloc` has allocated and initialised.
        let device = unsafe { Self::device(pdev) };
        // The file is there before the device can be opened.
        // SAFETY: If this function fails, it drops the file here, and otherwise `remove` does:
        // before the caller or `remove` releases the reference of `Device::alloc`.
        let file = unsafe { Description::file(D::NAME, device) }?;
        // SAFETY: `Device::alloc` has allocated and initialised the core device, and the driver
        // data and the operations are set.
        to_result(unsafe { bindings::vfio_pci_core_register_device(core) })?;
        *device.debug.lock() = Some(file);
        Ok(())
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn remove(pdev: *mut pci_dev) {
        // SAFETY: The PCI core passes a valid device.
        let core = unsafe { Self::core(pdev) };
        // SAFETY: The PCI core passes a bound device.
        let device = unsafe { Self::device(pdev) };
        device.gate.abandon_recovery();
        // SAFETY: `probe` registered this device. The call waits until all files of the device are
        // closed.
        unsafe { bindings::vfio_pci_core_unregister_device(core) };
        // Until now the file shows which process keeps the device open.
        let file = device.debug.lock().take();
        drop(file);
        // SAFETY: The PCI device is valid.
        unsafe { kernel::bindings::dev_set_drvdata(dev(pdev), core::ptr::null_mut()) };
        // SAFETY: This releases the reference that `Device::alloc` returned in `probe`.
        unsafe { bindings::vfio_rs_put_device(core) };
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn sriov_configure(pdev: *mut pci_dev, vfs: c_int) -> c_int {
        if !D::allows_sriov() {
            return ENOENT.to_errno();
        }
        // SAFETY: The PCI core passes a valid device.
        let core = unsafe { Self::core(pdev) };
        // SAFETY: The device is bound, so `probe` registered it in its driver data.
        unsafe { bindings::vfio_pci_core_sriov_configure(core, vfs) }
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn reset_prepare(pdev: *mut pci_dev) {
        // SAFETY: The PCI core passes a bound device.
        let device = unsafe { Self::device(pdev) };
        device.gate.reset_prepare(&device.core);
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn reset_done(pdev: *mut pci_dev) {
        // SAFETY: The PCI core passes a bound device.
        let device = unsafe { Self::device(pdev) };
        // SAFETY: The PCI core called `reset_prepare` on this thread for the same device, and has
        // held the device's lock since.
        unsafe { device.gate.reset_done(&device.core) };
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn error_detected(
        pdev: *mut pci_dev,
        state: pci_channel_state_t,
    ) -> pci_ers_result_t {
        // SAFETY: The PCI core passes a bound device.
        let device = unsafe { Self::device(pdev) };
        // SAFETY: As above.
        let recovers = unsafe { Self::recovers(pdev, state) };
        if state == kernel::bindings::pci_channel_io_perm_failure {
            device.gate.recovery_fails(&device.core);
        } else if recovers {
            device.gate.recovery_begins(&device.core);
        }
        // SAFETY: The PCI core passes a bound device, so `probe` registered the device in its
        // driver data.
        unsafe { bindings::vfio_pci_core_aer_err_detected(pdev, state) }
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn resume(pdev: *mut pci_dev) {
        // SAFETY: The PCI core passes a bound device.
        let device = unsafe { Self::device(pdev) };
        device.gate.recovery_ends();
    }

    /// Returns whether a call of `resume` or a report of a failure follows the error `state`.
    ///
    /// This is so if `pcie_do_recovery()` reports the error. `cxl_rch_handle_error()` also reports
    /// errors, for an endpoint that is integrated into the root complex, and makes no call
    /// afterwards. In this case it has not marked the device as offline for a fatal error, and no
    /// driver's answer to another error causes a reset of such an endpoint. In a guest of Xen, the
    /// host decides what `pcifront_common_process()` reports; if it reports an error and no end of
    /// the recovery, the gate remains closed until the device is unbound.
    ///
    /// # Safety
    ///
    /// `pdev` must be valid.
    unsafe fn recovers(pdev: *mut pci_dev, state: pci_channel_state_t) -> bool {
        if state == kernel::bindings::pci_channel_io_frozen {
            // SAFETY: The caller guarantees a valid device.
            return unsafe { bindings::vfio_rs_is_offline(pdev) };
        }
        // SAFETY: As above.
        let kind = unsafe { bindings::vfio_rs_pcie_type(pdev) };
        // CAST: The type is a number of 4 bits.
        kind as u32 != kernel::bindings::PCI_EXP_TYPE_RC_END
    }
}

/// Returns the `struct device` of a PCI device, as the kernel crate's `as_raw()` does, which is
/// private.
pub(super) fn dev(pdev: *mut pci_dev) -> *mut kernel::bindings::device {
    // The address is only computed. `dev` is a field of the structure for any value of the pointer.
    pdev.wrapping_byte_add(offset_of!(pci_dev, dev)).cast()
}
