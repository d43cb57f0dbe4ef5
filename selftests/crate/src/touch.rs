// SPDX-License-Identifier: GPL-2.0-only

//! Accesses that kill a process, and devices that another driver owns for some time.

use crate::{open, range, Failure, Outcome, BAR, KIB, MIB};
use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, ExitCode},
};
use subregion_open::Address;
use vfio_subregion::Attribute;

const SIGBUS: i32 = 7;

/// Fails unless SIGBUS kills a process that does `what`.
pub(crate) fn ends_by_sigbus(what: &str) -> Outcome {
    let status = Command::new(std::env::current_exe()?).arg(what).status()?;
    if status.signal() == Some(SIGBUS) {
        Ok(())
    } else {
        Err(format!("{what}: {status}").into())
    }
}

/// The code that such a process runs.
pub(crate) fn touch(what: &str) -> ExitCode {
    match attempt(what) {
        Ok(value) => println!("# {what}: {value:#x} was read"),
        Err(error) => println!("# {what}: {error}"),
    }
    ExitCode::FAILURE
}

/// The first access is to existing memory.
fn attempt(what: &str) -> Result<u32, Failure> {
    let opened = open()?;
    let device = opened.device();
    let mapping = match what {
        "destroyed" => {
            let region = device.create(BAR, range(MIB, MIB), Attribute::WriteCombining)?;
            let mapping = device.map(&region)?;
            mapping.read::<u32>(0)?;
            device.destroy(region.index())?;
            mapping
        }
        "claimed" => {
            let mapping = device.map_part(&device.region(BAR)?, range(0, 4 * KIB))?;
            mapping.read::<u32>(0)?;
            device.create(BAR, range(0, 4 * KIB), Attribute::Device)?;
            mapping
        }
        _ => return Err("nothing of that name can be touched".into()),
    };
    Ok(mapping.read::<u32>(0)?)
}

/// A device that another driver has for the lifetime of this value.
pub(crate) struct Elsewhere {
    address: Address,
    driver: String,
}

impl Elsewhere {
    /// Unbinds the device from its driver and binds it to the kernel's own vfio-pci.
    pub(crate) fn new(address: Address) -> Result<Self, Failure> {
        Self::with(address, "vfio-pci")
    }

    /// Unbinds the device from its driver and binds it to another one.
    pub(crate) fn with(address: Address, other: &str) -> Result<Self, Failure> {
        let driver = address.driver().ok_or("the device has no driver")?;
        let moved = Self { address, driver };
        moved.give_to(other)?;
        Ok(moved)
    }

    /// Gives the device back. Dropping does the same but reports no error.
    pub(crate) fn back(self) -> Outcome {
        self.give_to(&self.driver)
    }

    fn give_to(&self, driver: &str) -> Outcome {
        if self.address.driver().is_some_and(|has| has == driver) {
            return Ok(());
        }
        let (sysfs, address) = (self.address.sysfs(), self.address.to_string());
        std::fs::write(sysfs.join("driver_override"), driver)?;
        std::fs::write(sysfs.join("driver/unbind"), &address)?;
        std::fs::write("/sys/bus/pci/drivers_probe", &address)?;
        if self.address.driver().is_none_or(|has| has != driver) {
            return Err(format!("{driver} does not take the device").into());
        }
        Ok(())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.give_to(&self.driver);
    }
}
