// SPDX-License-Identifier: GPL-2.0-only

//! A file in debugfs for each device that is bound to the driver.
//!
//! It exists from probe to remove, so opening a device only adds a record of the process
//! ([`Opener`]). The *opener lock* protects the record, which exists only while the device is
//! open. A process that opens the file holds the lock for reading while the text is made in kernel
//! memory (compat/debugfs.rs). If it finds a record, the device stays open meanwhile, because the
//! last close begins with the removal of the record, for which it takes the lock for writing. The
//! device exists in any case, because its remove callback removes the file, which waits for an
//! open() in progress, before it drops its reference to the device.
//!
//! An open() accesses no user memory. Neither the last close nor remove waits for a process that
//! reads the file or has it open.

use super::{
    Device,
    Operations, //
};
use crate::{
    bindings,
    compat::{
        DebugFile,
        Show, //
    }, //
};
use core::{
    fmt,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    str::CStr, //
};

/// The process that opened a device first.
pub(super) struct Opener {
    pid: i32,
    /// The name of its thread.
    comm: [u8; 16],
}

impl Opener {
    /// Returns the calling process.
    pub(super) fn current() -> Self {
        let mut comm = [0; 16];
        // SAFETY: The buffer has the length that the function expects.
        let pid = unsafe { bindings::vfio_rs_process(comm.as_mut_ptr()) };
        Self { pid, comm }
    }

    fn write(&self, text: &mut dyn fmt::Write) -> fmt::Result {
        let comm = self.comm.split(|byte| *byte == 0).next().unwrap_or(&[]);
        // A process chooses its name, which must not look like another line.
        let comm = comm.escape_ascii();
        writeln!(text, "opened pid={} comm={comm}", self.pid)
    }
}

/// The contents of the file of a device.
///
/// # Invariants
///
/// The pointer is valid as long as this exists.
pub(super) struct Description<T: Operations>(NonNull<Device<T>>);

// SAFETY: Any thread may use a device.
unsafe impl<T: Operations> Send for Description<T> {}

// SAFETY: As above. Several threads may do so at the same time.
unsafe impl<T: Operations> Sync for Description<T> {}

impl<T: Operations> Description<T> {
    /// Makes the file of `device`. `driver` is the name of the driver and of the directory that all
    /// files are in.
    ///
    /// Fails with [`ENOMEM`] if the kernel has no memory.
    ///
    /// # Safety
    ///
    /// `device` must be valid until the file is dropped.
    pub(super) unsafe fn file(driver: &CStr, device: &Device<T>) -> Result<DebugFile<Self>> {
        let dev: &kernel::device::Device = device.core.pci().as_ref();
        // INVARIANT: The caller guarantees it. The file owns the description.
        let description = Self(NonNull::from(device));
        DebugFile::new(driver, dev.name(), c"state", description)
    }
}

impl<T: Operations> Show for Description<T> {
    const OWNER: ThisModule = T::OWNER;

    fn show(&self, text: &mut dyn fmt::Write) -> fmt::Result {
        // SAFETY: The pointer is valid, by the type's invariant.
        let device = unsafe { self.0.as_ref() };
        let opener = device.opener.read();
        let Some(opener) = &*opener else {
            return writeln!(text, "closed");
        };
        // SAFETY: There is an opener, so the device is open, by the invariant of `Device`, until
        // the lock is released.
        let device = unsafe { Device::<T>::open_from_raw(self.0.as_ptr().cast()) };
        opener.write(text)?;
        writeln!(text, "exports files={}", device.export_files())?;
        device.data().describe(device, text)
    }
}
