// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Opening of a device by rust-vmm's vfio-ioctls.

use crate::{
    why::why,
    Address,
    Failure, //
};
use std::{
    os::fd::{
        AsFd,
        AsRawFd,
        BorrowedFd, //
    },
    sync::Arc,
};
use vfio_ioctls::{
    VfioContainer,
    VfioDevice,
    VfioError,
    VfioOps, //
};
use vfio_subregion::{
    Device,
    RegionIndex, //
};

// Offsets and bits of configuration space.
const COMMAND: u64 = 4;
const MEMORY_AND_MASTER: u16 = 0x6;
const CLASS_REVISION: u64 = 8;

/// An open device and its container.
pub struct Opened {
    device: VfioDevice,
    ops: Arc<dyn VfioOps>,
}

/// The device file of an [`Opened`].
#[derive(Clone, Copy)]
pub struct Function<'a>(&'a Opened);

impl AsFd for Function<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: vfio-ioctls keeps the file open as long as its device lives, which self borrows.
        unsafe { BorrowedFd::borrow_raw(self.0.device.as_raw_fd()) }
    }
}

impl Opened {
    /// Opens a device by its PCI address and its group.
    ///
    /// # Errors
    ///
    /// A text that says what failed, why, and what to do.
    pub fn new(address: &Address) -> Result<Self, Failure> {
        let open = || -> Result<Self, VfioError> {
            let ops: Arc<dyn VfioOps> = Arc::new(VfioContainer::new(None)?);
            let device = VfioDevice::new(&address.sysfs(), ops.clone(), true)?;
            Ok(Self { device, ops })
        };
        open().map_err(|error| why(address, &error))
    }

    /// Opens the same device once more.
    ///
    /// # Errors
    ///
    /// Those of vfio-ioctls.
    pub fn again(&self, address: &Address) -> Result<Self, Failure> {
        Ok(Self {
            device: VfioDevice::new(&address.sysfs(), self.ops.clone(), true)?,
            ops: self.ops.clone(),
        })
    }

    /// Returns the device for calls of `vfio_subregion`.
    #[must_use]
    pub fn device(&self) -> Device<Function<'_>> {
        Device::new(Function(self))
    }

    /// Returns the device for calls of vfio-ioctls.
    #[must_use]
    pub fn vfio(&self) -> &VfioDevice {
        &self.device
    }

    /// Returns the container, which maps memory for the device.
    #[must_use]
    pub fn ops(&self) -> &Arc<dyn VfioOps> {
        &self.ops
    }

    /// Enables accesses to the memory of the device, and its DMA.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn enable(&self) -> Result<(), Failure> {
        let device = self.device();
        let config = device.region(RegionIndex::CONFIG)?;
        let mut command = [0; 2];
        device.read(&config, COMMAND, &mut command)?;
        let command = u16::from_le_bytes(command) | MEMORY_AND_MASTER;
        device.write(&config, COMMAND, &command.to_le_bytes())?;
        Ok(())
    }

    /// Returns the PCI device id (high half) and vendor id (low half).
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn id(&self) -> Result<u32, Failure> {
        self.config(0)
    }

    /// Returns the PCI class, subclass and programming interface.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn class(&self) -> Result<u32, Failure> {
        Ok(self.config(CLASS_REVISION)? >> 8)
    }

    fn config(&self, offset: u64) -> Result<u32, Failure> {
        let device = self.device();
        let mut bytes = [0; 4];
        device.read(&device.region(RegionIndex::CONFIG)?, offset, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}
