// SPDX-License-Identifier: GPL-2.0

//! A variant of vfio-pci with subregions: parts of a BAR that have a region index, an mmap offset
//! and a memory attribute of their own.
//!
//! Documentation/design.rst says what it is for and why it is made this way. Dependencies point one
//! way: [`driver`] to [`device`] with [`create`], [`destroy`] and [`transfer`]; those to [`wire`],
//! [`segments`], [`storage`], [`region`] and [`vfio`]; [`vfio`] to the kernel crate and [`bindings`];
//! [`region`] to `core` alone. All that is unsafe is in [`vfio`] and [`bindings`].

mod bindings;
mod create;
mod destroy;
mod device;
mod driver;
mod ids;
mod refusal;
mod region;
mod segments;
mod storage;
mod transfer;
mod vfio;
mod wire;

use kernel::{
    prelude::*,
    str::BStr,
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
                add_ids(_registration.as_ref().get_ref());
            },
        })
    }
}

/// Makes the driver take the devices that `ids=` names. As with vfio-pci an entry that cannot be had
/// is left out, with a warning.
fn add_ids(registration: &vfio::pci::Registration<driver::Driver>) {
    let ids = bindings::module::ids();
    for entry in ids::list(ids.to_bytes()) {
        match entry {
            Ok(id) => match registration.add_id(&id) {
                Ok(()) => pr_info!("takes devices {:04x}:{:04x}\n", id.vendor, id.device),
                Err(error) => pr_warn!(
                    "cannot take devices {:04x}:{:04x}: {error:?}\n",
                    id.vendor,
                    id.device
                ),
            },
            Err(text) => pr_warn!("no id in ids=: \"{}\"\n", BStr::from_bytes(text)),
        }
    }
    if bindings::module::disable_denylist() {
        pr_warn!("devices with known errata are not refused\n");
    }
}
