// SPDX-License-Identifier: GPL-2.0

//! An open device: its subregions, and how a BAR behaves that has some.
//!
//! [`State`] is the state of an open device and dispatches its operations, each of which has a file of
//! its own. mmap.rs decides faults.
//!
//! # Locks
//!
//! The order of the locks, the outermost first. A thread takes them in this order or not at all.
//!
//! 1. The lock of the device set, VFIO's, around open and close.
//! 2. The io lock ([`pci::OpenDevice::io_shared`], [`pci::OpenDevice::io_exclusive`]), which protects the
//!    kernel's mappings of the BARs. A thread that changes the claims holds it exclusively, so there
//!    is one such thread at a time. User memory may be touched while it is held.
//! 3. The mmap lock or a VMA's own, the memory manager's.
//! 4. The memory lock, vfio-pci-core's ([`pci::OpenDevice::memory_shared`],
//!    [`pci::OpenDevice::memory_exclusive`]), which protects the [`Claims`]. The core holds it for
//!    writing while the device cannot be accessed. User memory must not be touched under it.
//! 5. The memory manager's locks of the file's mappings.
//!
//! Resets that VFIO does not start come from a thread that may hold the locks of the PCI device and of
//! its configuration space. Such a thread never waits for the memory lock. It closes the device's gate
//! (vfio/pci/reset.rs), at which faults, read() and write() wait, holding 2 or 3 but not 4.
//!
//! # Why no page ever has two types
//!
//! Only a fault makes page-table entries (mmap.rs), under the memory lock for reading and while the gate
//! is open. CREATE takes that lock for writing, removes all entries for the range, changes the type of
//! the pages and enters the claim. A fault before that makes an entry that is removed; a fault after it
//! finds the claim. DESTROY does the same in the opposite order. The attribute of a BAR's own window
//! changes under that lock and only while no VMA maps the window. mmap() counts its VMA before it
//! reads the attribute, so one of the two sees the other.
//!
//! The driver does not choose the type of a stray ([`segments`]), and no fault makes an entry for one.
//! Strays are entered in the claims, under the same lock.
//!
//! fork() copies entries without the memory lock. It copies a small entry under locks of the memory
//! manager that whoever removes entries takes too, so the entry is removed from the child as well. A
//! huge entry could come back in the child after it was removed; so the parent's huge entries are
//! removed when a fork begins, and there is none to copy (vfio/pci/mmap/fork.rs).
//!
//! # Cost
//!
//! Operations that vfio-pci also has must cost no more here. They first ask whether the BAR has ever
//! had a subregion or an attribute. The code for a BAR that had one is in functions of their own, which
//! are not inlined, so that the common case does not save registers for them.

mod create;
mod destroy;
mod info;
mod mmap;
mod query;
mod set_attribute;
mod transfer;

use crate::{
    bindings,
    compat::{
        index_nospec,
        MemType, //
    },
    region::{
        self,
        Attribute,
        RegionId, //
        Target,
    },
    segments::{
        self,
        Segments, //
    },
    storage::Claims,
    vfio::{
        pci::{
            self,
            Bar,
            CoreDevice,
            Fault,
            FaultOutcome,
            NewMapping,
            Operations, //
        },
        RegionInfo,
        Transfer, //
    },
    wire::Failure, //
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

/// A device of this driver that is open.
type OpenDevice = pci::OpenDevice<State>;

/// The state of an open device beside vfio-pci-core's and its [`Claims`].
pub(crate) struct State {
    /// The region index of the first subregion.
    first_index: u32,
    /// The BARs that have had a subregion or an attribute since the device was opened, by [`bit`]: no
    /// answer about any other BAR differs from vfio-pci's. And the BARs that have had an attribute,
    /// by [`attribute_bit`].
    touched: Atomic<u32>,
    /// How many VMAs map each BAR's own window.
    mappings: [Atomic<i64>; pci::BARS],
}

impl Operations for State {
    type Locked = Claims;
    type BarMaps = Segments;

    fn open_device(core: &CoreDevice) -> Result<Self> {
        Ok(Self {
            first_index: core.num_regions(),
            touched: Atomic::new(0),
            mappings: [const { Atomic::new(0) }; pci::BARS],
        })
    }

    /// Makes sure that no BAR has a type because another user in the kernel has part of it mapped.
    fn opened(&self, device: &OpenDevice) -> Result {
        let mut io = device.io_exclusive()?;
        for index in 0..pci::BARS {
            let bar = device.bar(index);
            let bar = bar.filter(|bar| bar.is_memory() && bar.is_whole_pages());
            if let Some(bar) = bar.filter(|bar| bar.was_mapped().is_ok()) {
                segments::divide_unless_strict(device, &mut io, bar)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn ioctl(&self, device: &OpenDevice, cmd: u32, arg: usize) -> Result<c_long> {
        match cmd {
            bindings::VFIO_SUBREGION_CREATE => create::create(device, arg)?,
            bindings::VFIO_SUBREGION_DESTROY => destroy::destroy(device, arg)?,
            bindings::VFIO_SUBREGION_QUERY => query::query(device, arg)?,
            bindings::VFIO_REGION_SET_ATTR => set_attribute::set_attribute(device, arg)?,
            bindings::VFIO_DEVICE_GET_INFO => return info::get_info(device, arg),
            _ => return device.core_ioctl(cmd, arg),
        }
        Ok(0)
    }

    #[inline]
    fn get_region_info(&self, device: &OpenDevice, info: &mut RegionInfo<'_>) -> Result {
        info::get_region_info(device, info)
    }

    #[inline]
    fn transfer(&self, device: &OpenDevice, transfer: &mut Transfer<'_>) -> Result<usize> {
        transfer::transfer(device, transfer)
    }

    #[inline]
    fn mmap(&self, device: &OpenDevice, mapping: NewMapping<'_, Self>) -> Result {
        mmap::mmap(device, mapping)
    }

    fn mapped(&self, device: &OpenDevice, offset: u64) {
        if let Some(mappings) = self.mappings(device, offset) {
            // Ordered before the question whether the BAR has had an attribute; see mmap.rs.
            mappings.fetch_add(1, Full);
        }
    }

    fn unmapped(&self, device: &OpenDevice, offset: u64) {
        if let Some(mappings) = self.mappings(device, offset) {
            // A thread that reads 0 sees everything that was done through the mapping.
            mappings.fetch_add(-1, Release);
        }
    }

    #[inline]
    fn fault(&self, device: &OpenDevice, fault: &Fault<'_, Self>) -> FaultOutcome {
        mmap::fault(device, fault)
    }
}

impl State {
    /// Notes that `bar` is about to get a subregion. The io lock is held exclusively.
    fn touch(&self, bar: region::Bar) {
        let touched = self.touched.load(Relaxed);
        self.touched.store(touched | bit(bar), Relaxed);
    }

    /// Notes that `bar` is about to get an attribute. The io lock is held exclusively.
    fn touch_attribute(&self, bar: region::Bar) {
        let touched = self.touched.load(Relaxed);
        // Ordered before the questions about mappings that follow; see mmap.rs.
        let now = touched | bit(bar) | attribute_bit(bar);
        self.touched.xchg(now, Full);
    }

    /// Returns whether any BAR has ever had a subregion or an attribute.
    fn is_any_touched(&self) -> bool {
        self.touched.load(Relaxed) != 0
    }

    /// Returns whether `bar` has ever had a subregion or an attribute.
    fn is_touched(&self, bar: region::Bar) -> bool {
        self.touched.load(Relaxed) & bit(bar) != 0
    }

    /// Returns whether `bar` has ever had an attribute.
    fn has_had_attribute(&self, bar: region::Bar) -> bool {
        self.touched.load(Relaxed) & attribute_bit(bar) != 0
    }

    /// Returns the number of VMAs that the file offset `offset` counts for, if it is one of a BAR's
    /// own window.
    fn mappings(&self, device: &OpenDevice, offset: u64) -> Option<&Atomic<i64>> {
        match place(device, offset) {
            Target::Bar(bar, _) => self.mappings.get(bar.index()),
            _ => None,
        }
    }

    /// Returns whether any VMA maps the own window of `bar`.
    ///
    /// If it returns `false` after [`Self::touch_attribute`] and while the memory lock is held for
    /// writing, every later mapping sees the attribute that is set under that lock.
    fn is_mapped(&self, bar: region::Bar) -> bool {
        self.mappings
            .get(bar.index())
            .is_some_and(|mappings| mappings.load(Acquire) != 0)
    }

    /// Returns the id of the subregion that has the region index `index`, if that can be one.
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

/// Returns the bit that stands for `bar`.
fn bit(bar: region::Bar) -> u32 {
    1 << bar.index()
}

/// Returns the bit that stands for the attribute of `bar`.
fn attribute_bit(bar: region::Bar) -> u32 {
    bit(bar) << 16
}

/// Returns the BAR `parent` if it can have subregions.
fn parent(device: &OpenDevice, parent: region::Bar) -> Result<Bar<'_>, Failure> {
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
fn mem_type(attribute: Attribute) -> MemType {
    match attribute {
        Attribute::Noncached => MemType::Noncached,
        Attribute::Device | Attribute::GuestAny => MemType::Device,
        Attribute::WriteCombining => MemType::WriteCombining,
    }
}

/// Returns what a file offset stands for. A BAR that is too large to have subregions has its bytes
/// where the slots would be.
fn place(device: &OpenDevice, offset: u64) -> Target {
    let place = Target::of(offset);
    if let Target::Slot(bar, _) = place {
        if let Some(large) = device.bar(bar.index()) {
            if large.len() > region::SLOTS_SIZE {
                return Target::Bar(bar, offset.saturating_sub(bar.window_start()));
            }
        }
    }
    place
}
