// SPDX-License-Identifier: GPL-2.0-only

//! The effects of accesses, `pread()`, `pwrite()` and ioeventfds on the bytes of BARs.

use super::super::{Device, IoEvent, Place, CONFIG};
use super::{expect, Verdict, World};
use crate::op::{pattern, Access, Outcome};
use libc::{EBADF, EFAULT, EINVAL, EIO};

/// The result of a transfer: the number of bytes, and the BAR and the byte that they reach; or an
/// errno.
pub type Transferred = Result<(i64, Option<(usize, u64)>), i32>;

impl World {
    pub(super) fn signal(&mut self, eventfd: u32, outcome: &Outcome) -> Verdict {
        let device = self.device.as_ref();
        let mut events = device.iter().flat_map(|device| &device.events);
        let event = events
            .find(|event| event.eventfd == eventfd as usize)
            .cloned();
        // A signal without a waiter stays in the eventfd.
        self.pending[eventfd as usize] = event.is_none();
        if let Some(event) = event {
            self.fire(&event);
        }
        expect(outcome, Ok(8))
    }

    /// Applies the write of a signalled ioeventfd.
    pub(super) fn fire(&mut self, event: &IoEvent) {
        let decoded = self.device.as_ref().is_some_and(Device::is_decoded);
        if decoded && self.facts.bars[event.bar].ram {
            let bytes = event.data.to_le_bytes();
            let bytes = &bytes[..event.count as usize];
            self.content.write(event.bar, event.at, bytes);
        }
    }

    /// Compares or records the value of a load or store at a byte of a BAR.
    pub(super) fn accessed(
        &mut self,
        bar: usize,
        byte: u64,
        access: Access,
        outcome: &Outcome,
    ) -> Verdict {
        if !self.facts.bars[bar].ram {
            return Ok(());
        }
        match access {
            Access::Load(width) => {
                let bytes = outcome.value.to_le_bytes();
                self.content.read(bar, byte, &bytes[..width as usize])
            }
            Access::Store(width, value) => {
                let bytes = value.to_le_bytes();
                self.content.write(bar, byte, &bytes[..width as usize]);
                Ok(())
            }
        }
    }

    /// Returns the results of `pread()` and `pwrite()`, and the BAR that they reach.
    pub(in super::super) fn transfer(&self, offset: u64, len: u32, write: bool) -> Transferred {
        if len == 0 {
            return Ok((0, None));
        }
        let device = self.device.as_ref().ok_or(EBADF)?;
        match Place::of(offset) {
            Place::Other(CONFIG, at) => {
                if at + u64::from(len) > self.facts.config {
                    return Err(EFAULT);
                }
                Ok((i64::from(len), None))
            }
            Place::Other(index, at) => {
                let number = usize::try_from(index).unwrap_or(usize::MAX);
                let region = self.facts.regions.get(number);
                match region {
                    Some(Ok((size, _))) if at < *size && !write => {
                        let len = u64::from(len).min(size - at);
                        Ok((len as i64, None))
                    }
                    _ => Err(EINVAL),
                }
            }
            Place::Bar(..) | Place::Slot(..) => {
                let (bar, at, rest) = self.bytes_at(offset).ok_or(EINVAL)?;
                self.reach(device, bar, at, u64::from(len).min(rest))
            }
        }
    }

    /// Returns the results of `pread()` and `pwrite()` of existing bytes of a BAR.
    pub(in super::super) fn reach(
        &self,
        device: &Device,
        bar: usize,
        at: u64,
        len: u64,
    ) -> Transferred {
        let facts = &self.facts.bars[bar];
        // The MSI-X table is hidden, and not accessed.
        let hidden = facts.msix.start <= at && at + len <= facts.msix.end;
        if facts.memory && !device.is_decoded() && !hidden {
            return Err(EIO);
        }
        Ok((len as i64, Some((bar, at))))
    }

    pub(super) fn read(&mut self, expected: Transferred, outcome: &Outcome) -> Verdict {
        expect(outcome, expected.map(|(len, _)| len))?;
        if let Ok((len, Some((bar, at)))) = expected {
            if self.facts.bars[bar].ram {
                let len = usize::try_from(len).unwrap_or(0);
                return self.content.read(bar, at, &outcome.bytes[..len]);
            }
        }
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        expected: Transferred,
        (len, what): (u32, u64),
        outcome: &Outcome,
    ) -> Verdict {
        expect(outcome, expected.map(|(len, _)| len))?;
        if let Ok((done, Some((bar, at)))) = expected {
            if self.facts.bars[bar].ram {
                let done = usize::try_from(done).unwrap_or(0);
                self.content.write(bar, at, &pattern(what, len)[..done]);
            }
        }
        Ok(())
    }
}
