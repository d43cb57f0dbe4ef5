// SPDX-License-Identifier: GPL-2.0-only

//! Mappings that fall back, and layouts.

use crate::{
    address,
    ensure,
    open,
    range,
    tests,
    touch::Elsewhere,
    Outcome,
    BAR,
    MIB, //
};
use vfio_subregion::{
    Attribute,
    BarLayout,
    Error,
    Source, //
};

tests! {
    the_best_type_is_mapped_and_said,
    vfio_pci_gives_what_it_has_and_it_is_said,
    a_claimed_range_is_not_mapped_through_the_bar,
    a_layout_is_mapped_as_a_whole,
    a_layout_that_fails_is_undone,
}

const WANTED: &[Attribute] = &[Attribute::WriteCombining, Attribute::Noncached];

// contract: userspace.best
fn the_best_type_is_mapped_and_said() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let best = device.map_best(BAR, range(MIB, MIB), WANTED)?;
    ensure!(best.mapping.attribute() == Some(Attribute::WriteCombining));
    let Source::Subregion(region) = best.source else {
        return Err("it is no subregion".into());
    };
    ensure!(device.region(region.index())?.size() == MIB);
    let strict = device.map_best(BAR, range(0, MIB), &[Attribute::Noncached])?;
    ensure!(strict.mapping.attribute() == Some(Attribute::Noncached));
    ensure!(strict.source == Source::Bar);
    Ok(())
}

/// As the C helpers do it: on arm64 through sysfs, since the machines of the tests have iomem=relaxed.
// contract: userspace.best
fn vfio_pci_gives_what_it_has_and_it_is_said() -> Outcome {
    let elsewhere = Elsewhere::new(address("DEV_IVSHMEM")?)?;
    let opened = open()?;
    let best = opened.device().map_best(BAR, range(MIB, MIB), WANTED)?;
    let (attribute, source) = if cfg!(target_arch = "aarch64") {
        (Attribute::WriteCombining, Source::Sysfs)
    } else {
        (Attribute::Noncached, Source::Bar)
    };
    ensure!(best.mapping.attribute() == Some(attribute) && best.source == source);
    let device = opened.device();
    let outside = device.map_best(BAR, range(16 * MIB, MIB), WANTED);
    ensure!(outside.is_err_and(|error| error.is_unsupported()));
    drop(best);
    drop(opened);
    elsewhere.back()
}

// contract: userspace.best
fn a_claimed_range_is_not_mapped_through_the_bar() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, MIB), Attribute::WriteCombining)?;
    let overlaps = Some(Error::Overlaps(region.index()));
    ensure!(device.map_best(BAR, range(0, 2 * MIB), WANTED).err() == overlaps);
    let strict = device.map_best(BAR, range(0, 2 * MIB), &[Attribute::Noncached]);
    ensure!(strict.err() == overlaps);
    device.destroy(region.index())?;
    device.set_attribute(BAR, Attribute::WriteCombining)?;
    let strict = device.map_best(BAR, range(0, 2 * MIB), &[Attribute::Noncached]);
    ensure!(strict.err() == Some(Error::Changed(BAR.into())));
    Ok(())
}

// contract: userspace.layout
fn a_layout_is_mapped_as_a_whole() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let layout = BarLayout::new(BAR)
        .part(range(0, MIB), &[Attribute::Noncached])
        .part(range(4 * MIB, MIB), &[Attribute::Device])
        .part(range(MIB, MIB), WANTED);
    let parts = device.map_layout(&layout)?;
    let got: Vec<_> = parts.iter().map(|part| part.mapping.attribute()).collect();
    let want = [
        Attribute::Noncached,
        Attribute::Device,
        Attribute::WriteCombining,
    ];
    ensure!(got == want.map(Some));
    parts[0].mapping.write(8, 1_u64)?;
    parts[2].mapping.write(8, 3_u64)?;
    ensure!(parts[0].mapping.read::<u64>(8)? == 1 && parts[2].mapping.read::<u64>(8)? == 3);
    Ok(())
}

// contract: userspace.layout
fn a_layout_that_fails_is_undone() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let layout = BarLayout::new(BAR).part(range(MIB, MIB), WANTED);
    let fails = layout.clone().part(range(0, 1), &[Attribute::Device]);
    ensure!(device.map_layout(&fails).is_err());
    ensure!(device.query(BAR)?.count == 0);
    device.map_layout(&layout)?;
    ensure!(device.query(BAR)?.count == 1);
    Ok(())
}
