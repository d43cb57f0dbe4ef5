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
        Attribute,
        BarIndex,
        RegionId, //
    },
    storage::Claims,
    vfio::{
        LongResult,
        RegionInfo, //
    },
    wire, //
};
use kernel::prelude::*;

/// The number of claims that are read in one hold of the memory lock.
const CHUNK: usize = 64;

/// Handles `VFIO_DEVICE_GET_INFO`.
#[inline]
pub(super) fn get_info(device: &OpenDevice, arg: usize) -> LongResult {
    if !device.data().any_ever_changed() {
        return device.core_ioctl(bindings::VFIO_DEVICE_GET_INFO, arg);
    }
    get_info_with_subregions(device, arg)
}

/// Handles `VFIO_DEVICE_GET_INFO`, and counts the subregions in the reply.
#[inline(never)]
fn get_info_with_subregions(device: &OpenDevice, arg: usize) -> LongResult {
    let count_subregions = |done| {
        let subregions = device.memory_shared().created();
        wire::put_num_regions(arg, device.data().first_index.saturating_add(subregions))?;
        Ok(done)
    };
    let done = device.core_ioctl(bindings::VFIO_DEVICE_GET_INFO, arg);
    done.into_result().and_then(count_subregions).into()
}

/// Handles `VFIO_DEVICE_GET_REGION_INFO`, unless the core alone describes the region.
pub(super) fn get_region_info(device: &OpenDevice, info: &mut RegionInfo<'_>) -> Result {
    if let Some(number) = info.index().checked_sub(device.data().first_index) {
        return subregion_info(device, number, info);
    }
    device.core_get_region_info(info)?;
    add_claims(device, info)
}

/// Describes the subregion with the number `number`, which may have been destroyed.
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
fn add_claims(device: &OpenDevice, info: &mut RegionInfo<'_>) -> Result {
    let bar = match BarIndex::new(u64::from(info.index())) {
        Some(bar) if device.data().ever_changed(bar) => bar,
        _ => return Ok(()),
    };
    let mut in_chunks = 3_u32;
    loop {
        let (plain, version) = {
            let table = device.memory_shared();
            (is_plain(&table, bar), Version::new(&table, bar))
        };
        if plain || !info.has_room_for(wire::Claims::size(version.claims)?) {
            return Ok(());
        }
        let read = if in_chunks != 0 {
            in_chunks = in_chunks.saturating_sub(1);
            read_in_chunks(device, bar, &version)?
        } else {
            // With room for those that are created meanwhile.
            read_at_once(device, bar, version.claims.saturating_mul(2).max(64))?
        };
        if let Some((claims, attribute)) = read {
            return info.add_words(&claims.into_words(attribute, mem_type(attribute)));
        }
    }
}

/// Reads the claims of `bar` in one hold of the memory lock, after interrupted attempts to read
/// them in chunks. Returns `None` if there are more than `most` by now, or if the BAR has neither
/// claims nor an attribute any more.
fn read_at_once(
    device: &OpenDevice,
    bar: BarIndex,
    most: u32,
) -> Result<Option<(wire::Claims, Attribute)>> {
    let mut claims = wire::Claims::with_capacity(most)?;
    let table = device.memory_shared();
    if is_plain(&table, bar) || table.count(bar) > most {
        return Ok(None);
    }
    for (span, id) in table.claims(bar, 0) {
        claims.push(span, device.data().index(id))?;
    }
    Ok(Some((claims, table.attribute(bar))))
}

/// Reads the claims of `bar`, at most [`CHUNK`] in one hold of the memory lock, which must not
/// delay faults. Returns `None` if the claims are no longer those of `version`.
fn read_in_chunks(
    device: &OpenDevice,
    bar: BarIndex,
    version: &Version,
) -> Result<Option<(wire::Claims, Attribute)>> {
    let mut claims = wire::Claims::with_capacity(version.claims)?;
    let mut end = 0;
    loop {
        let before = end;
        let table = device.memory_shared();
        if Version::new(&table, bar) != *version {
            return Ok(None);
        }
        for (span, id) in table.claims(bar, end).take(CHUNK) {
            claims.push(span, device.data().index(id))?;
            end = span.end();
        }
        if end == before {
            return Ok(Some((claims, version.attribute)));
        }
    }
}

/// Values that change whenever the claims of a BAR or its attribute change.
#[derive(PartialEq, Eq)]
struct Version {
    /// The number of subregions that have been created on the device.
    created: u32,
    /// The number of claims of the BAR.
    claims: u32,
    attribute: Attribute,
}

impl Version {
    fn new(table: &Claims, bar: BarIndex) -> Self {
        Self {
            created: table.created(),
            claims: table.count(bar),
            attribute: table.attribute(bar),
        }
    }
}

/// Returns whether `bar` has neither subregions nor an attribute.
fn is_plain(claims: &Claims, bar: BarIndex) -> bool {
    claims.count(bar) == 0 && claims.attribute(bar) == Attribute::Noncached
}
