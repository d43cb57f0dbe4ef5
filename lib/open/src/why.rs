// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a device cannot be opened, and what to do: the sentences of `vfio_open.c`.

use crate::{
    Address,
    Failure, //
};
use std::{
    fs,
    io,
    iter,
    os::unix::fs::MetadataExt,
    path::{
        Path,
        PathBuf, //
    }, //
};
use vfio_ioctls::VfioError;

// Numbers of errors; the kinds of the standard library put several into one.
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;

/// The bit of `CAP_IPC_LOCK`, with which no limit of locked memory applies.
const IPC_LOCK: u64 = 1 << 14;

/// Describes the error of vfio-ioctls for the device.
pub(crate) fn why(address: &Address, error: &VfioError) -> Failure {
    if !address.sysfs().exists() {
        return format!("there is no PCI device {address}; lspci -D lists those of this machine")
            .into();
    }
    let group = fs::read_link(address.sysfs().join("iommu_group")).ok();
    let Some(group) = group.as_deref().and_then(Path::file_name) else {
        return format!(
            "{address} is in no IOMMU group: this machine has no IOMMU, or it is off; enable it in \
             the firmware (VT-d, AMD-Vi, SMMU), and on Intel also by intel_iommu=on on the \
             kernel's command line"
        )
        .into();
    };
    let file = Path::new("/dev/vfio").join(group);
    if !file.exists() {
        return no_file(address, &group.to_string_lossy()).into();
    }
    match error {
        VfioError::OpenGroup(error, _) => file_failed(address, &file, error),
        VfioError::OpenContainer(error) if error.kind() == io::ErrorKind::NotFound => {
            "/dev/vfio/vfio does not exist: modprobe vfio; a container must be given that file \
             (--device)"
                .into()
        }
        VfioError::OpenContainer(error) => file_failed(address, Path::new("/dev/vfio/vfio"), error),
        VfioError::GroupViable => not_viable(address),
        VfioError::VfioExtension => {
            "no IOMMU can be used by VFIO's groups; modprobe vfio_iommu_type1".into()
        }
        error => format!("{address} cannot be opened: {error}"),
    }
    .into()
}

/// Describes why there is no file of the group.
fn no_file(address: &Address, group: &str) -> String {
    if Path::new("/dev/vfio")
        .join(format!("noiommu-{group}"))
        .exists()
    {
        return format!(
            "{address} has no IOMMU, and vfio-ioctls opens no such device; use the library in C, \
             or a machine with an IOMMU"
        );
    }
    if address.sysfs().join("vfio-dev").exists() {
        return format!(
            "VFIO has {address}, but /dev/vfio/{group} does not exist: a container must be given \
             that file (--device)"
        );
    }
    let drivers = Path::new("/sys/bus/pci/drivers");
    if !drivers.join("subregion_vfio_pci").exists() && !drivers.join("vfio-pci").exists() {
        return format!(
            "VFIO does not have {address}: no VFIO driver is loaded; modprobe subregion_vfio_pci, \
             then bind the device to it"
        );
    }
    let driver = address.driver().map_or_else(
        || "it has no driver".into(),
        |name| format!("its driver is {name}"),
    );
    format!("VFIO does not have {address}: {driver}; bind it to subregion_vfio_pci")
}

/// Describes the error of a file that exists.
fn file_failed(address: &Address, path: &Path, error: &io::Error) -> String {
    let name = path.display();
    match (error.raw_os_error(), fs::metadata(path)) {
        (Some(EACCES), Ok(file)) => format!(
            "{name}: {error}: it belongs to user {} and group {} with mode {:03o}; chown it to \
             your user",
            file.uid(),
            file.gid(),
            file.mode() & 0o777
        ),
        (Some(EPERM), _) => {
            format!("{name}: {error}: a container must be given that file (--device)")
        }
        (Some(EBUSY), _) => user_of_group(address, path).map_or_else(
            || {
                format!(
                    "{name}: {error}: another program has a device of that group open, perhaps \
                     another user's or in a container; end it"
                )
            },
            |(process, file)| {
                format!(
                    "{name}: {error}: process {process} has {} open; end that process",
                    file.display()
                )
            },
        ),
        _ => format!("{name}: {error}"),
    }
}

/// Returns the entries of a directory, which are none if it cannot be read.
fn entries(path: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// Returns the directories of the devices of the group, which need not be PCI.
fn in_group(address: &Address) -> impl Iterator<Item = PathBuf> {
    entries(address.sysfs().join("iommu_group/devices"))
}

/// Finds a process that has the file of the group open, or the own file of a device in it, which
/// keeps the group from being opened as well; and that file.
fn user_of_group(address: &Address, group: &Path) -> Option<(u32, PathBuf)> {
    let devices = in_group(address)
        .flat_map(|device| entries(device.join("vfio-dev")))
        .filter_map(|entry| Some(Path::new("/dev/vfio/devices").join(entry.file_name()?)));
    iter::once(group.to_owned())
        .chain(devices)
        .find_map(|file| Some((user_of(&file)?, file)))
}

/// Finds a process that has the file open, if one is visible.
fn user_of(path: &Path) -> Option<u32> {
    entries("/proc").find_map(|process| {
        let pid = process.file_name()?.to_str()?.parse().ok()?;
        entries(process.join("fd"))
            .any(|file| fs::read_link(file).is_ok_and(|target| target == path))
            .then_some(pid)
    })
}

/// Describes why the group is not viable: names the devices in it whose drivers do DMA by
/// themselves. VFIO's drivers do not, and neither do pcieport and pci-stub.
fn not_viable(address: &Address) -> String {
    let mut users: Vec<_> = in_group(address)
        .filter(|device| !device.join("vfio-dev").exists())
        .filter_map(|device| {
            let driver = fs::read_link(device.join("driver")).ok()?;
            let driver = driver.file_name()?.to_string_lossy();
            let other = driver != "pcieport" && driver != "pci-stub";
            let name = device.file_name()?.to_string_lossy();
            other.then(|| format!("{name} ({driver})"))
        })
        .collect();
    users.sort();
    let users = if users.is_empty() {
        "a driver that sysfs does not show".into()
    } else {
        users.join(", ")
    };
    format!(
        "the IOMMU group of {address} is in use outside of VFIO, by {users}; bind all of its \
         devices to subregion_vfio_pci"
    )
}

/// Whether this process may lock as much memory as it likes.
fn locks_without_limit() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & IPC_LOCK != 0)
}

/// Describes why `size` bytes cannot be mapped for DMA, and what to do.
#[must_use]
pub fn no_dma(size: usize, error: &VfioError) -> Failure {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    match (error, limit) {
        (VfioError::IommuDmaMap(errno), Some(limit))
            if errno.errno() == ENOMEM && !locks_without_limit() =>
        {
            format!(
                "memory cannot be mapped for DMA: {errno}: {size} more bytes must be locked, and \
                 the process may lock {limit} in all; raise this limit (ulimit -l, or \
                 LimitMEMLOCK= of systemd)"
            )
            .into()
        }
        _ => format!("memory cannot be mapped for DMA: {error}").into(),
    }
}
