// SPDX-License-Identifier: GPL-2.0-only

//! The crate beside vfio-ioctls.

use crate::{
    address,
    ensure,
    open,
    range,
    tests,
    Outcome,
    BAR,
    MIB, //
};
use vfio_subregion::{
    Attribute,
    RegionIndex, //
};

tests! {
    vfio_ioctls_is_not_confused_by_what_is_made_after_it_opened,
    vfio_ioctls_that_opens_later_finds_subregions_one_index_too_low,
}

/// vfio-ioctls reads the regions at open: later subregions are unknown to it and do no harm.
// contract: userspace.vfio-ioctls
fn vfio_ioctls_is_not_confused_by_what_is_made_after_it_opened() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let bars: Vec<_> = (0..6)
        .map(|index| opened.vfio().get_region_size(index))
        .collect();
    device.create(BAR, range(0, MIB), Attribute::WriteCombining)?;
    for (index, size) in (0..).zip(&bars) {
        ensure!(opened.vfio().get_region_size(index) == *size);
    }
    ensure!(bars.get(2) == Some(&(16 * MIB)));
    let mut id = [0; 4];
    opened.vfio().region_read(RegionIndex::CONFIG.0, &mut id, 0);
    ensure!(u32::from_le_bytes(id) == opened.id()?);
    Ok(())
}

/// It counts all region indices, including region 8, which a device without VGA lacks.
// contract: userspace.vfio-ioctls
fn vfio_ioctls_that_opens_later_finds_subregions_one_index_too_low() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(0, 3 * MIB), Attribute::WriteCombining)?;
    ensure!(region.index() == RegionIndex(9));
    let later = opened.again(&address("DEV_IVSHMEM")?)?;
    ensure!(later.vfio().get_region_size(8) == 3 * MIB);
    ensure!(later.vfio().get_region_offset(8) == region.file_offset());
    ensure!(later.vfio().get_region_size(9) == 0);
    // Its regions below that index are right, and this crate works on its file.
    ensure!(later.vfio().get_region_size(2) == 16 * MIB);
    ensure!(later.device().region(region.index())?.subregion() == region.subregion());
    Ok(())
}
