// SPDX-License-Identifier: GPL-2.0-only

//! Files for single subregions.
//!
//! vfio/pci/export.rs has the files and their lifetime. An export is the id of a subregion, which
//! is never used again while the device is open. vfio/pci/dma_buf.rs lets the core make dma-bufs,
//! which are for other devices.

use super::{
    guest_types,
    mapped_bytes,
    mem_type,
    OpenDevice, //
};
use crate::{
    region::RegionId,
    trace,
    vfio::pci::{
        Access,
        BarRange,
        ExportTarget,
        Io, //
    },
    wire::{
        self,
        Arg,
        Failure, //
    }, //
};
use kernel::prelude::*;

/// Handles `VFIO_SUBREGION_EXPORT`.
#[inline(never)]
pub(super) fn export(device: &OpenDevice, arg: Arg) -> Result<(), Failure> {
    let (request, reply) = wire::Export::read(arg)?;
    let id = {
        let table = device.memory_shared();
        let id = device.data().id(&table, request.index);
        id.filter(|id| table.get(*id).is_some())
    };
    let id = id.ok_or(Failure::NoSubregion)?;
    let file = device.export(id, request.open_flags)?;
    // The write to userspace comes first because the file cannot be taken back.
    reply.write(file.fd())?;
    file.install();
    trace::export(device.core().name(), request.index, request.open_flags);
    Ok(())
}

/// Returns the range of a BAR that the subregion with the region index `index` has, or `None` if
/// there is no such subregion.
pub(super) fn dma_range(device: &OpenDevice, index: u32) -> Option<BarRange> {
    let table = device.memory_shared();
    let region = table.get(device.data().id(&table, index)?)?;
    Some(BarRange {
        bar: region.bar().index(),
        bytes: region.span().start()..region.span().end(),
    })
}

/// Returns the slot of the subregion `id` and the type of its mappings, or `None` if it does not
/// exist.
pub(super) fn target(device: &OpenDevice, id: RegionId) -> Option<ExportTarget> {
    let region = device.memory_shared_in_mmap().get(id)?;
    let start = region.file_offset();
    Some(ExportTarget {
        range: start..start.checked_add(region.span().len())?,
        mem: mem_type(region.attribute()),
        guest: guest_types(region.attribute()),
    })
}

/// Handles read() and write() from byte `at` of the subregion `id`. Returns `None` if the caller
/// must try again.
pub(super) fn access(
    device: &OpenDevice,
    id: RegionId,
    at: u64,
    access: &mut Access<'_>,
) -> Result<Option<usize>> {
    let Some(io) = device.try_io_shared() else {
        return Ok(None);
    };
    // DESTROY needs the io lock for writing, so the subregion exists during the access.
    let region = device.memory_shared().get(id).ok_or(ENODEV)?;
    let (bar, span) = (region.bar(), region.span());
    let at = span.start().checked_add(at).ok_or(EINVAL)?;
    if at >= span.end() {
        return Err(EINVAL);
    }
    let mut access = access.limited(span.end().saturating_sub(at));
    let bar = device.bar(bar.index()).ok_or(ENODEV)?;
    let _power = device.power_on()?;
    if let Some(bytes) = mapped_bytes(&io, bar, at) {
        return bytes.access(device, bar, at, &mut access).map(Some);
    }
    // The exclusive lock, which a mapping for later accesses needs, is for the owner only: the
    // users of exports could keep each other waiting for it.
    let map = io.driver_maps(bar).ok_or(EIO)?.temporary_map(bar, at)?;
    let bytes = map.bytes_from(at).ok_or(EINVAL)?;
    bytes.access(device, bar, at, &mut access).map(Some)
}
