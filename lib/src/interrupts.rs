// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Interrupts of a device, by eventfds.

use crate::{
    bindings as abi,
    raw::{self, Setup},
    Opened, SetupError,
};
use core::ops::Deref;
use rustix::{
    event::{eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec},
    fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    io::{read, Errno},
};
use std::{time::Duration, vec, vec::Vec};
use zerocopy::IntoBytes;

/// A kind of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Irq {
    /// The pin. It is masked when it has been signalled, until [`Interrupts::unmask`].
    Intx,
    /// Message-signalled interrupts.
    Msi,
    /// Message-signalled interrupts with a table in a BAR.
    Msix,
}

impl Irq {
    const fn index(self) -> u32 {
        match self {
            Self::Intx => abi::VFIO_PCI_INTX_IRQ_INDEX,
            Self::Msi => abi::VFIO_PCI_MSI_IRQ_INDEX,
            Self::Msix => abi::VFIO_PCI_MSIX_IRQ_INDEX,
        }
    }
}

/// One vector, which counts its interrupts.
///
/// It is an eventfd that does not block, so an asynchronous runtime can wait for its file descriptor
/// ([`AsFd`]), for example by tokio's `AsyncFd::new(interrupt.as_fd())`. [`Interrupt::take`] resets it.
#[derive(Debug)]
pub struct Interrupt(OwnedFd);

impl Interrupt {
    /// Waits for an interrupt; returns how many there were since the last call.
    ///
    /// # Errors
    ///
    /// Those of `poll()` and `read()`, such as [`Errno::INTR`] after a signal.
    pub fn wait(&self) -> Result<u64, Errno> {
        loop {
            poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None)?;
            let count = self.take()?;
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// As [`Interrupt::wait`], but returns 0 if none came within this time.
    ///
    /// # Errors
    ///
    /// As [`Interrupt::wait`].
    pub fn wait_for(&self, time: Duration) -> Result<u64, Errno> {
        let time = Timespec::try_from(time).map_err(|_| Errno::INVAL)?;
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&time))?;
        self.take()
    }

    /// Returns how many interrupts there were since the last call, without waiting.
    ///
    /// # Errors
    ///
    /// Those of `read()`.
    pub fn take(&self) -> Result<u64, Errno> {
        let mut count = 0_u64;
        match read(&self.0, count.as_mut_bytes()) {
            Ok(_) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Interrupt {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The vectors of [`Opened::interrupts`], as a slice. They are disabled when this is dropped.
#[derive(Debug)]
pub struct Interrupts<'a> {
    opened: &'a Opened,
    kind: Irq,
    vectors: Vec<Interrupt>,
}

impl Deref for Interrupts<'_> {
    type Target = [Interrupt];

    fn deref(&self) -> &[Interrupt] {
        &self.vectors
    }
}

impl Opened {
    /// Returns how many vectors of this kind the device has.
    ///
    /// # Errors
    ///
    /// The errno of `VFIO_DEVICE_GET_IRQ_INFO`: EINVAL if the device has no such interrupts.
    pub fn vectors(&self, kind: Irq) -> Result<u32, SetupError> {
        let mut info = abi::vfio_irq_info {
            index: kind.index(),
            ..Default::default()
        };
        raw::setup(self.as_fd(), Setup::IrqInfo, info.as_mut_bytes()).map_err(|errno| {
            SetupError::new(
                errno,
                format_args!("VFIO_DEVICE_GET_IRQ_INFO of {kind:?}: {errno}"),
            )
        })?;
        Ok(info.count)
    }

    /// Enables the vectors 0 to `count` - 1 of this kind. The device has one kind at a time.
    ///
    /// # Errors
    ///
    /// EINVAL if `count` is zero or above the number of vectors, which the text says; the errno of
    /// `VFIO_DEVICE_SET_IRQS`; or that of the attachment of a device with an iommufd to an address
    /// space, which comes first.
    pub fn interrupts(&self, kind: Irq, count: u32) -> Result<Interrupts<'_>, SetupError> {
        let most = self.vectors(kind)?;
        if count == 0 || count > most {
            return Err(SetupError::new(
                Errno::INVAL,
                format_args!(
                    "{count} vectors of {kind:?} cannot be enabled: the device has {most}"
                ),
            ));
        }
        let failed = |errno| {
            SetupError::new(
                errno,
                format_args!("{count} vectors of {kind:?} cannot be enabled: {errno}"),
            )
        };
        self.attach().map_err(|errno| {
            SetupError::new(
                errno,
                format_args!("the device cannot be attached to an address space: {errno}"),
            )
        })?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let vectors = (0..count)
            .map(|_| eventfd(0, flags).map(Interrupt))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let flags = abi::VFIO_IRQ_SET_DATA_EVENTFD | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
        self.set_irqs(kind, flags, count, &vectors)
            .map_err(failed)?;
        Ok(Interrupts {
            opened: self,
            kind,
            vectors,
        })
    }

    /// Performs `VFIO_DEVICE_SET_IRQS` of `count` interrupts, or of those that `signalled` has.
    fn set_irqs(
        &self,
        kind: Irq,
        flags: u32,
        count: u32,
        signalled: &[Interrupt],
    ) -> Result<(), Errno> {
        // struct vfio_irq_set: its length, flags, index, the first vector, the number of them.
        let mut set = vec![0, flags, kind.index(), 0, count];
        let fds = signalled.iter().map(AsRawFd::as_raw_fd);
        set.extend(fds.map(|fd| u32::from_ne_bytes(fd.to_ne_bytes())));
        raw::setup(self.as_fd(), Setup::SetIrqs, set.as_mut_bytes())
    }
}

impl Interrupts<'_> {
    /// Lets [`Irq::Intx`] signal again, after the device no longer raises it.
    ///
    /// # Errors
    ///
    /// ENOTTY for another kind, which is never masked; otherwise the errno of `VFIO_DEVICE_SET_IRQS`.
    pub fn unmask(&self) -> Result<(), Errno> {
        let flags = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_UNMASK;
        self.opened.set_irqs(self.kind, flags, 1, &[])
    }
}

impl Drop for Interrupts<'_> {
    fn drop(&mut self) {
        let flags = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
        let _ = self.opened.set_irqs(self.kind, flags, 0, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: userspace.hardware
    #[test]
    fn a_vector_counts_and_does_not_block() {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let vector = Interrupt(eventfd(0, flags).unwrap());
        assert_eq!(vector.take(), Ok(0));
        assert_eq!(vector.wait_for(Duration::from_millis(1)), Ok(0));
        for _ in 0..2 {
            rustix::io::write(&vector, 1_u64.as_bytes()).unwrap();
        }
        assert_eq!(vector.wait(), Ok(2));
        assert_eq!(vector.take(), Ok(0));
    }
}
