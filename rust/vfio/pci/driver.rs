// SPDX-License-Identifier: GPL-2.0

//! The PCI driver of a VFIO driver.

use super::{
    CoreDevice,
    DynamicId, //
};
use crate::{
    bindings,
    vfio::{
        Device,
        Operations, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        pci_dev,
        pci_device_id,
        pci_driver, //
    },
    error::{
        from_result,
        to_result, //
    },
    pci,
    prelude::*,
    types::Opaque, //
};

/// Offers the driver `T` to the PCI core, until dropped.
///
/// It is told not to touch the device's DMA ownership, which VFIO manages for its groups.
///
/// kernel::pci::Adapter cannot do this: it knows no `driver_managed_dma`, error handlers or SR-IOV,
/// and keeps its own data where vfio-pci-core insists on having its device.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Operations> {
    #[pin]
    driver: Opaque<pci_driver>,
    _operations: PhantomData<T>,
}

// SAFETY: There is nothing to be done with a reference.
unsafe impl<T: Operations> Sync for Registration<T> {}

// SAFETY: A driver may be unregistered from any thread.
unsafe impl<T: Operations> Send for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Registers the driver.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- Opaque::try_ffi_init(|driver: *mut pci_driver| {
                let table = pci_driver {
                    name: T::NAME.as_char_ptr(),
                    id_table: T::id_table().as_ptr(),
                    probe: Some(Callbacks::<T>::probe),
                    remove: Some(Callbacks::<T>::remove),
                    sriov_configure: Some(Callbacks::<T>::sriov_configure),
                    err_handler: &raw const bindings::vfio_pci_core_err_handlers,
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
                        T::NAME.as_char_ptr(),
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
impl<T: Operations> PinnedDrop for Registration<T> {
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
/// is being bound to the driver, the others with one that is bound.
struct Callbacks<T: Operations>(PhantomData<T>);

impl<T: Operations> Callbacks<T> {
    /// Returns what `probe` left with the device.
    fn core(pdev: *mut pci_dev) -> *mut bindings::vfio_pci_core_device {
        // SAFETY: The PCI core calls with a valid device.
        unsafe { bindings::vfio_rs_get_drvdata(pdev) }.cast()
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn probe(pdev: *mut pci_dev, _id: *const pci_device_id) -> c_int {
        from_result(|| {
            // SAFETY: The PCI core calls with a valid device, and the type is the same in memory.
            T::probe(unsafe { &*pdev.cast::<pci::Device>() })?;
            // SAFETY: The PCI core calls with a valid device, which is being bound.
            let core: NonNull<CoreDevice> = unsafe { Device::<T>::alloc(pdev) }?;
            let core = core.as_ptr().cast::<bindings::vfio_pci_core_device>();
            // vfio-pci-core requires that it finds its device here.
            // SAFETY: The PCI device is valid and has no other driver's data.
            unsafe { bindings::vfio_rs_set_drvdata(pdev, core.cast()) };
            // SAFETY: The core device was allocated above.
            unsafe { bindings::vfio_rs_set_pci_ops(core, &PCI_OPS) };
            // SAFETY: The core device was allocated above and has all that registering it needs.
            let ret = unsafe { bindings::vfio_pci_core_register_device(core) };
            if ret != 0 {
                // SAFETY: As above.
                unsafe { bindings::vfio_rs_set_drvdata(pdev, core::ptr::null_mut()) };
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
        // SAFETY: `probe` registered this device. This waits until nobody has it open.
        unsafe { bindings::vfio_pci_core_unregister_device(core) };
        // SAFETY: The PCI device is valid.
        unsafe { bindings::vfio_rs_set_drvdata(pdev, core::ptr::null_mut()) };
        // SAFETY: The reference is the one that the allocation in `probe` gave.
        unsafe { bindings::vfio_rs_put_device(core) };
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    unsafe extern "C" fn sriov_configure(pdev: *mut pci_dev, vfs: c_int) -> c_int {
        if !T::allows_sriov() {
            return ENOENT.to_errno();
        }
        // SAFETY: The device is bound, so `probe` registered what it left with it.
        unsafe { bindings::vfio_pci_core_sriov_configure(Self::core(pdev), vfs) }
    }
}
