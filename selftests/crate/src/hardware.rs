// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the parts that a driver needs besides regions: both ways to open, configuration space,
//! DMA, interrupts.

use crate::{address, ensure, tests, Failure, Outcome, MIB};
use std::{path::Path, time::Duration};
use vfio_subregion::{AccessError, Bar, Irq, Opened};

tests! {
    a_driver_drives_a_device_by_its_group,
    a_driver_drives_a_device_by_its_file,
    a_failure_of_the_setup_is_described,
}

const ID: u32 = 0x10c9_8086;
const GPIE: usize = 0x1514;
const EICS: usize = 0x1520;
const EIMS: usize = 0x1524;
const IVAR: usize = 0x1700;
const IOVA: u64 = 1 << 32;

/// Uses all that a driver needs, of the device igb.
fn drive(opened: &Opened) -> Outcome {
    ensure!(opened.id()? == ID && opened.class()? >> 16 == 2);
    opened.write_config(4, &[0, 0])?;
    opened.enable()?;
    let mut command = [0; 2];
    opened.read_config(4, &mut command)?;
    ensure!(command[0] & 6 == 6);

    // Interrupts do not need memory for DMA.
    drop(opened.interrupts(Irq::Msix, 1)?);
    let memory = opened.dma(IOVA, 100)?;
    ensure!(memory.size() % 4096 == 0 && memory.iova(8) == IOVA + 8);
    memory.put(8, 7_u64)?;
    ensure!(memory.get::<u64>(8)? == 7);
    ensure!(memory.get::<u64>(memory.size()) == Err(AccessError::OutOfBounds));
    ensure!(memory.get::<u64>(4) == Err(AccessError::Unaligned));
    let second = opened.dma(IOVA + MIB, 100)?;
    ensure!(opened.dma(IOVA + MIB, 100).is_err());
    drop(second);
    // The address is free again.
    opened.dma(IOVA + MIB, 100)?;

    ensure!(opened.vectors(Irq::Msix)? >= 3);
    let interrupts = opened.interrupts(Irq::Msix, 2)?;
    let device = opened.device();
    let mapping = device.map(&device.region(Bar::ALL[0])?)?;
    let registers = mapping.registers()?;
    let raise = || -> Result<u64, Failure> {
        registers.write::<u32>(GPIE, 0x10)?;
        registers.write::<u32>(IVAR, 0x80)?;
        registers.write::<u32>(EIMS, 1)?;
        registers.write::<u32>(EICS, 1)?;
        Ok(interrupts[0].wait_for(Duration::from_secs(2))?)
    };
    ensure!(raise()? == 1);
    ensure!(interrupts[1].take()? == 0);
    // After these have ended, other ones can be enabled.
    drop(interrupts);
    ensure!(opened.interrupts(Irq::Msi, 1)?.unmask().is_err());
    opened.interrupts(Irq::Intx, 1)?.unmask()?;
    Ok(())
}

// contract: userspace.hardware
fn a_driver_drives_a_device_by_its_group() -> Outcome {
    drive(&Opened::by_group(&address("DEV_IGB")?)?)
}

// contract: userspace.hardware
fn a_driver_drives_a_device_by_its_file() -> Outcome {
    let Some(file) = address("DEV_IGB")?.vfio_file() else {
        println!("# the kernel gives devices no files of their own");
        return Ok(());
    };
    drive(&Opened::by_file(&file)?)
}

// contract: userspace.hardware
fn a_failure_of_the_setup_is_described() -> Outcome {
    let opened = Opened::new(&address("DEV_IGB")?)?;
    let most = opened.vectors(Irq::Msix)?;
    let error = opened.interrupts(Irq::Msix, most + 1).map(drop);
    let text = format!("cannot be enabled: the device has {most}");
    ensure!(error.is_err_and(|error| error.to_string().ends_with(&text)));
    let error = opened.dma(1, 4096).map(drop);
    ensure!(error.is_err_and(|error| error.to_string().contains("cannot be mapped for DMA")));
    let error = Opened::by_file(Path::new("/dev/vfio/devices/none")).map(drop);
    ensure!(error.is_err_and(|error| error
        .to_string()
        .contains("/dev/vfio/devices/none: No such")));
    ensure!(opened.read_config(1 << 20, &mut [0]).is_err());
    Ok(())
}
