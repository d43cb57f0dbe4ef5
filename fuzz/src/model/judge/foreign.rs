// SPDX-License-Identifier: GPL-2.0-only

//! Foreign operations through sysfs, and their effect on the device.

use super::super::{foreign_type, ForeignMapping};
use super::{expect, same, Verdict, World};
use crate::op::{Foreign, Outcome};

impl World {
    pub(super) fn judge_foreign(&mut self, what: Foreign, outcome: &Outcome) -> Verdict {
        match what {
            Foreign::Map {
                number,
                bar,
                at,
                len,
            } => {
                let (bar, span) = (bar as usize, at..at + len);
                let mem = foreign_type(self.device.as_ref(), &self.foreign, bar, &span);
                let mem = mem.ok_or("the model is wrong: the type is not certain")?;
                expect(outcome, Ok(0))?;
                let number_of_type = u64::from(self.facts.arch.number(mem));
                same("the type", outcome.value, number_of_type)?;
                self.foreign[number as usize] = Some(ForeignMapping { bar, span, mem });
                self.see();
                Ok(())
            }
            Foreign::Unmap(number) => {
                self.foreign[number as usize] = None;
                self.see();
                expect(outcome, Ok(0))
            }
            Foreign::Touch { number, at, access } => {
                same("the signal", outcome.signal, 0)?;
                let mapping = self.foreign[number as usize].as_ref();
                let mapping = mapping.ok_or("the model is wrong: there is no such mapping")?;
                let (bar, byte) = (mapping.bar, mapping.span.start + at);
                self.accessed(bar, byte, access, outcome)
            }
        }
    }

    fn see(&mut self) {
        if let Some(device) = &mut self.device {
            device.see(&self.foreign);
        }
    }
}
