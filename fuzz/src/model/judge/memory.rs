// SPDX-License-Identifier: GPL-2.0-only

//! The effects of operations on the memory of processes, and the results of accesses.

use super::super::{overlap, Device, Process, Space, Vma};
use super::{expect, show, Verdict, World};
use crate::op::{Access, Advice, Fixed, Op, Outcome, Via};
use libc::{EACCES, EBADF, EEXIST, EFAULT, EINVAL, ENOMEM, EOVERFLOW, SIGBUS, SIGSEGV};
use std::ops::Range;

impl World {
    pub(super) fn judge_memory(
        &mut self,
        who: u32,
        op: Op,
        outcome: &Outcome,
        open: bool,
    ) -> Verdict {
        match op {
            Op::Map {
                via,
                at,
                len,
                offset,
                write,
                shared,
                fixed,
            } => {
                let export = match via {
                    Via::Device => open.then_some(None),
                    Via::Export(fd) => self.export(who, fd).map(Some),
                };
                let Some(export) = export else {
                    return expect(outcome, Err(EBADF));
                };
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
                if shared && write && export.is_some_and(|to| !to.write) {
                    return expect(outcome, Err(EACCES));
                }
                // The old mapping is gone before the kernel asks the driver.
                let found = match &export {
                    Some(to) => self.mappable_export(to, offset, len, shared),
                    None if shared => self.mappable(offset, len).map(|mem| (mem, offset)),
                    None => Err(EINVAL),
                };
                let space = self
                    .space(who)
                    .ok_or("the model is wrong: no such process")?;
                space.unmap(&range);
                expect(outcome, found.map(|_| at as i64))?;
                if let Ok((mem, offset)) = found {
                    space.map(Vma {
                        range,
                        offset,
                        mem,
                        read: true,
                        write,
                        inherited: true,
                        bound: false,
                        export,
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
            Op::Lock { at, len, .. } => self.change(who, outcome, |space| {
                space.lock(&(at..at + len)).map(|()| 0)
            }),
            Op::Bind { at, len, node } => self.change(who, outcome, |space| {
                space.bind(&(at..at + len), node).map(|()| 0)
            }),
            Op::Advise { at, len, advice } => self.advise(who, at..at + len, advice, outcome),
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
        range: Range<u64>,
        advice: Advice,
        outcome: &Outcome,
    ) -> Verdict {
        let space = self
            .space(who)
            .ok_or("the model is wrong: no such process")?;
        let is_mapped = space.vmas().any(|vma| overlap(&vma.range, &range));
        let refused = if is_mapped { EINVAL } else { ENOMEM };
        match advice {
            Advice::DontFork => expect(outcome, space.dont_fork(&range).map(|()| 0)),
            Advice::DoFork | Advice::DontNeed => expect(outcome, Err(refused)),
            Advice::Populate => {
                let first = space.find(range.start).map(|vma| vma.write);
                let errno = if first.is_none() { ENOMEM } else { EINVAL };
                if outcome.ret == -i64::from(EFAULT) || outcome.ret == -i64::from(ENOMEM) {
                    // The result depends on the faults before a gap.
                    return Ok(());
                }
                expect(outcome, Err(errno))
            }
        }
    }

    pub(super) fn touch(
        &mut self,
        who: u32,
        at: u64,
        access: Access,
        outcome: &Outcome,
    ) -> Verdict {
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
                let found = device.and_then(|device| device.extent_of(&vma, page, self.facts.page));
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
        self.accessed(bar, start + (at - page), access, outcome)
    }

    pub(super) fn fork(&mut self, who: u32, child: u32, outcome: &Outcome) -> Verdict {
        if outcome.ret <= 0 {
            return Err(format!("it returned {}", show(outcome.ret)));
        }
        let parent = self
            .process(who)
            .ok_or("the model is wrong: no such process")?;
        let process = Process {
            open: parent.open,
            pid: outcome.ret,
            exports: parent.exports.clone(),
            space: parent.space.fork(),
        };
        self.processes[child as usize] = Some(process);
        Ok(())
    }
}
