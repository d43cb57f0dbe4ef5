// SPDX-License-Identifier: GPL-2.0-only

//! The device features, a second door to the functions that handle the ioctls.

use super::{
    create,
    destroy,
    export,
    query,
    set_attribute,
    OpenDevice, //
};
use crate::wire::{
    Arg,
    Failure, //
};
use kernel::{
    bindings::{
        self,
        vfio_device_feature_region_attr,
        vfio_device_feature_subregion_create,
        vfio_device_feature_subregion_destroy,
        vfio_device_feature_subregion_export,
        vfio_device_feature_subregion_query, //
    },
    prelude::*,
    vfio::Feature, //
};

/// Handles `VFIO_DEVICE_FEATURE`, or returns `None` if the feature is not one of this driver.
#[inline(never)]
pub(super) fn device_feature(device: &OpenDevice, feature: &Feature) -> Option<Result> {
    const GET: u32 = bindings::VFIO_DEVICE_FEATURE_GET;
    const SET: u32 = bindings::VFIO_DEVICE_FEATURE_SET;
    type Handler = fn(&OpenDevice, Arg) -> Result<(), Failure>;

    let (handler, method, size): (Handler, u32, usize) = match feature.number() {
        bindings::VFIO_DEVICE_FEATURE_SUBREGION_CREATE => {
            let size = size_of::<vfio_device_feature_subregion_create>();
            (create::create, SET, size)
        }
        bindings::VFIO_DEVICE_FEATURE_SUBREGION_DESTROY => {
            let size = size_of::<vfio_device_feature_subregion_destroy>();
            (destroy::destroy, SET, size)
        }
        bindings::VFIO_DEVICE_FEATURE_SUBREGION_QUERY => {
            let size = size_of::<vfio_device_feature_subregion_query>();
            (query::query, GET, size)
        }
        bindings::VFIO_DEVICE_FEATURE_SUBREGION_EXPORT => {
            let size = size_of::<vfio_device_feature_subregion_export>();
            (export::export, GET, size)
        }
        bindings::VFIO_DEVICE_FEATURE_REGION_ATTR => {
            let size = size_of::<vfio_device_feature_region_attr>();
            (set_attribute::set_attribute, SET, size)
        }
        _ => return None,
    };
    let done = feature.check(method, size).and_then(|execute| {
        if execute {
            handler(device, Arg::of_feature(feature))?;
        }
        Ok(())
    });
    Some(done)
}
