// SPDX-License-Identifier: GPL-2.0

//! Says whether what came of an operation is what had to come of it, and changes the world by it.

use super::{window, Attribute, Device, IoEvent, Place, Process, Space, Vma, World, CONFIG, LIMIT};
use crate::op::{pattern, Access, Advice, Fixed, Op, Outcome, Step};
use libc::{
    c_int, EBADF, EBUSY, EEXIST, EFAULT, EINVAL, EIO, ENODEV, ENOMEM, EOVERFLOW, SIGBUS, SIGSEGV,
};

/// What is wrong, if something is.
type Verdict = Result<(), String>;

/// Compares what a call returned.
fn expect(outcome: &Outcome, expected: Result<i64, c_int>) -> Verdict {
    let expected = expected.unwrap_or_else(|errno| -i64::from(errno));
    if outcome.ret == expected {
        return Ok(());
    }
    Err(format!(
        "it gave {}, not {}",
        show(outcome.ret),
        show(expected)
    ))
}

/// Compares a number that a call wrote.
fn same<T: Copy + PartialEq + std::fmt::LowerHex>(what: &str, found: T, expected: T) -> Verdict {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} is {found:#x}, not {expected:#x}"))
}

/// Shows what a call returned; errors by their text.
fn show(ret: i64) -> String {
    match i32::try_from(-ret) {
        Ok(errno @ 1..4096) => format!("{}", std::io::Error::from_raw_os_error(errno)),
        _ => format!("{ret:#x}"),
    }
}

impl World {
    /// Judges what came of a step, and does to the world what the step does.
    pub fn judge(&mut self, step: &Step, outcome: &Outcome) -> Verdict {
        let open = self.process(step.who).is_some_and(|process| process.open);
        let verdict = match step.op {
            Op::Map { .. } | Op::Unmap { .. } | Op::Remap { .. } | Op::Protect { .. } => {
                self.judge_memory(step.who, step.op, outcome, open)
            }
            Op::Advise { at, len, advice } => self.advise(step.who, at..at + len, advice, outcome),
            Op::Touch { at, access } => self.touch(step.who, at, access, outcome),
            Op::Fork(child) => self.fork(step.who, child, outcome),
            Op::Exit => {
                self.processes[step.who as usize] = None;
                Ok(())
            }
            Op::Open => {
                let device = Device::new(self.facts.clone());
                self.device.get_or_insert(device);
                self.set_open(step.who, true);
                expect(outcome, Ok(0))
            }
            Op::Close => {
                self.set_open(step.who, false);
                expect(outcome, if open { Ok(0) } else { Err(EBADF) })
            }
            Op::SysfsReset => {
                self.revoke_all();
                expect(outcome, Ok(0))
            }
            Op::Signal(eventfd) => self.signal(eventfd, outcome),
            Op::DropDmaBufs => Ok(()),
            _ if !open => expect(outcome, Err(EBADF)),
            Op::Create(..) | Op::Destroy(..) | Op::Query(..) | Op::SetAttr(..) => {
                self.judge_own(step.op, outcome)
            }
            Op::Read { offset, len } => self.read(offset, len, outcome),
            Op::Write { offset, len, what } => self.write(offset, len, what, outcome),
            _ => self.judge_vfio(step.op, outcome),
        };
        self.settle();
        verdict
    }

    fn set_open(&mut self, who: u32, open: bool) {
        if let Some(process) = &mut self.processes[who as usize] {
            process.open = open;
        }
    }

    fn judge_own(&mut self, op: Op, outcome: &Outcome) -> Verdict {
        let arch = self.facts.arch;
        let mapped: [bool; 6] = std::array::from_fn(|bar| self.is_mapped(bar));
        let Some(device) = &mut self.device else {
            return Err("the model is wrong: the device is closed".into());
        };
        match op {
            Op::Create(frame, request) => {
                let expected = device.create(&frame, &request);
                let errno = expected.as_ref().map(|_| 0).map_err(|(errno, _)| *errno);
                expect(outcome, errno)?;
                let mut region = match expected {
                    Ok(region) => region,
                    Err((_, conflict)) => {
                        let index = conflict.unwrap_or(outcome.u32_at(40));
                        return same("the index in the way", outcome.u32_at(40), index);
                    }
                };
                same("the index", outcome.u32_at(40), device.next_index())?;
                let mem = region.attribute.mem();
                same("the type", outcome.u32_at(44), arch.number(mem))?;
                region.offset = outcome.u64_at(48);
                let claim =
                    window(region.bar, region.span.start)..window(region.bar, region.span.end);
                device.enter(region)?;
                self.revoke(&claim);
                Ok(())
            }
            Op::Destroy(frame, index) => {
                let errno = device.destroy(&frame, index).map(|_| 0);
                expect(outcome, errno)?;
                if errno.is_ok() {
                    if let Some(region) = device.remove(index) {
                        self.revoke(&region.slot());
                    }
                }
                Ok(())
            }
            Op::Query(frame, index) => {
                let attributes = device.query(&frame, index);
                expect(outcome, attributes.map(|_| 0))?;
                let Ok(attributes) = attributes else {
                    return Ok(());
                };
                same("the attributes", outcome.u32_at(12), attributes)?;
                same("the granule", outcome.u64_at(16), self.facts.page)?;
                same("the limit", outcome.u32_at(24), LIMIT)?;
                let count = u32::try_from(device.live().count()).unwrap_or(0);
                same("the count", outcome.u32_at(28), count)
            }
            Op::SetAttr(frame, index, attribute) => {
                let expected = device.set_attr(&frame, index, attribute, |bar| mapped[bar]);
                expect(outcome, expected.map(|_| 0))?;
                let Ok((bar, attribute)) = expected else {
                    return Ok(());
                };
                device.windows[bar] = attribute;
                let number = arch.number(attribute.mem());
                same("the type", outcome.u32_at(16), number)
            }
            _ => Ok(()),
        }
    }

    fn judge_memory(&mut self, who: u32, op: Op, outcome: &Outcome, open: bool) -> Verdict {
        match op {
            Op::Map {
                at,
                len,
                offset,
                write,
                shared,
                fixed,
            } => {
                if !open {
                    return expect(outcome, Err(EBADF));
                }
                let range = at..at + len;
                let free = self.process(who).is_some_and(|p| p.space.is_free(&range));
                if len == 0 {
                    return expect(outcome, Err(EINVAL));
                }
                if (offset + len) >> 63 != 0 {
                    return expect(outcome, Err(EOVERFLOW));
                }
                if fixed == Fixed::Free && !free {
                    return expect(outcome, Err(EEXIST));
                }
                // What was there has gone by the time that the driver is asked.
                let mem = if shared {
                    self.mappable(offset, len)
                } else {
                    Err(EINVAL)
                };
                let space = self
                    .space(who)
                    .ok_or("the model is wrong: no such process")?;
                space.unmap(&range);
                expect(outcome, mem.map(|_| at as i64))?;
                if let Ok(mem) = mem {
                    space.map(Vma {
                        range,
                        offset,
                        mem,
                        read: true,
                        write,
                        inherited: true,
                    });
                }
                Ok(())
            }
            Op::Unmap { at, len } => self.change(who, outcome, |space| {
                if len == 0 {
                    return Err(EINVAL);
                }
                space.unmap(&(at..at + len));
                Ok(0)
            }),
            Op::Remap { from, old, new, to } => self.change(who, outcome, |space| {
                space.remap(from, old, new, to).map(|at| at as i64)
            }),
            Op::Protect {
                at,
                len,
                read,
                write,
            } => self.change(who, outcome, |space| {
                space.protect(&(at..at + len), read, write).map(|()| 0)
            }),
            _ => Ok(()),
        }
    }

    fn change(
        &mut self,
        who: u32,
        outcome: &Outcome,
        change: impl FnOnce(&mut Space) -> Result<i64, i32>,
    ) -> Verdict {
        let space = self
            .space(who)
            .ok_or("the model is wrong: no such process")?;
        expect(outcome, change(space))
    }

    fn advise(
        &mut self,
        who: u32,
        range: std::ops::Range<u64>,
        advice: Advice,
        outcome: &Outcome,
    ) -> Verdict {
        let space = self
            .space(who)
            .ok_or("the model is wrong: no such process")?;
        let is_mapped = space.vmas().any(|vma| super::overlap(&vma.range, &range));
        let refused = if is_mapped { EINVAL } else { ENOMEM };
        match advice {
            Advice::DontFork => expect(outcome, space.dont_fork(&range).map(|()| 0)),
            Advice::DoFork | Advice::DontNeed => expect(outcome, Err(refused)),
            Advice::Populate => {
                let first = space.find(range.start).map(|vma| vma.write);
                let errno = if first.is_none() { ENOMEM } else { EINVAL };
                if outcome.ret == -i64::from(EFAULT) || outcome.ret == -i64::from(ENOMEM) {
                    // Which one depends on what the faults before a gap met.
                    return Ok(());
                }
                expect(outcome, Err(errno))
            }
        }
    }

    fn touch(&mut self, who: u32, at: u64, access: Access, outcome: &Outcome) -> Verdict {
        let page = at & !(self.facts.page - 1);
        let space = self.process(who).map(|process| &process.space);
        let vma = space.and_then(|space| space.find(at)).cloned();
        let allowed = |vma: &Vma| match access {
            Access::Load(_) => vma.read || vma.write,
            Access::Store(..) => vma.write,
        };
        let device = self.device.as_ref();
        let (signal, found) = match vma.filter(allowed) {
            None => (SIGSEGV, None),
            Some(vma) => {
                let found =
                    device.and_then(|device| device.extent(vma.offset_of(page), self.facts.page));
                match found.filter(|_| device.is_some_and(Device::can_fault)) {
                    None => (SIGBUS, None),
                    found => (0, found),
                }
            }
        };
        if outcome.signal != signal {
            return Err(format!("it raised signal {}, not {signal}", outcome.signal));
        }
        let Some((bar, start, _)) = found else {
            return Ok(());
        };
        if let Some(space) = self.space(who) {
            space.touched(at);
        }
        if !self.facts.bars[bar].ram {
            return Ok(());
        }
        let byte = start + (at - page);
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

    fn fork(&mut self, who: u32, child: u32, outcome: &Outcome) -> Verdict {
        if outcome.ret <= 0 {
            return Err(format!("it gave {}", show(outcome.ret)));
        }
        let parent = self
            .process(who)
            .ok_or("the model is wrong: no such process")?;
        let process = Process {
            open: parent.open,
            space: parent.space.fork(),
        };
        self.processes[child as usize] = Some(process);
        Ok(())
    }

    fn signal(&mut self, eventfd: u32, outcome: &Outcome) -> Verdict {
        let device = self.device.as_ref();
        let mut events = device.iter().flat_map(|device| &device.events);
        let event = events
            .find(|event| event.eventfd == eventfd as usize)
            .cloned();
        // What nobody waits for stays in the eventfd.
        self.pending[eventfd as usize] = event.is_none();
        if let Some(event) = event {
            self.fire(&event);
        }
        expect(outcome, Ok(8))
    }

    /// Does what an ioeventfd does that is signalled.
    fn fire(&mut self, event: &IoEvent) {
        let decoded = self.device.as_ref().is_some_and(Device::is_decoded);
        if decoded && self.facts.bars[event.bar].ram {
            let bytes = event.data.to_le_bytes();
            let bytes = &bytes[..event.count as usize];
            self.content.write(event.bar, event.at, bytes);
        }
    }

    /// Says what `pread()` and `pwrite()` answer, and which BAR they reach.
    fn transfer(
        &self,
        offset: u64,
        len: u32,
        write: bool,
    ) -> Result<(i64, Option<(usize, u64)>), i32> {
        if offset >> 63 != 0 {
            return Err(EINVAL);
        }
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
                let len = u64::from(len).min(rest);
                let facts = &self.facts.bars[bar];
                // The MSI-X table is hidden, and not accessed.
                let hidden = facts.msix.start <= at && at + len <= facts.msix.end;
                if facts.memory && !device.is_decoded() && !hidden {
                    return Err(EIO);
                }
                Ok((len as i64, Some((bar, at))))
            }
        }
    }

    fn read(&mut self, offset: u64, len: u32, outcome: &Outcome) -> Verdict {
        let expected = self.transfer(offset, len, false);
        expect(outcome, expected.map(|(len, _)| len))?;
        if let Ok((len, Some((bar, at)))) = expected {
            if self.facts.bars[bar].ram {
                let len = usize::try_from(len).unwrap_or(0);
                return self.content.read(bar, at, &outcome.bytes[..len]);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, len: u32, what: u64, outcome: &Outcome) -> Verdict {
        let expected = self.transfer(offset, len, true);
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

#[path = "judge_vfio.rs"]
mod vfio;
