// SPDX-License-Identifier: GPL-2.0-only

//! A driver of the Intel 82576 (igb), which sends frames to itself.
//!
//! Usage: `igb_loop ADDRESS`. The rings are in memory of the process, the registers in a subregion
//! with the attribute DEVICE. An interrupt announces each frame. This device has no memory that would
//! gain from write combining.
//!
//! The register numbers are from the data sheet of the 82576. The kernel's VFIO selftests show that a
//! loopback in QEMU needs RCTL.LBM and a negotiated link.

use std::{process::ExitCode, thread::sleep, time::Duration};
use subregion_samples::{device_argument, exit, poll, Failure, Opened};
use vfio_subregion::{Attribute, Bar, ByteRange, Dma, Interrupts, Irq, Registers};

const ID: u32 = 0x10c9_8086;
const BAR: Bar = Bar::new(0).unwrap();

const CTRL: usize = 0x0;
const STATUS: usize = 0x8;
const CTRL_EXT: usize = 0x18;
const MDIC: usize = 0x20;
const IMC: usize = 0xd8;
const RCTL: usize = 0x100;
const TCTL: usize = 0x400;
const GPIE: usize = 0x1514;
const EIMS: usize = 0x1524;
const EICR: usize = 0x1580;
const IVAR: usize = 0x1700;
const RX_QUEUE: usize = 0x2800;
const TX_QUEUE: usize = 0x3800;
const GPRC: usize = 0x4074;
const GPTC: usize = 0x4080;

// Within a queue.
const BASE_LOW: usize = 0x0;
const BASE_HIGH: usize = 0x4;
const LENGTH: usize = 0x8;
const SRRCTL: usize = 0xc;
const HEAD: usize = 0x10;
const TAIL: usize = 0x18;
const DCTL: usize = 0x28;

const RESET: u32 = 1 << 26;
const QUEUE_ENABLE: u32 = 1 << 25;
const ADVANCED_ONE_BUFFER: u32 = 1 << 25;
/// Forces full duplex, 1 Gb/s and the link up.
const FORCE_LINK: u32 = 1 | 1 << 6 | 2 << 8 | 1 << 11 | 1 << 12;
const SPEED_MASK: u32 = 3 << 8;
const LINK_UP: u32 = 1 << 1;
/// Enabled, promiscuous, broadcast, MAC loopback, checksum stripped.
const RECEIVE: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 15 | 1 << 26;
const TRANSMIT: u32 = 1 << 1 | 1 << 3;
/// Advanced data descriptor, end of packet, insert the checksum, report status.
const SEND: u32 = 3 << 20 | 1 << 29 | 1 << 24 | 1 << 25 | 1 << 27;
const DONE: u32 = 1;
const SEVERAL_VECTORS: u32 = 1 << 4;
/// The cause of the first receive queue has the first vector.
const FIRST_VECTOR: u32 = 1 << 7;

const ENTRIES: usize = 64;
const ENTRY: usize = 16;
const BUFFER: usize = 2048;
const FRAME: usize = 128;
const FRAMES: usize = 1000;

// Offsets in the memory for DMA.
const TX_RING: usize = 0;
const RX_RING: usize = TX_RING + ENTRIES * ENTRY;
const TX_BUFFERS: usize = 4096;
const RX_BUFFERS: usize = TX_BUFFERS + ENTRIES * BUFFER;
const MEMORY: usize = RX_BUFFERS + ENTRIES * BUFFER;
const IOVA: u64 = 1 << 32;

struct Port<'a> {
    registers: Registers<'a>,
    memory: Dma<'a>,
    interrupts: Interrupts<'a>,
}

impl Port<'_> {
    fn read(&self, register: usize) -> Result<u32, Failure> {
        Ok(self.registers.read(register)?)
    }

    fn write(&self, register: usize, value: u32) -> Result<(), Failure> {
        Ok(self.registers.write(register, value)?)
    }

    /// Writes register 0 of the PHY, its control register.
    fn write_phy(&self, value: u32) -> Result<(), Failure> {
        self.write(MDIC, value | 1 << 21 | 1 << 26)?;
        poll("a write to the PHY", || Ok(self.read(MDIC)? & 1 << 28 != 0))
    }

    fn reset(&self) -> Result<(), Failure> {
        self.write(CTRL, self.read(CTRL)? | RESET)?;
        sleep(Duration::from_millis(2));
        poll("the reset", || Ok(self.read(CTRL)? & RESET == 0))?;
        self.write(IMC, u32::MAX)
    }

    fn start_link(&self) -> Result<(), Failure> {
        self.write(CTRL_EXT, self.read(CTRL_EXT)? | 1 << 28)?;
        // First the negotiation, from which QEMU gets the link; then the loopback for hardware.
        self.write_phy(1 << 12 | 1 << 9)?;
        poll("the link", || Ok(self.read(STATUS)? & LINK_UP != 0))?;
        self.write_phy(1 << 14 | 1 << 8 | 1 << 6)?;
        self.write(CTRL, self.read(CTRL)? & !SPEED_MASK | FORCE_LINK)?;
        sleep(Duration::from_millis(100));
        Ok(())
    }

    fn start_queue(&self, queue: usize, ring: usize) -> Result<(), Failure> {
        let address = self.memory.iova(ring);
        self.write(queue + BASE_LOW, u32::try_from(address & 0xffff_ffff)?)?;
        self.write(queue + BASE_HIGH, u32::try_from(address >> 32)?)?;
        self.write(queue + LENGTH, u32::try_from(ENTRIES * ENTRY)?)?;
        self.write(queue + HEAD, 0)?;
        self.write(queue + TAIL, 0)
    }

    fn start(&self) -> Result<(), Failure> {
        self.reset()?;
        self.start_link()?;
        self.start_queue(TX_QUEUE, TX_RING)?;
        self.start_queue(RX_QUEUE, RX_RING)?;
        self.write(RX_QUEUE + SRRCTL, ADVANCED_ONE_BUFFER)?;
        self.write(TX_QUEUE + DCTL, QUEUE_ENABLE)?;
        self.write(RX_QUEUE + DCTL, QUEUE_ENABLE)?;
        self.write(RCTL, RECEIVE)?;
        self.write(TCTL, TRANSMIT)?;
        self.write(GPIE, SEVERAL_VECTORS)?;
        self.write(IVAR, FIRST_VECTOR)?;
        self.write(EIMS, 1)?;
        poll("the start of the queues", || {
            Ok(self.read(TX_QUEUE + DCTL)? & self.read(RX_QUEUE + DCTL)? & QUEUE_ENABLE != 0)
        })?;
        // A read clears these counters.
        self.read(GPTC)?;
        self.read(GPRC)?;
        Ok(())
    }

    /// Sends a frame and waits for it to come back.
    fn exchange(&self, number: usize) -> Result<(), Failure> {
        let entry = number % ENTRIES;
        let next = u32::try_from((number + 1) % ENTRIES)?;
        let tx = TX_BUFFERS + entry * BUFFER;
        let rx = RX_BUFFERS + entry * BUFFER;

        self.memory
            .put(RX_RING + entry * ENTRY, self.memory.iova(rx))?;
        self.memory.put(RX_RING + entry * ENTRY + 8, 0_u64)?;
        let frame = frame(number);
        self.memory.put(tx, frame)?;
        self.memory
            .put(TX_RING + entry * ENTRY, self.memory.iova(tx))?;
        let command = SEND | u32::try_from(FRAME)?;
        self.memory.put(TX_RING + entry * ENTRY + 8, command)?;
        self.memory
            .put(TX_RING + entry * ENTRY + 12, u32::try_from(FRAME << 14)?)?;

        // Or the device would not signal a cause that it has signalled before.
        self.write(EICR, 1)?;
        // The device must see the descriptors before the tails.
        vfio_subregion::order_stores();
        self.write(RX_QUEUE + TAIL, next)?;
        self.write(TX_QUEUE + TAIL, next)?;

        if self.interrupts[0].wait_for(Duration::from_secs(5))? == 0 {
            return Err(format!("no interrupt announced frame {number} within 5 seconds").into());
        }
        poll("the arrival of a frame", || {
            let status: u32 = self.memory.get(RX_RING + entry * ENTRY + 8)?;
            Ok(status & DONE != 0)
        })?;
        // The device wrote the frame before the status; it must be read after it.
        vfio_subregion::order_loads();
        let length: u16 = self.memory.get(RX_RING + entry * ENTRY + 12)?;
        let got: [u8; FRAME] = self.memory.get(rx)?;
        if usize::from(length) != FRAME || got != frame {
            return Err(format!("frame {number} came back otherwise, with {length} bytes").into());
        }
        Ok(())
    }
}

/// A frame from a local address to everybody, with a type for experiments.
fn frame(number: usize) -> [u8; FRAME] {
    let mut frame = [0xff; FRAME];
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame[14..22].copy_from_slice(&(number as u64).to_le_bytes());
    for (byte, value) in frame[22..]
        .iter_mut()
        .zip(number.to_le_bytes().iter().cycle())
    {
        *byte = value.wrapping_mul(31);
    }
    frame
}

fn main() -> ExitCode {
    exit(drive())
}

fn drive() -> Result<(), Failure> {
    let opened = Opened::new(&device_argument("DEV_IGB")?)?;
    if opened.id()? != ID {
        return Err("this is a driver for the 82576".into());
    }
    opened.enable()?;
    let device = opened.device();
    let size = device.region(BAR)?.size();
    let all = ByteRange::new(0, size).ok_or("BAR 0 is not there")?;
    let region = device.create(BAR, all, Attribute::Device)?;
    let mapping = device.map(&region)?;

    let port = Port {
        registers: mapping.registers()?,
        memory: opened.dma(IOVA, MEMORY)?,
        interrupts: opened.interrupts(Irq::Msix, 1)?,
    };
    port.start()?;
    for number in 0..FRAMES {
        port.exchange(number)?;
    }
    let (sent, received) = (port.read(GPTC)?, port.read(GPRC)?);
    port.reset()?;
    println!("{sent} frames were sent and {received} received, by the device's own counters");
    if (sent, received) != (u32::try_from(FRAMES)?, u32::try_from(FRAMES)?) {
        return Err(format!("{FRAMES} were exchanged").into());
    }
    Ok(())
}
