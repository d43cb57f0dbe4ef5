// SPDX-License-Identifier: GPL-2.0-only

//! The device, and all processes that use it.

use super::{
    Content, Device, Export, Facts, ForeignMappings, Place, Space, Vma, BARS, WINDOW_SHIFT,
};
use std::ops::Range;
use std::sync::Arc;

/// The maximum number of processes at a time.
pub const PROCESSES: usize = 5;
/// The number of eventfds that they share.
pub const EVENTFDS: usize = 4;

/// A process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Whether it has a descriptor of the device.
    pub open: bool,
    /// Its id.
    pub pid: i64,
    /// Its descriptors of exports.
    pub exports: Vec<Export>,
    /// Its mappings of the device and of exports.
    pub space: Space,
}

/// All state that an operation can change.
#[derive(Clone, Debug)]
pub struct World {
    /// The constant properties.
    pub facts: Arc<Facts>,
    /// The device while it is open.
    pub device: Option<Device>,
    /// The number of times that it was opened.
    opened: u32,
    /// The processes.
    pub processes: [Option<Process>; PROCESSES],
    /// The foreign mappings.
    pub foreign: ForeignMappings,
    /// The bytes in the BARs.
    pub content: Content,
    /// Whether each eventfd was signalled without a waiter.
    pub(super) pending: [bool; EVENTFDS],
}

impl World {
    /// Makes a world with one process and a closed device.
    #[must_use]
    pub fn new(facts: Arc<Facts>) -> Self {
        let mut processes: [Option<Process>; PROCESSES] = Default::default();
        processes[0] = Some(Process::default());
        Self {
            facts,
            device: None,
            opened: 0,
            processes,
            foreign: ForeignMappings::default(),
            content: Content::default(),
            pending: [false; EVENTFDS],
        }
    }

    /// Records that the device is open.
    pub fn open(&mut self) {
        if self.device.is_none() {
            let mut device = Device::new(self.facts.clone());
            device.see(&self.foreign);
            device.session = self.opened;
            self.opened += 1;
            self.device = Some(device);
        }
    }

    /// Returns whether a process can get a descriptor of the device.
    #[must_use]
    pub fn can_open(&self) -> bool {
        self.facts.reopens || self.device.is_none()
    }

    /// Returns the process with the number.
    #[must_use]
    pub fn process(&self, who: u32) -> Option<&Process> {
        self.processes.get(who as usize)?.as_ref()
    }

    /// Returns the mappings of a process.
    pub(super) fn space(&mut self, who: u32) -> Option<&mut Space> {
        let process = self.processes.get_mut(who as usize)?.as_mut()?;
        Some(&mut process.space)
    }

    /// Returns the existing processes with their numbers.
    pub fn present(&self) -> impl Iterator<Item = (u32, &Process)> {
        (0..)
            .zip(&self.processes)
            .filter_map(|(who, process)| Some((who, process.as_ref()?)))
    }

    /// Returns whether any process maps the own window of a BAR.
    #[must_use]
    pub fn is_mapped(&self, bar: usize) -> bool {
        let maps =
            |vma: &Vma| matches!(Place::of(vma.offset), Place::Bar(other, _) if other == bar);
        self.present()
            .any(|(_, process)| process.space.vmas().any(maps))
    }

    /// Returns the ranges of the device file that any process maps through it.
    #[must_use]
    pub fn mapped_offsets(&self) -> Vec<Range<u64>> {
        let all = self.present().flat_map(|(_, process)| process.space.vmas());
        let all = all.filter(|vma| vma.export.is_none());
        all.map(|vma| vma.offset..vma.offset + (vma.range.end - vma.range.start))
            .collect()
    }

    /// Records that the entries for these bytes of the device file were removed in all processes.
    pub fn revoke(&mut self, offsets: &Range<u64>) {
        for process in self.processes.iter_mut().flatten() {
            process.space.revoke(offsets);
        }
    }

    /// Records that all entries were removed in all processes.
    pub fn revoke_all(&mut self) {
        let end = (BARS as u64) << WINDOW_SHIFT;
        self.revoke(&(0..end));
    }

    /// Records that the device is closed if no process uses it.
    pub fn settle(&mut self) {
        let used = |process: &Process| process.open || process.space.uses_device();
        if self.present().any(|(_, process)| used(process)) {
            return;
        }
        if let Some(device) = self.device.take() {
            for event in device.events {
                self.pending[event.eventfd] = false;
            }
            // Only exports have mappings now.
            self.revoke_all();
        }
    }

    /// Returns the target of a file offset of an existing region: the BAR, the byte in it, and the
    /// number of bytes that follow, if it is a BAR or a subregion.
    #[must_use]
    pub fn bytes_at(&self, offset: u64) -> Option<(usize, u64, u64)> {
        let device = self.device.as_ref()?;
        match Place::of(offset) {
            Place::Bar(bar, at) => {
                let rest = self.facts.bars[bar].len.checked_sub(at)?;
                (rest != 0).then_some((bar, at, rest))
            }
            Place::Slot(bar) => {
                let region = device.resolve(&(offset..offset + 1))?;
                let within = offset - region.offset;
                let rest = region.span.end - region.span.start - within;
                Some((bar, region.span.start + within, rest))
            }
            Place::Other(..) => None,
        }
    }

    /// Returns the result of `mmap()` of the device for a shared mapping: the type, or an errno.
    pub(super) fn mappable(&self, offset: u64, len: u64) -> Result<super::Mem, i32> {
        let device = self.device.as_ref().ok_or(libc::EBADF)?;
        match Place::of(offset) {
            Place::Bar(bar, at) => {
                let fits = at + len <= self.facts.bars[bar].mappable;
                fits.then(|| device.windows[bar].mem()).ok_or(libc::EINVAL)
            }
            Place::Slot(_) => device
                .resolve(&(offset..offset + len))
                .map(|region| region.attribute.mem())
                .ok_or(libc::EINVAL),
            Place::Other(..) => Err(libc::EINVAL),
        }
    }
}
