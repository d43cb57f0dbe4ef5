// SPDX-License-Identifier: GPL-2.0-only

//! The mappings of a process, as the memory manager keeps them.

use super::{facts::LARGE, ranges::Ranges, Exported, Mem};
use libc::{EACCES, EFAULT, EINVAL, ENOMEM};
use std::collections::BTreeMap;
use std::ops::Range;

/// A mapped range of a device file, or of an export. The memory manager never joins two of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// The addresses.
    pub range: Range<u64>,
    /// The offset of the first byte in the device file.
    pub offset: u64,
    /// The type of its entries.
    pub mem: Mem,
    /// Whether it can be read.
    pub read: bool,
    /// Whether it can be written.
    pub write: bool,
    /// Whether a child inherits it.
    pub inherited: bool,
    /// Whether it is bound to a node.
    pub bound: bool,
    /// The target of the export that it maps, if it does not map the device.
    pub export: Option<Exported>,
}

impl Vma {
    /// Returns the file offset at `address`.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> u64 {
        self.offset + (address - self.range.start)
    }

    /// Returns the addresses at which the bytes `offsets` of the file are mapped.
    fn seen(&self, offsets: &Range<u64>) -> Range<u64> {
        let end = self.offset + (self.range.end - self.range.start);
        let start = offsets.start.clamp(self.offset, end) - self.offset;
        let end = offsets.end.clamp(self.offset, end) - self.offset;
        self.range.start + start..self.range.start + end
    }
}

/// The device mappings of a process.
#[derive(Clone, Debug, Default)]
pub struct Space {
    vmas: BTreeMap<u64, Vma>,
    /// The addresses that can have page-table entries: those accessed since their last revocation.
    live: Ranges,
}

/// A change of a VMA's permissions or other properties.
type Change<'a> = &'a dyn Fn(&mut Vma);

impl Space {
    /// Returns the VMAs in the order of their addresses.
    pub fn vmas(&self) -> impl Iterator<Item = &Vma> {
        self.vmas.values()
    }

    /// Returns the number of VMAs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vmas.len()
    }

    /// Returns whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vmas.is_empty()
    }

    /// Returns whether any VMA maps the device, which then remains open.
    #[must_use]
    pub fn uses_device(&self) -> bool {
        self.vmas().any(|vma| vma.export.is_none())
    }

    /// Returns the VMA that covers `address`.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<&Vma> {
        let (_, vma) = self.vmas.range(..=address).next_back()?;
        (address < vma.range.end).then_some(vma)
    }

    /// Returns whether nothing in `range` is mapped.
    #[must_use]
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        self.vmas
            .range(..range.end)
            .next_back()
            .is_none_or(|(_, vma)| vma.range.end <= range.start)
    }

    /// Returns whether all of `range` can have entries.
    #[must_use]
    pub fn may_be_live(&self, range: &Range<u64>) -> bool {
        self.live.contains(range)
    }

    /// Adds a VMA, in place of existing ones.
    pub fn map(&mut self, vma: Vma) {
        self.unmap(&vma.range);
        self.vmas.insert(vma.range.start, vma);
    }

    fn split(&mut self, at: u64) {
        let Some(vma) = self.find(at) else { return };
        if vma.range.start == at {
            return;
        }
        let mut upper = vma.clone();
        upper.offset = vma.offset_of(at);
        upper.range.start = at;
        let start = vma.range.start;
        if let Some(lower) = self.vmas.get_mut(&start) {
            lower.range.end = at;
        }
        self.vmas.insert(at, upper);
    }

    fn starts(&self, range: &Range<u64>) -> Vec<u64> {
        self.vmas.range(range.clone()).map(|(&at, _)| at).collect()
    }

    /// `munmap()`.
    pub fn unmap(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.split(range.start);
        self.split(range.end);
        for start in self.starts(range) {
            self.vmas.remove(&start);
        }
        self.live.remove(range);
    }

    /// Changes each VMA in `range`, up to a gap if `stop_at_gap`, and divides those that differ
    /// afterwards. Returns whether there was no gap.
    fn change(&mut self, range: &Range<u64>, stop_at_gap: bool, change: Change<'_>) -> bool {
        let mut at = range.start;
        let mut whole = true;
        while at < range.end {
            let next = self.vmas.range(at..range.end).next();
            let found = self
                .find(at)
                .or(next.map(|(_, vma)| vma))
                .map(|vma| vma.range.clone());
            let Some(vma) = found else {
                return false;
            };
            if vma.start > at {
                whole = false;
                if stop_at_gap {
                    return false;
                }
            }
            let part = vma.start.max(at)..vma.end.min(range.end);
            let same = self.find(part.start).is_some_and(|vma| {
                let mut changed = vma.clone();
                change(&mut changed);
                changed == *vma
            });
            if !same {
                self.split(part.start);
                self.split(part.end);
                if let Some(vma) = self.vmas.get_mut(&part.start) {
                    change(vma);
                }
            }
            at = part.end;
        }
        whole
    }

    /// `mprotect()`.
    pub fn protect(&mut self, range: &Range<u64>, read: bool, write: bool) -> Result<(), i32> {
        let change = |vma: &mut Vma| {
            vma.read = read;
            vma.write = write;
        };
        let read_only = |vma: &&Vma| vma.export.is_some_and(|to| !to.write);
        // The kernel changes the VMAs before the first one that cannot be writable.
        let refused = self
            .vmas()
            .filter(|vma| write && vma.range.end > range.start)
            .find(read_only)
            .map(|vma| vma.range.start.max(range.start))
            .filter(|at| *at < range.end);
        let end = refused.unwrap_or(range.end);
        if !self.change(&(range.start..end), true, &change) {
            return Err(ENOMEM);
        }
        refused.map_or(Ok(()), |_| Err(EACCES))
    }

    /// `madvise()` of `MADV_DONTFORK`.
    pub fn dont_fork(&mut self, range: &Range<u64>) -> Result<(), i32> {
        if self.change(range, false, &|vma| vma.inherited = false) {
            Ok(())
        } else {
            Err(ENOMEM)
        }
    }

    /// `mlock()` and `munlock()`, which do not change device memory.
    pub fn lock(&self, range: &Range<u64>) -> Result<(), i32> {
        if self.covers(range) {
            Ok(())
        } else {
            Err(ENOMEM)
        }
    }

    /// `mbind()` to a node, or to none.
    pub fn bind(&mut self, range: &Range<u64>, node: bool) -> Result<(), i32> {
        // Removing the policy works on any range.
        if self.is_free(range) || (node && !self.covers(range)) {
            return Err(EFAULT);
        }
        self.change(range, false, &|vma| vma.bound = node);
        Ok(())
    }

    /// Returns whether all of a range is mapped.
    fn covers(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        while at < range.end {
            match self.find(at) {
                Some(vma) => at = vma.range.end,
                None => return false,
            }
        }
        true
    }

    /// `mremap()` of `old` bytes at `from` to `new` bytes, at `to` if they move.
    pub fn remap(&mut self, from: u64, old: u64, new: u64, to: Option<u64>) -> Result<u64, i32> {
        if new == 0 || to.is_some_and(|to| overlap(to, new, from, old)) {
            return Err(EINVAL);
        }
        let Some(to) = to else {
            // Device memory does not grow.
            if self.find(from).is_none() || new > old {
                return Err(EFAULT);
            }
            self.unmap(&(from + new..from + old.max(new)));
            return Ok(from);
        };
        let end = self.find(from).ok_or(EFAULT)?.range.end;
        if new == old {
            // This call only moves, and may move several VMAs.
            self.unmap_targets(from, old, to);
            for start in self.starts(&(from..from + old)) {
                self.shift(start, from, to);
            }
            return Ok(to);
        }
        if new > old || new > end - from {
            return Err(EFAULT);
        }
        self.unmap(&(to..to + new));
        self.unmap(&(from + new..from + old));
        self.split(from);
        self.shift(from, from, to);
        Ok(to)
    }

    /// Unmaps the destinations of the VMAs in the `old` bytes at `from`, but not those of gaps.
    fn unmap_targets(&mut self, from: u64, old: u64, to: u64) {
        self.split(from);
        self.split(from + old);
        for start in self.starts(&(from..from + old)) {
            let end = self.vmas[&start].range.end;
            self.unmap(&(start - from + to..end - from + to));
        }
    }

    /// Moves the VMA that begins at `start` by the distance from `from` to `to`.
    fn shift(&mut self, start: u64, from: u64, to: u64) {
        let Some(mut vma) = self.vmas.remove(&start) else {
            return;
        };
        for part in self.live.within(&vma.range) {
            self.live.remove(&part);
            self.live
                .insert(part.start - from + to..part.end - from + to);
        }
        vma.range = vma.range.start - from + to..vma.range.end - from + to;
        self.vmas.insert(vma.range.start, vma);
    }

    /// Records an access to `address`: its entry, and the range that a large entry covers.
    pub fn touched(&mut self, address: u64) {
        let Some(vma) = self.find(address) else {
            return;
        };
        let block = address & !(LARGE - 1);
        let range = block.max(vma.range.start)..(block + LARGE).min(vma.range.end);
        self.live.insert(range);
    }

    /// Records that every mapped page can have an entry.
    pub fn may_all_be_live(&mut self) {
        for vma in self.vmas.values() {
            self.live.insert(vma.range.clone());
        }
    }

    /// Records that the entries for the bytes `offsets` of the file were removed.
    pub fn revoke(&mut self, offsets: &Range<u64>) {
        for vma in self.vmas.values() {
            self.live.remove(&vma.seen(offsets));
        }
    }

    /// Returns the mappings of a child.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut child = self.clone();
        child.vmas.retain(|_, vma| vma.inherited);
        for vma in self.vmas().filter(|vma| !vma.inherited) {
            child.live.remove(&vma.range);
        }
        child
    }
}

fn overlap(a: u64, a_len: u64, b: u64, b_len: u64) -> bool {
    a < b + b_len && b < a + a_len
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
