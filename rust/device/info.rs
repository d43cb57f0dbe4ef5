// SPDX-License-Identifier: GPL-2.0-only

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
    if device.data().any_ever_changed() {
        add_subregions(device, arg)?;
    }
    Ok(done)
}

/// Counts the subregions in the reply to `VFIO_DEVICE_GET_INFO`.
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
    if !device.data().any_ever_changed() {
        return Ok(());
    }
    add_claims(device, info)
}

/// Describes the subregion with the number `number`, which may have been destroyed.
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
        // The subregion has been destroyed. Programs that list all indices expect no error.
        info.set_empty();
        return Ok(());
    };
    info.set_mappable(region.file_offset(), region.span().len());
    let mem = mem_type(region.attribute());
    info.add(wire::subregion_capability(&region, mem))
}

/// Adds the capability that lists the claims and the attribute of a BAR, if the BAR has any.
#[inline(never)]
fn add_claims(device: &OpenDevice, info: &mut RegionInfo<'_>) -> Result {
    let bar = match region::Bar::new(u64::from(info.index())) {
        Some(bar) if device.data().ever_changed(bar) => bar,
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
            // The claims changed while the lock was not held.
            continue;
        }
        let attribute = table.attribute(bar);
        for (span, id) in table.claims(bar) {
            claims.push(span, device.data().index(id))?;
        }
        drop(table);
        return info.add_words(&claims.into_words(attribute, mem_type(attribute)));
    }
}

/// Returns whether `bar` has neither subregions nor an attribute.
fn is_plain(claims: &Claims, bar: region::Bar) -> bool {
    claims.count(bar) == 0 && claims.attribute(bar) == Attribute::Noncached
}
