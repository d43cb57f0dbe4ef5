// SPDX-License-Identifier: GPL-2.0-only

//! A file in debugfs for each open device.
//!
//! It exists from the first open to the last close. A process that opens it gets the device as the
//! users of exports do (export.rs), and holds the export lock while the text is made in kernel
//! memory (compat/debugfs.rs). The last close therefore waits for an open() in progress, which
//! accesses no user memory, and not for a process that reads the file or has it open.

use super::{
    export::Exports,
    CoreDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::{
        DebugFile,
        Show, //
    },
};
use core::fmt;
use kernel::{
    device::Device,
    prelude::*,
    str::CStr,
    sync::Arc, //
};

/// The contents of the file.
pub(super) struct Description<T: Operations> {
    exports: Arc<Exports<T>>,
    /// The process that opened the device first.
    pid: i32,
    /// The name of its thread.
    comm: [u8; 16],
}

impl<T: Operations> Description<T> {
    /// Makes the file for the device `core`, which the calling thread is opening. `driver` is the
    /// name of the driver and of the directory that all files are in.
    ///
    /// Fails with [`ENOMEM`] if the kernel has no memory.
    pub(super) fn file(
        driver: &CStr,
        core: &CoreDevice,
        exports: Arc<Exports<T>>,
    ) -> Result<DebugFile<Self>> {
        let mut comm = [0; 16];
        // SAFETY: The buffer has the length that the function expects.
        let pid = unsafe { bindings::vfio_rs_process(comm.as_mut_ptr()) };
        let description = Self { exports, pid, comm };
        let dev: &Device = core.pci().as_ref();
        DebugFile::new(driver, dev.name(), c"state", description)
    }
}

impl<T: Operations> Show for Description<T> {
    fn show(&self, text: &mut dyn fmt::Write) -> fmt::Result {
        let comm = self.comm.split(|byte| *byte == 0).next().unwrap_or(&[]);
        // A process chooses its name, which must not look like another line.
        let comm = comm.escape_ascii();
        writeln!(text, "opened pid={} comm={comm}", self.pid)?;
        writeln!(text, "exports files={}", self.exports.files())?;
        match self.exports.device() {
            Some(device) => device.data().describe(&device, text),
            None => Ok(()),
        }
    }
}
