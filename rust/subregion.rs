// SPDX-License-Identifier: GPL-2.0-only

//! A variant driver of vfio-pci with subregions: ranges of a BAR that have a region index, an mmap
//! offset and a memory attribute of their own.
//!
//! Documentation/design.rst explains the purpose and the design. Each module imports only modules
//! below it in this list:
//!
//! - [`driver`]: the driver's name, its ids, and the devices that it refuses
//! - [`device`]: an open device, with one file for each operation
//! - [`segments`]: the segments of a BAR, and changes of their memory type
//! - [`trace`]: the tracepoints
//! - [`wire`]: conversion of user structures and errnos
//! - [`storage`]: the table of [`region`] in the kernel's memory
//! - [`params`]: the module parameters
//! - [`vfio`]: a safe layer over VFIO and, in [`vfio::pci`], over vfio-pci-core
//! - [`compat`]: parts that the kernel crate lacks, for other subsystems
//! - [`bindings`]: bindings that bindgen generates from C headers
//! - [`region`]: the rules of subregions, which use `core` only
//!
//! Unsafe code occurs in [`trace`], [`vfio`], [`params`], [`compat`] and [`bindings`] only.

mod bindings;
mod compat;
mod device;
mod driver;
mod params;
mod region;
mod segments;
mod storage;
mod trace;
mod vfio;
mod wire;

use kernel::{
    prelude::*,
    InPlaceModule, //
};

/// Declares the module with a name. `module!` accepts only a literal.
macro_rules! declare {
    ($name:tt) => {
        module! {
            type: Module,
            name: $name,
            authors: ["The vfio-subregion developers"],
            description: "VFIO PCI with subregions of BARs, each with its own memory attribute",
            license: "GPL v2",
        }
    };
}

#[cfg(not(subregion_dropin))]
declare!("subregion_vfio_pci");
#[cfg(subregion_dropin)]
declare!("vfio_pci");

/// The module. Its PCI driver is registered while it is loaded.
#[pin_data]
struct Module {
    #[pin]
    _registration: vfio::pci::Registration<driver::Driver>,
}

impl InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _registration <- vfio::pci::Registration::new(module),
            _: {
                driver::add_ids(_registration.as_ref().get_ref());
            },
        })
    }
}
