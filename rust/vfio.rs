// SPDX-License-Identifier: GPL-2.0-only

//! VFIO devices on any bus. [`pci`] has those on PCI.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h)

mod info;
mod transfer;

pub(crate) mod pci;

pub(crate) use self::info::RegionInfo;
pub(crate) use self::transfer::Transfer;
pub(crate) use crate::compat::LongResult;
