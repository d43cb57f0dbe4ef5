// SPDX-License-Identifier: GPL-2.0-only

//! Replies to `VFIO_DEVICE_GET_REGION_INFO`.

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

/// The capabilities of a reply that is being composed.
///
/// # Invariants
///
/// The buffer is null, or kmalloc() allocated it with at least the recorded size.
pub(super) struct InfoCap<'a>(&'a mut bindings::vfio_info_cap);

impl<'a> InfoCap<'a> {
    /// Wraps the list that VFIO passes to the operation.
    ///
    /// # Safety
    ///
    /// Only VFIO's own functions may have added capabilities to `caps`.
    pub(super) unsafe fn new(caps: &'a mut bindings::vfio_info_cap) -> Self {
        // INVARIANT: VFIO's functions allocate the buffer with krealloc() and record its size.
        Self(caps)
    }

    /// Enlarges the buffer by `len` bytes.
    ///
    /// VFIO would enlarge it too, but would neither charge the memory to the user nor suppress the
    /// kernel's warning when there is none. The buffer must be kmalloc() memory for any length,
    /// because VFIO frees it with kfree().
    ///
    /// Fails with [`EOVERFLOW`] if the sum of the sizes overflows. Fails with [`ENOMEM`] if the
    /// kernel has no memory.
    fn reserve(&mut self, len: usize) -> Result {
        let layout = |len| Layout::from_size_align(len, align_of::<u64>()).map_err(|_| EOVERFLOW);
        let len = self.0.size.checked_add(len).ok_or(EOVERFLOW)?;
        let (old, new) = (layout(self.0.size)?, layout(len)?);
        let flags = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
        let buffer = NonNull::new(self.0.buf.cast());
        // SAFETY: The buffer is null or kmalloc() memory of the layout `old`, by the type's
        // invariant. All kmalloc() memory has this alignment.
        let buffer = unsafe { Kmalloc::realloc(buffer, new, old, flags, NumaNode::NO_NODE) }?;
        // INVARIANT: Kmalloc allocated the buffer, and it is at least as large as the recorded
        // size.
        self.0.buf = buffer.cast().as_ptr();
        Ok(())
    }
}

/// A request for a region's description, and the reply that is being composed.
pub(crate) struct RegionInfo<'a> {
    info: &'a mut bindings::vfio_region_info,
    caps: InfoCap<'a>,
    /// The number of bytes of the capabilities for which the caller has no room.
    missing: usize,
}

impl<'a> RegionInfo<'a> {
    /// Wraps the structures that VFIO passes to the operation.
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

    /// Returns the region index that userspace passes. It can be any number.
    pub(crate) fn index(&self) -> u32 {
        self.info.index
    }

    /// Describes a region of `size` bytes at `offset` of the device file, which userspace can read,
    /// write and mmap.
    pub(crate) fn set_mappable(&mut self, offset: u64, size: u64) {
        self.info.offset = offset;
        self.info.size = size;
        self.info.flags = bindings::VFIO_REGION_INFO_FLAG_READ
            | bindings::VFIO_REGION_INFO_FLAG_WRITE
            | bindings::VFIO_REGION_INFO_FLAG_MMAP;
    }

    /// Describes an empty region, like a BAR that the device does not implement.
    pub(crate) fn set_empty(&mut self) {
        self.info.offset = 0;
        self.info.size = 0;
        self.info.flags = 0;
    }

    /// Adds a capability, which must begin with a `vfio_info_cap_header`.
    ///
    /// Fails with [`ENOMEM`] if the kernel has no memory.
    pub(crate) fn add<C: AsBytes>(&mut self, mut capability: C) -> Result {
        const { assert!(size_of::<C>() >= size_of::<bindings::vfio_info_cap_header>()) };
        const { assert!(align_of::<C>() >= align_of::<bindings::vfio_info_cap_header>()) };
        let header = (&raw mut capability).cast();
        // SAFETY: `caps_ptr()` is VFIO's list. The function copies `size_of::<C>()` bytes from
        // `header`, which are initialised because `C` has no padding (`AsBytes`). Any bytes are
        // valid in the header at their start.
        to_result(unsafe {
            bindings::vfio_info_add_capability(self.caps_ptr(), header, size_of::<C>())
        })
    }

    /// Returns whether userspace has room for another capability of `len` bytes.
    ///
    /// Otherwise the reply only tells userspace the required size, and the caller need not compose
    /// or add the capability.
    pub(crate) fn has_room_for(&mut self, len: usize) -> bool {
        let caps = self.caps.0.size.saturating_add(self.missing);
        if self.fits(caps.saturating_add(len)) {
            return true;
        }
        self.missing = self.missing.saturating_add(len);
        false
    }

    /// Completes the reply for VFIO.
    ///
    /// Fails with [`ENOMEM`] if a capability could not be added after one was left out. VFIO has
    /// dropped all others then.
    pub(super) fn finish(self) -> Result {
        let size = self.caps.0.size.saturating_add(self.missing);
        // VFIO would copy the recorded size, which is more than the buffer has.
        if self.missing != 0 && self.fits(size) {
            return Err(ENOMEM);
        }
        self.caps.0.size = size;
        Ok(())
    }

    /// Returns whether userspace has room for capabilities of `len` bytes in all.
    fn fits(&self, len: usize) -> bool {
        let size = size_of::<bindings::vfio_region_info>().saturating_add(len);
        usize::try_from(self.info.argsz).is_ok_and(|argsz| argsz >= size)
    }

    /// Adds a capability of variable length, which must begin with a `vfio_info_cap_header`.
    ///
    /// Fails with [`EINVAL`] if `capability` is empty. Fails with [`ENOMEM`] if the kernel has no
    /// memory. Fails with [`EOVERFLOW`] if the sum of the sizes overflows.
    pub(crate) fn add_words(&mut self, capability: &[u64]) -> Result {
        const { assert!(size_of::<u64>() >= size_of::<bindings::vfio_info_cap_header>()) };
        if capability.is_empty() {
            return Err(EINVAL);
        }
        self.caps.reserve(size_of_val(capability))?;
        let header = capability.as_ptr().cast_mut().cast();
        // SAFETY: `caps_ptr()` is VFIO's list, with room for the capability. The function only
        // copies from `header`, which has at least the length of a header. Any bytes are valid in
        // the header.
        to_result(unsafe {
            bindings::vfio_info_add_capability(self.caps_ptr(), header, size_of_val(capability))
        })
    }
}
