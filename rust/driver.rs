// SPDX-License-Identifier: GPL-2.0

//! What the driver does in its own way; everything else is vfio-pci's.

use crate::{
    bindings::{
        self,
        module, //
    },
    device::{
        Claims,
        State, //
    },
    refusal,
    segments::Segments,
    vfio::{
        self,
        pci::{
            CoreDevice,
            Fault,
            FaultOutcome,
            IdTable,
            NewMapping,
            Settings, //
        },
        OpenDevice,
        RegionInfo,
        Transfer, //
    }, //
};
use kernel::{
    pci,
    prelude::*,
    str::CStr, //
};

/// The driver `subregion_vfio_pci`, or `vfio-pci` as the drop-in.
pub(crate) struct Driver;

impl vfio::Operations for Driver {
    #[cfg(not(subregion_dropin))]
    const NAME: &'static CStr = c"subregion_vfio_pci";
    #[cfg(subregion_dropin)]
    const NAME: &'static CStr = c"vfio-pci";

    type OpenData = State;
    type Locked = Claims;
    type BarMaps = Segments;

    fn id_table() -> IdTable {
        module::id_table()
    }

    fn probe(pdev: &pci::Device) -> Result {
        refusal::check(pdev)
    }

    fn settings() -> Settings {
        Settings {
            nointxmask: module::nointxmask(),
            disable_idle_d3: module::disable_idle_d3(),
            disable_vga: module::disable_vga(),
        }
    }

    fn allows_sriov() -> bool {
        module::enable_sriov()
    }

    fn open(core: &CoreDevice) -> Result<State> {
        Ok(State::new(core))
    }

    fn opened(device: &OpenDevice<Self>) -> Result {
        device.data().opened(device)
    }

    #[inline]
    fn ioctl(device: &OpenDevice<Self>, cmd: u32, arg: usize) -> Result<c_long> {
        let state = device.data();
        match cmd {
            bindings::VFIO_SUBREGION_CREATE => state.create(device, arg).map(|()| 0),
            bindings::VFIO_SUBREGION_DESTROY => state.destroy(device, arg).map(|()| 0),
            bindings::VFIO_SUBREGION_QUERY => state.query(device, arg).map(|()| 0),
            bindings::VFIO_REGION_SET_ATTR => state.set_attr(device, arg).map(|()| 0),
            bindings::VFIO_DEVICE_GET_INFO => state.get_info(device, arg),
            _ => device.core_ioctl(cmd, arg),
        }
    }

    #[inline]
    fn region_info(device: &OpenDevice<Self>, info: &mut RegionInfo<'_>) -> Result {
        device.data().region_info(device, info)
    }

    #[inline]
    fn transfer(device: &OpenDevice<Self>, transfer: &mut Transfer<'_>) -> Result<usize> {
        device.data().transfer(device, transfer)
    }

    #[inline]
    fn mmap(device: &OpenDevice<Self>, mapping: NewMapping<'_, Self>) -> Result {
        device.data().mmap(device, mapping)
    }

    fn mapped(device: &OpenDevice<Self>, offset: u64) {
        device.data().mapped(device, offset);
    }

    fn unmapped(device: &OpenDevice<Self>, offset: u64) {
        device.data().unmapped(device, offset);
    }

    #[inline]
    fn fault(device: &OpenDevice<Self>, fault: &Fault<'_, Self>) -> FaultOutcome {
        device.data().fault(device, fault)
    }
}
