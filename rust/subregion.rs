// SPDX-License-Identifier: GPL-2.0

//! A variant of vfio-pci with subregions: parts of a BAR that have a region index, an mmap offset
//! and a memory attribute of their own.
//!
//! Documentation/design.rst says what it is for and why it is made this way. Dependencies point one
//! way: [`driver`] to [`device`] with [`create`], [`destroy`] and [`transfer`]; those to [`wire`], [`segments`], [`region`] and [`vfio`]; [`vfio`]
//! to the kernel crate and [`bindings`]; [`region`] to `core` alone. All that is unsafe is in
//! [`vfio`] and [`bindings`].

mod bindings;
mod create;
mod destroy;
mod device;
mod driver;
mod region;
mod segments;
mod transfer;
mod vfio;
mod wire;

use kernel::{
    prelude::*,
    InPlaceModule, //
};

module! {
    type: Module,
    name: "subregion_vfio_pci",
    authors: ["The vfio-subregion developers"],
    description: "VFIO PCI with subregions of BARs, each with a memory attribute of its own",
    license: "GPL v2",
    params: {
        enable_sriov: bool {
            default: false,
            description: "Allow virtual functions to be enabled, as for vfio-pci",
        },
    },
}

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
        })
    }
}
