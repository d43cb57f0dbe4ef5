// SPDX-License-Identifier: GPL-2.0-only

//! The expected results of VFIO's own ioctls, and their effects on the world.

use super::super::{overlap, Attribute, Device, IoEvent, Place};
use super::{expect, same, Verdict, World};
use crate::op::{Op, Outcome};
use libc::{EBADF, EBUSY, EEXIST, EINVAL, ENODEV, EOVERFLOW};

/// The id of the capability that describes a subregion.
const CAP_SUBREGION: u32 = 0xd501;
/// The id of the capability that lists a BAR's subregions.
const CAP_CLAIMS: u32 = 0xd502;
/// The size of `struct vfio_region_info`.
const INFO: u32 = 32;

impl World {
    pub(super) fn judge_vfio(&mut self, op: Op, outcome: &Outcome) -> Verdict {
        let facts = self.facts.clone();
        let Some(device) = &mut self.device else {
            return Err("the model is wrong: the device is closed".into());
        };
        match op {
            Op::Info(argsz) => {
                if argsz < 16 {
                    return expect(outcome, Err(EINVAL));
                }
                expect(outcome, Ok(0))?;
                same(
                    "the number of regions",
                    outcome.u32_at(8),
                    device.next_index(),
                )
            }
            Op::RegionInfo(argsz, index) => self.region_info(argsz, index, outcome),
            Op::IrqInfo(index) => expect(outcome, if index < 5 { Ok(0) } else { Err(EINVAL) }),
            // The interrupts of a device do not concern this driver.
            Op::SetIrqs { .. } => match outcome.ret {
                0 | -22 => Ok(()),
                _ => expect(outcome, Ok(0)),
            },
            Op::Reset => {
                if !facts.reset {
                    return expect(outcome, Err(EINVAL));
                }
                device.d3 = false;
                self.revoke_all();
                expect(outcome, Ok(0))
            }
            Op::HotReset | Op::SiblingReset => {
                device.d3 = false;
                self.revoke_all();
                // QEMU's root port may report that the link to a PCI Express device is not up again
                // in time.
                let late = facts.express && outcome.ret == -i64::from(libc::ENOTTY);
                expect(outcome, if late { Err(libc::ENOTTY) } else { Ok(0) })
            }
            Op::FunctionReset => {
                self.revoke_all();
                expect(outcome, Ok(2))
            }
            Op::Memory(on) => {
                device.memory = on;
                if !on {
                    self.revoke_all();
                }
                expect(outcome, Ok(2))
            }
            Op::Sleep(deep) => {
                device.d3 = deep;
                if deep {
                    self.revoke_all();
                }
                expect(outcome, Ok(2))
            }
            Op::LowPower(enter) => {
                let again = enter && device.low_power;
                device.low_power = enter;
                if enter {
                    self.revoke_all();
                }
                expect(outcome, if again { Err(EINVAL) } else { Ok(0) })
            }
            Op::IoEventfd {
                offset,
                count,
                data,
                eventfd,
            } => {
                let expected = self.io_eventfd(offset, count, data, eventfd);
                expect(outcome, expected.map(|()| 0))
            }
            Op::DmaBuf {
                region,
                offset,
                len,
            } => match self.dma_buf(region, offset, len) {
                Ok(()) if outcome.ret >= 0 => Ok(()),
                expected => expect(outcome, expected.map(|()| 0)),
            },
            _ => Ok(()),
        }
    }

    /// Returns the result of `VFIO_DEVICE_IOEVENTFD`, and applies it.
    fn io_eventfd(
        &mut self,
        offset: u64,
        count: u32,
        data: u64,
        eventfd: Option<u32>,
    ) -> Result<(), i32> {
        let facts = self.facts.clone();
        let device = self.device.as_mut().ok_or(EBADF)?;
        // The core sees that a subregion's offset is behind the end of the BAR.
        let Place::Bar(bar, at) = Place::of(offset) else {
            return Err(EINVAL);
        };
        let range = at..at + u64::from(count);
        if range.end > facts.bars[bar].len || overlap(&range, &facts.bars[bar].msix) {
            return Err(EINVAL);
        }
        if eventfd.is_some() {
            // The driver checks for strays.
            device.settle(bar);
            if device.keeps(bar, &range) {
                return Err(EBUSY);
            }
        }
        let known = device.events.iter().position(|event| {
            (event.bar, event.at, event.count, event.data) == (bar, at, count, data)
        });
        match (known, eventfd) {
            (Some(known), None) => {
                // Removing the ioeventfd clears the eventfd.
                let event = device.events.remove(known);
                self.pending[event.eventfd] = false;
                Ok(())
            }
            (Some(_), Some(_)) => Err(EEXIST),
            (None, None) => Err(ENODEV),
            (None, Some(eventfd)) => {
                let event = IoEvent {
                    bar,
                    at,
                    count,
                    data,
                    eventfd: eventfd as usize,
                };
                device.events.push(event.clone());
                // The kernel waits for no further signal.
                if self.pending[event.eventfd] {
                    self.fire(&event);
                }
                Ok(())
            }
        }
    }

    /// Returns the result of `VFIO_DEVICE_FEATURE_DMA_BUF`: that for a range of physical addresses.
    fn dma_buf(&self, region: u32, offset: u64, len: u64) -> Result<(), i32> {
        let page = self.facts.page;
        let device = self.device.as_ref();
        let (bar, span) = if let Some(region) = device.and_then(|device| device.region(region)) {
            (&self.facts.bars[region.bar], region.span.clone())
        } else {
            let bar = self.facts.bars.get(region as usize);
            let bar = bar.filter(|bar| bar.len != 0).ok_or(ENODEV)?;
            (bar, 0..bar.len)
        };
        if len == 0 || offset % page != 0 || len % page != 0 || len >> 63 != 0 || !bar.memory {
            return Err(EINVAL);
        }
        let start = bar.phys + span.start;
        let end = start.checked_add(offset).ok_or(EOVERFLOW)?;
        let end = end.checked_add(len).ok_or(EOVERFLOW)?;
        if end > bar.phys + span.end {
            return Err(EINVAL);
        }
        Ok(())
    }

    fn region_info(&self, argsz: u32, index: u32, outcome: &Outcome) -> Verdict {
        let Some(device) = &self.device else {
            return Ok(());
        };
        if argsz < INFO || index >= device.next_index() {
            return expect(outcome, Err(EINVAL));
        }
        let arch = self.facts.arch;
        // The expected flags, size, offset and capabilities.
        let (flags, size, offset, caps) = match self.facts.regions.get(index as usize) {
            Some(Err(errno)) => return expect(outcome, Err(*errno)),
            Some(Ok((size, flags))) => {
                let caps = self.bar_caps(device, index as usize);
                (*flags, *size, Some(u64::from(index) << 40), caps)
            }
            None => match device.region(index) {
                None => (0, 0, None, Vec::new()),
                Some(region) => {
                    let words = [
                        region.bar as u64 | u64::from(region.attribute as u32) << 32,
                        u64::from(arch.number(region.attribute.mem())),
                        region.span.start,
                    ];
                    let len = region.span.end - region.span.start;
                    (
                        7,
                        len,
                        Some(region.offset),
                        vec![(CAP_SUBREGION, words.to_vec())],
                    )
                }
            },
        };
        expect(outcome, Ok(0))?;
        let has_caps = if caps.is_empty() { 0 } else { 8 };
        same("flags", outcome.u32_at(4), flags | has_caps)?;
        same("size", outcome.u64_at(16), size)?;
        if let Some(offset) = offset {
            same("offset", outcome.u64_at(24), offset)?;
        }
        let lengths = caps.iter().map(|(_, words)| 8 + 8 * words.len());
        let needed = INFO + u32::try_from(lengths.sum::<usize>()).unwrap_or(0);
        same("argsz", outcome.u32_at(0), argsz.max(needed))?;
        if caps.is_empty() || argsz < needed {
            return Ok(());
        }
        let mut at = outcome.u32_at(12) as usize;
        for (id, words) in caps {
            if at == 0 {
                return Err(format!("there is no capability {id:#x}"));
            }
            same(
                "a capability's id and version",
                outcome.u32_at(at),
                id | 1 << 16,
            )?;
            for (number, word) in words.iter().enumerate() {
                let name = format!("word {number} of capability {id:#x}");
                same(&name, outcome.u64_at(at + 8 + 8 * number), *word)?;
            }
            at = outcome.u32_at(at + 4) as usize;
        }
        same("the place of a further capability", at, 0)
    }

    /// Returns the capabilities of a BAR: the id and the contents behind the header.
    fn bar_caps(&self, device: &Device, bar: usize) -> Vec<(u32, Vec<u64>)> {
        let mut caps = Vec::new();
        let Some(facts) = self.facts.bars.get(bar) else {
            return caps;
        };
        if !facts.msix.is_empty() && facts.mappable != 0 {
            // VFIO_REGION_INFO_CAP_MSIX_MAPPABLE
            caps.push((3, Vec::new()));
        }
        let claims = device.claims(bar);
        let attribute = device.windows[bar];
        if claims.is_empty() && attribute == Attribute::Noncached {
            return caps;
        }
        let number = self.facts.arch.number(attribute.mem());
        let mut words = vec![
            claims.len() as u64 | u64::from(attribute as u32) << 32,
            u64::from(number),
        ];
        for (index, region) in claims {
            let len = region.span.end - region.span.start;
            words.extend([region.span.start, len, u64::from(index)]);
        }
        caps.push((CAP_CLAIMS, words));
        caps
    }
}
