// SPDX-License-Identifier: GPL-2.0-only

//! A thread's expectations of its own memory and of a child's.

use super::Actor;
use crate::model::{Exported, Mem, Place, Vma};
use crate::op::{Access, Op, Via};
use crate::sys;
use libc::{EINVAL, ENODEV, SIGBUS, SIGSEGV};
use std::ops::Range;

impl Actor {
    pub(super) fn mapped(
        &mut self,
        (op, ret): (Op, i64),
        via: Via,
        range: &Range<u64>,
        offset: u64,
        write: bool,
    ) {
        self.space.unmap(range);
        let error = match via {
            Via::Device => EINVAL,
            Via::Export(_) => ENODEV,
        };
        if !self.expect(op, ret, &[error]) {
            return;
        }
        let export = match via {
            Via::Device => None,
            Via::Export(fd) => self.export(fd).cloned(),
        };
        let offset = offset + export.as_ref().map_or(0, |known| known.slot.start);
        let mem = match (&export, Place::of(offset)) {
            (Some(known), _) => Some(known.mem),
            (None, Place::Bar(bar, _)) => self.window(bar),
            _ => self.slot(offset).map(|known| known.mem),
        };
        let Some(mem) = mem else {
            return self.complain(op, "the mapped offset is unknown");
        };
        self.space.map(Vma {
            range: range.clone(),
            offset,
            mem,
            read: true,
            write,
            inherited: true,
            bound: false,
            export: export.map(|known| Exported {
                session: 0,
                index: known.index,
                write: true,
            }),
        });
    }

    pub(super) fn touched(&mut self, op: Op, at: u64, access: Access) {
        let signal = self.outcome.signal;
        let vma = self.space.find(at).cloned();
        let allowed = vma.as_ref().is_some_and(|vma| match access {
            Access::Load(_) => vma.read || vma.write,
            Access::Store(..) => vma.write,
        });
        if (signal == SIGSEGV) == allowed || ![0, SIGBUS, SIGSEGV].contains(&signal) {
            return self.complain(op, &format!("it raised signal {signal}"));
        }
        let Some(vma) = vma else { return };
        self.look(op, at, vma.mem);
        if signal != 0 {
            return;
        }
        let Some((bar, byte)) = self.byte_at(&vma, at) else {
            return;
        };
        match access {
            Access::Load(width) => self.compare(op, bar, byte, self.outcome.value, width),
            Access::Store(_, value) => self.wrote(bar, byte, value),
        }
    }

    /// Checks the entry of an address of this process.
    pub(super) fn look(&self, op: Op, at: u64, mem: Mem) {
        let expected = self.facts.arch.name(mem);
        match self.oracle.name_at(at) {
            Ok(Some(name)) if name != expected => {
                self.complain(op, &format!("the entry is {name}, not {expected}"));
            }
            Err(errno) => self.complain(op, &format!("the oracle returned {errno}")),
            _ => (),
        }
    }

    /// Forks a child that touches mapped and unmapped addresses, and checks its entries.
    pub(super) fn fork(&mut self, op: Op) {
        let child = self.space.fork();
        let mut touches: Vec<(u64, Option<Mem>)> = Vec::new();
        for vma in self.space.vmas() {
            let pages = (vma.range.end - vma.range.start) / self.facts.page;
            for page in [0, pages - 1, self.rng.below(pages)] {
                let at = vma.range.start + page * self.facts.page;
                let mem = child.find(at).filter(|vma| vma.read).map(|vma| vma.mem);
                touches.push((at, mem));
            }
        }
        let pid = sys::fork();
        if pid == 0 {
            for (at, mem) in touches {
                let signal = sys::load(at, 4).err().unwrap_or(0);
                if (signal == SIGSEGV) != mem.is_none() {
                    self.complain(op, &format!("in a child {at:#x} raised signal {signal}"));
                } else if let Some(mem) = mem {
                    self.look(op, at, mem);
                }
            }
            sys::exit(0);
        }
        self.record.ops.push((op, pid));
        if pid < 0 {
            return self.complain(op, &format!("it returned {pid}"));
        }
        let status = sys::wait_for(pid);
        if status != 0 {
            self.complain(op, &format!("the child ended with status {status:#x}"));
        }
    }
}
