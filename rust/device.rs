// SPDX-License-Identifier: GPL-2.0

//! An open device: its subregions, and how a BAR behaves that has some.
//!
//! # Locks
//!
//! Outermost first; a thread takes them in this order or not at all:
//!
//! 1. the device set's lock, VFIO's, around open and close
//! 2. the io lock ([`OpenDevice::io_shared`], [`OpenDevice::io_exclusive`]): the kernel's mappings
//!    of the BARs. All that changes what is claimed holds it exclusively, so there is one such
//!    thread.
//!    User memory may be touched while it is held.
//! 3. the mmap lock or a VMA's own, the memory manager's
//! 4. the memory lock, vfio-pci-core's ([`OpenDevice::memory_shared`],
//!    [`OpenDevice::memory_exclusive`]): what is claimed, the driver's [`Claims`]. The core holds it
//!    for writing while the device cannot be accessed. User memory must not be touched.
//! 5. the memory manager's locks of the file's mappings
//!
//! Resets that VFIO does not start come from a thread that may hold the locks of the PCI device and of
//! its configuration space. Such a thread never waits for the memory lock; it closes the device's gate
//! ([`vfio::pci`], reset.rs), at which faults, read() and write() wait, holding 2 or 3 but not 4.
//!
//! # Why no page ever has two types
//!
//! New page-table entries are made by [`State::fault`] alone, under the memory lock for reading, while
//! the gate is open.
//! Creating a subregion takes that lock for writing, removes all entries for the range, changes its
//! type and enters the claim; a fault comes before all of this, and then its entry is removed, or
//! after it. Destroying one does the same the other way round. The attribute of a BAR's own window
//! changes only, under that lock, while no VMA maps it; mmap() counts its VMA before it looks at the
//! attribute, so that one of the two finds the other.
//!
//! Pages of which the driver does not choose the type are strays ([`segments`]), which no entry is made
//! for. They are among the claims, under that lock too.
//!
//! What vfio-pci does as well is to cost what it costs there. So it is asked first whether a BAR has
//! ever had a subregion or an attribute, and what follows if it has is kept out of the functions of
//! the common case, which else would save and restore what only that needs.
//!
//! fork() copies entries without the memory lock. A small one is copied under locks of the memory
//! manager that whoever removes entries takes too, so it is removed from the child as well. A huge one
//! might come back in the child after it was removed; none is there to be copied, since it is removed
//! from the parent when a fork begins (rust/vfio/pci/mmap/fork.rs).

use crate::{
    bindings,
    driver::Driver,
    region::{
        self,
        Attribute,
        Holder,
        Place,
        RegionId,
        Span,
        Table, //
    },
    segments,
    storage,
    vfio::{
        self,
        pci::{
            Bar,
            CoreDevice,
            CountedMapping,
            Fault,
            FaultOutcome,
            NewMapping, //
        },
        GuestTypes,
        MemType,
        OpenDevice,
        RegionInfo, //
    },
    wire::{
        self,
        Failure, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};

/// What is claimed of an open device; under the memory lock.
pub(crate) type Claims = Table<storage::Kernel>;

/// What an open device has beside vfio-pci-core's state and its [`Claims`].
pub(crate) struct State {
    /// The region index of the first subregion.
    first_index: u32,
    /// Which BARs have had a subregion or an attribute since the device was opened, by [`bit`]: no
    /// other differs from a BAR of vfio-pci in anything that can be asked. And which have had an
    /// attribute, by [`attribute_bit`].
    touched: Atomic<u32>,
    /// How many VMAs map each BAR's own window.
    mappings: [Atomic<i64>; vfio::pci::BARS],
}

impl State {
    /// Makes the state of a device that is being opened.
    pub(crate) fn new(core: &CoreDevice) -> Self {
        Self {
            first_index: core.num_regions(),
            touched: Atomic::new(0),
            mappings: [const { Atomic::new(0) }; vfio::pci::BARS],
        }
    }

    /// Completes the opening of the device: sees to it that no BAR has a type because somebody else has
    /// part of it so.
    pub(crate) fn opened(&self, device: &OpenDevice<Driver>) -> Result {
        let mut io = device.io_exclusive()?;
        for index in 0..vfio::pci::BARS {
            let bar = device.bar(index);
            let bar = bar.filter(|bar| bar.is_memory() && bar.is_whole_pages());
            if let Some(bar) = bar.filter(|bar| bar.was_mapped().is_ok()) {
                segments::adopt(device, &mut io, bar)?;
            }
        }
        Ok(())
    }

    /// Takes note that `bar` is to have a subregion. The io lock is held exclusively.
    pub(crate) fn touch(&self, bar: region::Bar) {
        let touched = self.touched.load(Relaxed);
        self.touched.store(touched | bit(bar), Relaxed);
    }

    /// Takes note that `bar` is to have an attribute. The io lock is held exclusively.
    pub(crate) fn touch_attribute(&self, bar: region::Bar) {
        let touched = self.touched.load(Relaxed);
        // Ordered before whatever is asked about mappings now; see `mmap`.
        let now = touched | bit(bar) | attribute_bit(bar);
        self.touched.xchg(now, Full);
    }

    /// Returns whether `bar` has ever had a subregion or an attribute.
    fn is_touched(&self, bar: region::Bar) -> bool {
        self.touched.load(Relaxed) & bit(bar) != 0
    }

    /// Handles `VFIO_DEVICE_GET_INFO`.
    pub(crate) fn get_info(&self, device: &OpenDevice<Driver>, arg: usize) -> Result<c_long> {
        let done = device.core_ioctl(bindings::VFIO_DEVICE_GET_INFO, arg)?;
        if self.touched.load(Relaxed) != 0 {
            self.add_subregions(device, arg)?;
        }
        Ok(done)
    }

    /// Adds the subregions to the answer to `VFIO_DEVICE_GET_INFO`.
    #[inline(never)]
    fn add_subregions(&self, device: &OpenDevice<Driver>, arg: usize) -> Result {
        let subregions = device.memory_shared().created();
        wire::put_num_regions(arg, self.first_index.saturating_add(subregions))
    }

    /// Handles `VFIO_DEVICE_GET_REGION_INFO`.
    pub(crate) fn region_info(
        &self,
        device: &OpenDevice<Driver>,
        info: &mut RegionInfo<'_>,
    ) -> Result {
        if let Some(number) = info.index().checked_sub(self.first_index) {
            return self.subregion_info(device, number, info);
        }
        device.core_region_info(info)?;
        if self.touched.load(Relaxed) == 0 {
            return Ok(());
        }
        self.add_claims(device, info)
    }

    /// Describes the subregion that is or was the `number`th.
    #[inline(never)]
    fn subregion_info(
        &self,
        device: &OpenDevice<Driver>,
        number: u32,
        info: &mut RegionInfo<'_>,
    ) -> Result {
        let region = {
            let table = device.memory_shared();
            if number >= table.created() {
                return Err(EINVAL);
            }
            let number = vfio::index_nospec(number, table.created());
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
    fn add_claims(&self, device: &OpenDevice<Driver>, info: &mut RegionInfo<'_>) -> Result {
        let bar = match region::Bar::new(u64::from(info.index())) {
            Some(bar) if self.is_touched(bar) => bar,
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
            let window = table.window(bar);
            for (span, id) in table.claims(bar) {
                claims.push(span, self.index(id))?;
            }
            drop(table);
            return info.add_words(&claims.into_words(window, mem_type(window)));
        }
    }

    /// Returns the id of the subregion that has the region index `index`, if that can be one.
    pub(crate) fn id(&self, claims: &Claims, index: u32) -> Option<RegionId> {
        let number = index.checked_sub(self.first_index)?;
        let created = claims.created();
        (number < created).then(|| RegionId::new(vfio::index_nospec(number, created)))
    }

    /// Returns the region index of the subregion `id`.
    pub(crate) fn index(&self, id: RegionId) -> u32 {
        self.first_index.saturating_add(id.number())
    }

    /// Handles mmap().
    pub(crate) fn mmap(
        &self,
        device: &OpenDevice<Driver>,
        mapping: NewMapping<'_, Driver>,
    ) -> Result {
        // Counted first: an attribute that is set from here on finds it and is refused, and one that
        // was set before is found below.
        let mapping = mapping.count()?;
        let len = mapping.len();
        match place(device, mapping.file_offset()) {
            Place::Other => Err(EINVAL),
            Place::Bar(parent, at) => {
                let bar = device.bar(parent.index()).ok_or(EINVAL)?;
                let end = at.checked_add(len).ok_or(EINVAL)?;
                if end > bar.mmap_len() {
                    return Err(EINVAL);
                }
                bar.was_mapped()?;
                if self.touched.load(Relaxed) & attribute_bit(parent) != 0 {
                    return self.mmap_window(device, parent, mapping);
                }
                // As vfio-pci does; a subregion of this attribute holds a guest to it.
                mapping.map(MemType::Noncached, GuestTypes::AnyUncached);
                Ok(())
            }
            Place::Slot(parent, slot) => {
                let slots = Span::new(slot, len).map_err(|_| EINVAL)?;
                let region = device.memory_shared().resolve(parent, slots);
                let (_, region) = region.ok_or(EINVAL)?;
                map(mapping, region.attribute());
                Ok(())
            }
        }
    }

    /// Makes a mapping of the own window of `bar`, which has or had an attribute.
    #[inline(never)]
    fn mmap_window(
        &self,
        device: &OpenDevice<Driver>,
        bar: region::Bar,
        mapping: CountedMapping<'_, Driver>,
    ) -> Result {
        // Whoever sets it holds the lock until it is set.
        let attribute = device.memory_shared().window(bar);
        if attribute == Attribute::Noncached {
            mapping.map(MemType::Noncached, GuestTypes::AnyUncached);
        } else {
            map(mapping, attribute);
        }
        Ok(())
    }

    /// Takes note of one more VMA.
    pub(crate) fn mapped(&self, device: &OpenDevice<Driver>, offset: u64) {
        if let Some(mappings) = self.mappings(device, offset) {
            // Ordered before it is asked whether the BAR has had an attribute; see `mmap`.
            mappings.fetch_add(1, Full);
        }
    }

    /// Takes note of one VMA less.
    pub(crate) fn unmapped(&self, device: &OpenDevice<Driver>, offset: u64) {
        if let Some(mappings) = self.mappings(device, offset) {
            // Whoever finds none finds all that was done through it done.
            mappings.fetch_add(-1, Release);
        }
    }

    /// Returns the number of VMAs that the file offset `offset` counts for, if it is one of a BAR's
    /// own window.
    fn mappings(&self, device: &OpenDevice<Driver>, offset: u64) -> Option<&Atomic<i64>> {
        match place(device, offset) {
            Place::Bar(bar, _) => self.mappings.get(bar.index()),
            _ => None,
        }
    }

    /// Returns whether the own window of `bar` is mapped anywhere. No, after `touch_attribute` and
    /// while the memory lock is held for writing, means that no mapping is made that does not find the
    /// attribute that is set under it.
    pub(crate) fn is_mapped(&self, bar: region::Bar) -> bool {
        self.mappings
            .get(bar.index())
            .is_some_and(|mappings| mappings.load(Acquire) != 0)
    }

    /// Handles the touch of a page that has no page-table entry.
    pub(crate) fn fault(
        &self,
        device: &OpenDevice<Driver>,
        fault: &Fault<'_, Driver>,
    ) -> FaultOutcome {
        let Some(offset) = fault.file_offset() else {
            return fault.refuse();
        };
        // The lock is held until the entry is made; see the top of this file.
        let table = device.memory_shared();
        match place(device, offset) {
            Place::Other => fault.refuse(),
            Place::Bar(bar, at) => {
                let Ok(span) = Span::new(at, fault.len()) else {
                    return fault.refuse();
                };
                match table.holder(bar, span) {
                    None => fault.map(&table, bar.index(), at),
                    Some(Holder::Stray) if fault.is_single_page() => {
                        drop(table);
                        fault_stray(device, fault, bar, span)
                    }
                    Some(_) => fault.refuse(),
                }
            }
            Place::Slot(bar, slot) => {
                let slots = Span::new(slot, fault.len()).ok();
                match slots.and_then(|slots| table.resolve(bar, slots)) {
                    Some((span, _)) => fault.map(&table, bar.index(), span.start()),
                    None => fault.refuse(),
                }
            }
        }
    }
}

/// Handles the touch of the page `span` of `bar`, which is a stray, or was.
///
/// The io lock is outside of the locks that a fault holds; so if somebody has it, the page stays a
/// stray for now.
#[cold]
#[inline(never)]
fn fault_stray(
    device: &OpenDevice<Driver>,
    fault: &Fault<'_, Driver>,
    bar: region::Bar,
    span: Span,
) -> FaultOutcome {
    if let (Some(mut io), Some(bar)) = (device.try_io_exclusive(), device.bar(bar.index())) {
        segments::settle_page(device, &mut io, bar, span.start());
    }
    let table = device.memory_shared();
    match table.holder(bar, span) {
        None => fault.map(&table, bar.index(), span.start()),
        Some(_) => fault.refuse(),
    }
}

/// Returns whether `bar` has neither a subregion nor an attribute.
fn is_plain(claims: &Claims, bar: region::Bar) -> bool {
    claims.count(bar) == 0 && claims.window(bar) == Attribute::Noncached
}

/// Makes a mapping of something that has `attribute`.
fn map(mapping: CountedMapping<'_, Driver>, attribute: Attribute) {
    let guest = if attribute.lets_guest_choose() {
        GuestTypes::AnyUncached
    } else {
        GuestTypes::Device
    };
    mapping.map(mem_type(attribute), guest);
}

/// Returns the bit that stands for `bar`.
fn bit(bar: region::Bar) -> u32 {
    1 << bar.index()
}

/// Returns the bit that stands for the attribute of `bar`.
fn attribute_bit(bar: region::Bar) -> u32 {
    bit(bar) << 16
}

/// Returns the BAR `parent` if it can have subregions.
pub(crate) fn parent(device: &OpenDevice<Driver>, parent: region::Bar) -> Result<Bar<'_>, Failure> {
    let bar = device.bar(parent.index());
    let bar = bar.ok_or(Failure::NoParent)?;
    if bar.mmap_len() == 0 || !bar.is_whole_pages() {
        return Err(Failure::NoParent);
    }
    if bar.len() > region::SLOTS_SIZE {
        return Err(Failure::BarTooLarge);
    }
    Ok(bar)
}

/// Returns the memory type of an attribute's mappings on the host.
pub(crate) fn mem_type(attribute: Attribute) -> MemType {
    match attribute {
        Attribute::Noncached => MemType::Noncached,
        Attribute::Device | Attribute::GuestAny => MemType::Device,
        Attribute::WriteCombining => MemType::WriteCombining,
    }
}

/// Returns what a file offset stands for. A BAR that is too large to have subregions has its bytes
/// where the slots would be.
pub(crate) fn place(device: &OpenDevice<Driver>, offset: u64) -> Place {
    let place = Place::of(offset);
    if let Place::Slot(bar, _) = place {
        if let Some(large) = device.bar(bar.index()) {
            if large.len() > region::SLOTS_SIZE {
                return Place::Bar(bar, offset.saturating_sub(bar.window()));
            }
        }
    }
    place
}
