// SPDX-License-Identifier: GPL-2.0-only

//! The constant properties of a device, and the terms of the interface.

use std::ops::Range;

/// The number of BARs of a PCI function.
pub const BARS: usize = 6;
/// The region index of configuration space.
pub const CONFIG: u64 = 7;
/// The number of VFIO's own region indices; those of subregions follow.
pub const REGIONS: u32 = 9;
/// A region's window in the device file begins at its index shifted by this number.
pub const WINDOW_SHIFT: u32 = 40;
/// The offset of the slots in a BAR's window.
pub const SLOTS: u64 = 1 << 39;
/// The largest page-table entry for device memory.
pub const LARGE: u64 = 2 << 20;
/// The maximum number of subregions of a device at a time.
pub const LIMIT: u32 = 16384;

/// An attribute: the request of userspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Attribute {
    /// The initial attribute of every BAR.
    Noncached,
    /// The type that a device driver in the kernel would use.
    Device,
    /// Write combining.
    WriteCombining,
    /// Like `Device`, and a guest may choose the type.
    GuestAny,
}

impl Attribute {
    /// All attributes, in the order of their numbers.
    pub const ALL: [Self; 4] = [
        Self::Noncached,
        Self::Device,
        Self::WriteCombining,
        Self::GuestAny,
    ];

    /// Returns the attribute with a number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Returns the memory type in the page tables.
    #[must_use]
    pub fn mem(self) -> Mem {
        match self {
            Self::Noncached => Mem::Noncached,
            Self::Device | Self::GuestAny => Mem::Device,
            Self::WriteCombining => Mem::WriteCombining,
        }
    }

    /// Returns whether the attribute is write-combining.
    #[must_use]
    pub fn combines(self) -> bool {
        self == Self::WriteCombining
    }
}

/// The memory type of a page-table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mem {
    /// `pgprot_noncached()`.
    Noncached,
    /// `pgprot_device()`.
    Device,
    /// `pgprot_writecombine()`.
    WriteCombining,
}

/// The names and numbers of types on an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// x86: one type for registers.
    X86,
    /// arm64: two types for registers.
    Arm64,
}

impl Arch {
    /// The architecture of this program.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm64
    } else {
        Self::X86
    };

    /// Returns the oracle's name for a type.
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

    /// Returns the user interface's number for a type.
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
    /// The physical address.
    pub phys: u64,
    /// The size in bytes; 0 if the BAR does not exist.
    pub len: u64,
    /// Whether it is a memory BAR and not an I/O BAR.
    pub memory: bool,
    /// The number of bytes that can be mapped: whole pages, or 0.
    pub mappable: u64,
    /// The range of the MSI-X table in it.
    pub msix: Range<u64>,
    /// Whether it keeps the values written to it, whatever happens to the device.
    pub ram: bool,
    /// Whether sysfs maps it write-combining, and all mappings of a page have one type.
    pub foreign: bool,
}

impl Bar {
    /// Returns whether it can have subregions.
    #[must_use]
    pub fn is_parent(&self, page: u64) -> bool {
        self.mappable != 0 && self.len % page == 0
    }
}

/// The initial answer of `VFIO_DEVICE_GET_REGION_INFO` for one of VFIO's own regions: size, and
/// flags without those of capabilities; or an errno.
pub type RegionFacts = Result<(u64, u32), i32>;

/// The constant properties of a device.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The names of types.
    pub arch: Arch,
    /// The size of a page.
    pub page: u64,
    /// The BARs.
    pub bars: [Bar; BARS],
    /// VFIO's own regions.
    pub regions: Vec<RegionFacts>,
    /// The size of configuration space.
    pub config: u64,
    /// Whether `VFIO_DEVICE_RESET` works.
    pub reset: bool,
    /// Whether a hot reset of its bus works.
    pub hot_reset: bool,
    /// Whether another function of the device is reset with it and can be opened.
    pub sibling: bool,
    /// Whether it can be opened a second time.
    pub reopens: bool,
    /// Whether the kernel has memory policies.
    pub nodes: bool,
    /// Whether it is a PCI Express device.
    pub express: bool,
    /// Whether sysfs has a file `reset` for it.
    pub sysfs_reset: bool,
    /// The offset of the power management registers in configuration space.
    pub pm: Option<u64>,
    /// The offset of the register by which a function resets itself.
    pub flr: Option<u64>,
    /// Whether the kernel exports BARs by dma-buf.
    pub dma_buf: bool,
}

/// The target of a file offset of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A byte in the window of a BAR.
    Bar(usize, u64),
    /// A byte in the slots of a BAR.
    Slot(usize),
    /// A byte of another region.
    Other(u64, u64),
}

impl Place {
    /// Returns the target of `offset`.
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

/// Returns whether two ranges overlap.
#[must_use]
pub fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
