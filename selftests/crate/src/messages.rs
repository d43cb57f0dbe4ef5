// SPDX-License-Identifier: GPL-2.0-only

//! The messages of programs in Rust when a device cannot be opened: what failed, why, what to do.
//! The table in Documentation/userspace.rst has the texts.

use crate::{address, ensure, open, tests, touch::Elsewhere, Failure, Outcome};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

tests! {
    message_names_a_device_that_does_not_exist,
    message_tells_a_container_without_the_file,
    message_names_the_owner_of_a_file,
    message_names_the_process_that_has_a_device,
    message_names_a_device_of_another_driver,
    a_full_disk_is_an_error_and_a_closed_pipe_is_none,
}

const OWNED: &str = "it belongs to user 0 and group 0 with mode 600; chown it to your user";

/// Returns the message of subregionctl, run by this user, about a device that it cannot show.
fn said(device: &str, user: u32) -> Result<String, Failure> {
    let mut program = Command::new("/tools/subregionctl");
    program.args(["show", device]);
    if user != 0 {
        program.uid(user);
    }
    let output = program.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    print!("# {}", said.replace('\n', "\n# "));
    println!();
    ensure!(!output.status.success());
    Ok(said)
}

/// The file of the group of ivshmem.
fn group() -> Result<PathBuf, Failure> {
    let link = address("DEV_IVSHMEM")?
        .sysfs()
        .join("iommu_group")
        .read_link()?;
    let number = link.file_name().ok_or("a group has no number")?;
    Ok(PathBuf::from("/dev/vfio").join(number))
}

// contract: userspace.messages
fn message_names_a_device_that_does_not_exist() -> Outcome {
    let said = said("fe:1f.7", 0)?;
    ensure!(said.contains("there is no PCI device 0000:fe:1f.7; lspci -D lists those"));
    Ok(())
}

// contract: userspace.messages
fn message_tells_a_container_without_the_file() -> Outcome {
    let device = address("DEV_IVSHMEM")?.to_string();
    let group = group()?;
    let away = group.with_extension("away");
    // With an iommufd the device would be opened by its own file.
    let iommufd = fs::rename("/dev/iommu", "/dev/away").is_ok();
    fs::rename(&group, &away)?;
    let without_group = said(&device, 0);
    fs::rename("/dev/vfio/vfio", "/dev/vfio/away")?;
    fs::rename(&away, &group)?;
    let without_container = said(&device, 0);
    fs::rename("/dev/vfio/away", "/dev/vfio/vfio")?;
    if iommufd {
        fs::rename("/dev/away", "/dev/iommu")?;
    }
    ensure!(without_group?.contains("a container must be given that file (--device)"));
    ensure!(without_container?.contains("/dev/vfio/vfio does not exist: modprobe vfio"));
    open().map(drop)
}

// contract: userspace.messages
fn message_names_the_owner_of_a_file() -> Outcome {
    // The library of Rust starts programs of other users only where the kernel has sockets.
    if Command::new("/bin/true").uid(1000).status().is_err() {
        println!("# the kernel has no sockets");
        return Ok(());
    }
    let said = said(&address("DEV_IVSHMEM")?.to_string(), 1000)?;
    ensure!(said.contains(&*group()?.to_string_lossy()) && said.contains(OWNED));
    Ok(())
}

// contract: userspace.messages
fn message_names_the_process_that_has_a_device() -> Outcome {
    let opened = open()?;
    let said = said(&address("DEV_IVSHMEM")?.to_string(), 0)?;
    drop(opened);
    let process = format!(
        "process {} has {} open; end that process",
        std::process::id(),
        group()?.display()
    );
    ensure!(said.contains(&process));
    Ok(())
}

// contract: userspace.messages
fn message_names_a_device_of_another_driver() -> Outcome {
    if !Path::new("/sys/bus/pci/drivers/uio_pci_generic").exists() {
        println!("# the kernel has no driver that takes any device");
        return Ok(());
    }
    let second = address("DEV_PAIR_1")?;
    let user = format!("in use outside of VFIO, by {second} (uio_pci_generic); bind all of");
    let elsewhere = Elsewhere::with(second, "uio_pci_generic")?;
    let said = said(&address("DEV_PAIR_0")?.to_string(), 0)?;
    elsewhere.back()?;
    ensure!(said.contains(&user));
    Ok(())
}

/// Returns the status of subregionctl and its text on stderr, with its output going to `output`.
fn said_to(output: impl Into<Stdio>, arguments: &[&str]) -> Result<(Option<i32>, String), Failure> {
    let output = Command::new("/tools/subregionctl")
        .args(arguments)
        .stdout(output)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("# {said:?}");
    Ok((output.status.code(), said))
}

// contract: userspace.subregionctl
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() -> Outcome {
    let device = address("DEV_IVSHMEM")?.to_string();
    for arguments in [
        &["list", &device][..],
        &["list", "--json", &device],
        &["list", "--open", "--json"],
        &["show", &device],
        &["dump", &device, "7"],
    ] {
        let full = File::options().write(true).open("/dev/full")?;
        let (status, said) = said_to(full, arguments)?;
        ensure!(status == Some(1) && said.starts_with("error: No space left on device"));
        // The pipe to a program that has ended.
        let mut reader = Command::new("/bin/true").stdin(Stdio::piped()).spawn()?;
        let writer = reader.stdin.take().ok_or("there is no pipe")?;
        reader.wait()?;
        let (status, said) = said_to(writer, arguments)?;
        ensure!(status == Some(1) && said.is_empty());
    }
    Ok(())
}
