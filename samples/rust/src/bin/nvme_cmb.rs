// SPDX-License-Identifier: GPL-2.0-only

//! A poll-mode driver of NVM Express whose submission queue is in the controller's memory buffer.
//!
//! Usage: `nvme_cmb ADDRESS [BLOCK]`. Reads blocks 0 to 63 by commands that it writes through a
//! write-combining subregion of the BAR that has the buffer, and prints the beginning of BLOCK. Names and
//! numbers are those of the NVM Express base specification, 2.0.

use std::process::ExitCode;
use subregion_samples::{device_argument, exit, poll, poll_for, Failure, Opened};
use vfio_subregion::{Attribute, Bar, ByteRange, Dma, Register, Registers, Ring};
use zerocopy::{Immutable, IntoBytes};

/// Mass storage, non-volatile memory, NVM Express.
const CLASS: u32 = 0x01_08_02;
const REGISTERS: Bar = Bar::new(0).unwrap();

const CAP: usize = 0x0;
const CC: usize = 0x14;
const CSTS: usize = 0x1c;
const AQA: usize = 0x24;
const ASQ: usize = 0x28;
const ACQ: usize = 0x30;
const CMBLOC: usize = 0x38;
const CMBSZ: usize = 0x3c;
const CMBMSC: usize = 0x50;
const DOORBELLS: usize = 0x1000;

const CREATE_SQ: u32 = 0x01;
const READ: u32 = 0x02;
const CREATE_CQ: u32 = 0x05;

const ENTRIES: u16 = 16;
const BLOCKS: u32 = 64;
const BLOCK: usize = 512;
const PAGE: usize = 4096;

// Offsets in the memory for DMA, of one page each.
const ADMIN_SQ: usize = 0;
const ADMIN_CQ: usize = PAGE;
const IO_CQ: usize = 2 * PAGE;
const DATA: usize = 3 * PAGE;
const MEMORY: usize = 4 * PAGE;
/// The controller's address of that memory, at which machines have no BAR.
const IOVA: u64 = 1 << 24;

/// A submission queue entry.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
struct Command {
    opcode_and_id: u32,
    namespace: u32,
    reserved: [u32; 4],
    data: [u64; 2],
    arguments: [u32; 6],
}

/// The memory that a submission queue is in.
enum Submission<'a> {
    Host(usize),
    Controller(Ring<'a, Command>),
}

/// A submission queue with its completion queue.
struct Queue<'a> {
    memory: &'a Dma<'a>,
    submission: Submission<'a>,
    completion: usize,
    tail_bell: Register<'a, u32>,
    head_bell: Register<'a, u32>,
    tail: u16,
    head: u16,
    phase: u32,
}

impl<'a> Queue<'a> {
    fn new(
        registers: Registers<'a>,
        stride: usize,
        id: usize,
        memory: &'a Dma<'a>,
        (submission, completion): (Submission<'a>, usize),
    ) -> Result<Self, Failure> {
        Ok(Self {
            memory,
            submission,
            completion,
            tail_bell: registers.register(DOORBELLS + 2 * id * stride)?,
            head_bell: registers.register(DOORBELLS + (2 * id + 1) * stride)?,
            tail: 0,
            head: 0,
            phase: 1,
        })
    }

    /// Performs one command and waits for it.
    fn perform(&mut self, mut command: Command) -> Result<(), Failure> {
        command.opcode_and_id |= u32::from(self.tail) << 16;
        let entry = usize::from(self.tail);
        match &self.submission {
            Submission::Host(at) => {
                self.memory
                    .put(at + entry * size_of::<Command>(), command)?;
            }
            Submission::Controller(ring) => ring.write(entry, &command)?,
        }
        self.tail = (self.tail + 1) % ENTRIES;
        // The device must see the command before the doorbell.
        self.tail_bell.write_ordered(u32::from(self.tail));

        let at = self.completion + usize::from(self.head) * 16 + 12;
        let mut status = 0;
        poll("the completion of a command", || {
            status = self.memory.get::<u32>(at)? >> 16;
            Ok(status & 1 == self.phase)
        })?;
        // The device wrote the data before the completion; it must be read after it.
        vfio_subregion::order_loads();
        self.head = (self.head + 1) % ENTRIES;
        if self.head == 0 {
            self.phase ^= 1;
        }
        self.head_bell.write(u32::from(self.head));
        if status >> 1 != 0 {
            let opcode = command.opcode_and_id & 0xff;
            return Err(
                format!("command {opcode:#x} failed with status {:#x}", status >> 1).into(),
            );
        }
        Ok(())
    }
}

/// Resets the controller and starts it with its admin queue.
fn start(registers: Registers<'_>, memory: &Dma<'_>) -> Result<(), Failure> {
    let size = u32::from(ENTRIES) - 1;
    // CAP.TO, in units of 500 ms: how long the controller may take to become ready.
    let seconds = 1 + (registers.read::<u64>(CAP)? >> 24 & 0xff) / 2;
    registers.write(CC, 0_u32)?;
    poll_for("the reset of the controller", seconds, || {
        Ok(registers.read::<u32>(CSTS)? & 1 == 0)
    })?;
    registers.write(AQA, size << 16 | size)?;
    registers.write(ASQ, memory.iova(ADMIN_SQ))?;
    registers.write(ACQ, memory.iova(ADMIN_CQ))?;
    // Entries of 64 and 16 bytes.
    registers.write(CC, 4_u32 << 20 | 6 << 16 | 1)?;
    poll_for("the start of the controller", seconds, || {
        Ok(registers.read::<u32>(CSTS)? & 1 == 1)
    })
}

/// Returns the address of a memory BAR on the bus.
fn bus_address(opened: &Opened, bar: Bar) -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    opened.read_config(0x10 + 4 * u64::from(bar.number()), &mut bytes)?;
    let address = u64::from_le_bytes(bytes);
    let is_long = address & 4 != 0;
    Ok(address & !0xf & if is_long { u64::MAX } else { u32::MAX.into() })
}

/// Enables the controller memory buffer; returns its BAR, its range there, and the controller's
/// address of it.
fn find_buffer(
    opened: &Opened,
    registers: Registers<'_>,
) -> Result<(Bar, ByteRange, u64), Failure> {
    let movable = registers.read::<u64>(CAP)? & 1 << 57 != 0;
    if movable && registers.read::<u32>(CMBSZ)? == 0 {
        registers.write(CMBMSC, 1_u64)?;
    }
    let location: u32 = registers.read(CMBLOC)?;
    let size: u32 = registers.read(CMBSZ)?;
    if size == 0 {
        return Err("the controller has no memory buffer".into());
    }
    if size & 1 == 0 {
        return Err("submission queues cannot be in the buffer".into());
    }
    let unit = 4096_u64 << (4 * (size >> 8 & 0xf));
    let bar = u8::try_from(location & 7)?;
    let range = ByteRange::new(
        u64::from(location >> 12) * unit,
        u64::from(size >> 12) * unit,
    );
    let (bar, range) = Bar::new(bar).zip(range).ok_or("the buffer is nowhere")?;
    // Before NVMe 1.4 the buffer always has this address; later a driver chooses it.
    let address = bus_address(opened, bar)? + range.offset();
    if movable {
        registers.write(CMBMSC, address | 3)?;
    }
    Ok((bar, range, address))
}

fn main() -> ExitCode {
    exit(drive())
}

fn drive() -> Result<(), Failure> {
    let opened = Opened::new(&device_argument("DEV_NVME")?)?;
    let shown: u32 = std::env::args().nth(2).map_or(Ok(0), |word| word.parse())?;
    let device = opened.device();
    if opened.class()? != CLASS {
        return Err("this is no NVMe controller".into());
    }
    opened.enable()?;
    let mapping = device.map(&device.region(REGISTERS)?)?;
    let registers = mapping.registers()?;
    let memory = opened.dma(IOVA, MEMORY)?;

    start(registers, &memory)?;
    let stride = 4 << (registers.read::<u64>(CAP)? >> 32 & 0xf);
    let admin = (Submission::Host(ADMIN_SQ), ADMIN_CQ);
    let mut admin = Queue::new(registers, stride, 0, &memory, admin)?;

    let (bar, buffer, address) = find_buffer(&opened, registers)?;
    let region = device.create(bar, buffer, Attribute::WriteCombining)?;
    let window = device.map(&region)?;
    let ring = window.write_combining()?.ring(0, usize::from(ENTRIES))?;

    let size = u32::from(ENTRIES) - 1;
    let mut create = Command {
        opcode_and_id: CREATE_CQ,
        data: [memory.iova(IO_CQ), 0],
        arguments: [size << 16 | 1, 1, 0, 0, 0, 0],
        ..Command::default()
    };
    admin.perform(create)?;
    create.opcode_and_id = CREATE_SQ;
    create.data = [address, 0];
    create.arguments[1] = 1 << 16 | 1;
    admin.perform(create)?;

    let queue = (Submission::Controller(ring), IO_CQ);
    let mut queue = Queue::new(registers, stride, 1, &memory, queue)?;
    let mut text = String::new();
    for block in 0..BLOCKS {
        memory.put(DATA, [0xaa_u8; BLOCK])?;
        queue.perform(Command {
            opcode_and_id: READ,
            namespace: 1,
            data: [memory.iova(DATA), 0],
            arguments: [block, 0, 0, 0, 0, 0],
            ..Command::default()
        })?;
        let data: [u8; BLOCK] = memory.get(DATA)?;
        if data == [0xaa; BLOCK] {
            return Err(format!("nothing was read of block {block}").into());
        }
        if block == shown {
            text = data[..16].escape_ascii().to_string();
        }
    }
    registers.write(CC, 0_u32)?;
    println!(
        "{BLOCKS} blocks were read by commands in BAR {bar}, which is {} there; block {shown} begins \
         with {text}",
        region.effective().ok_or("the driver reports no type")?
    );
    Ok(())
}
