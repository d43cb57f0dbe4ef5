// SPDX-License-Identifier: GPL-2.0-only

//! The least that a driver does: a write-combining window for descriptors, strict registers beside it.
//!
//! Usage: `rust_ring ADDRESS`, for QEMU's ivshmem, whose BAR 2 is plain memory.

use std::process::ExitCode;
use subregion_samples::{
    device_argument,
    exit,
    Failure,
    Opened, //
};
use vfio_subregion::{
    Attribute,
    Bar,
    ByteRange, //
};

/// As long as a cache line, so that each one fills a write-combining buffer exactly.
type Descriptor = [u64; 8];

// What a data sheet would say.
const BAR: Bar = Bar::new(2).unwrap();
const REGISTERS: ByteRange = ByteRange::new(0, 1 << 20).unwrap();
const WINDOW: ByteRange = ByteRange::new(1 << 20, 4 << 20).unwrap();
const DOORBELL: usize = 0;
const COUNT: usize = 1024;

fn main() -> ExitCode {
    exit(drive())
}

fn drive() -> Result<(), Failure> {
    let opened = Opened::new(&device_argument("DEV_IVSHMEM")?)?;
    let device = opened.device();

    // First the claim: from then on the window cannot be mapped with the wrong type.
    let region = device.create(BAR, WINDOW, Attribute::WriteCombining)?;
    let window = device.map(&region)?;
    let registers = device.map_part(&device.region(BAR)?, REGISTERS)?;
    let doorbell = registers.registers()?.register::<u32>(DOORBELL)?;

    let ring = window.write_combining()?.ring::<Descriptor>(0, COUNT)?;
    for index in 0..COUNT {
        let number = index as u64;
        ring.write(index, &[number, !number, 0, 1, 2, 3, 4, 5])?;
    }
    // The device is told after the descriptors have left the CPU.
    doorbell.write_ordered(u32::try_from(COUNT)?);

    for index in 0..COUNT {
        if window.read::<u64>(index * size_of::<Descriptor>() + 8)? != !(index as u64) {
            return Err(format!("descriptor {index} reads back wrong").into());
        }
    }
    println!(
        "{COUNT} descriptors are in region {}, which is {}; the doorbell says {}",
        region.index(),
        region.effective().ok_or("no type is told")?,
        doorbell.read()
    );
    Ok(())
}
