// SPDX-License-Identifier: GPL-2.0-only

//! What is fixed about a device, and the words of the interface.

use std::ops::Range;

/// How many BARs a PCI function has.
pub const BARS: usize = 6;
/// The region index of configuration space.
pub const CONFIG: u64 = 7;
/// How many region indices VFIO has of its own; those of subregions come behind.
pub const REGIONS: u32 = 9;
/// A region's window in the device file begins at its index shifted by this.
pub const WINDOW_SHIFT: u32 = 40;
/// Where in a BAR's window the subregions have their slots.
pub const SLOTS: u64 = 1 << 39;
/// The largest entry of a page table that is ever made for device memory.
pub const LARGE: u64 = 2 << 20;
/// How many subregions a device can have at a time.
pub const LIMIT: u32 = 16384;

/// What userspace asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Attribute {
    /// What every BAR has at first.
    Noncached,
    /// As a device driver in the kernel would map it.
    Device,
    /// Write combining.
    WriteCombining,
    /// As `Device`, and a guest may choose.
    GuestAny,
}

impl Attribute {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [
        Self::Noncached,
        Self::Device,
        Self::WriteCombining,
        Self::GuestAny,
    ];

    /// Returns the attribute that has the number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Returns what the page tables are to hold.
    #[must_use]
    pub fn mem(self) -> Mem {
        match self {
            Self::Noncached => Mem::Noncached,
            Self::Device | Self::GuestAny => Mem::Device,
            Self::WriteCombining => Mem::WriteCombining,
        }
    }

    /// Returns whether it is write combining.
    #[must_use]
    pub fn combines(self) -> bool {
        self == Self::WriteCombining
    }
}

/// What page-table entries hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mem {
    /// `pgprot_noncached()`.
    Noncached,
    /// `pgprot_device()`.
    Device,
    /// `pgprot_writecombine()`.
    WriteCombining,
}

/// How an architecture names and numbers types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// Has one type for registers.
    X86,
    /// Has two.
    Arm64,
}

impl Arch {
    /// The one that this program is for.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm64
    } else {
        Self::X86
    };

    /// Returns the name that the oracle gives to a type.
    #[must_use]
    pub fn name(self, mem: Mem) -> &'static str {
        match (self, mem) {
            (Self::X86, Mem::WriteCombining) => "WC",
            (Self::X86, _) => "UC-",
            (Self::Arm64, Mem::Noncached) => "Device-nGnRnE",
            (Self::Arm64, Mem::Device) => "Device-nGnRE",
            (Self::Arm64, Mem::WriteCombining) => "Normal-NC",
        }
    }

    /// Returns the number that the user interface has for a type.
    #[must_use]
    pub fn number(self, mem: Mem) -> u32 {
        match (self, mem) {
            (Self::X86, Mem::WriteCombining) => 2,
            (Self::X86, _) => 1,
            (Self::Arm64, Mem::Noncached) => 16,
            (Self::Arm64, Mem::Device) => 17,
            (Self::Arm64, Mem::WriteCombining) => 18,
        }
    }
}

/// A BAR of a device.
#[derive(Clone, Debug, Default)]
pub struct Bar {
    /// The physical address of its first byte.
    pub phys: u64,
    /// Its length in bytes; 0 if there is no such BAR.
    pub len: u64,
    /// Whether it is memory, not I/O ports.
    pub memory: bool,
    /// How many bytes can be mapped: whole pages, or 0.
    pub mappable: u64,
    /// Where the MSI-X table is in it.
    pub msix: Range<u64>,
    /// Whether it keeps what is written to it, whatever happens to the device.
    pub ram: bool,
    /// Whether sysfs maps it write-combining, and the kernel gives all mappings of a page one type.
    pub foreign: bool,
}

impl Bar {
    /// Returns whether subregions can be made in it.
    #[must_use]
    pub fn is_parent(&self, page: u64) -> bool {
        self.mappable != 0 && self.len % page == 0
    }
}

/// What `VFIO_DEVICE_GET_REGION_INFO` said of a region of VFIO's own before anything was done: size and
/// flags without those of capabilities, or an errno.
pub type RegionFacts = Result<(u64, u32), i32>;

/// What is fixed about a device.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Names types.
    pub arch: Arch,
    /// The size of a page.
    pub page: u64,
    /// The BARs.
    pub bars: [Bar; BARS],
    /// The regions of VFIO's own.
    pub regions: Vec<RegionFacts>,
    /// The size of configuration space.
    pub config: u64,
    /// Whether `VFIO_DEVICE_RESET` works.
    pub reset: bool,
    /// Whether a hot reset of its bus works.
    pub hot_reset: bool,
    /// Whether another function of the device is reset with it, and can be opened.
    pub sibling: bool,
    /// Whether it can be opened while it is open.
    pub reopens: bool,
    /// Whether the kernel knows memory policies.
    pub nodes: bool,
    /// Whether it is a device of PCI Express.
    pub express: bool,
    /// Whether sysfs has a file `reset` for it.
    pub sysfs_reset: bool,
    /// Where the registers of power management are in configuration space.
    pub pm: Option<u64>,
    /// Where the register is by which a function resets itself.
    pub flr: Option<u64>,
    /// Whether the kernel exports BARs by dma-buf.
    pub dma_buf: bool,
}

/// What a file offset of the device stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A byte of a BAR, or beyond its end.
    Bar(usize, u64),
    /// A byte of the slots of a BAR.
    Slot(usize),
    /// A byte of another region.
    Other(u64, u64),
}

impl Place {
    /// Returns what `offset` stands for.
    #[must_use]
    pub fn of(offset: u64) -> Self {
        let index = offset >> WINDOW_SHIFT;
        let within = offset & ((1 << WINDOW_SHIFT) - 1);
        match usize::try_from(index) {
            Ok(bar) if bar < BARS && within >= SLOTS => Self::Slot(bar),
            Ok(bar) if bar < BARS => Self::Bar(bar, within),
            _ => Self::Other(index, within),
        }
    }
}

/// Returns the file offset of byte `at` of `bar`.
#[must_use]
pub fn window(bar: usize, at: u64) -> u64 {
    ((bar as u64) << WINDOW_SHIFT) + at
}

/// Returns whether two ranges have something in common.
#[must_use]
pub fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
