// SPDX-License-Identifier: GPL-2.0

//! Accesses that end a process, and devices that another driver has for a while.

use crate::{
    open,
    range,
    Failure,
    Outcome,
    BAR,
    KIB,
    MIB, //
};
use std::{
    os::unix::process::ExitStatusExt,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};
use vfio_subregion::Attribute;

const SIGBUS: i32 = 7;

/// Fails unless a process that does `what` is ended by SIGBUS.
pub(crate) fn ends_by_sigbus(what: &str) -> Outcome {
    let status = Command::new(std::env::current_exe()?).arg(what).status()?;
    if status.signal() == Some(SIGBUS) {
        Ok(())
    } else {
        Err(format!("{what}: {status}").into())
    }
}

/// What such a process does.
pub(crate) fn touch(what: &str) -> ExitCode {
    match attempt(what) {
        Ok(value) => println!("# {what}: {value:#x} was read"),
        Err(error) => println!("# {what}: {error}"),
    }
    ExitCode::FAILURE
}

/// The first touch is of memory that is there.
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

/// A device that the kernel's own vfio-pci has meanwhile.
pub(crate) struct Elsewhere {
    sysfs: PathBuf,
    driver: String,
}

impl Elsewhere {
    /// Takes the device from its driver and gives it to vfio-pci.
    pub(crate) fn new(address: &str) -> Result<Self, Failure> {
        let sysfs = PathBuf::from("/sys/bus/pci/devices").join(address);
        let driver = driver_of(&sysfs).ok_or("the device has no driver")?;
        let moved = Self { sysfs, driver };
        moved.give_to("vfio-pci")?;
        Ok(moved)
    }

    /// Gives it back, which dropping it does as well, but silently.
    pub(crate) fn back(self) -> Outcome {
        self.give_to(&self.driver)
    }

    fn give_to(&self, driver: &str) -> Outcome {
        if driver_of(&self.sysfs).is_some_and(|has| has == driver) {
            return Ok(());
        }
        let address = self.sysfs.file_name().ok_or("the device has no name")?;
        let address = address.as_encoded_bytes();
        std::fs::write(self.sysfs.join("driver_override"), driver)?;
        std::fs::write(self.sysfs.join("driver/unbind"), address)?;
        std::fs::write("/sys/bus/pci/drivers_probe", address)?;
        if driver_of(&self.sysfs).is_none_or(|has| has != driver) {
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

fn driver_of(sysfs: &Path) -> Option<String> {
    let link = sysfs.join("driver").read_link().ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}
