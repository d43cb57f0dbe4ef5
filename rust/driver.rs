// SPDX-License-Identifier: GPL-2.0

//! The driver: its name, its parameters, and the devices that it binds.

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

/// The driver `subregion_vfio_pci`, or `vfio-pci` as the drop-in.
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

/// Makes the driver bind the devices that `ids=` names. As with vfio-pci an entry that cannot be added
/// is left out, with a warning.
pub(crate) fn add_ids(registration: &Registration<Driver>) {
    let ids = params::ids();
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
    if params::disable_denylist() {
        pr_warn!("devices with known errata are not refused\n");
    }
}
