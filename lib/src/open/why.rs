// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a device cannot be opened or set up, and what to do: the sentences of `vfio_open.c`.

use crate::Address;
use core::fmt;
use rustix::io::Errno;
use std::{
    borrow::ToOwned,
    format, fs, iter,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    string::{String, ToString},
    vec::Vec,
};

/// The bit of `CAP_IPC_LOCK`, with which no limit of locked memory applies.
const IPC_LOCK: u64 = 1 << 14;

/// The inode number of the user namespace in which the system was booted (`USER_NS_INIT_INO`).
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// Why a device cannot be opened or set up.
///
/// Its text says what failed, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    text: String,
    errno: Errno,
}

impl SetupError {
    pub(crate) fn new(errno: Errno, text: fmt::Arguments<'_>) -> Self {
        let text = text.to_string();
        Self { text, errno }
    }

    /// Returns the errno of the call that failed.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        self.errno
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl core::error::Error for SetupError {}

impl From<SetupError> for std::io::Error {
    fn from(error: SetupError) -> Self {
        let kind = Self::from_raw_os_error(error.errno.raw_os_error()).kind();
        Self::new(kind, error)
    }
}

/// The step that failed when a device was opened by its group.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// The file of the group.
    Group(&'a Path),
    /// `VFIO_GROUP_GET_STATUS`.
    Status,
    /// The group is not viable.
    Viable,
    /// The file of containers.
    Container,
    /// The choice of an IOMMU for the container.
    Iommu,
    /// `VFIO_GROUP_GET_DEVICE_FD`.
    Device,
}

/// Describes the error of a step.
pub(super) fn why(address: &Address, step: Step<'_>, errno: Errno) -> SetupError {
    let text = match step {
        Step::Group(_) if errno == Errno::NOENT => no_file(address),
        Step::Group(path) => file_failed(Some(address), path, errno),
        Step::Status => format!("VFIO_GROUP_GET_STATUS: {errno}"),
        Step::Viable => not_viable(address),
        Step::Container if errno == Errno::NOENT => {
            "/dev/vfio/vfio does not exist: modprobe vfio; \
             a container must be given that file (--device)"
                .into()
        }
        Step::Container => file_failed(Some(address), Path::new("/dev/vfio/vfio"), errno),
        Step::Iommu => {
            let module = if errno == Errno::NODEV {
                "; modprobe vfio_iommu_type1"
            } else {
                ""
            };
            format!("the IOMMU group of {address} cannot be used: {errno}{module}")
        }
        Step::Device => format!("{address} cannot be opened: {errno}"),
    };
    SetupError::new(errno, format_args!("{text}"))
}

/// Describes the error of a file that belongs to no group.
pub(super) fn file(path: &Path, errno: Errno) -> SetupError {
    let text = file_failed(None, path, errno);
    SetupError::new(errno, format_args!("{text}"))
}

/// Describes why there is no file of the group.
fn no_file(address: &Address) -> String {
    if !address.sysfs().exists() {
        return format!("there is no PCI device {address}; lspci -D lists those of this machine");
    }
    let Some(group) = address.group() else {
        return format!(
            "{address} is in no IOMMU group: this machine has no IOMMU, or it is off; enable it in \
             the firmware (VT-d, AMD-Vi, SMMU), and on Intel also by intel_iommu=on on the \
             kernel's command line"
        );
    };
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
fn file_failed(address: Option<&Address>, path: &Path, errno: Errno) -> String {
    let name = path.display();
    match (errno, fs::metadata(path)) {
        (Errno::ACCESS, Ok(file)) => format!(
            "{name}: {errno}: it belongs to user {} and group {} with mode {:03o}; chown it to \
             your user",
            file.uid(),
            file.gid(),
            file.mode() & 0o777
        ),
        (Errno::PERM, _) if name.to_string().contains("/noiommu-") => format!(
            "{name}: {errno}: a device without an IOMMU needs CAP_SYS_RAWIO; run this as root"
        ),
        (Errno::PERM, _) => {
            format!("{name}: {errno}: a container must be given that file (--device)")
        }
        (Errno::BUSY, _) => match user_of_group(address, path) {
            Some((process, file)) => format!(
                "{name}: {errno}: process {process} has {} open; end that process",
                file.display()
            ),
            None => format!(
                "{name}: {errno}: another program has a device of that group open, perhaps \
                 another user's or in a container; end it"
            ),
        },
        _ => format!("{name}: {errno}"),
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

/// Finds a process that has the file of the group open, or a device's own file in the group, which
/// also prevents the group from being opened. Returns the process and the file.
fn user_of_group(address: Option<&Address>, group: &Path) -> Option<(u32, PathBuf)> {
    let devices = address
        .into_iter()
        .flat_map(in_group)
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
    // Rights in another user namespace, as root's in a user's container, do not count.
    let namespace = fs::metadata("/proc/self/ns/user");
    if namespace.is_ok_and(|namespace| namespace.ino() != FIRST_USER_NAMESPACE) {
        return false;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & IPC_LOCK != 0)
}

/// Describes why `size` bytes cannot be mapped for DMA.
pub(crate) fn no_dma(size: usize, errno: Errno) -> SetupError {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let why = match limit {
        Some(limit) if errno == Errno::NOMEM && !locks_without_limit() => format!(
            ": {size} more bytes must be locked, and the process may lock {limit} in all; raise \
             this limit (ulimit -l, or LimitMEMLOCK= of systemd)"
        ),
        _ if errno == Errno::NOTTY => "; a device without an IOMMU uses physical addresses, which \
             the kernel does not tell"
            .into(),
        _ => String::new(),
    };
    SetupError::new(
        errno,
        format_args!("memory cannot be mapped for DMA: {errno}{why}"),
    )
}
