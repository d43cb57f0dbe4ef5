// SPDX-License-Identifier: GPL-2.0-only

//! Shows regions and subregions of devices, and makes some for debugging.

mod command;
mod dump;
mod list;
mod manual;
mod process;
mod show;
mod state;

use clap::Parser;
use command::{Arguments, Command, Part};
use std::{io::Read, process::ExitCode, time::Duration};
use subregion_open::{exit, Address, Failure, Opened};

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

/// Applies `each` to `devices` or, if there are none, to all that are bound, and prints the results
/// by `print`. Shows as many devices as possible, and fails in the end if one could not be shown.
fn for_each<T>(
    devices: Vec<Address>,
    each: impl Fn(&Address) -> Result<T, Failure>,
    print: impl FnOnce(&[T]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let devices = if devices.is_empty() {
        bound()?
    } else {
        devices
    };
    let mut shown = Vec::new();
    let mut failed = false;
    for device in &devices {
        match each(device) {
            Ok(one) => shown.push(one),
            Err(error) => {
                failed = true;
                eprintln!("error: {error}");
            }
        }
    }
    print(&shown)?;
    if failed {
        return Err("not every device could be shown".into());
    }
    Ok(())
}

/// Opens a device and describes it.
fn opened(device: &Address) -> Result<show::Listing, Failure> {
    show::Listing::new(device, &Opened::new(device)?.device())
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List {
            devices,
            open: true,
            json,
            ..
        } => state::print(&devices, json),
        Command::List {
            devices,
            pid: Some(process),
            json,
            ..
        } => show::print(&process::listings(process.0, &devices)?, json),
        Command::List { devices, json, .. } => for_each(devices, list::Entry::new, |entries| {
            list::print(entries, json)
        }),
        Command::Show { devices, json } => {
            for_each(devices, opened, |listings| show::print(listings, json))
        }
        Command::Watch {
            devices,
            interval,
            json,
        } => state::watch(&devices, interval, json),
        Command::Hold {
            device,
            parts,
            seconds,
            json,
        } => {
            let opened = Opened::new(&device)?;
            create(&opened, &parts)?;
            show::print(&[show::Listing::new(&device, &opened.device())?], json)?;
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
