// SPDX-License-Identifier: GPL-2.0

//! Answers to `VFIO_DEVICE_GET_REGION_INFO`.

use crate::bindings;
use core::{
    alloc::Layout,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator::Kmalloc,
        flags::__GFP_NOWARN,
        Allocator,
        NumaNode, //
    },
    error::to_result,
    prelude::*,
    transmute::AsBytes, //
};

/// The capabilities of an answer so far.
///
/// # Invariants
///
/// The buffer is null, or memory of kmalloc() for at least as many bytes as the size says.
pub(super) struct InfoCap<'a>(&'a mut bindings::vfio_info_cap);

impl<'a> InfoCap<'a> {
    /// Wraps what VFIO passed.
    ///
    /// # Safety
    ///
    /// Only VFIO's own functions have added capabilities to `caps`.
    pub(super) unsafe fn new(caps: &'a mut bindings::vfio_info_cap) -> Self {
        // INVARIANT: VFIO allocates by krealloc() what it needs.
        Self(caps)
    }

    /// Makes the buffer large enough for `len` more bytes.
    ///
    /// VFIO would do that itself, but would not charge the user for it, and would have the kernel log
    /// that it found no memory. It has to be memory of kmalloc(), however long it is.
    fn reserve(&mut self, len: usize) -> Result {
        let layout = |len| Layout::from_size_align(len, align_of::<u64>()).map_err(|_| EOVERFLOW);
        let len = self.0.size.checked_add(len).ok_or(EOVERFLOW)?;
        let (old, new) = (layout(self.0.size)?, layout(len)?);
        let flags = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
        let buffer = NonNull::new(self.0.buf.cast());
        // SAFETY: The type's invariant; the alignment is one that all memory of kmalloc() has.
        let buffer = unsafe { Kmalloc::realloc(buffer, new, old, flags, NumaNode::NO_NODE) }?;
        // INVARIANT: It is larger than before.
        self.0.buf = buffer.cast().as_ptr();
        Ok(())
    }
}

/// A question about a region, and the answer being made up.
pub(crate) struct RegionInfo<'a> {
    info: &'a mut bindings::vfio_region_info,
    caps: InfoCap<'a>,
    /// How many bytes of capabilities are left out, because there is no room for them.
    missing: usize,
}

impl<'a> RegionInfo<'a> {
    /// Wraps what VFIO passed.
    pub(super) fn new(info: &'a mut bindings::vfio_region_info, caps: InfoCap<'a>) -> Self {
        Self {
            info,
            caps,
            missing: 0,
        }
    }

    pub(super) fn as_ptr(&mut self) -> *mut bindings::vfio_region_info {
        self.info
    }

    pub(super) fn caps_ptr(&mut self) -> *mut bindings::vfio_info_cap {
        self.caps.0
    }

    /// Returns the index of the region that is asked about; any number.
    pub(crate) fn index(&self) -> u32 {
        self.info.index
    }

    /// Answers: a region of `size` bytes at `offset` of the device file, that can be read, written
    /// and mapped.
    pub(crate) fn set_mappable(&mut self, offset: u64, size: u64) {
        self.info.offset = offset;
        self.info.size = size;
        self.info.flags = bindings::VFIO_REGION_INFO_FLAG_READ
            | bindings::VFIO_REGION_INFO_FLAG_WRITE
            | bindings::VFIO_REGION_INFO_FLAG_MMAP;
    }

    /// Answers: an empty region, as of a BAR that is not there.
    pub(crate) fn set_empty(&mut self) {
        self.info.offset = 0;
        self.info.size = 0;
        self.info.flags = 0;
    }

    /// Adds a capability to the answer: a structure that begins with a `vfio_info_cap_header`.
    pub(crate) fn add<C: AsBytes>(&mut self, mut capability: C) -> Result {
        const { assert!(size_of::<C>() >= size_of::<bindings::vfio_info_cap_header>()) };
        const { assert!(align_of::<C>() >= align_of::<bindings::vfio_info_cap_header>()) };
        let header = (&raw mut capability).cast();
        // SAFETY: The list is VFIO's. The capability is copied; it has no padding (`AsBytes`), and
        // any bytes make a header.
        to_result(unsafe {
            bindings::vfio_info_add_capability(self.caps_ptr(), header, size_of::<C>())
        })
    }

    /// Returns whether the one who asks has room for one more capability, of `len` bytes.
    ///
    /// If not, the answer is the size that it takes; the capability need not be added, nor even made.
    pub(crate) fn has_room_for(&mut self, len: usize) -> bool {
        let caps = self.caps.0.size.saturating_add(self.missing);
        let size = size_of::<bindings::vfio_region_info>().saturating_add(caps);
        let size = size.saturating_add(len);
        if usize::try_from(self.info.argsz).is_ok_and(|argsz| argsz >= size) {
            return true;
        }
        self.missing = self.missing.saturating_add(len);
        false
    }

    /// Leaves the answer to VFIO.
    pub(super) fn finish(self) {
        // VFIO looks at the buffer only if there is room for all of this, and there is not if any of
        // it is missing.
        let caps = self.caps.0;
        caps.size = caps.size.saturating_add(self.missing);
    }

    /// Adds a capability of varying length to the answer, which begins with a
    /// `vfio_info_cap_header`.
    pub(crate) fn add_words(&mut self, capability: &[u64]) -> Result {
        const { assert!(size_of::<u64>() >= size_of::<bindings::vfio_info_cap_header>()) };
        if capability.is_empty() {
            return Err(EINVAL);
        }
        self.caps.reserve(size_of_val(capability))?;
        let header = capability.as_ptr().cast_mut().cast();
        // SAFETY: The list is VFIO's, and has room. The capability is copied from; it is at least a
        // header, for which any bytes will do.
        to_result(unsafe {
            bindings::vfio_info_add_capability(self.caps_ptr(), header, size_of_val(capability))
        })
    }
}
