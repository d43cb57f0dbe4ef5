// SPDX-License-Identifier: GPL-2.0-only

//! VFIO PCI devices: a safe layer over vfio-pci-core for variant drivers.
//!
//! C headers: [`include/linux/vfio_pci_core.h`](srctree/include/linux/vfio_pci_core.h) and
//! [`include/linux/pci.h`](srctree/include/linux/pci.h)
//!
//! [`Registration`] registers a [`Driver`] with the PCI core, and creates a [`Device`] for each PCI
//! device that is bound to the driver. [`Driver::Device`] is the state of an open device and
//! implements its [`Operations`]. All exported functions are safe in any order and from any thread,
//! on one condition: the driver drops everything that it makes from the addresses of a BAR
//! ([`Bar::range`], [`BarMap`]) before the last close of the device ends, as the
//! [`Operations::BarMaps`] of the BAR are.
//!
//! # Lifetime
//!
//! VFIO allocates a [`Device`] when the PCI device is bound, and frees it when the last reference
//! is dropped. This may happen after the PCI device has been unbound. From its first open to its
//! last close the device is an [`OpenDevice`]. VFIO calls operations only during this time: a
//! mapping keeps its file, and a file keeps the device open.

mod access;
mod bar;
mod bar_owners;
mod core_device;
mod debugfs;
mod device;
mod dma_buf;
mod driver;
mod export;
mod id;
mod ioeventfd;
mod mapped_bytes;
mod memory;
mod mmap;
mod ops;
mod reset;

pub(crate) use self::access::Access;
pub(crate) use self::bar::{
    Bar,
    Excluded,
    BARS, //
};
pub(crate) use self::bar_owners::{
    Io,
    IoExclusive,
    IoShared, //
};
pub(crate) use self::core_device::{
    CoreDevice,
    Settings, //
};
pub(crate) use self::device::{
    Device,
    OpenDevice,
    Operations, //
};
pub(crate) use self::dma_buf::BarRange;
pub(crate) use self::driver::{
    Driver,
    Registration, //
};
pub(crate) use self::id::{
    DynamicId,
    IdTable, //
};
pub(crate) use self::ioeventfd::{
    BarWrite,
    Width, //
};
pub(crate) use self::mapped_bytes::{
    BarMap,
    MappedBytes, //
};
pub(crate) use self::memory::{
    MemoryExclusive,
    MemoryShared, //
};
pub(crate) use self::mmap::{
    CountedMapping,
    ExportTarget,
    Fault,
    FaultOutcome,
    GuestTypes,
    NewMapping,
    TypedMapping, //
};
