// SPDX-License-Identifier: GPL-2.0-only

//! Exports: their creation, their way to other processes, and their end.

use super::super::{Export, Exported, Frame};
use super::{expect, same, Verdict, World};
use crate::op::{Op, Outcome};
use libc::{EBADF, O_ACCMODE, O_CLOEXEC};

impl World {
    pub(super) fn judge_export(
        &mut self,
        who: u32,
        (frame, index, flags): (&Frame, u32, u32),
        outcome: &Outcome,
    ) -> Verdict {
        let device = self.device.as_ref();
        let expected = device
            .ok_or(EBADF)
            .and_then(|device| device.export(frame, index, flags));
        expect(outcome, expected.map(|_| 0))?;
        let Ok(to) = expected else { return Ok(()) };
        self.add_export(who, outcome.u32_at(16) as i32, to);
        let found = outcome.value as u32;
        same(
            "the mode of access",
            found & O_ACCMODE as u32,
            flags & O_ACCMODE as u32,
        )?;
        let on_exec = u64::from(flags & O_CLOEXEC as u32 != 0);
        same("close-on-exec", outcome.value >> 32, on_exec)
    }

    fn add_export(&mut self, who: u32, fd: i32, to: Exported) {
        if let Some(process) = &mut self.processes[who as usize] {
            process.exports.push(Export { fd, to });
        }
    }

    /// Judges an operation that only concerns descriptors of exports.
    pub(super) fn pass_export(&mut self, who: u32, op: Op, outcome: &Outcome) -> Verdict {
        match op {
            Op::CloseExport(fd) => {
                let known = self.export(who, fd).map(|_| 0).ok_or(EBADF);
                if let Some(process) = &mut self.processes[who as usize] {
                    process.exports.retain(|export| export.fd != fd);
                }
                expect(outcome, known)
            }
            Op::Take { pid, fd } => {
                let from = self.present().find(|(_, process)| process.pid == pid);
                let to = from.and_then(|(from, _)| self.export(from, fd));
                let to = to.ok_or("the model is wrong: there is no such export")?;
                if outcome.ret < 0 {
                    return expect(outcome, Ok(0));
                }
                self.add_export(who, outcome.ret as i32, to);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
