// SPDX-License-Identifier: GPL-2.0

//! VFIO devices.
//!
//! C headers: [`include/linux/vfio.h`](srctree/include/linux/vfio.h) and
//! [`include/linux/vfio_pci_core.h`](srctree/include/linux/vfio_pci_core.h)
//!
//! A driver implements [`Operations`]; [`pci::Registration`] then binds [`Device`]s to PCI devices.
//! All that touches C is here and in `bindings`; what this module exports is safe to use in any
//! order and from any thread.
//!
//! # Lifetime
//!
//! A [`Device`] is allocated by VFIO when the PCI device is bound, and freed by it when the last
//! reference goes, which may be after the PCI device was unbound. Between the first open and the
//! last close it is an [`OpenDevice`]: VFIO calls no operation outside of that time, a mapping pins
//! the file that it was made of, and a file pins the open device.

mod device;
mod info;
mod memtype;
mod ops;
mod rwsem;

pub(crate) mod pci;

pub(crate) use self::device::{
    Device,
    OpenDevice,
    Operations,
    Transfer, //
};
pub(crate) use self::info::RegionInfo;
pub(crate) use self::memtype::{
    GuestTypes,
    MemType, //
};
pub(crate) use self::rwsem::RwSemaphore;

/// Clamps `index`, which was found to be less than `size`, so that a CPU that speculates past that
/// check finds 0 in its place.
pub(crate) fn index_nospec(index: u32, size: u32) -> u32 {
    // SAFETY: Computes a value.
    unsafe { crate::bindings::vfio_rs_index_nospec(index, size) }
}
