// SPDX-License-Identifier: GPL-2.0

//! Changes of a BAR's segments: [`Change`], and how strays are looked for.

use super::Segments;
use crate::{
    compat::MemType,
    storage::Claims,
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

/// The state of a device whose BARs can be in segments, and whose memory lock protects the claims.
pub(crate) trait Segmented: Operations<Locked = Claims, BarMaps = Segments> {}

impl<T: Operations<Locked = Claims, BarMaps = Segments>> Segmented for T {}

/// A BAR in segments while one of its parts changes its type; on drop the BAR goes back to the core
/// if no part of it is write-combining and none a stray.
pub(crate) struct Change<'i, 'a, 'b, T: Segmented> {
    io: &'i mut IoExclusive<'a, T>,
    bar: Bar<'b>,
}

impl<'i, 'a, 'b, T: Segmented> Change<'i, 'a, 'b, T> {
    /// Begins a change of `bar`, which is taken from the core if it is that which has it.
    ///
    /// Fails with [`EBUSY`] when an ioeventfd may use the core's mapping of the BAR, or when something
    /// else in the kernel has any of it with another type than an ordinary mapping.
    pub(crate) fn begin(io: &'i mut IoExclusive<'a, T>, bar: Bar<'b>) -> Result<Self> {
        if io.driver_maps(bar).is_none() {
            io.give_to_driver(bar, Segments::new(bar)?)?;
        }
        Ok(Self { io, bar })
    }

    /// Begins a change of `bar` as whoever has it holds it.
    pub(crate) fn of(io: &'i mut IoExclusive<'a, T>, bar: Bar<'b>) -> Self {
        Self { io, bar }
    }

    /// Returns the segments; none if the core has the BAR.
    pub(crate) fn segments(&mut self) -> Option<&mut Segments> {
        self.io.driver_maps_mut(self.bar)
    }
}

impl<T: Segmented> Drop for Change<'_, '_, '_, T> {
    fn drop(&mut self) {
        restore(self.io, self.bar);
    }
}

/// Gives `bar` back to the core if no part of it is write-combining, and none a stray.
///
/// If there is no memory for that, the BAR works all the same, but cannot have ioeventfds.
fn restore<T: Segmented>(io: &mut IoExclusive<'_, T>, bar: Bar<'_>) {
    if io.driver_maps(bar).is_some_and(Segments::is_plain) {
        // The core's mapping is UC-, since all of the BAR is reserved as that until it is made.
        let _ = io.return_to_core(bar);
    }
}

/// Ends the strays of `bar` that can end, if it has any.
pub(crate) fn settle<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
) {
    if let Some(segments) = io
        .driver_maps_mut(bar)
        .filter(|segments| segments.has_strays())
    {
        segments.settle(bar, &mut device.memory_exclusive());
        restore(io, bar);
    }
}

/// Ends the stray of `bar` that has the page at byte `at`, or that page of it, if it can end.
pub(crate) fn settle_page<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
    at: u64,
) {
    if let Some(segments) = io.driver_maps_mut(bar) {
        // If there is no memory for more parts it stays as it is.
        let _ = segments.settle_page(bar, &mut device.memory_exclusive(), at);
        restore(io, bar);
    }
}

/// Returns whether no page of `bar` that is not write-combining has another type than an ordinary
/// mapping.
pub(crate) fn is_settled<T: Segmented>(io: &impl Io<T>, bar: Bar<'_>) -> bool {
    match io.driver_maps(bar) {
        Some(segments) => !segments.has_strays(),
        None => io.core_maps_as(bar, MemType::Noncached),
    }
}

/// Takes `bar` from the core if the core's mapping of it has another type than an ordinary one.
///
/// That is so when somebody has mapped part of it so before the device was opened: x86 then gives the
/// core's mapping of the whole the type of that part, and so every other mapping. Nothing uses the
/// device yet.
pub(crate) fn adopt<T: Segmented>(
    device: &OpenDevice<T>,
    io: &mut IoExclusive<'_, T>,
    bar: Bar<'_>,
) -> Result {
    if io.core_maps_as(bar, MemType::Noncached) {
        return Ok(());
    }
    let memory = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    let segments = Segments::unknown(bar)?;
    let (parent, whole) = (segments.parent, segments.bar);
    device.memory_exclusive().add_stray(parent, whole, memory);
    io.give_to_driver(bar, segments)?;
    settle(device, io, bar);
    Ok(())
}
