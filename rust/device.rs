// SPDX-License-Identifier: GPL-2.0-only

//! An open device and its operations.
//!
//! [`State`] is the state of an open device. It dispatches each operation to a file of its own.
//! device/mmap.rs decides page faults.
//!
//! # Locks
//!
//! A thread takes the locks in this order, outermost first.
//!
//! 1. The lock of the device set, which belongs to VFIO and is held around open and close.
//! 2. The io lock ([`pci::OpenDevice::io_shared`], [`pci::OpenDevice::io_exclusive`]). It protects
//!    the kernel's mappings of the BARs. A thread that changes claims holds it for writing, so only
//!    one thread does so at a time. Code under it may access user memory. The ioeventfd lock
//!    (vfio/pci/ioeventfd.rs) comes after it. A thread that holds that lock takes neither lock 3
//!    nor lock 4, and waits for kernel threads that take lock 5.
//! 3. The mmap lock or the lock of a VMA, which belong to the memory manager.
//! 4. The export lock ([`pci::OpenDevice::export`]). It protects the pointer of exports to the open
//!    device. The last close takes it for writing after lock 1, and others only try to take it. A
//!    thread that holds it only tries to take the io lock. The opener lock (vfio/pci/debugfs.rs)
//!    has the same place, and no thread holds both. It protects the record of the process that
//!    opened the device. A thread that holds the opener lock takes the mutex of the device's
//!    exports, and no lock under that.
//! 5. The memory lock, which belongs to vfio-pci-core ([`pci::OpenDevice::memory_shared`],
//!    [`pci::OpenDevice::memory_exclusive`]). It protects the [`Claims`]. The core holds it for
//!    writing while the device must not be accessed. Code under it must not access user memory. A
//!    reset without VFIO keeps it until its end. A thread with lock 3 does not wait for that: a
//!    fault is handled later, and others borrow the claims under the lending lock of the gate
//!    (vfio/pci/reset/lend.rs), which has the same place. No other lock of this list is taken under
//!    that one.
//! 6. The memory manager's locks of the file's mappings.
//!
//! A thread that resets the device without VFIO may hold the locks of the PCI device and of its
//! configuration space. It never waits for the memory lock, and takes lock 6. It closes the gate of
//! the device (vfio/pci/reset.rs). Faults, read() and write() wait at the gate; they may hold locks
//! 2 and 3 then, but not locks 4 and 5.
//!
//! # Why a page never has two types
//!
//! Only a fault makes page-table entries (device/mmap.rs). It holds the memory lock for reading,
//! and the gate is open. CREATE takes the memory lock for writing, removes all entries for the
//! range, changes the type of the pages, and enters the claim. The entry of an earlier fault is
//! removed, and a later fault finds the claim. DESTROY removes the claim and all entries of the
//! slot, and changes the type, under the same lock. The attribute of a BAR changes under it too,
//! and only while no VMA maps the BAR. mmap() counts its VMA before it reads the attribute, so at
//! least one of the two sees the other. If it exchanges write-combining and strict types, the BAR
//! has no subregions either.
//!
//! A VMA of a subregion never leads to another one. mmap() looks for the subregion and counts its
//! VMA in the slot under one hold of the memory lock, and CREATE takes no slot that has a VMA.
//! The VMA keeps its count when it is copied, split or moved: the new VMA is counted before the old
//! one ends. A VMA of an export is not counted. Its file has the id of the subregion, and a fault
//! makes an entry only if the subregion at the slot has this id.
//!
//! The driver cannot choose the type of a stray ([`segments`]), and no fault makes an entry for
//! one. The same lock protects the record of a stray among the claims.
//!
//! fork() copies entries without the memory lock. It copies a small entry under locks of the memory
//! manager that the removal takes too, so the entry is removed from the child as well. A huge entry
//! could come back in the child after its removal. The driver therefore removes the parent's huge
//! entries when fork() begins, so that there is none to copy (vfio/pci/mmap/fork.rs).
//!
//! # Cost
//!
//! The target for operations that vfio-pci also has is at most 1.02 times its instructions. They
//! first check whether the BAR has ever had a subregion or an attribute. The code for such a BAR is
//! in separate functions that are not inlined, so that the common case does not save registers for
//! them. GET_INFO and GET_REGION_INFO check this before the call of the core, so that the call is a
//! jump. A subregion that is created during the call may be missing from the reply, as if it were
//! created afterwards.

mod create;
mod describe;
mod destroy;
mod export;
mod info;
mod ioeventfd;
mod mmap;
mod query;
mod set_attribute;
mod transfer;

use crate::{
    bindings,
    compat::{
        index_nospec,
        read_once,
        MemType,
        THIS_MODULE, //
    },
    region::{
        self,
        Attribute,
        BarIndex,
        Busy,
        RegionId,
        Span,
        Target, //
    },
    segments::{
        self,
        Segments, //
    },
    storage::Claims,
    vfio::{
        pci::{
            self,
            Access,
            Bar,
            BarRange,
            CoreDevice,
            ExportTarget,
            Fault,
            FaultOutcome,
            GuestTypes,
            Io,
            MappedBytes,
            NewMapping,
            Operations,
            TypedMapping, //
        },
        LongResult,
        RegionInfo,
        Transfer, //
    },
    wire::{
        Arg,
        Failure, //
    }, //
};
use core::fmt;
use kernel::{
    prelude::*,
    str::CStr,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};

// The rules of subregions (region/) know no headers of the kernel.
const _: () = assert!(region::WINDOW_SHIFT == bindings::VFIO_PCI_OFFSET_SHIFT);
const _: () = assert!(region::BARS == pci::BARS);

/// A device of this driver that is open.
type OpenDevice = pci::OpenDevice<State>;

/// The state of an open device, without the [`Claims`] and the core's own state.
pub(crate) struct State {
    /// The region index of the first subregion.
    first_index: u32,
    /// A bit for each BAR that has had a subregion or an attribute since the device was opened
    /// ([`bit`]), and one for each BAR that has had an attribute ([`attribute_bit`]). All other
    /// BARs behave as with vfio-pci.
    history: Atomic<u32>,
    /// The number of VMAs that map each BAR itself. The [`Claims`] count those of its slots.
    vma_counts: [Atomic<i64>; pci::BARS],
}

impl Operations for State {
    const OWNER: ThisModule = THIS_MODULE;

    const EXPORT_NAME: &'static CStr = c"[vfio-subregion]";

    type Locked = Claims;
    type BarMaps = Segments;
    type Exported = RegionId;

    fn open_device(core: &CoreDevice) -> Result<Self> {
        Ok(Self {
            first_index: core.num_regions(),
            history: Atomic::new(0),
            vma_counts: [const { Atomic::new(0) }; pci::BARS],
        })
    }

    /// Divides each BAR into segments of which another mapping has a page that is not strict.
    fn opened(&self, device: &OpenDevice) -> Result {
        let mut io = device.io_exclusive()?;
        for index in 0..pci::BARS {
            let bar = device.bar(index);
            let bar = bar.filter(|bar| bar.is_memory() && bar.is_whole_pages());
            let Some(bar) = bar else { continue };
            match bar.expect_usable() {
                Ok(()) => segments::divide_unless_strict(device, &mut io, bar)?,
                Err(error) if error == ENOMEM => segments::divide_unmapped(device, &mut io, bar)?,
                Err(_) => (),
            }
        }
        Ok(())
    }

    #[inline]
    fn ioctl(&self, device: &OpenDevice, cmd: u32, arg: usize) -> LongResult {
        let user = Arg::of_ioctl(arg);
        let done = match cmd {
            bindings::VFIO_SUBREGION_CREATE => create::create(device, user),
            bindings::VFIO_SUBREGION_DESTROY => destroy::destroy(device, user),
            bindings::VFIO_SUBREGION_QUERY => query::query(device, user),
            bindings::VFIO_SUBREGION_EXPORT => export::export(device, user),
            bindings::VFIO_REGION_SET_ATTR => set_attribute::set_attribute(device, user),
            bindings::VFIO_DEVICE_IOEVENTFD => {
                return ioeventfd::ioeventfd(device, arg).map(|()| 0).into()
            }
            bindings::VFIO_DEVICE_GET_INFO => return info::get_info(device, arg),
            // TODO(unattached): on arm64, VFIO_DEVICE_SET_IRQS before the device is attached.
            _ => return device.core_ioctl(cmd, arg),
        };
        done.map(|()| 0).map_err(Error::from).into()
    }

    #[inline]
    fn core_describes(&self, index: u32) -> bool {
        index < self.first_index && !self.any_ever_changed()
    }

    #[inline]
    fn get_region_info(&self, device: &OpenDevice, info: &mut RegionInfo<'_>) -> Result {
        info::get_region_info(device, info)
    }

    #[inline]
    fn transfer(&self, device: &OpenDevice, transfer: Transfer<'_>) -> Result<usize> {
        transfer::transfer(device, transfer)
    }

    #[inline]
    fn mmap<'a>(
        &self,
        device: &OpenDevice,
        mapping: NewMapping<'a, Self>,
    ) -> Result<TypedMapping<'a, Self>> {
        mmap::mmap(device, mapping)
    }

    fn copied(&self, device: &OpenDevice, offset: u64) {
        match target(device, offset) {
            Target::Bar(bar, _) => self.count_vma(bar),
            Target::Slot(bar, slot) => {
                // Another VMA maps the slot, so it exists.
                device.memory_exclusive_in_mmap().add_vma(bar, slot);
            }
            Target::Other => (),
        }
    }

    fn unmapped(&self, device: &OpenDevice, offset: u64) {
        match target(device, offset) {
            Target::Bar(bar, _) => {
                if let Some(count) = self.vma_counts.get(bar.index()) {
                    // A thread that reads 0 sees everything that was done through the mapping.
                    count.fetch_add(-1, Release);
                }
            }
            Target::Slot(bar, slot) => {
                let memory = device.memory_exclusive_in_mmap().remove_vma(bar, slot);
                // The lock is released by now.
                drop(memory);
            }
            Target::Other => (),
        }
    }

    #[inline(always)]
    fn fault(&self, device: &OpenDevice, fault: &Fault<'_, Self>) -> FaultOutcome {
        mmap::fault(device, fault)
    }

    fn describe(&self, device: &OpenDevice, text: &mut dyn fmt::Write) -> fmt::Result {
        describe::describe(device, text)
    }

    fn dma_range(&self, device: &OpenDevice, index: u32) -> Option<BarRange> {
        export::dma_range(device, index)
    }

    fn exported(&self, device: &OpenDevice, exported: RegionId) -> Option<ExportTarget> {
        export::target(device, exported)
    }

    fn access_exported(
        &self,
        device: &OpenDevice,
        exported: RegionId,
        at: u64,
        access: &mut Access<'_>,
    ) -> Result<Option<usize>> {
        export::access(device, exported, at, access)
    }
}

impl State {
    /// Counts a VMA that maps `bar` itself.
    fn count_vma(&self, bar: BarIndex) {
        if let Some(count) = self.vma_counts.get(bar.index()) {
            // The full ordering places the count before the check for an attribute; see mmap.rs.
            count.fetch_add(1, Full);
        }
    }

    /// Records that `bar` is about to get a subregion. The caller holds the io lock for writing.
    fn record_subregion(&self, bar: BarIndex) {
        let history = self.history.load(Relaxed);
        self.history.store(history | bit(bar), Relaxed);
    }

    /// Records that `bar` is about to get an attribute. The caller holds the io lock for writing.
    fn record_attribute(&self, bar: BarIndex) {
        let history = self.history.load(Relaxed);
        // The full ordering places the record before the following check for mappings; see mmap.rs.
        let now = history | bit(bar) | attribute_bit(bar);
        self.history.xchg(now, Full);
    }

    /// Returns whether any BAR has ever had a subregion or an attribute.
    fn any_ever_changed(&self) -> bool {
        read_once(&self.history) != 0
    }

    /// Returns whether `bar` has ever had a subregion or an attribute.
    fn ever_changed(&self, bar: BarIndex) -> bool {
        self.history.load(Relaxed) & bit(bar) != 0
    }

    /// Returns whether `bar` has ever had an attribute.
    fn ever_had_attribute(&self, bar: BarIndex) -> bool {
        self.history.load(Relaxed) & attribute_bit(bar) != 0
    }

    /// Returns whether a VMA maps `bar` itself.
    ///
    /// If this returns `false` after a call of [`Self::record_attribute`] and while the thread
    /// holds the memory lock for writing, every later mapping sees the attribute that the thread
    /// sets under that lock.
    fn is_mapped(&self, bar: BarIndex) -> bool {
        self.vma_counts
            .get(bar.index())
            .is_some_and(|count| count.load(Acquire) != 0)
    }

    /// Returns the id of the subregion with the region index `index`, or `None` if no subregion has
    /// ever had it.
    fn id(&self, claims: &Claims, index: u32) -> Option<RegionId> {
        let number = index.checked_sub(self.first_index)?;
        let created = claims.created();
        (number < created).then(|| RegionId::new(index_nospec(number, created)))
    }

    /// Returns the region index of the subregion `id`.
    fn index(&self, id: RegionId) -> u32 {
        self.first_index.saturating_add(id.number())
    }
}

/// Returns the bit for `bar`.
fn bit(bar: BarIndex) -> u32 {
    1 << bar.index()
}

/// Returns the bit for the attribute of `bar`.
fn attribute_bit(bar: BarIndex) -> u32 {
    bit(bar) << 16
}

/// Returns the BAR `parent`, if it can have subregions.
///
/// Fails with [`Failure::NoParent`] or [`Failure::BarTooLarge`] otherwise.
fn parent(device: &OpenDevice, parent: BarIndex) -> Result<Bar<'_>, Failure> {
    let bar = device.bar(parent.index());
    let bar = bar.ok_or(Failure::NoParent)?;
    if bar.mmap_len() == 0 || !bar.is_whole_pages() {
        return Err(Failure::NoParent);
    }
    if bar.size() > region::SLOTS_SIZE {
        return Err(Failure::BarTooLarge);
    }
    Ok(bar)
}

/// Begins a change of `bar` after dividing it into segments, unless it is in segments already.
///
/// Fails with [`Failure::Busy`] if another mapping excludes this, or if the BAR is not available.
/// Fails with [`ENOMEM`] if the kernel has no memory.
fn divide<'i, 'a, 'b>(
    io: &'i mut pci::IoExclusive<'a, State>,
    bar: Bar<'b>,
) -> Result<segments::Change<'i, 'a, 'b, State>, Failure> {
    if !io.can_give_to_driver(bar) {
        return Err(Failure::Busy(Busy::Bar));
    }
    segments::Change::divide(io, bar).map_err(Failure::of_type_change)
}

/// Checks that the core has a mapping of `bar` that has the type of a strict mapping.
///
/// Fails with [`Failure::Busy`] otherwise.
fn expect_strict_core_map(io: &impl Io<State>, bar: Bar<'_>) -> Result<(), Failure> {
    if io.core_maps_as(bar, MemType::Noncached) {
        return Ok(());
    }
    Err(Failure::Busy(if io.can_give_to_driver(bar) {
        Busy::Type
    } else {
        Busy::Bar
    }))
}

/// Checks that no ioeventfd writes to a page of `span` of `bar`, whose type is about to change. The
/// io lock, held for writing, prevents new ones.
///
/// Fails with [`Failure::Busy`] otherwise.
fn expect_no_ioeventfd(
    io: &pci::IoExclusive<'_, State>,
    bar: Bar<'_>,
    span: Span,
) -> Result<(), Failure> {
    if io.has_ioeventfd(bar, span.start()..span.end()) {
        return Err(Failure::Busy(Busy::Ioeventfd));
    }
    Ok(())
}

/// Takes the io lock for reading after an attempt to end the strays of `bar`.
fn io_after_ending_strays<'a>(
    device: &'a OpenDevice,
    bar: Bar<'_>,
) -> Result<pci::IoShared<'a, State>> {
    let io = device.io_shared()?;
    if !io.driver_maps(bar).is_some_and(Segments::has_strays) {
        return Ok(io);
    }
    drop(io);
    let mut io = device.io_exclusive()?;
    segments::end_strays(device, &mut io, bar);
    Ok(io.downgrade())
}

/// Returns the bytes of `bar` from `at` on that the kernel has mapped, or `None` if it has not
/// mapped byte `at`.
#[inline]
fn mapped_bytes<'a>(
    io: &'a pci::IoShared<'_, State>,
    bar: Bar<'_>,
    at: u64,
) -> Option<MappedBytes<'a>> {
    // The core has no mapping of a BAR that the driver owns.
    io.core_bytes(bar, at)
        .or_else(|| io.driver_maps(bar)?.mapped_bytes(at))
}

/// Returns the memory type of mappings with `attribute` on the host.
fn mem_type(attribute: Attribute) -> MemType {
    match attribute {
        Attribute::Noncached => MemType::Noncached,
        Attribute::Device | Attribute::GuestAny => MemType::Device,
        Attribute::WriteCombining => MemType::WriteCombining,
    }
}

/// Returns the types that a guest may choose for mappings with `attribute`.
fn guest_types(attribute: Attribute) -> GuestTypes {
    if attribute.lets_guest_choose() {
        GuestTypes::AnyUncached
    } else {
        GuestTypes::Device
    }
}

/// Returns the meaning of a file offset. In a BAR that is too large to have subregions, the offsets
/// of slots are those of its own bytes.
fn target(device: &OpenDevice, offset: u64) -> Target {
    let target = Target::of(offset);
    if let Target::Slot(bar, _) = target {
        if let Some(large) = device.bar(bar.index()) {
            if large.size() > region::SLOTS_SIZE {
                return Target::Bar(bar, offset.saturating_sub(bar.window_start()));
            }
        }
    }
    target
}
