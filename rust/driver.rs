// SPDX-License-Identifier: GPL-2.0-only

//! The driver: its name, its ids, its parameters, and the devices that it refuses.

mod ids;
mod refusal;

use crate::{
    device::State,
    params,
    vfio::{
        self,
        pci::{
            IdTable,
            Registration,
            Settings, //
        }, //
    }, //
};
use kernel::{
    device::Core,
    pci,
    prelude::*,
    str::{
        BStr,
        CStr, //
    }, //
};

/// The driver `subregion_vfio_pci`, or `vfio-pci` in the drop-in.
pub(crate) struct Driver;

impl vfio::pci::Driver for Driver {
    #[cfg(not(subregion_dropin))]
    const NAME: &'static CStr = c"subregion_vfio_pci";
    #[cfg(subregion_dropin)]
    const NAME: &'static CStr = c"vfio-pci";

    type Device = State;

    fn id_table() -> IdTable {
        params::id_table()
    }

    fn probe(pdev: &pci::Device<Core<'_>>) -> Result {
        refusal::check(pdev)
    }

    fn settings() -> Settings {
        Settings {
            nointxmask: params::nointxmask(),
            disable_idle_d3: params::disable_idle_d3(),
            disable_vga: params::disable_vga(),
        }
    }

    fn allows_sriov() -> bool {
        params::enable_sriov()
    }
}

/// Adds the ids of the parameter `ids=` to the driver. Like vfio-pci, it skips an invalid entry and
/// logs a warning.
pub(crate) fn add_ids(registration: &Registration<Driver>) {
    let ids = params::ids();
    for entry in ids::list(ids.to_bytes()) {
        match entry {
            Ok(id) => match registration.add_id(&id) {
                Ok(()) => pr_info!("binds devices {:04x}:{:04x}\n", id.vendor, id.device),
                Err(error) => pr_warn!(
                    "cannot add id {:04x}:{:04x} of ids=: {error:?}\n",
                    id.vendor,
                    id.device
                ),
            },
            Err(text) => pr_warn!("invalid id in ids=: \"{}\"\n", BStr::from_bytes(text)),
        }
    }
    if params::disable_denylist() {
        pr_warn!("disable_denylist: devices with known errata are bound too\n");
    }
}
