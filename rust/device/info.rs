// SPDX-License-Identifier: GPL-2.0

//! `VFIO_DEVICE_GET_INFO` and `VFIO_DEVICE_GET_REGION_INFO`.

use super::{
    mem_type,
    OpenDevice, //
};
use crate::{
    bindings,
    compat::index_nospec,
    region::{
        self,
        Attribute,
        RegionId, //
    },
    storage::Claims,
    vfio::RegionInfo,
    wire, //
};
use kernel::prelude::*;

/// Handles `VFIO_DEVICE_GET_INFO`.
pub(super) fn get_info(device: &OpenDevice, arg: usize) -> Result<c_long> {
    let done = device.core_ioctl(bindings::VFIO_DEVICE_GET_INFO, arg)?;
    if device.data().is_any_touched() {
        add_subregions(device, arg)?;
    }
    Ok(done)
}

/// Adds the subregions to the answer to `VFIO_DEVICE_GET_INFO`.
#[inline(never)]
fn add_subregions(device: &OpenDevice, arg: usize) -> Result {
    let subregions = device.memory_shared().created();
    wire::put_num_regions(arg, device.data().first_index.saturating_add(subregions))
}

/// Handles `VFIO_DEVICE_GET_REGION_INFO`.
pub(super) fn get_region_info(device: &OpenDevice, info: &mut RegionInfo<'_>) -> Result {
    if let Some(number) = info.index().checked_sub(device.data().first_index) {
        return subregion_info(device, number, info);
    }
    device.core_get_region_info(info)?;
    if !device.data().is_any_touched() {
        return Ok(());
    }
    add_claims(device, info)
}

/// Describes the subregion that is or was the `number`th.
#[inline(never)]
fn subregion_info(device: &OpenDevice, number: u32, info: &mut RegionInfo<'_>) -> Result {
    let region = {
        let table = device.memory_shared();
        if number >= table.created() {
            return Err(EINVAL);
        }
        let number = index_nospec(number, table.created());
        table.get(RegionId::new(number))
    };
    let Some(region) = region else {
        // It was destroyed. Programs that ask about all indices do not expect one to fail.
        info.set_empty();
        return Ok(());
    };
    info.set_mappable(region.file_offset(), region.span().len());
    let mem = mem_type(region.attribute());
    info.add(wire::subregion_capability(&region, mem))
}

/// Adds the capability that tells the subregions and the attribute of a BAR, if it has any.
#[inline(never)]
fn add_claims(device: &OpenDevice, info: &mut RegionInfo<'_>) -> Result {
    let bar = match region::Bar::new(u64::from(info.index())) {
        Some(bar) if device.data().is_touched(bar) => bar,
        _ => return Ok(()),
    };
    loop {
        let table = device.memory_shared();
        if is_plain(&table, bar) {
            return Ok(());
        }
        let expected = table.count(bar);
        drop(table);
        if !info.has_room_for(wire::Claims::size(expected)?) {
            return Ok(());
        }
        let mut claims = wire::Claims::with_capacity(expected)?;
        let table = device.memory_shared();
        if table.count(bar) > expected || is_plain(&table, bar) {
            // It changed while there was no lock.
            continue;
        }
        let window = table.attribute(bar);
        for (span, id) in table.claims(bar) {
            claims.push(span, device.data().index(id))?;
        }
        drop(table);
        return info.add_words(&claims.into_words(window, mem_type(window)));
    }
}

/// Returns whether `bar` has neither a subregion nor an attribute.
fn is_plain(claims: &Claims, bar: region::Bar) -> bool {
    claims.count(bar) == 0 && claims.attribute(bar) == Attribute::Noncached
}
