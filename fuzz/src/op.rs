// SPDX-License-Identifier: GPL-2.0-only

//! The operations and their outcomes.

use crate::model::{Frame, Request};
use std::fmt;

/// The maximum number of bytes that an operation reads or writes.
pub const BYTES: usize = 16384;

/// The way in which `mmap()` chooses the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// `MAP_FIXED`: replaces existing mappings.
    Over,
    /// `MAP_FIXED_NOREPLACE`: fails if a mapping exists.
    Free,
}

/// The advice of `madvise()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// `MADV_DONTFORK`
    DontFork,
    /// `MADV_DOFORK`
    DoFork,
    /// `MADV_DONTNEED`
    DontNeed,
    /// `MADV_POPULATE_WRITE`
    Populate,
}

/// The file of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// That of the device.
    Device,
    /// The export with this descriptor.
    Export(i32),
}

/// An access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads 4 or 8 bytes.
    Load(u32),
    /// Writes the low bytes of a number.
    Store(u32, u64),
}

/// A foreign operation: through sysfs, without the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// `mmap()` of a range of a BAR's `resourceN_wc`; the mapping gets a number.
    Map {
        number: u32,
        bar: u32,
        at: u64,
        len: u64,
    },
    /// `munmap()` of the mapping with the number
    Unmap(u32),
    /// A load or a store at a byte of it.
    Touch {
        number: u32,
        at: u64,
        access: Access,
    },
}

/// An operation of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `VFIO_SUBREGION_CREATE`
    Create(Frame, Request),
    /// `VFIO_SUBREGION_DESTROY` of an index
    Destroy(Frame, u32),
    /// `VFIO_SUBREGION_QUERY` of an index
    Query(Frame, u32),
    /// `VFIO_REGION_SET_ATTR` of an index, to an attribute
    SetAttr(Frame, u32, u32),
    /// `VFIO_DEVICE_GET_INFO`, with an argsz
    Info(u32),
    /// `VFIO_DEVICE_GET_REGION_INFO`, with an argsz, of an index
    RegionInfo(u32, u32),
    /// `VFIO_DEVICE_GET_IRQ_INFO` of an index
    IrqInfo(u32),
    /// `VFIO_DEVICE_SET_IRQS`: an eventfd for the first vector of an index, or none for any
    SetIrqs { index: u32, on: bool },
    /// `VFIO_DEVICE_RESET`
    Reset,
    /// `VFIO_DEVICE_PCI_HOT_RESET`
    HotReset,
    /// The device's file `reset` in sysfs
    SysfsReset,
    /// `VFIO_DEVICE_PCI_HOT_RESET` of another function of the device, which is opened for that
    SiblingReset,
    /// A reset by the function's own register
    FunctionReset,
    /// Memory Space in the command register
    Memory(bool),
    /// D3hot, or D0, by the power management capability
    Sleep(bool),
    /// `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`, or `_EXIT`
    LowPower(bool),
    /// `VFIO_DEVICE_IOEVENTFD`: the offset, the number of bytes, the value, and an eventfd or none
    IoEventfd {
        offset: u64,
        count: u32,
        data: u64,
        eventfd: Option<u32>,
    },
    /// Signals one of the eventfds
    Signal(u32),
    /// `VFIO_DEVICE_FEATURE_DMA_BUF` of a part of a region
    DmaBuf { region: u32, offset: u64, len: u64 },
    /// Closes all dma-bufs
    DropDmaBufs,
    /// `VFIO_SUBREGION_EXPORT` of an index, with open flags
    Export(Frame, u32, u32),
    /// Closes an export
    CloseExport(i32),
    /// `pidfd_getfd()` of an export of another process
    Take { pid: i64, fd: i32 },
    /// `mmap()`
    Map {
        via: Via,
        at: u64,
        len: u64,
        offset: u64,
        write: bool,
        shared: bool,
        fixed: Fixed,
    },
    /// `munmap()`
    Unmap { at: u64, len: u64 },
    /// `mremap()`
    Remap {
        from: u64,
        old: u64,
        new: u64,
        to: Option<u64>,
    },
    /// `mprotect()`
    Protect {
        at: u64,
        len: u64,
        read: bool,
        write: bool,
    },
    /// `madvise()`
    Advise { at: u64, len: u64, advice: Advice },
    /// `mlock()`, or `munlock()`
    Lock { at: u64, len: u64, on: bool },
    /// `mbind()` to a node, or to none
    Bind { at: u64, len: u64, node: bool },
    /// A load or a store
    Touch { at: u64, access: Access },
    /// `pread()`
    Read { via: Via, offset: u64, len: u32 },
    /// `pwrite()` of bytes that are derived from a number
    Write {
        via: Via,
        offset: u64,
        len: u32,
        what: u64,
    },
    /// `fork()`: the child is the process with this number
    Fork(u32),
    /// Ends the process
    Exit,
    /// Gets a descriptor of the device, from its group or its character device
    Open,
    /// Closes the descriptor
    Close,
    /// A foreign operation
    Foreign(Foreign),
}

impl Op {
    /// Returns whether the operation is a call that changes the mappings of the process.
    pub fn is_of_memory(self) -> bool {
        matches!(
            self,
            Self::Map { .. }
                | Self::Unmap { .. }
                | Self::Remap { .. }
                | Self::Protect { .. }
                | Self::Advise { .. }
                | Self::Lock { .. }
                | Self::Bind { .. }
        )
    }
}

/// An operation and the process that does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of the process.
    pub who: u32,
    /// The operation.
    pub op: Op,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Op::Foreign(what) => write!(f, "stranger: {what:x?}"),
            op => write!(f, "process {}: {op:x?}", self.who),
        }
    }
}

/// The outcome of an operation.
#[derive(Clone)]
pub struct Outcome {
    /// The result of the call, or a negative errno.
    pub ret: i64,
    /// The signal that an access raised, or 0.
    pub signal: i32,
    /// The value that an access loaded.
    pub value: u64,
    /// The bytes that were read, or the structure after an ioctl.
    pub bytes: [u8; BYTES],
}

impl Outcome {
    /// An outcome without effects.
    pub const EMPTY: Self = Self {
        ret: 0,
        signal: 0,
        value: 0,
        bytes: [0; BYTES],
    };

    /// Returns the number of 32 bits at byte `at` of the structure.
    #[must_use]
    pub fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|n| self.bytes[at + n]))
    }

    /// Returns the number of 64 bits at byte `at` of the structure.
    #[must_use]
    pub fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|n| self.bytes[at + n]))
    }
}

/// Returns the bytes that [`Op::Write`] writes.
#[must_use]
pub fn pattern(what: u64, len: u32) -> Vec<u8> {
    let mut rng = crate::rng::Rng::new(what, 0);
    let mut bytes = Vec::with_capacity(len as usize);
    while bytes.len() < len as usize {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(len as usize);
    bytes
}
