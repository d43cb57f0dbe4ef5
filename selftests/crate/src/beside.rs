// SPDX-License-Identifier: GPL-2.0-only

//! The crate beside vfio-ioctls.

use crate::{address, ensure, range, tests, Failure, Outcome, BAR, MIB};
use std::sync::Arc;
use vfio_ioctls::{VfioContainer, VfioDevice, VfioOps};
use vfio_subregion::{Attribute, Device, RegionIndex};

tests! {
    vfio_ioctls_is_not_confused_by_a_subregion_that_is_created_later,
    vfio_ioctls_that_opens_later_finds_subregions_one_index_too_low,
}

/// Opens ivshmem by vfio-ioctls.
fn opened(ops: &Arc<dyn VfioOps>) -> Result<VfioDevice, Failure> {
    let sysfs = address("DEV_IVSHMEM")?.sysfs();
    Ok(VfioDevice::new(&sysfs, ops.clone(), true)?)
}

fn container() -> Result<Arc<dyn VfioOps>, Failure> {
    Ok(Arc::new(VfioContainer::new(None)?))
}

/// vfio-ioctls reads the regions at open: later subregions are unknown to it and do no harm.
// contract: userspace.vfio-ioctls
fn vfio_ioctls_is_not_confused_by_a_subregion_that_is_created_later() -> Outcome {
    let vfio = opened(&container()?)?;
    let device = Device::from(&vfio);
    let bars: Vec<_> = (0..6).map(|index| vfio.get_region_size(index)).collect();
    device.create(BAR, range(0, MIB), Attribute::WriteCombining)?;
    for (index, size) in (0..).zip(&bars) {
        ensure!(vfio.get_region_size(index) == *size);
    }
    ensure!(bars.get(2) == Some(&(16 * MIB)));
    let mut id = [0; 4];
    vfio.region_read(RegionIndex::CONFIG.0, &mut id, 0);
    let mut same = [0; 4];
    device.read(&device.region(RegionIndex::CONFIG)?, 0, &mut same)?;
    ensure!(id == same && id != [0; 4]);
    Ok(())
}

/// It counts all region indices, including region 8, which a device without VGA lacks.
// contract: userspace.vfio-ioctls
fn vfio_ioctls_that_opens_later_finds_subregions_one_index_too_low() -> Outcome {
    let container = container()?;
    let vfio = opened(&container)?;
    let device = Device::from(&vfio);
    let region = device.create(BAR, range(0, 3 * MIB), Attribute::WriteCombining)?;
    ensure!(region.index() == RegionIndex(9));
    let later = opened(&container)?;
    ensure!(later.get_region_size(8) == 3 * MIB);
    ensure!(later.get_region_offset(8) == region.file_offset());
    ensure!(later.get_region_size(9) == 0);
    // Its regions below that index are right, and this crate works on its file.
    ensure!(later.get_region_size(2) == 16 * MIB);
    let later = Device::from(&later);
    ensure!(later.region(region.index())?.subregion() == region.subregion());
    Ok(())
}
