// SPDX-License-Identifier: GPL-2.0-only

//! Mappings that fall back, layouts, and the ways in which lines are stored.

use crate::{address, ensure, open, range, tests, touch::Elsewhere, Outcome, BAR, KIB, MIB};
use vfio_subregion::{Attribute, BarLayout, Error, LineStore, Source};

tests! {
    the_best_type_is_mapped_and_said,
    vfio_pci_gives_its_own_type_and_the_source_says_so,
    a_claimed_range_is_not_mapped_through_the_bar,
    a_layout_is_mapped_as_a_whole,
    a_layout_that_fails_is_undone,
    every_way_of_this_cpu_copies_to_every_type,
    a_copy_to_wc_memory_stores_its_bytes_and_no_others,
    a_queue_writes_descriptors_and_its_doorbell,
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
    device.unmap(strict)?;
    ensure!(device.query(BAR)?.count == 1);
    Ok(())
}

/// As the C helpers do it: on arm64 through sysfs, since the machines of the tests have iomem=relaxed.
// contract: userspace.best
fn vfio_pci_gives_its_own_type_and_the_source_says_so() -> Outcome {
    let elsewhere = Elsewhere::new(address("DEV_IVSHMEM")?)?;
    let opened = open()?;
    let best = opened.device().map_best(BAR, range(MIB, MIB), WANTED)?;
    let (attribute, source) = if cfg!(target_arch = "aarch64") {
        (Attribute::WriteCombining, Source::Sysfs)
    } else {
        (Attribute::Noncached, Source::Bar)
    };
    ensure!(best.mapping.attribute() == Some(attribute) && best.source == source);
    best.mapping.data().copy(5, b"to whatever it is")?;
    vfio_subregion::flush_stores();
    let mut bytes = [0; 17];
    let device = opened.device();
    device.read(&device.region(BAR)?, MIB + 5, &mut bytes)?;
    ensure!(&bytes == b"to whatever it is");
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
    let parts = device.map_layout(&layout)?;
    ensure!(device.query(BAR)?.count == 1);
    for part in parts {
        device.unmap(part)?;
    }
    ensure!(device.query(BAR)?.count == 0);
    Ok(())
}

// contract: userspace.lines
fn every_way_of_this_cpu_copies_to_every_type() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let bytes: Vec<u8> = (0..=255).collect();
    println!("# {:?} is chosen", LineStore::detect());
    for (at, attribute) in (0..).zip([
        Attribute::WriteCombining,
        Attribute::Device,
        Attribute::Noncached,
    ]) {
        let at = at * 4 * KIB;
        let memory = device
            .map_best(BAR, range(at, 4 * KIB), &[attribute])?
            .mapping;
        // The memory of this device does not accept ST64B.
        let ways = LineStore::ALL.iter().copied();
        for way in ways.filter(|&way| way != LineStore::St64b) {
            let Some(data) = memory.data().with_line_store(way) else {
                println!("# {way:?}: this CPU does not have it");
                continue;
            };
            data.copy(0, &[0xee; 512])?;
            data.copy(59, &bytes)?;
            vfio_subregion::flush_stores();
            let mut got = [0; 512];
            device.read(&device.region(BAR)?, at, &mut got)?;
            ensure!(got[59..315] == bytes);
            ensure!(got[..59]
                .iter()
                .chain(&got[315..])
                .all(|&byte| byte == 0xee));
        }
    }
    Ok(())
}

// contract: userspace.lines
fn a_copy_to_wc_memory_stores_its_bytes_and_no_others() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let memory = device
        .map_best(BAR, range(0, 4 * KIB), &[Attribute::WriteCombining])?
        .mapping;
    let bytes: Vec<u8> = (1..=130).collect();
    for offset in 0..64 {
        for size in 0..=bytes.len() {
            let mut want = [0xee; 256];
            memory.data().copy(0, &want)?;
            want[offset..offset + size].copy_from_slice(&bytes[..size]);
            memory.data().copy(offset, &bytes[..size])?;
            vfio_subregion::flush_stores();
            for (at, want) in want.chunks_exact(8).enumerate() {
                ensure!(memory.read::<u64>(at * 8)?.to_le_bytes() == want);
            }
        }
    }
    Ok(())
}

// contract: userspace.queue
fn a_queue_writes_descriptors_and_its_doorbell() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let layout = BarLayout::new(BAR)
        .part(range(0, MIB), &[Attribute::Noncached])
        .part(range(MIB, MIB), WANTED);
    let parts = device.map_layout(&layout)?;
    let doorbell = parts[0].mapping.registers()?.register::<u32>(0)?;
    let ring = parts[1].mapping.data().ring::<[u64; 8]>(0, 3)?;
    let mut queue = ring.queue(doorbell);
    for number in 1..=5_u32 {
        queue.push(&[number.into(); 8]);
        queue.submit(number);
    }
    queue.release();
    ensure!(queue.next() == 2 && doorbell.read() == 5);
    for (slot, want) in [4, 5, 3].into_iter().enumerate() {
        for word in 0..8 {
            ensure!(parts[1].mapping.read::<u64>(slot * 64 + word * 8)? == want);
        }
    }
    Ok(())
}
