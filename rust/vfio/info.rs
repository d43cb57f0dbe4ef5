// SPDX-License-Identifier: GPL-2.0

//! Answers to `VFIO_DEVICE_GET_REGION_INFO`.

use crate::bindings;
use kernel::{
    error::to_result,
    prelude::*,
    transmute::AsBytes, //
};

/// The capabilities of an answer so far.
pub(super) struct InfoCaps<'a>(&'a mut bindings::vfio_info_cap);

impl<'a> InfoCaps<'a> {
    /// Wraps what VFIO passed.
    pub(super) fn new(caps: &'a mut bindings::vfio_info_cap) -> Self {
        Self(caps)
    }
}

/// A question about a region, and the answer being made up.
pub(crate) struct RegionInfo<'a> {
    info: &'a mut bindings::vfio_region_info,
    caps: InfoCaps<'a>,
}

impl<'a> RegionInfo<'a> {
    /// Wraps what VFIO passed.
    pub(super) fn new(info: &'a mut bindings::vfio_region_info, caps: InfoCaps<'a>) -> Self {
        Self { info, caps }
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

    /// Adds a capability of varying length to the answer, which begins with a
    /// `vfio_info_cap_header`.
    pub(crate) fn add_words(&mut self, capability: &[u64]) -> Result {
        const { assert!(size_of::<u64>() >= size_of::<bindings::vfio_info_cap_header>()) };
        if capability.is_empty() {
            return Err(EINVAL);
        }
        let header = capability.as_ptr().cast_mut().cast();
        // SAFETY: The list is VFIO's. The capability is copied from; it is at least a header, for
        // which any bytes will do.
        to_result(unsafe {
            bindings::vfio_info_add_capability(self.caps_ptr(), header, size_of_val(capability))
        })
    }
}
