// SPDX-License-Identifier: GPL-2.0

//! VFIO PCI devices: what a variant driver builds on vfio-pci-core.
//!
//! C headers: [`include/linux/vfio_pci_core.h`](srctree/include/linux/vfio_pci_core.h) and
//! [`include/linux/pci.h`](srctree/include/linux/pci.h)
//!
//! [`Registration`] offers a [`Driver`] to the PCI core and makes a [`Device`] of every PCI device
//! that is bound to it. The type [`Driver::Device`] implements [`Operations`] and is the state of a
//! device while that is open. What this module exports is safe to use in any order and from any
//! thread.
//!
//! # Lifetime
//!
//! VFIO allocates a [`Device`] when the PCI device is bound, and frees it when the last reference is
//! dropped, which may be after the PCI device was unbound. Between the first open and the last close
//! the device is an [`OpenDevice`]: VFIO calls operations during that time only, a mapping pins the
//! file that it was made of, and a file pins the open device.

mod bar;
mod core_device;
mod device;
mod driver;
mod holders;
mod id;
mod memory;
mod mmap;
mod ops;
mod reset;

pub(crate) use self::bar::{
    Bar,
    Excluded,
    BARS, //
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
pub(crate) use self::driver::{
    Driver,
    Registration, //
};
pub(crate) use self::holders::{
    transfer_mapped,
    Io,
    IoExclusive,
    IoShared, //
};
pub(crate) use self::id::{
    DynamicId,
    IdTable, //
};
pub(crate) use self::memory::{
    MemoryExclusive,
    MemoryShared, //
};
pub(crate) use self::mmap::{
    CountedMapping,
    Fault,
    FaultOutcome,
    GuestTypes,
    NewMapping, //
};
