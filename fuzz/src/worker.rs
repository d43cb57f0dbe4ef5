// SPDX-License-Identifier: GPL-2.0-only

//! A process that does the operations it receives, and reports their outcomes.

use crate::abi::{self, Bytes};
use crate::mailbox::Mailbox;
use crate::model::{size, Facts, Frame, Where, CONFIG, EVENTFDS, PROCESSES, WINDOW_SHIFT};
use crate::op::{pattern, Access, Advice, Fixed, Op, Outcome, Via};
use crate::sys::{self, Arena};
use crate::target::Target;
use libc::{MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// The data that all processes share.
pub struct Common {
    /// The device.
    pub target: Target,
    /// The registers by which the device resets itself and changes its power state.
    pub flr: u64,
    /// See `flr`.
    pub pm: u64,
    /// Signalled by [`Op::Signal`].
    pub eventfds: [OwnedFd; EVENTFDS],
    /// Signalled by interrupts.
    pub interrupt: OwnedFd,
    /// The mailbox of each process.
    pub mailboxes: &'static [Mailbox; PROCESSES],
}

impl Common {
    /// Makes the shared data.
    pub fn new(target: Target, facts: &Facts) -> io::Result<Self> {
        let mut eventfds = Vec::new();
        for _ in 0..EVENTFDS {
            eventfds.push(sys::eventfd()?);
        }
        let eventfds = eventfds
            .try_into()
            .map_err(|_| io::Error::other("eventfds"))?;
        Ok(Self {
            target,
            flr: facts.flr.map_or(0, |at| at + 8),
            pm: facts.pm.unwrap_or(0),
            eventfds,
            interrupt: sys::eventfd()?,
            mailboxes: crate::mailbox::share()?,
        })
    }
}

/// A process.
pub struct Worker {
    common: Arc<Common>,
    /// The device, or -1.
    fd: RawFd,
    dma_bufs: Vec<RawFd>,
    arena: Arena,
}

impl Worker {
    /// Makes the first process.
    pub fn new(common: Arc<Common>) -> io::Result<Self> {
        Ok(Self {
            common,
            fd: -1,
            dma_bufs: Vec::new(),
            arena: Arena::new()?,
        })
    }

    /// Does the operations that arrive in the mailbox of the process `who`, without end.
    pub fn serve(&mut self, who: u32) -> ! {
        let mut mailbox = &self.common.mailboxes[who as usize];
        loop {
            match mailbox.wait() {
                Op::Exit => sys::exit(0),
                Op::Fork(child) => {
                    let pid = sys::fork();
                    if pid == 0 {
                        mailbox = &self.common.mailboxes[child as usize];
                        match Arena::new() {
                            Ok(arena) => self.arena = arena,
                            Err(_) => sys::exit(2),
                        }
                    } else {
                        mailbox.answer(|outcome| outcome.ret = pid);
                    }
                }
                op => mailbox.answer(|outcome| self.perform(op, outcome)),
            }
        }
    }

    /// Does one operation.
    pub fn perform(&mut self, op: Op, outcome: &mut Outcome) {
        outcome.signal = 0;
        outcome.ret = match op {
            Op::Create(..) | Op::Destroy(..) | Op::Query(..) | Op::SetAttr(..) => {
                self.own_ioctl(op, outcome)
            }
            Op::Export(..) => {
                let ret = self.own_ioctl(op, outcome);
                if ret == 0 {
                    outcome.value = sys::file_flags(outcome.u32_at(16) as i32);
                }
                ret
            }
            Op::CloseExport(fd) => sys::close(fd),
            Op::Take { pid, fd } => sys::take(pid, fd),
            Op::Map { via, .. } => memory(self.descriptor(via), op),
            op if op.is_of_memory() => memory(self.fd, op),
            Op::Touch { at, access } => {
                touch(at, access, outcome);
                0
            }
            Op::Read { via, offset, len } => {
                let buffer = &mut outcome.bytes[..len as usize];
                sys::read_at(self.descriptor(via), buffer, offset)
            }
            Op::Write {
                via,
                offset,
                len,
                what,
            } => sys::write_at(self.descriptor(via), &pattern(what, len), offset),
            Op::Signal(number) => sys::signal(self.common.eventfds[number as usize].as_raw_fd()),
            Op::DmaBuf { .. } => {
                let ret = self.vfio_ioctl(op, outcome);
                if let Ok(fd @ 0..) = RawFd::try_from(ret) {
                    self.dma_bufs.push(fd);
                }
                ret
            }
            Op::DropDmaBufs => {
                for fd in self.dma_bufs.drain(..) {
                    sys::close(fd);
                }
                0
            }
            Op::Open => {
                let ret = self.common.target.open();
                self.fd = RawFd::try_from(ret).unwrap_or(-1).max(-1);
                ret.min(0)
            }
            Op::Close => sys::close(std::mem::replace(&mut self.fd, -1)),
            Op::SysfsReset => match fs::write(self.common.target.sysfs("reset"), "1") {
                Ok(()) => 0,
                Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
            },
            Op::HotReset => self.common.target.hot_reset(self.fd),
            Op::SiblingReset => self.common.target.hot_reset_by_sibling(),
            Op::FunctionReset | Op::Memory(_) | Op::Sleep(_) => self.change_config(op),
            _ => self.vfio_ioctl(op, outcome),
        };
    }

    fn descriptor(&self, via: Via) -> RawFd {
        match via {
            Via::Device => self.fd,
            Via::Export(fd) => fd,
        }
    }

    /// Does one of VFIO's ioctls.
    fn vfio_ioctl(&self, op: Op, outcome: &mut Outcome) -> i64 {
        let bytes = Bytes::default();
        let (request, bytes, len) = match op {
            Op::Info(argsz) => (abi::GET_INFO, bytes.u32(argsz).u32(0).u64(0).u64(0), 24),
            Op::RegionInfo(argsz, index) => {
                let bytes = bytes.u32(argsz).u32(0).u32(index).u32(0).u64(0).u64(0);
                (abi::GET_REGION_INFO, bytes, argsz.clamp(32, 8192) as usize)
            }
            Op::IrqInfo(index) => (
                abi::GET_IRQ_INFO,
                bytes.u32(16).u32(0).u32(index).u32(0),
                16,
            ),
            Op::SetIrqs { index, on: true } => {
                let fd = self.common.interrupt.as_raw_fd();
                let bytes = bytes.u32(24).u32(abi::IRQ_ON).u32(index).u32(0).u32(1);
                (abi::SET_IRQS, bytes.i32(fd), 0)
            }
            Op::SetIrqs { index, on: false } => {
                let bytes = bytes.u32(20).u32(abi::IRQ_OFF).u32(index).u32(0).u32(0);
                (abi::SET_IRQS, bytes, 0)
            }
            Op::Reset => (abi::RESET, bytes, 0),
            Op::LowPower(enter) => {
                let feature = if enter {
                    abi::LOW_POWER_ENTRY
                } else {
                    abi::LOW_POWER_EXIT
                };
                (
                    abi::FEATURE,
                    bytes.u32(8).u32(abi::FEATURE_SET | feature),
                    0,
                )
            }
            Op::IoEventfd {
                offset,
                count,
                data,
                eventfd,
            } => {
                let fd = match eventfd {
                    Some(number) => self.common.eventfds[number as usize].as_raw_fd(),
                    None => -1,
                };
                let bytes = bytes.u32(32).u32(count).u64(offset).u64(data);
                (abi::IOEVENTFD, bytes.i32(fd).u32(0), 0)
            }
            Op::DmaBuf {
                region,
                offset,
                len,
            } => {
                let flags = libc::O_CLOEXEC | libc::O_RDWR;
                let bytes = bytes.u32(40).u32(abi::FEATURE_GET | abi::DMA_BUF);
                let bytes = bytes.u32(region).i32(flags).u32(0).u32(1);
                (abi::FEATURE, bytes.u64(offset).u64(len), 0)
            }
            _ => return 0,
        };
        self.arena.put(self.arena.good(), &bytes.0);
        let ret = sys::ioctl(self.fd, request, self.arena.good());
        self.arena.get(&mut outcome.bytes[..len]);
        ret
    }

    /// Does one of this driver's ioctls; its structure may be in another kind of memory.
    fn own_ioctl(&self, op: Op, outcome: &mut Outcome) -> i64 {
        let head = |frame: &Frame| Bytes::default().u32(frame.argsz).u32(frame.flags);
        let (request, len, frame, bytes) = match op {
            Op::Create(frame, request) => {
                let bytes = head(&frame).u32(request.parent).u32(request.attribute);
                let bytes = bytes.u64(request.offset).u64(request.size);
                let bytes = bytes.u64(u64::from(frame.reserved)).u64(0).u64(0);
                (abi::CREATE, size::CREATE, frame, bytes)
            }
            Op::Destroy(frame, index) => {
                let bytes = head(&frame).u32(index).u32(frame.reserved);
                (abi::DESTROY, size::DESTROY, frame, bytes)
            }
            Op::Query(frame, index) => {
                let bytes = head(&frame).u32(index).u32(0).u64(0).u64(0);
                let bytes = bytes.u32(0).u32(frame.reserved);
                (abi::QUERY, size::QUERY, frame, bytes)
            }
            Op::SetAttr(frame, index, attribute) => {
                let bytes = head(&frame)
                    .u32(index)
                    .u32(attribute)
                    .u32(0)
                    .u32(frame.reserved);
                (abi::SET_ATTR, size::SET_ATTR, frame, bytes)
            }
            Op::Export(frame, index, flags) => {
                let bytes = head(&frame).u32(index).u32(flags);
                let bytes = bytes.u32(0).u32(frame.reserved);
                (abi::EXPORT, size::EXPORT, frame, bytes)
            }
            _ => return 0,
        };
        let mut bytes = bytes.0;
        bytes.resize(4096, 0);
        bytes[len as usize] = u8::from(frame.tail);
        self.arena.put(self.arena.good(), &bytes);
        let at = match frame.place {
            Where::Good => self.arena.good(),
            Where::ReadOnly => self.arena.read_only(),
            Where::Null => 0,
            Where::Cut => {
                self.arena.put(self.arena.cut(len), &bytes[..len as usize]);
                self.arena.cut(len)
            }
        };
        let ret = sys::ioctl(self.fd, request, at);
        self.arena.get(&mut outcome.bytes[..64]);
        ret
    }

    /// Changes a register of configuration space.
    fn change_config(&self, op: Op) -> i64 {
        let register = match op {
            Op::FunctionReset => self.common.flr,
            Op::Sleep(_) => self.common.pm + 4,
            _ => abi::COMMAND,
        };
        let offset = (CONFIG << WINDOW_SHIFT) + register;
        let mut word = [0; 2];
        let ret = sys::read_at(self.fd, &mut word, offset);
        if ret != 2 {
            return ret;
        }
        let word = u16::from_le_bytes(word);
        let word = match op {
            Op::FunctionReset => word | 1 << 15,
            Op::Sleep(true) => word | 3,
            Op::Sleep(false) => word & !3,
            Op::Memory(true) => word | abi::COMMAND_MEMORY,
            _ => word & !abi::COMMAND_MEMORY,
        };
        sys::write_at(self.fd, &word.to_le_bytes(), offset)
    }
}

/// Accesses an address.
pub fn touch(at: u64, access: Access, outcome: &mut Outcome) {
    let done = match access {
        Access::Load(width) => sys::load(at, width).map(|value| outcome.value = value),
        Access::Store(width, value) => sys::store(at, width, value),
    };
    outcome.signal = done.err().unwrap_or(0);
}

/// Does an operation on the memory of the process.
fn memory(fd: RawFd, op: Op) -> i64 {
    let prot = |read, write| if read { PROT_READ } else { 0 } | if write { PROT_WRITE } else { 0 };
    match op {
        Op::Map {
            at,
            len,
            offset,
            write,
            shared,
            fixed,
            ..
        } => {
            let flags = match fixed {
                Fixed::Over => MAP_FIXED,
                Fixed::Free => MAP_FIXED_NOREPLACE,
            };
            let flags = flags | if shared { MAP_SHARED } else { MAP_PRIVATE };
            sys::map(at, len, prot(true, write), flags, fd, offset)
        }
        Op::Unmap { at, len } => sys::unmap(at, len),
        Op::Remap { from, old, new, to } => sys::remap(from, old, new, to),
        Op::Protect {
            at,
            len,
            read,
            write,
        } => sys::protect(at, len, prot(read, write)),
        Op::Advise { at, len, advice } => {
            let advice = match advice {
                Advice::DontFork => libc::MADV_DONTFORK,
                Advice::DoFork => libc::MADV_DOFORK,
                Advice::DontNeed => libc::MADV_DONTNEED,
                Advice::Populate => libc::MADV_POPULATE_WRITE,
            };
            sys::advise(at, len, advice)
        }
        Op::Lock { at, len, on } => sys::lock(at, len, on),
        Op::Bind { at, len, node } => sys::bind(at, len, node),
        _ => 0,
    }
}
