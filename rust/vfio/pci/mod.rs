// SPDX-License-Identifier: GPL-2.0

//! VFIO PCI devices: what a variant driver builds on vfio-pci-core.

mod core_device;
mod driver;
mod holders;
mod id;
mod iomap;
mod memory;
mod mmap;
mod reservation;
mod reset;

pub(super) use self::core_device::Bars;
pub(crate) use self::core_device::{
    Bar,
    CoreDevice,
    Settings,
    BARS, //
};
pub(crate) use self::driver::Registration;
pub(super) use self::holders::Holders;
pub(crate) use self::holders::{
    Io,
    IoExclusive,
    IoShared, //
};
pub(crate) use self::id::{
    config_dword,
    DynamicId,
    IdTable, //
};
pub(crate) use self::iomap::IoMap;
pub(crate) use self::memory::{
    MemoryExclusive,
    MemoryShared, //
};
pub(crate) use self::mmap::{
    CountedMapping,
    Fault,
    FaultOutcome,
    NewMapping, //
};
pub(crate) use self::reservation::Reservation;
pub(super) use self::reset::Gate;
