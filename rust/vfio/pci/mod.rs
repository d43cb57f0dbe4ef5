// SPDX-License-Identifier: GPL-2.0

//! VFIO PCI devices: what a variant driver builds on vfio-pci-core.

mod core_device;
mod driver;
mod iomap;
mod mmap;

pub(crate) use self::core_device::{
    Bar,
    CoreDevice,
    BARS, //
};
pub(crate) use self::driver::Registration;
pub(super) use self::iomap::Holders;
pub(crate) use self::iomap::{
    IoExclusive,
    IoMap,
    IoShared, //
};
pub(crate) use self::mmap::{
    Fault,
    FaultOutcome,
    NewMapping, //
};
