// SPDX-License-Identifier: GPL-2.0-only

//! The devices that another process has open, through copies of its descriptors.

use crate::show::Listing;
use rustix::{
    io::Errno,
    process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags},
};
use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};
use subregion_open::{Address, Failure};
use vfio_subregion::Device;

/// Describes the devices that `process` has open, or those of `devices` among them.
///
/// A device can stay open a moment longer than the process wants, until the copy here is closed.
pub(crate) fn listings(process: Pid, devices: &[Address]) -> Result<Vec<Listing>, Failure> {
    let found = devices_of(process)?;
    let mut shown = Vec::new();
    for (address, descriptor) in &found {
        if devices.is_empty() || devices.contains(address) {
            shown.push(Listing::new(address, &Device::new(descriptor))?);
        }
    }
    if shown.is_empty() {
        let which = if devices.is_empty() {
            "no VFIO device"
        } else {
            "none of these devices"
        };
        return Err(format!("process {process} has {which} open").into());
    }
    Ok(shown)
}

/// Returns a descriptor of each device that `process` has open.
fn devices_of(process: Pid) -> Result<Vec<(Address, OwnedFd)>, Failure> {
    let refused = |error: io::Error| -> Failure {
        match error.kind() {
            io::ErrorKind::NotFound => format!("there is no process {process}"),
            io::ErrorKind::PermissionDenied => format!(
                "the descriptors of process {process} cannot be copied: {error}; only root, or a \
                 user who may trace the process, can do this"
            ),
            _ => format!("the descriptors of process {process} cannot be copied: {error}"),
        }
        .into()
    };
    // From here on the number cannot become that of another process without a failure below.
    let handle = pidfd_open(process, PidfdFlags::empty()).map_err(|error| match error {
        Errno::SRCH => refused(io::ErrorKind::NotFound.into()),
        error => refused(error.into()),
    })?;
    let directory = Path::new("/proc").join(process.to_string());
    let mut found: Vec<(Address, OwnedFd)> = Vec::new();
    for entry in fs::read_dir(directory.join("fd")).map_err(refused)? {
        let name = entry?.file_name();
        let number = name.to_string_lossy().parse()?;
        if device_of(&directory.join("fdinfo").join(name)).is_none() {
            continue;
        }
        let copy = match pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()) {
            Ok(copy) => copy,
            // The process has closed it.
            Err(Errno::BADF) => continue,
            Err(error) => return Err(refused(error.into())),
        };
        // The process can open another file under the same number at any time.
        let info = format!("/proc/self/fdinfo/{}", copy.as_raw_fd());
        let Some(address) = device_of(Path::new(&info)) else {
            continue;
        };
        if found.iter().all(|(other, _)| *other != address) {
            found.push((address, copy));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Returns the device that a descriptor is of, by the kernel's information about it.
fn device_of(info: &Path) -> Option<Address> {
    let text = fs::read_to_string(info).ok()?;
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("vfio-device-syspath: "))?;
    Path::new(path).file_name()?.to_str()?.parse().ok()
}
