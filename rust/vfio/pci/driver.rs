// SPDX-License-Identifier: GPL-2.0

//! The PCI driver of a VFIO driver.

use super::{
    Device,
    DynamicId,
    IdTable,
    Operations,
    Settings, //
};
use crate::bindings;
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

/// A driver of VFIO PCI devices: which devices it binds, and the type of their state.
pub(crate) trait Driver: 'static {
    /// The name of the driver; a PF's VFs are offered to the driver of this name.
    const NAME: &'static CStr;

    /// The state of a device while it is open, and its operations.
    type Device: Operations;

    /// Returns the devices that the driver may bind. A device whose `driver_override` names the driver
    /// is always bound to it.
    fn id_table() -> IdTable;

    /// Decides whether a device is bound; an error refuses it.
    fn probe(pdev: &pci::Device<Core<'_>>) -> Result;

    /// Returns which functions of vfio-pci-core are switched off for a device that is being bound.
    fn settings() -> Settings;

    /// Returns whether virtual functions may be enabled on a device of this driver.
    fn allows_sriov() -> bool;
}

/// Offers the driver `D` to the PCI core, until dropped.
///
/// It is told not to touch the device's DMA ownership, which VFIO manages for its groups.
///
/// kernel::pci::Adapter cannot do this: it knows no `driver_managed_dma`, error handlers or SR-IOV,
/// and keeps its own data where vfio-pci-core insists on having its device.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<D: Driver> {
    #[pin]
    driver: Opaque<pci_driver>,
    _operations: PhantomData<D>,
}

// SAFETY: There is nothing to be done with a reference.
unsafe impl<D: Driver> Sync for Registration<D> {}

// SAFETY: A driver may be unregistered from any thread.
unsafe impl<D: Driver> Send for Registration<D> {}

impl<D: Driver> Registration<D> {
    /// Registers the driver.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
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
                // SAFETY: `driver` is memory for the field.
                unsafe { driver.write(table) };
                // SAFETY: The structure is filled in, and stays where it is until it is
                // unregistered, because it is pinned.
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

    /// Adds an id to those that the driver is for, and binds the devices that have it and no driver.
    pub(crate) fn add_id(&self, id: &DynamicId) -> Result {
        // SAFETY: `new` registered the driver, and `self` keeps it so.
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
        // SAFETY: `new` registered it, or else there would be no `self`.
        unsafe { kernel::bindings::pci_unregister_driver(self.driver.get()) };
    }
}

/// What vfio-pci-core asks of a driver beside the operations: how to export a BAR as a dma-buf.
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
/// They are for the PCI core to call, with a valid device that it keeps locked: `probe` with one that
/// is being bound to the driver, the others with one that is bound. After `reset_prepare` the same
/// thread calls `reset_done`, still with the device locked.
struct Callbacks<D: Driver>(PhantomData<D>);

impl<D: Driver> Callbacks<D> {
    /// What is called before and after resets, and when the device has an error.
    const ERROR_HANDLERS: pci_error_handlers = pci_error_handlers {
        error_detected: Some(Self::error_detected),
        resume: Some(Self::resume),
        reset_prepare: Some(Self::reset_prepare),
        reset_done: Some(Self::reset_done),
        ..pin_init::zeroed()
    };

    /// Borrows the device that `probe` left with the PCI device.
    ///
    /// # Safety
    ///
    /// `pdev` is bound to the driver and stays so as long as the result lives.
    unsafe fn device<'a>(pdev: *mut pci_dev) -> &'a Device<D::Device> {
        // SAFETY: `probe` left the address of a device of the driver `D`, begun by its core device,
        // and `remove` gives it up.
        unsafe { &*Self::core(pdev).cast() }
    }

    /// Returns what `probe` left with the device.
    fn core(pdev: *mut pci_dev) -> *mut bindings::vfio_pci_core_device {
        // SAFETY: The PCI core calls with a valid device.
        unsafe { kernel::bindings::dev_get_drvdata(dev(pdev)) }.cast()
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn probe(pdev: *mut pci_dev, _id: *const pci_device_id) -> c_int {
        from_result(|| {
            // SAFETY: The PCI core calls with a valid device that it keeps locked, and the type is the
            // same in memory.
            let device = unsafe { &*pdev.cast::<pci::Device<Core<'_>>>() };
            D::probe(device)?;
            let core = Device::<D::Device>::new::<D>(device)?;
            let core = core.as_ptr().cast::<bindings::vfio_pci_core_device>();
            // vfio-pci-core requires that it finds its device here.
            // SAFETY: The PCI device is valid and has no other driver's data.
            unsafe { kernel::bindings::dev_set_drvdata(dev(pdev), core.cast()) };
            // SAFETY: The core device was allocated above.
            unsafe { bindings::vfio_rs_set_pci_ops(core, &PCI_OPS) };
            // SAFETY: The core device was allocated above and has all that registering it needs.
            let ret = unsafe { bindings::vfio_pci_core_register_device(core) };
            if ret != 0 {
                // SAFETY: As above.
                unsafe { kernel::bindings::dev_set_drvdata(dev(pdev), core::ptr::null_mut()) };
                // SAFETY: The reference is the one that the allocation gave.
                unsafe { bindings::vfio_rs_put_device(core) };
            }
            to_result(ret).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn remove(pdev: *mut pci_dev) {
        let core = Self::core(pdev);
        // SAFETY: The device is bound.
        let device = unsafe { Self::device(pdev) };
        device.gate.abandon_recovery();
        // SAFETY: `probe` registered this device. This waits until nobody has it open.
        unsafe { bindings::vfio_pci_core_unregister_device(core) };
        // SAFETY: The PCI device is valid.
        unsafe { kernel::bindings::dev_set_drvdata(dev(pdev), core::ptr::null_mut()) };
        // SAFETY: The reference is the one that the allocation in `probe` gave.
        unsafe { bindings::vfio_rs_put_device(core) };
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn sriov_configure(pdev: *mut pci_dev, vfs: c_int) -> c_int {
        if !D::allows_sriov() {
            return ENOENT.to_errno();
        }
        // SAFETY: The device is bound, so `probe` registered what it left with it.
        unsafe { bindings::vfio_pci_core_sriov_configure(Self::core(pdev), vfs) }
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn reset_prepare(pdev: *mut pci_dev) {
        // SAFETY: The device is bound.
        let device = unsafe { Self::device(pdev) };
        device.gate.reset_prepare(&device.core);
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn reset_done(pdev: *mut pci_dev) {
        // SAFETY: The device is bound.
        let device = unsafe { Self::device(pdev) };
        // SAFETY: The PCI core called `reset_prepare` on this thread.
        unsafe { device.gate.reset_done(&device.core) };
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn error_detected(
        pdev: *mut pci_dev,
        state: pci_channel_state_t,
    ) -> pci_ers_result_t {
        // SAFETY: The device is bound.
        let device = unsafe { Self::device(pdev) };
        if state == kernel::bindings::pci_channel_io_perm_failure {
            device.gate.recovery_fails(&device.core);
        } else if Self::recovers(pdev, state) {
            device.gate.recovery_begins(&device.core);
        }
        // SAFETY: The device is bound, so `probe` registered what it left with it.
        unsafe { bindings::vfio_pci_core_aer_err_detected(pdev, state) }
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn resume(pdev: *mut pci_dev) {
        // SAFETY: The device is bound.
        let device = unsafe { Self::device(pdev) };
        device.gate.recovery_ends();
    }

    /// Returns whether the error `state` is followed by a call of `resume` or by a failure.
    ///
    /// It is where `pcie_do_recovery()` tells of it. `cxl_rch_handle_error()` tells of errors in an
    /// endpoint that is integrated into the root complex and calls nothing else afterwards, but then
    /// it has not noted a fatal error in the device either; and nobody's answer to another error
    /// makes such an endpoint be reset.
    fn recovers(pdev: *mut pci_dev, state: pci_channel_state_t) -> bool {
        if state == kernel::bindings::pci_channel_io_frozen {
            // SAFETY: The PCI core calls with a valid device.
            return unsafe { bindings::vfio_rs_is_offline(pdev) };
        }
        // SAFETY: As above.
        let kind = unsafe { bindings::vfio_rs_pcie_type(pdev) };
        // CAST: A number of 4 bits.
        kind as u32 != kernel::bindings::PCI_EXP_TYPE_RC_END
    }
}

/// Returns the `struct device` of a PCI device.
pub(super) fn dev(pdev: *mut pci_dev) -> *mut kernel::bindings::device {
    // The address is only computed. The field is in the structure, whatever the pointer is.
    pdev.wrapping_byte_add(offset_of!(pci_dev, dev)).cast()
}
