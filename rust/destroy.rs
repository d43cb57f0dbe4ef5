// SPDX-License-Identifier: GPL-2.0

//! Destroying subregions, and setting the attribute of a whole BAR.

use crate::{
    device::{
        mem_type,
        parent,
        State, //
    },
    driver::Driver,
    region::{
        Attribute,
        Span, //
    },
    segments::{
        self,
        Change,
        Segments, //
    },
    vfio::{
        pci::{
            Bar,
            Io,
            IoShared, //
        },
        MemType,
        OpenDevice, //
    },
    wire::{
        self,
        Failure, //
    }, //
};
use kernel::{
    prelude::*,
    rbtree::RBTreeNodeReservation, //
};

impl State {
    /// Handles `VFIO_SUBREGION_DESTROY`.
    #[inline(never)]
    pub(crate) fn destroy(&self, device: &OpenDevice<Driver>, arg: usize) -> Result {
        Ok(self.try_destroy(device, arg)?)
    }

    fn try_destroy(&self, device: &OpenDevice<Driver>, arg: usize) -> Result<(), Failure> {
        let request = wire::Destroy::read(arg)?;
        let mut io = device.io_exclusive()?;
        // The io lock is held exclusively: what exists now exists until it is destroyed below.
        let region = {
            let table = device.memory_shared();
            let id = self.id(&table, request.index);
            id.and_then(|id| table.get(id))
        };
        let region = region.ok_or(Failure::NoSubregion)?;
        let bar = parent(device, region.bar())?;
        segments::settle(device, &mut io, bar);
        let mut change = Change::of(&mut io, bar);
        let mut table = device.memory_exclusive();
        let (_, memory) = table.remove(region.id()).ok_or(Failure::NoSubregion)?;
        table.zap(region.file_offset(), region.span().len());
        if !region.attribute().is_write_combining() {
            // Freed after the lock is released.
            drop(table);
            return Ok(());
        }
        if let (Some(segments), Some(memory)) = (change.segments(), memory) {
            segments.clear_wc(region.span());
            table.keep(region.bar(), region.span(), memory);
            segments.settle_stray(bar, &mut table, region.span());
        }
        Ok(())
    }

    /// Handles `VFIO_SUBREGION_QUERY`.
    #[inline(never)]
    pub(crate) fn query(&self, device: &OpenDevice<Driver>, arg: usize) -> Result {
        Ok(self.try_query(device, arg)?)
    }

    fn try_query(&self, device: &OpenDevice<Driver>, arg: usize) -> Result<(), Failure> {
        let (request, reply) = wire::Query::read(arg)?;
        let mut attributes = wire::Attributes::none();
        match request.bar() {
            Some(index) => {
                if let Ok(bar) = parent(device, index) {
                    let io = io_settled(device, bar)?;
                    let window = device.memory_shared().window(index);
                    for attribute in Attribute::ALL {
                        let can = window == Attribute::Noncached && can_have(&io, bar, attribute);
                        if can {
                            attributes.add(attribute);
                        }
                    }
                }
            }
            None => {
                let table = device.memory_shared();
                let id = self.id(&table, request.index).ok_or(Failure::Malformed)?;
                let region = table.get(id).ok_or(Failure::Malformed)?;
                attributes.add(region.attribute());
            }
        }
        let count = device.memory_shared().len();
        Ok(reply.write(attributes, count)?)
    }

    /// Handles `VFIO_REGION_SET_ATTR`.
    #[inline(never)]
    pub(crate) fn set_attr(&self, device: &OpenDevice<Driver>, arg: usize) -> Result {
        Ok(self.try_set_attr(device, arg)?)
    }

    fn try_set_attr(&self, device: &OpenDevice<Driver>, arg: usize) -> Result<(), Failure> {
        let (request, reply) = wire::SetAttr::read(arg)?;
        let bar = parent(device, request.bar)?;
        let attribute = request.attribute;
        if attribute.is_write_combining() && !bar.msix_table().is_empty() {
            return Err(Failure::MsixTable);
        }
        let mem = mem_type(attribute);
        let whole = Span::new(0, bar.len()).map_err(Failure::Range)?;

        let mut io = device.io_exclusive()?;
        segments::settle(device, &mut io, bar);
        let before = device.memory_shared().window(request.bar);
        // What is write-combining is reserved as that; all else is looked at.
        if !before.is_write_combining() && !segments::is_settled(&io, bar) {
            return Err(Failure::Held);
        }
        if before == attribute {
            return Ok(reply.write(mem)?);
        }
        if device.memory_shared().count(request.bar) != 0 {
            return Err(Failure::Held);
        }
        if !mem.is_available() {
            return Err(Failure::NoSuchType);
        }
        if self.is_mapped(request.bar) {
            return Err(Failure::Held);
        }
        let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        // On drop it is undone, if nothing comes of it.
        let mut change = if attribute.is_write_combining() {
            Change::begin(&mut io, bar)?
        } else {
            Change::of(&mut io, bar)
        };
        // As in `create`: this comes first because it cannot be undone.
        reply.write(mem)?;
        self.touch_attribute(request.bar);

        // The type changes under the memory lock, and only if nobody has mapped the BAR by then.
        let mut table = device.memory_exclusive();
        if self.is_mapped(request.bar) {
            return Err(Failure::Held);
        }
        let done = match change.segments() {
            Some(segments) if attribute.is_write_combining() => segments.set_wc(bar, whole),
            Some(segments) if before.is_write_combining() => segments.try_clear_wc(bar, whole),
            _ => Ok(()),
        };
        if done.is_ok() {
            table.set_window(request.bar, attribute);
        }
        if let Some(segments) = change.segments() {
            if segments.is_stray(whole) {
                table.keep(request.bar, whole, memory);
                segments.settle_stray(bar, &mut table, whole);
            }
        }
        Ok(done?)
    }
}

/// Keeps the kernel's mappings of the BARs as they are, once the strays of `bar` have ended that can.
fn io_settled<'a>(device: &'a OpenDevice<Driver>, bar: Bar<'_>) -> Result<IoShared<'a, Driver>> {
    let io = device.io_shared()?;
    if !io.taken(bar).is_some_and(Segments::has_strays) {
        return Ok(io);
    }
    drop(io);
    let mut io = device.io_exclusive()?;
    segments::settle(device, &mut io, bar);
    Ok(io.downgrade())
}

/// Returns whether part of `bar` can have `attribute`, as far as that can be told without trying.
fn can_have(io: &impl Io<Driver>, bar: Bar<'_>, attribute: Attribute) -> bool {
    if io.taken(bar).is_some_and(Segments::is_stray_only) {
        return false;
    }
    if attribute.is_write_combining() {
        return mem_type(attribute).is_available() && io.can_take(bar).is_ok();
    }
    // What lies between the segments of a BAR that is taken was found ordinary.
    io.taken(bar).is_some() || io.core_map_is_of(bar, MemType::Noncached)
}
