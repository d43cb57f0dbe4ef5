// SPDX-License-Identifier: GPL-2.0

//! A variant of vfio-pci with subregions: parts of a BAR that have a region index, an mmap offset
//! and a memory attribute of their own.
//!
//! Documentation/design.rst says what it is for and why it is made this way. A module imports only
//! modules below it in this list:
//!
//! - [`driver`]: the name, the parameters and the devices that are bound
//! - [`device`]: an open device; one file for each operation
//! - [`segments`]: who has which part of a BAR, and the change of its type
//! - [`wire`]: bytes from and to userspace, and errnos
//! - [`storage`]: the tables of [`region`] in the kernel's memory
//! - [`params`]: the module's parameters
//! - [`vfio`]: devices of VFIO and, in [`vfio::pci`], those of vfio-pci-core
//! - [`compat`]: what the kernel crate lacks of other subsystems
//! - [`bindings`]: declarations that bindgen made of the C headers
//! - [`region`]: the rules of subregions, on `core` alone
//!
//! Unsafe code is in [`vfio`], [`params`], [`compat`] and [`bindings`] only.

mod bindings;
mod compat;
mod device;
mod driver;
mod params;
mod region;
mod segments;
mod storage;
mod vfio;
mod wire;

use kernel::{
    prelude::*,
    InPlaceModule, //
};

/// Declares the module under a name; `module!` takes a literal only.
macro_rules! declare {
    ($name:tt) => {
        module! {
            type: Module,
            name: $name,
            authors: ["The vfio-subregion developers"],
            description: "VFIO PCI with subregions of BARs, each with a memory attribute of its own",
            license: "GPL v2",
        }
    };
}

#[cfg(not(subregion_dropin))]
declare!("subregion_vfio_pci");
#[cfg(subregion_dropin)]
declare!("vfio_pci");

/// The module: registered as a PCI driver while it is loaded.
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
