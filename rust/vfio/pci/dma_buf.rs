// SPDX-License-Identifier: GPL-2.0-only

//! Export of device memory as a dma-buf (`VFIO_DEVICE_FEATURE_DMA_BUF`).
//!
//! The core makes the dma-buf, and iommufd accepts those of the core only. The core knows the BARs,
//! and reads its request from user memory. A request for a region of the driver is therefore
//! translated to one for its BAR, in memory of the process that is mapped for the call.
//!
//! Other threads of the process can change this memory, so the bounds of the region protect a
//! program from its own mistakes only: the owner of the device may export the BAR itself. If
//! another thread forks during the call, the child keeps a copy of the request. If another thread
//! unmaps the addresses of the request, or maps other memory over them, the request or the new
//! mapping can be lost.

use super::{
    OpenDevice,
    Operations, //
};
use crate::{
    bindings,
    compat::UserMemory, //
};
use core::{
    ffi::c_void,
    ops::Range, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The size of `struct vfio_device_feature_dma_buf` without its ranges.
const HEAD: usize = 16;

/// The size of `struct vfio_region_dma_range`.
const RANGE: usize = 16;

/// With pages of 4 KiB, the core cannot allocate the memory for more ranges. With larger pages this
/// limit is lower than the core's.
const MAX_RANGES: usize = 4 << 20 >> 4;

/// A range of a BAR.
pub(crate) struct BarRange {
    /// The number of the BAR.
    pub(crate) bar: usize,
    /// The bytes.
    pub(crate) bytes: Range<u64>,
}

/// The argument of the feature for the core.
enum Request {
    /// The user's argument.
    Users(*mut c_void),
    /// A translated request.
    Translated(UserMemory),
}

impl Request {
    fn as_ptr(&self) -> *mut c_void {
        match self {
            Self::Users(arg) => *arg,
            Self::Translated(memory) => memory.address(),
        }
    }
}

/// Handles `VFIO_DEVICE_FEATURE_DMA_BUF`.
///
/// Up to [`MAX_RANGES`] ranges, all errors are those that the core has for a BAR, and the function
/// checks in the same order.
#[inline(never)]
pub(super) fn feature<T: Operations>(
    device: &OpenDevice<T>,
    flags: u32,
    arg: *mut c_void,
    size: usize,
) -> Result<c_int> {
    // While the thread holds the io lock, the driver's regions do not change.
    let io = device.io_shared()?;
    if !io.driver_owns_any() {
        let request = request(device, flags, arg, size)?;
        return io.core_dma_buf(flags, request.as_ptr(), size);
    }
    drop(io);
    // The guard for writing checks again which BARs the driver owns.
    let mut io = device.io_exclusive()?;
    let request = request(device, flags, arg, size)?;
    io.core_dma_buf(flags, request.as_ptr(), size)
}

/// Returns the request for the core.
fn request<T: Operations>(
    device: &OpenDevice<T>,
    flags: u32,
    arg: *mut c_void,
    size: usize,
) -> Result<Request> {
    if !cfg!(CONFIG_VFIO_PCI_DMABUF) {
        // The core refuses every request.
        return Ok(Request::Users(arg));
    }
    // The core checks these arguments, and everything else that this function does not.
    let probe = flags & bindings::VFIO_DEVICE_FEATURE_PROBE != 0;
    if probe || flags & bindings::VFIO_DEVICE_FEATURE_GET == 0 || size < HEAD {
        return Ok(Request::Users(arg));
    }
    let arg = UserPtr::from_ptr(arg);
    let mut head = UserSlice::new(arg, HEAD).reader();
    let region = head.read::<u32>()?;
    let Some(range) = device.data().dma_range(device, region) else {
        return Ok(Request::Users(arg.as_mut_ptr()));
    };
    let open_flags = head.read::<u32>()?;
    let flags = head.read::<u32>()?;
    let ranges = head.read::<u32>()?;
    if flags != 0 || ranges == 0 {
        // The core refuses this before it looks at the region.
        return Ok(Request::Users(arg.as_mut_ptr()));
    }
    let bar_len = device.bar(range.bar).ok_or(ENODEV)?.size();
    // CAST: `usize` has at least 32 bits.
    let count = ranges as usize;
    if count > MAX_RANGES {
        return Err(ENOMEM);
    }
    let len = RANGE.checked_mul(count).ok_or(ENOMEM)?;
    let memory = UserMemory::new(HEAD.checked_add(len).ok_or(ENOMEM)?)?;
    let mut to = memory.writer();
    // CAST: A device has 6 BARs.
    for word in [range.bar as u32, open_flags, flags, ranges] {
        to.write(&word)?;
    }
    let mut from = UserSlice::new(arg.wrapping_byte_add(HEAD), len).reader();
    for _ in 0..count {
        let offset = from.read::<u64>()?;
        let length = from.read::<u64>()?;
        to.write(&translated(&range.bytes, bar_len, offset, length))?;
        to.write(&length)?;
    }
    Ok(Request::Translated(memory))
}

/// Returns the offset in the BAR, which has `bar_len` bytes, for `length` bytes from `offset` of a
/// region with `bytes` of the BAR.
///
/// The core checks all fields of the request before it checks that the ranges are in the BAR. A
/// range that leaves the region therefore becomes one that leaves the BAR, and differs in nothing
/// else that the core checks.
fn translated(bytes: &Range<u64>, bar_len: u64, offset: u64, length: u64) -> u64 {
    // An ordinary BAR lies at a multiple of its size. An offset that overflows here also does so
    // when the core adds it to the address of the BAR.
    let Some(start) = bytes.start.checked_add(offset) else {
        return offset;
    };
    match start.checked_add(length) {
        Some(end) if bytes.end < end && end <= bar_len => {
            // CAST: `u64` has at least as many bits as `usize`.
            bar_len.saturating_add(start % PAGE_SIZE as u64)
        }
        _ => start,
    }
}
