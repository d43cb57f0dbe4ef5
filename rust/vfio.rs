// SPDX-License-Identifier: GPL-2.0

//! VFIO devices, whatever bus they are on, and in [`pci`] those of PCI.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h)

mod info;
mod transfer;

pub(crate) mod pci;

pub(crate) use self::info::RegionInfo;
pub(crate) use self::transfer::Transfer;
