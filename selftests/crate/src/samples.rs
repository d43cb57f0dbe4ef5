// SPDX-License-Identifier: GPL-2.0-only

//! The samples and the tools, run as a user runs them.

use crate::{
    address, ensure, open, range, tests, touch::Elsewhere, Failure, Outcome, BAR, KIB, MIB,
};
use serde_json::{json, Value};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, Stdio},
};
use vfio_subregion::Attribute;

tests! {
    sample_rust_ring_fills_a_wc_window,
    sample_igb_loop_gets_back_every_frame,
    sample_nvme_cmb_reads_blocks_by_commands_in_the_controller,
    samples_in_c_do_the_same,
    sample_worker_uses_its_subregion_until_this_is_destroyed,
    samples_say_why_they_cannot,
    subregionctl_shows_the_subregion_that_it_holds,
    subregionctl_shows_devices_as_json,
    subregionctl_lists_devices_without_opening_them,
    subregionctl_lists_the_state_of_an_open_device,
    subregionctl_shows_the_devices_that_a_process_has_open,
    subregionctl_says_why_it_shows_nothing_of_a_process,
    subregionctl_watches_changes,
    subregionctl_tells_of_a_driver_without_subregions,
    subregionctl_dumps_a_region,
    subregionctl_says_why_it_cannot,
}

/// The output of a sample with these arguments, and whether it succeeded.
fn run(name: &str, arguments: &[&str]) -> Result<(bool, String), Failure> {
    run_program(&format!("/samples/{name}"), arguments)
}

fn run_program(path: &str, arguments: &[&str]) -> Result<(bool, String), Failure> {
    let output = Command::new(path).args(arguments).output()?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    for line in said.lines().take(20) {
        println!("# {line}");
    }
    Ok((output.status.success(), said))
}

/// Like [`run`] for subregionctl, with all arguments in one string, where DEVICE is ivshmem.
fn tool(arguments: &str) -> Result<(bool, String), Failure> {
    let arguments = arguments.replace("DEVICE", &address("DEV_IVSHMEM")?.to_string());
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    run_program("/tools/subregionctl", &arguments)
}

// contract: userspace.samples
fn sample_rust_ring_fills_a_wc_window() -> Outcome {
    let (success, said) = run("rust_ring", &[])?;
    ensure!(success && said.contains("1024 descriptors are in region"));
    Ok(())
}

// contract: userspace.samples
fn sample_igb_loop_gets_back_every_frame() -> Outcome {
    let (success, said) = run("igb_loop", &[])?;
    ensure!(success && said.contains("1000 frames were sent and 1000 received"));
    Ok(())
}

// contract: userspace.samples
fn sample_nvme_cmb_reads_blocks_by_commands_in_the_controller() -> Outcome {
    let (success, said) = run("nvme_cmb", &[&address("DEV_NVME")?.to_string(), "42"])?;
    ensure!(success && said.contains("begins with block 42"));
    Ok(())
}

// contract: userspace.samples
fn samples_in_c_do_the_same() -> Outcome {
    let (success, said) = run(
        "wc_ring",
        &["--oracle", &address("DEV_IVSHMEM")?.to_string()],
    )?;
    ensure!(success && said.contains("65536 descriptors of 64 bytes were written and read back"));
    let (success, said) = run("c_igb_loop", &[])?;
    ensure!(success && said.contains("1000 frames were sent and 1000 received"));
    let (success, said) = run("c_nvme_cmb", &[&address("DEV_NVME")?.to_string(), "42"])?;
    ensure!(success && said.contains("begins with block 42"));
    Ok(())
}

// contract: userspace.samples
fn sample_worker_uses_its_subregion_until_this_is_destroyed() -> Outcome {
    if !Path::new("/proc/net/unix").exists() {
        // The kernel has no local sockets.
        return Ok(());
    }
    let (success, said) = run("c_worker", &[&address("DEV_IVSHMEM")?.to_string()])?;
    ensure!(success && said.contains("4096 descriptors of a worker without rights"));
    ensure!(said.contains("the subregion was taken back"));
    Ok(())
}

// contract: userspace.samples
fn samples_say_why_they_cannot() -> Outcome {
    for name in ["igb_loop", "c_igb_loop"] {
        let (success, said) = run(name, &[&address("DEV_NVME")?.to_string()])?;
        ensure!(!success && said.contains("this is a driver for the 82576"));
    }
    for name in ["nvme_cmb", "c_nvme_cmb"] {
        let (success, said) = run(name, &[&address("DEV_IGB")?.to_string()])?;
        ensure!(!success && said.contains("this is no NVMe controller"));
    }
    let (success, said) = run("rust_ring", &["0000:ff:00.0"])?;
    ensure!(!success && said.contains("there is no PCI device"));
    let device = address("DEV_IVSHMEM")?.to_string();
    let unaligned = ["--bar", "2", "--offset", "1", "--size", "4096", &device];
    let (success, said) = run("wc_ring", &unaligned)?;
    let why = format!("are no whole pages, of {:#x} bytes each; change", 4 * KIB);
    ensure!(!success && said.contains(&why));
    let elsewhere = Elsewhere::new(address("DEV_IVSHMEM")?)?;
    let (success, said) = run("rust_ring", &[])?;
    if cfg!(target_arch = "aarch64") {
        ensure!(success && said.contains("memory from Sysfs"));
    } else {
        ensure!(!success && said.contains("bind the device to subregion_vfio_pci"));
    }
    elsewhere.back()
}

// contract: userspace.subregionctl
fn subregionctl_shows_the_subregion_that_it_holds() -> Outcome {
    let (success, said) = tool("hold DEVICE --part 2:1M:4M:wc --part 2:0:4K:device --seconds 0")?;
    ensure!(success);
    ensure!(said.contains("claimed 0x00100000-0x004fffff   by region 9"));
    ensure!(said.contains("claimed 0x00000000-0x00000fff   by region 10"));
    ensure!(said.contains("in BAR 2"));
    ensure!(said.contains(&format!("  (ranges in units of {:#x} bytes)\n", 4 * KIB)));
    Ok(())
}

// contract: userspace.subregionctl
fn subregionctl_shows_devices_as_json() -> Outcome {
    let (success, said) = tool("show --json")?;
    ensure!(success);
    let said: Value = serde_json::from_str(&said)?;
    let devices = said.as_array().ok_or("it is no list")?;
    for name in ["DEV_IVSHMEM", "DEV_NVME", "DEV_IGB"] {
        let address = address(name)?.to_string();
        ensure!(devices.iter().any(|device| device["device"] == address));
    }
    ensure!(devices.iter().all(|device| device["subregions"] == true));

    let (success, said) = tool("hold DEVICE --part 2:1M:4M:wc --seconds 0 --json")?;
    ensure!(success);
    let said: Value = serde_json::from_str(&said)?;
    let regions = said[0]["regions"]
        .as_array()
        .ok_or("there are no regions")?;
    let find = |index: u32| regions.iter().find(|region| region["region"] == index);
    ensure!(said[0]["granule"] == 4 * KIB);
    let made = find(9).ok_or("the subregion is not there")?;
    ensure!(made["parent"] == 2 && made["offset"] == 1 << 20 && made["size"] == 4 << 20);
    ensure!(made["attribute"] == "wc" && made["can_be"] == json!(["wc"]));
    let bar = find(2).ok_or("the BAR is not there")?;
    ensure!(bar["claims"][0]["region"] == 9 && bar["claims"][1].is_null());
    Ok(())
}

// contract: outside.subregionctl-list
fn subregionctl_lists_devices_without_opening_them() -> Outcome {
    // Nobody else can open the group of this device.
    let opened = open()?;
    let (success, said) = tool("list DEVICE")?;
    ensure!(success && said.contains(" 1af4:1110  driver subregion_vfio_pci, IOMMU group "));
    let size = opened.device().region(BAR)?.size();
    let line = format!("BAR 2 {size:>#14x}  memory, 64 bits, prefetchable\n");
    ensure!(said.contains(&line));
    let (success, said) = tool("list --json")?;
    let said: Value = serde_json::from_str(&said)?;
    let device = address("DEV_IVSHMEM")?.to_string();
    let entry = said.as_array().ok_or("it is no list")?;
    let entry = entry.iter().find(|entry| entry["device"] == device);
    let bar = json!({
        "bar": 2, "size": size, "kind": "memory", "bits": 64, "prefetchable": true,
    });
    let bars = entry.ok_or("it is not there")?["bars"].as_array();
    ensure!(success && bars.is_some_and(|bars| bars.contains(&bar)));
    // The bridge that the root bus has is not bound to VFIO.
    let (success, said) = tool("list 0000:00:00.0")?;
    ensure!(success && said.contains("driver -, "));
    drop(opened);
    Ok(())
}

// contract: outside.subregionctl-pid
fn subregionctl_shows_the_devices_that_a_process_has_open() -> Outcome {
    let process = std::process::id();
    let opened = open()?;
    let device = opened.device();
    device.create(BAR, range(MIB, MIB), Attribute::WriteCombining)?;
    let (success, said) = tool(&format!("list --pid {process}"))?;
    ensure!(success && said.contains("claimed 0x00100000-0x001fffff   by region 9"));
    let (success, said) = tool(&format!("list --pid {process} --json DEVICE"))?;
    let said: Value = serde_json::from_str(&said)?;
    ensure!(success && said[1].is_null());
    ensure!(said[0]["device"] == address("DEV_IVSHMEM")?.to_string());
    let regions = said[0]["regions"].as_array().ok_or("it has no regions")?;
    let made = regions.iter().find(|region| region["region"] == 9);
    ensure!(made.is_some_and(|region| region["attribute"] == "wc" && region["offset"] == MIB));
    // The copy of the descriptor is gone, so that the device can be opened again.
    drop(opened);
    open().map(drop)
}

// contract: outside.subregionctl-pid
fn subregionctl_says_why_it_shows_nothing_of_a_process() -> Outcome {
    let process = std::process::id();
    let (success, said) = tool(&format!("list --pid {process}"))?;
    ensure!(!success && said == format!("error: process {process} has no VFIO device open\n"));
    let (success, said) = tool("list --pid 4000000")?;
    ensure!(!success && said == "error: there is no process 4000000\n");
    let opened = open()?;
    let (success, said) = tool(&format!("list --pid {process} 00:00.0"))?;
    ensure!(!success && said.contains("has none of these devices open"));
    // The library of Rust starts programs of other users only where the kernel has sockets.
    if Path::new("/proc/net/unix").exists() {
        let mut program = Command::new("/tools/subregionctl");
        program
            .args(["list", "--pid", &process.to_string()])
            .uid(1000);
        let said = String::from_utf8(program.output()?.stderr)?;
        println!("# {said}");
        ensure!(said.contains("cannot be copied: Permission denied (os error 13); only root"));
    }
    drop(opened);
    Ok(())
}

/// Ends a process at the end of a test.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// contract: outside.subregionctl-watch
fn subregionctl_watches_changes() -> Outcome {
    let name = address("DEV_IVSHMEM")?.to_string();
    let mut watcher = Watcher(
        Command::new("/tools/subregionctl")
            .args(["watch", "--interval", "0.05", &name])
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let output = watcher.0.stdout.take().ok_or("there is no pipe")?;
    let mut lines = BufReader::new(output).lines();
    let mut next = || -> Result<String, Failure> {
        let line = lines.next().ok_or("it has ended")??;
        println!("# {line}");
        Ok(line)
    };
    let opened = open()?;
    ensure!(next()?.starts_with(&format!("{name} + opened pid={} ", std::process::id())));
    ensure!(next()? == format!("{name} + exports files=0"));
    let region = opened
        .device()
        .create(BAR, range(MIB, MIB), Attribute::WriteCombining)?;
    ensure!(next()?.starts_with(&format!("{name} + bar number=2 ")));
    ensure!(next()?.starts_with(&format!(
        "{name} + subregion index=9 bar=2 offset=0x100000 "
    )));
    opened.device().destroy(region.index())?;
    while !next()?.starts_with(&format!("{name} - subregion index=9 ")) {}
    drop(opened);
    while !next()?.starts_with(&format!("{name} - opened ")) {}
    // As Ctrl-C does.
    let process = watcher.0.id().to_string();
    ensure!(Command::new("/bin/kill")
        .args(["-INT", &process])
        .status()?
        .success());
    while lines.next().transpose()?.is_some() {}
    ensure!(watcher.0.wait()?.signal() == Some(2));
    Ok(())
}

// contract: outside.subregionctl
fn subregionctl_lists_the_state_of_an_open_device() -> Outcome {
    let (success, said) = tool("list --open DEVICE")?;
    ensure!(success && said.is_empty());
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, MIB), Attribute::WriteCombining)?;
    let (success, said) = tool("list --open DEVICE")?;
    let line = format!("subregion index={} bar=2 offset=0x100000", region.index());
    ensure!(success && said.contains(&line) && said.contains("comm=crate_test"));
    let (success, said) = tool("list --open --json DEVICE")?;
    let said: Value = serde_json::from_str(&said)?;
    let lines = said[0]["state"].as_array().ok_or("there is no state")?;
    let line = lines.iter().find(|line| line["kind"] == "subregion");
    ensure!(success && line.is_some_and(|line| line["offset"] == MIB && line["index"] == 9));
    Ok(())
}

// contract: userspace.subregionctl
fn subregionctl_tells_of_a_driver_without_subregions() -> Outcome {
    let elsewhere = Elsewhere::new(address("DEV_IVSHMEM")?)?;
    let (success, said) = tool("show DEVICE")?;
    ensure!(success && said.contains("(its driver has no subregions)"));
    let (success, said) = tool("show DEVICE --json")?;
    let said: Value = serde_json::from_str(&said)?;
    ensure!(success && said[0]["subregions"] == false && said[0]["granule"].is_null());
    ensure!(said[0]["regions"][0]["can_be"].is_null());
    let (success, said) = tool("hold DEVICE --part 2:1M:4M:wc --seconds 0")?;
    ensure!(!success && said.contains("bind the device to subregion_vfio_pci"));
    elsewhere.back()
}

// contract: userspace.subregionctl
fn subregionctl_dumps_a_region() -> Outcome {
    let (success, said) = tool("dump DEVICE 7 --length 4")?;
    ensure!(success && said == "00000000  f4 1a 10 11\n");
    let (success, said) = tool("dump DEVICE 9 --part 2:1M:4K:wc --offset 4K")?;
    ensure!(!success && said.contains("region 9 ends at 0x1000"));
    Ok(())
}

// contract: userspace.subregionctl
fn subregionctl_says_why_it_cannot() -> Outcome {
    let (success, said) = tool("hold DEVICE --part 2:1:4K:wc --seconds 0")?;
    ensure!(!success && said.contains(&format!("a page has {:#x} bytes", 4 * KIB)));
    for command in ["list", "show"] {
        let (success, said) = tool(&format!("{command} 0000:ff:00.0"))?;
        ensure!(!success && said.contains("there is no PCI device"));
    }
    let (success, said) = tool("show 0000:00:00.0")?;
    ensure!(!success && said.contains("it has no driver"));
    Ok(())
}
