// SPDX-License-Identifier: GPL-2.0-only

//! Ioctls of this driver and of VFIO, and other operations that change the device.

use super::{Generator, CROWD};
use crate::model::{
    size, window, Device, Frame, Request, Where, World, BARS, EVENTFDS, REGIONS, SHARED, SLOTS,
};
use crate::op::Op;

impl Generator {
    pub(super) fn frame(&mut self, size: u32) -> Frame {
        let mut frame = Frame {
            place: Where::Good,
            argsz: size,
            flags: 0,
            reserved: 0,
            tail: false,
        };
        if !self.rng.once_in(12) {
            return frame;
        }
        match self.rng.below(7) {
            0 => frame.place = self.rng.pick(&[Where::Null, Where::Cut, Where::ReadOnly]),
            1 => frame.argsz = self.rng.pick(&[0, size - 1, size - 8, 8]),
            2 => frame.argsz = self.rng.pick(&[4097, u32::MAX, 1 << 31]),
            3 => frame.argsz = self.rng.pick(&[size + 1, size + 8, 4096]),
            4 => {
                frame.tail = true;
                frame.argsz = self.rng.pick(&[size, size + 1, 4096]);
            }
            5 => frame.flags = 1 << self.rng.below(32),
            _ => frame.reserved = 1 << self.rng.below(32),
        }
        frame
    }

    pub(super) fn create(&mut self, world: &World, _: u32) -> Option<Op> {
        let mut frame = self.frame(size::CREATE);
        if self.rng.once_in(3) {
            frame.flags |= SHARED;
        }
        let bar = self.bar(world);
        let device = world.device.as_ref();
        if frame.flags & SHARED != 0 && self.rng.once_in(2) {
            if let Some(request) = self.again(world, bar) {
                return Some(Op::Create(frame, request));
            }
        }
        let mut spans: Vec<_> = device.map_or(Vec::new(), |device| {
            device
                .claims(bar)
                .iter()
                .map(|(_, r)| r.span.clone())
                .collect()
        });
        spans.extend(Self::foreign_spans(world, bar));
        let len = world.facts.bars[bar].len.max(world.facts.page);
        let part = self.part(world, len, &spans);
        let mut request = Request {
            parent: u32::try_from(bar).ok()?,
            attribute: u32::try_from(self.rng.pick(&[0, 1, 2, 2, 2, 3])).ok()?,
            offset: part.start,
            size: part.end - part.start,
        };
        if self.rng.once_in(12) {
            let page = world.facts.page;
            match self.rng.below(6) {
                0 => request.parent = self.small(),
                1 => request.attribute = self.small().saturating_add(4),
                2 => request.offset += 1 + self.rng.below(page - 1),
                3 => request.size = self.rng.pick(&[0, 1, page - 1, len + page, page + 8]),
                4 => request.size = page.wrapping_neg() - self.rng.below(2) * len,
                _ => request.offset = self.rng.pick(&[len, page.wrapping_neg(), 1 << 63, SLOTS]),
            }
        }
        Some(Op::Create(frame, request))
    }

    /// Returns a request that is identical to that of a subregion of the BAR.
    fn again(&mut self, world: &World, bar: usize) -> Option<Request> {
        let claims = world.device.as_ref()?.claims(bar);
        let (_, region) = claims.get(self.rng.index(claims.len().max(1)))?;
        Some(Request {
            parent: u32::try_from(bar).ok()?,
            attribute: region.attribute as u32,
            offset: region.span.start,
            size: region.span.end - region.span.start,
        })
    }

    /// Returns the index of a subregion, sometimes of a destroyed one, or any index.
    pub(super) fn subregion(&mut self, world: &World) -> u32 {
        let Some(device) = &world.device else {
            return self.small();
        };
        let live: Vec<u32> = device.live().map(|(index, _)| index).collect();
        match self.rng.below(16) {
            0 => self.small(),
            1 => REGIONS + u32::try_from(self.rng.index(device.regions.len() + 2)).unwrap_or(0),
            _ if live.is_empty() => REGIONS,
            _ => self.rng.pick(&live),
        }
    }

    pub(super) fn destroy(&mut self, world: &World, _: u32) -> Option<Op> {
        let count = world.device.as_ref()?.live().count();
        if self.rng.index(CROWD) > count {
            return None;
        }
        let frame = self.frame(size::DESTROY);
        if self.others && self.rng.once_in(4) {
            let index = self.subregion_of_foreign(world)?;
            return Some(Op::Destroy(frame, index));
        }
        Some(Op::Destroy(frame, self.subregion(world)))
    }

    pub(super) fn query(&mut self, world: &World, _: u32) -> Option<Op> {
        let frame = self.frame(size::QUERY);
        let index = self.any_index(world);
        Some(Op::Query(frame, index))
    }

    pub(super) fn any_index(&mut self, world: &World) -> u32 {
        match self.rng.below(3) {
            0 => u32::try_from(self.bar(world)).unwrap_or(0),
            1 => self.subregion(world),
            _ => self.small(),
        }
    }

    pub(super) fn set_attr(&mut self, world: &World, _: u32) -> Option<Op> {
        let frame = self.frame(size::SET_ATTR);
        let bar = u32::try_from(self.bar(world)).ok()?;
        let index = if self.rng.once_in(10) {
            self.any_index(world)
        } else {
            bar
        };
        // A BAR with an attribute has no subregions, so it does not keep the attribute for long.
        let attribute = self.rng.pick(&[0, 0, 0, 0, 1, 2, 2, 3]);
        let attribute = if self.rng.once_in(16) {
            self.small()
        } else {
            attribute
        };
        Some(Op::SetAttr(frame, index, attribute))
    }

    pub(super) fn region_info(&mut self, world: &World, _: u32) -> Option<Op> {
        let argsz = self
            .rng
            .pick(&[4096, 4096, 8192, 32, 31, 0, 56, 64, 88, 200]);
        Some(Op::RegionInfo(argsz, self.any_index(world)))
    }

    pub(super) fn irqs(&mut self, world: &World, _: u32) -> Option<Op> {
        let index = u32::try_from(self.rng.below(5)).ok()?;
        let on = self.rng.once_in(2);
        let awake = world.device.as_ref().is_some_and(Device::can_fault);
        awake.then_some(Op::SetIrqs { index, on })
    }

    pub(super) fn memory_space(&mut self, _: &World, _: u32) -> Option<Op> {
        Some(Op::Memory(self.rng.once_in(2)))
    }

    pub(super) fn sleep(&mut self, world: &World, _: u32) -> Option<Op> {
        // The result of putting a device in D3hot into low power depends on when the kernel does
        // it.
        let device = world.device.as_ref()?;
        let can = world.facts.pm.is_some() && !device.low_power;
        can.then(|| Op::Sleep(self.rng.once_in(2)))
    }

    pub(super) fn low_power(&mut self, world: &World, _: u32) -> Option<Op> {
        let enter = self.rng.once_in(2);
        let device = world.device.as_ref()?;
        (!device.d3).then_some(Op::LowPower(enter))
    }

    pub(super) fn io_eventfd(&mut self, world: &World, _: u32) -> Option<Op> {
        // Whether an ioeventfd writes to a device in low power depends on when the kernel puts it
        // there.
        let device = world.device.as_ref().filter(|device| !device.low_power)?;
        // An ioeventfd keeps the type of its page, so there are few, and not for long.
        if let Some(event) = device.events.first().filter(|_| !self.rng.once_in(3)) {
            return Some(Op::IoEventfd {
                offset: window(event.bar, event.at),
                count: event.count,
                data: event.data,
                eventfd: self.rng.once_in(10).then_some(0),
            });
        }
        let count = self.rng.pick(&[1, 2, 4, 8]);
        let data = self.rng.next();
        let free = (0..EVENTFDS).find(|&fd| device.events.iter().all(|event| event.eventfd != fd));
        let ram = (0..BARS).find(|&bar| world.facts.bars[bar].ram)?;
        let bar = &world.facts.bars[ram];
        let (offset, eventfd) = match self.rng.below(6) {
            0 => (window(ram, bar.len - u64::from(count) + 1), free),
            1 => (window(ram, SLOTS + bar.len), free),
            2 => (window(6, 0), free),
            3 => (window(ram, 0), None),
            _ => (window(ram, self.cell(bar.len)), free),
        };
        let eventfd = eventfd.and_then(|fd| u32::try_from(fd).ok());
        Some(Op::IoEventfd {
            offset,
            count,
            data,
            eventfd,
        })
    }

    pub(super) fn signal(&mut self, world: &World, _: u32) -> Option<Op> {
        let device = world.device.as_ref()?;
        let fd = u32::try_from(self.rng.index(EVENTFDS)).ok()?;
        (!device.low_power).then_some(Op::Signal(fd))
    }

    pub(super) fn dma_buf(&mut self, world: &World, _: u32) -> Option<Op> {
        if !world.facts.dma_buf {
            return None;
        }
        let bar = self.bar(world);
        let len = world.facts.bars[bar].len.max(world.facts.page);
        let part = self.part(world, len, &[]);
        let (mut offset, mut size) = (part.start, part.end - part.start);
        let mut region = u32::try_from(bar).ok()?;
        match self.rng.below(12) {
            0 => offset += 1,
            1 => size = self.rng.pick(&[0, 1, 1 << 63, len + world.facts.page]),
            2 => region = self.any_index(world),
            4..=6 => {
                region = self.any_index(world);
                offset = 0;
                size = world.facts.page;
            }
            3 => {
                offset = self
                    .rng
                    .pick(&[1 << 63, world.facts.page.wrapping_neg(), len]);
            }
            _ => (),
        }
        Some(Op::DmaBuf {
            region,
            offset,
            len: size,
        })
    }
}
