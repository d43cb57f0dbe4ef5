// SPDX-License-Identifier: GPL-2.0-only

//! Checks the result of an operation, and applies the operation to the world.

mod export;
mod foreign;
mod memory;
mod transfer;
mod vfio;

pub use self::transfer::Transferred;

use super::{overlap, window, Created, World, BARS, LIMIT};
use crate::op::{Op, Outcome, Step, Via};
use libc::{c_int, EBADF, EBUSY, EEXIST, EINVAL, ENOSPC, ENOTTY};

/// An error, if there is one.
type Verdict = Result<(), String>;

/// Compares the result of a call.
fn expect(outcome: &Outcome, expected: Result<i64, c_int>) -> Verdict {
    let expected = expected.unwrap_or_else(|errno| -i64::from(errno));
    if outcome.ret == expected {
        return Ok(());
    }
    Err(format!(
        "it returned {}, not {}",
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

/// Formats the result of a call; errors by their text.
fn show(ret: i64) -> String {
    match i32::try_from(-ret) {
        Ok(errno @ 1..4096) => format!("{}", std::io::Error::from_raw_os_error(errno)),
        _ => format!("{ret:#x}"),
    }
}

impl World {
    /// Checks the outcome of a step, and applies the step to the world.
    pub fn judge(&mut self, step: &Step, outcome: &Outcome) -> Verdict {
        let open = self.process(step.who).is_some_and(|process| process.open);
        let verdict = match step.op {
            op if op.is_of_memory() => self.judge_memory(step.who, op, outcome, open),
            Op::Touch { at, access } => self.touch(step.who, at, access, outcome),
            Op::Fork(child) => self.fork(step.who, child, outcome),
            Op::Exit => {
                self.processes[step.who as usize] = None;
                Ok(())
            }
            Op::Open if !self.can_open() => expect(outcome, Err(EINVAL)),
            Op::Open => {
                self.open();
                self.set_open(step.who, true);
                expect(outcome, Ok(0))
            }
            Op::Close => {
                self.set_open(step.who, false);
                expect(outcome, if open { Ok(0) } else { Err(EBADF) })
            }
            Op::SysfsReset => {
                self.revoke_all();
                // If the function is not alone, the kernel notices too late that it cannot reset
                // it.
                let done = if self.facts.sibling {
                    Err(ENOTTY)
                } else {
                    Ok(0)
                };
                expect(outcome, done)
            }
            Op::Signal(eventfd) => self.signal(eventfd, outcome),
            Op::DropDmaBufs => Ok(()),
            Op::Foreign(what) => self.judge_foreign(what, outcome),
            // This needs no descriptor of the function.
            Op::SiblingReset => self.judge_vfio(step.op, outcome),
            // The kernel checks the offset before the descriptor.
            Op::Read { offset, .. } | Op::Write { offset, .. } if offset >> 63 != 0 => {
                expect(outcome, Err(EINVAL))
            }
            Op::CloseExport(_) | Op::Take { .. } => self.pass_export(step.who, step.op, outcome),
            Op::Read {
                via: Via::Export(fd),
                offset,
                len,
            } => {
                let expected = self.transfer_export(step.who, fd, (offset, len), false);
                self.read(expected, outcome)
            }
            Op::Write {
                via: Via::Export(fd),
                offset,
                len,
                what,
            } => {
                let expected = self.transfer_export(step.who, fd, (offset, len), true);
                self.write(expected, (len, what), outcome)
            }
            _ if !open => expect(outcome, Err(EBADF)),
            Op::Export(frame, index, flags) => {
                self.judge_export(step.who, (&frame, index, flags), outcome)
            }
            Op::Create(..) | Op::Destroy(..) | Op::Query(..) | Op::SetAttr(..) => {
                self.judge_own(step.op, outcome)
            }
            Op::Read { offset, len, .. } => self.read(self.transfer(offset, len, false), outcome),
            Op::Write {
                offset, len, what, ..
            } => self.write(self.transfer(offset, len, true), (len, what), outcome),
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
        let offsets = self.mapped_offsets();
        let Some(device) = &mut self.device else {
            return Err("the model is wrong: the device is closed".into());
        };
        match op {
            Op::Create(frame, request) => {
                let expected = device.create(&frame, &request);
                let errno = expected.as_ref().map(|_| 0).map_err(|(errno, _)| *errno);
                expect(outcome, errno)?;
                // Calls that fail before the driver checks for strays fail with other errors.
                if matches!(errno, Ok(_) | Err(EEXIST | EBUSY | ENOSPC)) {
                    device.settle(request.parent as usize);
                }
                let mut region = match expected {
                    Ok(Created::New(region)) => region,
                    Ok(Created::Shared(index)) => {
                        device.share(index);
                        let offset = device.region(index).map_or(0, |region| region.offset);
                        same("the offset", outcome.u64_at(48), offset)?;
                        return same("the index", outcome.u32_at(40), index);
                    }
                    Err((errno, what)) => {
                        let found = outcome.u32_at(if errno == EBUSY { 36 } else { 40 });
                        return same("what is in the way", found, what.unwrap_or(found));
                    }
                };
                same("the index", outcome.u32_at(40), device.next_index())?;
                let mem = region.attribute.mem();
                same("the type", outcome.u32_at(44), arch.number(mem))?;
                region.offset = outcome.u64_at(48);
                let claim =
                    window(region.bar, region.span.start)..window(region.bar, region.span.end);
                device.enter(region, |slot| {
                    offsets.iter().any(|range| overlap(range, slot))
                })?;
                self.revoke(&claim);
                Ok(())
            }
            Op::Destroy(frame, index) => {
                let errno = device.destroy(&frame, index).map(|_| 0);
                expect(outcome, errno)?;
                if errno.is_ok() && !device.unshare(index) {
                    if let Some(region) = device.remove(index) {
                        device.settle(region.bar);
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
                if (index as usize) < BARS {
                    device.settle(index as usize);
                }
                same("the attributes", outcome.u32_at(12), attributes)?;
                same("the granule", outcome.u64_at(16), self.facts.page)?;
                same("the limit", outcome.u32_at(24), LIMIT)?;
                let count = u32::try_from(device.live().count()).unwrap_or(0);
                same("the count", outcome.u32_at(28), count)?;
                let busy = device.busy(index, |bar| mapped[bar]);
                same("what is in the way", outcome.u32_at(32), busy)
            }
            Op::SetAttr(frame, index, attribute) => {
                let expected = device.set_attr(&frame, index, attribute, |bar| mapped[bar]);
                let errno = expected.map(|_| 0).map_err(|(errno, _)| errno);
                expect(outcome, errno)?;
                let (bar, attribute) = match expected {
                    Ok(set) => set,
                    Err((_, Some(busy))) => {
                        device.settle(index as usize);
                        return same("what is in the way", outcome.u32_at(20), busy);
                    }
                    Err(_) => return Ok(()),
                };
                device.windows[bar] = attribute;
                device.settle(bar);
                let number = arch.number(attribute.mem());
                same("the type", outcome.u32_at(16), number)
            }
            _ => Ok(()),
        }
    }
}
