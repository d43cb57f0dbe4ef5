// SPDX-License-Identifier: GPL-2.0-only

//! ioeventfds. The checks and their order are those of vfio-pci.

use super::{
    io_after_ending_strays,
    OpenDevice, //
};
use crate::{
    compat::MemType,
    vfio::pci::{
        BarWrite,
        Io,
        Width, //
    },
    wire, //
};
use kernel::prelude::*;

/// Handles `VFIO_DEVICE_IOEVENTFD`.
#[inline(never)]
pub(super) fn ioeventfd(device: &OpenDevice, arg: usize) -> Result {
    let request = wire::Ioeventfd::read(arg)?;
    let bar = device.bar(request.bar.index()).ok_or(EINVAL)?;
    let write = BarWrite {
        bar: bar.index(),
        at: request.at,
        width: Width::of(request.count).ok_or(EINVAL)?,
        value: request.value,
    };
    let bytes = write.bytes();
    if bytes.end > bar.size() || bar.msix_table().overlaps(&bytes) {
        return Err(EINVAL);
    }
    bar.expect_usable()?;
    let Some(fd) = request.fd else {
        return device.io_shared()?.remove_ioeventfd(write);
    };
    // On arm64 vfio-pci accepts such a write, and the kernel stops at the first signal, because
    // accesses to device memory must be aligned.
    if cfg!(CONFIG_ARM64) && request.at % request.count != 0 {
        return Err(EINVAL);
    }
    let io = io_after_ending_strays(device, bar)?;
    let mem = match io.driver_maps(bar) {
        Some(segments) => segments.mem_type_of(bytes)?,
        None => MemType::Noncached,
    };
    io.add_ioeventfd(bar, write, mem, fd)
}
