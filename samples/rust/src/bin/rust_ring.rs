// SPDX-License-Identifier: GPL-2.0-only

//! The minimum of a driver: write-combining memory for descriptors, strict registers, a doorbell.
//!
//! Usage: `rust_ring ADDRESS`, for QEMU's ivshmem, whose BAR 2 is plain memory.

use std::process::ExitCode;
use subregion_samples::{device_argument, exit, Failure, Opened};
use vfio_subregion::{Attribute, Bar, BarLayout, ByteRange, Source};

/// A descriptor has the size of a line, so it fills one write-combining buffer.
type Descriptor = [u64; 8];

// From the data sheet of a device.
const BAR: Bar = Bar::new(2).unwrap();
const REGISTERS: ByteRange = ByteRange::new(0, 1 << 20).unwrap();
const DATA: ByteRange = ByteRange::new(1 << 20, 4 << 20).unwrap();
const DOORBELL: usize = 0;
const COUNT: usize = 1024;

fn main() -> ExitCode {
    exit(drive())
}

fn drive() -> Result<(), Failure> {
    let opened = Opened::new(&device_argument("DEV_IVSHMEM")?)?;
    let device = opened.device();

    // Both parts, or an error. A driver that also works without write combining would add
    // Attribute::Noncached to the attributes of `DATA`.
    let layout = BarLayout::new(BAR)
        .part(REGISTERS, &[Attribute::Noncached])
        .part(DATA, &[Attribute::WriteCombining]);
    let parts = device.map_layout(&layout)?;
    let [registers, data] = &parts[..] else {
        return Err("the layout has two parts".into());
    };
    let doorbell = registers.mapping.registers()?.register::<u32>(DOORBELL)?;
    let ring = data.mapping.data().ring::<Descriptor>(0, COUNT)?;

    // The queue orders the doorbell behind the descriptors.
    let mut queue = ring.queue(doorbell);
    for number in 0..COUNT as u64 {
        queue.push(&[number, !number, 0, 1, 2, 3, 4, 5]);
    }
    queue.submit(u32::try_from(COUNT)?);

    for index in 0..COUNT {
        let word = data
            .mapping
            .read::<u64>(index * size_of::<Descriptor>() + 8)?;
        if word != !(index as u64) {
            return Err(format!("descriptor {index} reads back wrong").into());
        }
    }
    // On arm64, vfio-pci's devices can have write-combining memory from sysfs.
    let place = match &data.source {
        Source::Subregion(region) => format!(
            "region {}, which is {}",
            region.index(),
            region.effective().ok_or("the driver reports no type")?
        ),
        source => format!("memory from {source:?}"),
    };
    println!(
        "{COUNT} descriptors are in {place}; the doorbell says {}",
        doorbell.read()
    );
    Ok(())
}
