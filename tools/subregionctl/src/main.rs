// SPDX-License-Identifier: GPL-2.0-only

//! Shows regions and subregions of devices, and makes some for debugging.

mod command;
mod dump;
mod manual;
mod show;
mod state;

use clap::Parser;
use command::{
    Arguments,
    Command,
    Part, //
};
use std::{
    io::Read,
    process::ExitCode,
    time::Duration, //
};
use subregion_open::{
    exit,
    Address,
    Failure,
    Opened, //
};

/// The devices on this project's driver, with either of its names, or on stock vfio-pci.
fn bound() -> Result<Vec<Address>, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/bus/pci/devices")? {
        let address: Address = entry?.file_name().to_string_lossy().parse()?;
        let driver = address.driver();
        if driver.is_some_and(|name| name == "vfio-pci" || name == "subregion_vfio_pci") {
            found.push(address);
        }
    }
    found.sort();
    Ok(found)
}

fn create(opened: &Opened, parts: &[Part]) -> Result<(), Failure> {
    for part in parts {
        opened
            .device()
            .create(part.bar, part.range, part.attribute)?;
    }
    Ok(())
}

/// Waits for the end of stdin, or for a number of seconds.
fn wait(seconds: Option<u64>) -> Result<(), Failure> {
    if let Some(seconds) = seconds {
        std::thread::sleep(Duration::from_secs(seconds));
    } else {
        eprintln!("held until the end of input (Ctrl-D)");
        std::io::stdin().read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// Shows as many devices as possible, and fails in the end if one could not be shown.
fn list(devices: Vec<Address>, json: bool) -> Result<(), Failure> {
    let devices = if devices.is_empty() {
        bound()?
    } else {
        devices
    };
    let mut shown = Vec::new();
    let mut failed = false;
    for device in &devices {
        match Opened::new(device).and_then(|opened| show::Listing::new(device, &opened)) {
            Ok(listing) => shown.push(listing),
            Err(error) => {
                failed = true;
                eprintln!("error: {error}");
            }
        }
    }
    show::print(&shown, json)?;
    if failed {
        return Err("not every device could be shown".into());
    }
    Ok(())
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List {
            devices,
            open: true,
            json,
        } => state::print(&devices, json),
        Command::List { devices, json, .. } => list(devices, json),
        Command::Hold {
            device,
            parts,
            seconds,
            json,
        } => {
            let opened = Opened::new(&device)?;
            create(&opened, &parts)?;
            show::print(&[show::Listing::new(&device, &opened)?], json)?;
            wait(seconds)
        }
        Command::Dump {
            device,
            region,
            offset,
            length,
            parts,
        } => {
            let opened = Opened::new(&device)?;
            create(&opened, &parts)?;
            dump::dump(&opened, region, offset, length)
        }
        Command::Man { directory } => manual::write(&directory),
    }
}

fn main() -> ExitCode {
    exit(run(Arguments::parse()))
}
