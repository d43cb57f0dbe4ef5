// SPDX-License-Identifier: GPL-2.0-only

//! The structures of the device features.
//!
//! `struct vfio_device_feature`, which contains the data, begins with `argsz` and `flags`, as the
//! structures of the ioctls do. The data have the other fields of the ioctl's structure, with the
//! ioctl's `flags` in place of `reserved`. A function that handles the ioctl can therefore read and
//! write the structure of the feature as that of the ioctl, if it gets the ioctl's `argsz` and
//! `flags`.

use super::{
    Arg,
    Argument, //
};
use core::mem::offset_of;
use kernel::{
    bindings::{
        vfio_device_feature,
        vfio_device_feature_region_attr,
        vfio_device_feature_subregion_create,
        vfio_device_feature_subregion_destroy,
        vfio_device_feature_subregion_export,
        vfio_device_feature_subregion_query,
        vfio_region_set_attr,
        vfio_subregion_create,
        vfio_subregion_destroy,
        vfio_subregion_export,
        vfio_subregion_query, //
    },
    vfio::Feature, //
};

/// The size of the fields before the data.
const HEAD: usize = offset_of!(vfio_device_feature, data);

macro_rules! assert_layout {
    ($($data:ident, $all:ident: $($field:ident)*, $flags:ident as $reserved:ident;)*) => {
        $(
            const _: () = assert!(HEAD + size_of::<$data>() == size_of::<$all>());
            const _: () = assert!(HEAD + offset_of!($data, $flags) == offset_of!($all, $reserved));
            $(const _: () = assert!(HEAD + offset_of!($data, $field) == offset_of!($all, $field));)*
        )*
    };
}

assert_layout! {
    vfio_device_feature_subregion_create, vfio_subregion_create:
        parent attribute offset size busy index effective_type mmap_offset, flags as reserved;
    vfio_device_feature_subregion_destroy, vfio_subregion_destroy: index, flags as reserved;
    vfio_device_feature_subregion_query, vfio_subregion_query:
        index attributes granule limit count busy, flags as reserved;
    vfio_device_feature_subregion_export, vfio_subregion_export:
        index open_flags fd, flags as reserved;
    // This ioctl has no flags.
    vfio_device_feature_region_attr, vfio_region_set_attr:
        index attribute effective_type, busy as busy;
}

impl Arg {
    /// Wraps the data of a feature, whose size is at least that of the known data.
    pub(crate) fn of_feature(feature: &Feature) -> Self {
        let argsz = HEAD.saturating_add(feature.size());
        Self {
            user: feature.data().wrapping_byte_add(HEAD.wrapping_neg()),
            // VFIO has read the size from a field of 32 bits.
            argsz: Some(u32::try_from(argsz).unwrap_or(u32::MAX)),
        }
    }

    /// Gives a structure that was read the head of an ioctl's, if it is that of a feature. VFIO has
    /// checked the head of the feature, which another thread can have changed since.
    pub(super) fn with_head<T: Argument>(self, mut raw: T) -> T {
        if let Some(argsz) = self.argsz {
            raw.set_head(argsz);
        }
        raw
    }
}
