// SPDX-License-Identifier: GPL-2.0

//! Creating subregions.
//!
//! Everything that can be found out is found out first, and then the answer is written: userspace
//! memory can fail too. After that only a lack of memory, or another mapping in the kernel, makes
//! the call fail, and then what was done is undone.

use crate::{
    device::{
        mem_type,
        State, //
    },
    driver::Driver,
    region::{
        self,
        Refusal,
        Room,
        Span, //
    },
    segments::Segments,
    vfio::{
        pci::{
            Bar,
            IoExclusive, //
        },
        MemType,
        OpenDevice, //
    },
    wire::{
        self,
        Failure, //
    }, //
};
use kernel::prelude::*;

impl State {
    /// Handles `VFIO_SUBREGION_CREATE`.
    pub(crate) fn create(&self, device: &OpenDevice<Driver>, arg: usize) -> Result {
        Ok(self.try_create(device, arg)?)
    }

    fn try_create(&self, device: &OpenDevice<Driver>, arg: usize) -> Result<(), Failure> {
        let (request, reply) = wire::Create::read(arg)?;
        let bar = self.parent(device, &request)?;
        let mem = mem_type(request.attribute);

        let mut io = device.io_exclusive()?;
        let plan =
            self.table
                .read()
                .plan(request.parent, request.span, request.attribute, bar.phys());
        let plan = match plan {
            Ok(plan) => plan,
            Err(refusal) => {
                if let Refusal::Overlap(id) = refusal {
                    reply.conflict(self.index(id))?;
                }
                return Err(Failure::Refused(refusal));
            }
        };
        if !mem.is_available() {
            return Err(Failure::NoSuchType);
        }
        if request.attribute.is_write_combining() {
            io.can_take(bar)?;
        } else {
            expect_ordinary(&mut io, bar, request.span)?;
        }
        // Whatever fails from here on is undone; this comes first because it cannot be.
        reply.created(self.index(plan.id()), plan.region(), mem)?;
        self.make_room(request.parent)?;
        if request.attribute.is_write_combining() {
            self.commit_combining(&mut io, bar, plan)
        } else {
            self.commit(bar, plan, || Ok(()))
        }
    }

    /// Returns the BAR that a subregion is asked of, if it can have it.
    fn parent<'a>(
        &self,
        device: &'a OpenDevice<Driver>,
        request: &wire::Create,
    ) -> Result<Bar<'a>, Failure> {
        let bar = device.core().bar(request.parent.index());
        let bar = bar.ok_or(Failure::NoParent)?;
        if !bar.is_memory() || !bar.can_mmap() || request.span.end() > bar.len() {
            return Err(Failure::NoParent);
        }
        if bar.len() > region::SLOTS_SIZE {
            return Err(Failure::BarTooLarge);
        }
        let table = bar.msix_table().pages();
        let meets = table.meets(request.span.start(), request.span.end());
        if request.attribute.is_write_combining() && meets {
            return Err(Failure::MsixTable);
        }
        Ok(bar)
    }

    /// Makes the table large enough for one more subregion. The io lock is held exclusively, so it
    /// stays that.
    fn make_room(&self, parent: region::Bar) -> Result {
        let Some(entries) = self.table.read().lacks_room(parent) else {
            return Ok(());
        };
        let room = Room {
            regions: KVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?,
            claims: KVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?,
            slots: KVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?,
        };
        let old = self.table.write().move_into(parent, room);
        drop(old);
        Ok(())
    }

    /// Enters a subregion that is write-combining.
    fn commit_combining(
        &self,
        io: &mut IoExclusive<'_, Driver>,
        bar: Bar<'_>,
        plan: region::Plan,
    ) -> Result<(), Failure> {
        let span = plan.region().span();
        if io.taken(bar).is_none() {
            io.take(bar, Segments::new(bar)?)?;
        }
        let segments = io.taken(bar).ok_or(EBUSY)?;
        let done = segments
            .reserve()
            .map_err(Failure::from)
            .and_then(|()| self.commit(bar, plan, || segments.combine(bar, span)));
        match done {
            Ok(()) => segments.map_neighbours(bar, span),
            Err(_) if segments.is_plain() => {
                // If there is no memory for this, the BAR stays as it is: it works all the same,
                // but cannot have ioeventfds.
                let _ = io.give_back(bar);
            }
            Err(_) => {
                let _ = segments.map_gap(bar, span.start());
            }
        }
        done
    }

    /// Enters a subregion, after `change_type` has changed the type of its pages, which no mapping
    /// has an entry for at that time.
    fn commit(
        &self,
        bar: Bar<'_>,
        plan: region::Plan,
        change_type: impl FnOnce() -> Result,
    ) -> Result<(), Failure> {
        let region = *plan.region();
        let mut table = self.table.write();
        // The plan is of this table and there is room for it: the io lock has been held all along.
        let admission = table.admit(plan).map_err(|_| Failure::Kernel(ENOMEM))?;
        let offset = region.bar().window().saturating_add(region.span().start());
        bar.core().zap(offset, region.span().len());
        change_type()?;
        admission.enter();
        Ok(())
    }
}

/// Makes sure that the pages of `span`, no part of which is claimed, have the type that an ordinary
/// mapping has.
fn expect_ordinary(io: &mut IoExclusive<'_, Driver>, bar: Bar<'_>, span: Span) -> Result {
    if let Some(segments) = io.taken(bar) {
        return segments.map_gap(bar, span.start());
    }
    if !io.core_map_is_of(bar, MemType::Noncached) {
        return Err(EBUSY);
    }
    Ok(())
}
