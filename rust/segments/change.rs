// SPDX-License-Identifier: GPL-2.0-only

//! Changes of the segments of a BAR: [`Change`], and functions that end strays.

use super::{
    strays::{
        MAX_CHECKS,
        MAX_FIRST_CHECKS, //
    },
    Segments, //
};
use crate::{
    compat::MemType,
    region::ClaimMemory,
    storage::{
        self,
        Claims, //
    },
    vfio::pci::{
        Bar,
        Io,
        IoExclusive,
        OpenDevice,
        Operations, //
    }, //
};
use kernel::{
    prelude::*,
    rbtree::RBTreeNodeReservation, //
};

/// The state of a device whose BARs can be divided into segments and whose memory lock protects the
/// claims.
pub(crate) trait Segmented: Operations<Locked = Claims, BarMaps = Segments> {}

impl<T: Operations<Locked = Claims, BarMaps = Segments>> Segmented for T {}

/// A change of the type of a segment. When it is dropped, the core becomes the owner of the BAR
/// again if no part of the BAR is write-combining or a stray.
pub(crate) struct Change<'i, 'a, 'b, T: Segmented> {
    io: &'i mut IoExclusive<'a, T>,
    bar: Bar<'b>,
}

impl<'i, 'a, 'b, T: Segmented> Change<'i, 'a, 'b, T> {
    /// Begins a change of `bar` after dividing the BAR into segments, unless it is in segments
    /// already.
    ///
    /// [`Io::can_give_to_driver`] must have succeeded.
    ///
    /// Fails with [`EBUSY`] if another mapping gives a part of the BAR another type. Fails with
    /// [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn divide(io: &'i mut IoExclusive<'a, T>, bar: Bar<'b>) -> Result<Self> {
        if io.driver_maps(bar).is_none() {
            io.give_to_driver(bar, Segments::new(bar)?)?;
        }
        Ok(Self { io, bar })
    }

    /// Begins a change of `bar`, which may be in segments or not.
    pub(crate) fn begin(io: &'i mut IoExclusive<'a, T>, bar: Bar<'b>) -> Self {
        Self { io, bar }
    }

    /// Returns the segments of the BAR, or `None` if it is not in segments.
    pub(crate) fn segments(&mut self) -> Option<&mut Segments> {
        self.io.driver_maps_mut(self.bar)
    }
}

impl<T: Segmented> Drop for Change<'_, '_, '_, T> {
    fn drop(&mut self) {
        restore(self.io, self.bar);
    }
}

/// Makes the core the owner of `bar` again if no part of it is write-combining or a stray.
///
/// If the kernel has no memory for the core's mapping, the BAR stays in segments, and works.
fn restore<T: Segmented>(io: &mut IoExclusive<'_, T>, bar: Bar<'_>) {
    if io.driver_maps(bar).is_some_and(Segments::is_strict) {
        // The core's mapping is UC-, because the gap reserves the whole BAR as UC- until the
        // mapping exists.
        let _ = io.return_to_core(bar);
    }
}

/// Tries to end all strays of `bar`.
pub(crate) fn end_strays<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
) {
    if let Some(segments) = io
        .driver_maps_mut(bar)
        .filter(|segments| segments.has_strays())
    {
        segments.end_strays(bar, &mut device.memory_exclusive(), MAX_CHECKS);
        restore(io, bar);
    }
}

/// Tries to end the stray of `bar` that includes the page at byte `at`, or else that page of it.
/// Returns `false` if the memory lock is not free.
pub(crate) fn try_end_stray_page<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
    at: u64,
) -> bool {
    if let Some(segments) = io.driver_maps_mut(bar) {
        let Some(mut claims) = device.try_memory_exclusive() else {
            return false;
        };
        // If the kernel has no memory for another segment, the page stays in the stray.
        let _ = segments.end_stray_page(bar, &mut claims, at);
        drop(claims);
        restore(io, bar);
    }
    true
}

/// Divides `bar` into segments unless the core's mapping of it has the type of a strict mapping.
/// The device is being opened, and no other operation runs yet.
///
/// The core's mapping has another type if another mapping made a part of the BAR write-combining
/// before the device was opened. x86 then gives the type of that part to the core's mapping of the
/// whole BAR, and to all mappings of userspace.
///
/// Fails with [`EBUSY`] if the core has no mapping of the BAR. Fails with [`ENOMEM`] if the kernel
/// has no memory.
pub(crate) fn divide_unless_strict<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
) -> Result {
    if io.core_maps_as(bar, MemType::Noncached) {
        return Ok(());
    }
    let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    let segments = Segments::all_stray(bar)?;
    io.give_to_driver(bar, segments)?;
    end_first_stray(device, io, bar, memory, MAX_CHECKS);
    Ok(())
}

/// Divides `bar`, which the core could not map, into segments. The device is being opened, and no
/// other operation runs yet.
///
/// The core cannot map a BAR if other mappings of it have different types, or if a part of it is
/// write-back. The driver can: it never maps pages of different types together. If another driver
/// has reserved the BAR by now, the BAR stays as it is.
///
/// Fails with [`ENOMEM`] if the kernel has no memory.
pub(crate) fn divide_unmapped<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
) -> Result {
    let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    let segments = Segments::all_stray(bar)?;
    if io.reserve_for_driver(bar, segments).is_ok() {
        end_first_stray(device, io, bar, memory, MAX_FIRST_CHECKS);
    }
    Ok(())
}

/// Records in the claims, with `memory` for its claim, that `bar` is a single stray, as
/// [`Segments::all_stray`] has made it. Tries to end the stray by at most `checks` checks.
fn end_first_stray<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
    memory: ClaimMemory<storage::Kernel>,
    checks: u32,
) {
    if let Some(segments) = io.driver_maps_mut(bar) {
        let mut claims = device.memory_exclusive();
        claims.add_stray(segments.parent, segments.bar, memory);
        segments.end_strays(bar, &mut claims, checks);
    }
    restore(io, bar);
}
