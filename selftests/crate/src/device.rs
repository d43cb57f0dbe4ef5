// SPDX-License-Identifier: GPL-2.0-only

//! The crate's view of the driver's answers.

use crate::{ensure, open, range, tests, Outcome, BAR, MIB};
use rustix::{
    event::{eventfd, EventfdFlags},
    io::write,
};
use std::{
    fs::File,
    io::{Seek, SeekFrom},
    time::{Duration, Instant},
};
use vfio_subregion::{
    Attribute, Attributes, Busy, Call, EffectiveType, Errno, Error, Export, ExportAccess,
    RegionFlags,
};

tests! {
    bytes_written_through_a_subregion_are_read_through_the_bar,
    every_attribute_is_available_and_has_an_effective_type,
    subregions_are_found_by_their_index_and_bars_tell_of_them,
    identical_requests_share_a_subregion,
    a_whole_bar_can_have_an_attribute,
    a_mapping_has_the_type_that_the_bar_has_by_then,
    a_mapping_outlives_the_descriptor_and_keeps_the_device_open,
    an_export_reaches_its_subregion_and_ends_with_it,
    a_dma_buf_has_a_part_of_a_subregion,
    an_ioeventfd_stores_its_value_and_keeps_the_type_of_its_page,
}

// contract: userspace.crate
fn bytes_written_through_a_subregion_are_read_through_the_bar() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, MIB), Attribute::WriteCombining)?;
    let mapping = device.map(&region)?;
    mapping.write_combining()?.copy(5, b"by write combining")?;
    vfio_subregion::flush_stores();
    let mut bytes = [0; 18];
    device.read(&device.region(BAR)?, MIB + 5, &mut bytes)?;
    ensure!(&bytes == b"by write combining");
    Ok(())
}

// contract: userspace.crate
fn identical_requests_share_a_subregion() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let create = || device.create_shared(BAR, range(MIB, MIB), Attribute::WriteCombining);
    let (first, second) = (create()?, create()?);
    ensure!(first.index() == second.index() && first.file_offset() == second.file_offset());
    let exclusive = device.create(BAR, range(MIB, MIB), Attribute::WriteCombining);
    ensure!(exclusive.err() == Some(Error::Overlaps(first.index())));
    device.destroy(first.index())?;
    device
        .map(&second)?
        .write_combining()?
        .copy(0, b"still there")?;
    device.destroy(second.index())?;
    ensure!(device.destroy(second.index()).is_err());
    ensure!(device.query(BAR)?.count == 0);
    Ok(())
}

/// The memory type of an attribute on this architecture.
fn wanted(attribute: Attribute) -> EffectiveType {
    let (strict, device, combining) = if cfg!(target_arch = "aarch64") {
        (
            EffectiveType::ARM64_NGNRNE,
            EffectiveType::ARM64_NGNRE,
            EffectiveType::ARM64_NORMAL_NC,
        )
    } else {
        (
            EffectiveType::X86_UC_MINUS,
            EffectiveType::X86_UC_MINUS,
            EffectiveType::X86_WC,
        )
    };
    match attribute {
        Attribute::WriteCombining => combining,
        Attribute::Device | Attribute::GuestAny => device,
        _ => strict,
    }
}

// contract: userspace.crate
fn every_attribute_is_available_and_has_an_effective_type() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let support = device.query(BAR)?;
    ensure!(support.attributes == Attributes::from_bits_retain(15));
    ensure!(support.count == 0 && support.limit > 0);
    for (at, &attribute) in (0_u64..).zip(Attribute::ALL) {
        let part = range(at * support.granule, support.granule);
        let region = device.create(BAR, part, attribute)?;
        ensure!(region.effective() == Some(wanted(attribute)));
        ensure!(region.attribute() == Some(attribute));
        ensure!(device.query(region.index())?.attributes == Attributes::from(attribute));
        let mapping = device.map(&region)?;
        ensure!(mapping.registers().is_err() == (attribute == Attribute::WriteCombining));
        ensure!(mapping.write_combining().is_ok() == mapping.registers().is_err());
        mapping.write(0, 0x5a_u32)?;
        ensure!(mapping.read::<u32>(0)? == 0x5a);
    }
    Ok(())
}

// contract: userspace.crate
fn subregions_are_found_by_their_index_and_bars_tell_of_them() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let first = device.create(BAR, range(4 * MIB, MIB), Attribute::Device)?;
    let second = device.create(BAR, range(0, MIB), Attribute::WriteCombining)?;
    let regions = device.regions()?;
    for made in [&first, &second] {
        let found = regions.get(&made.index()).ok_or("it is not found")?;
        ensure!(found.subregion() == made.subregion() && found.file_offset() == made.file_offset());
        ensure!(found.size() == MIB && found.effective() == made.effective());
        ensure!(found.flags().contains(RegionFlags::MMAP));
    }
    let claims = regions.get(&BAR.into()).ok_or("there is no BAR")?.claims();
    let indices: Vec<_> = claims.iter().map(|claim| claim.index).collect();
    ensure!(indices == [second.index(), first.index()]);
    device.destroy(first.index())?;
    ensure!(!device.regions()?.contains_key(&first.index()));
    Ok(())
}

// contract: userspace.crate
fn a_whole_bar_can_have_an_attribute() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let effective = device.set_attribute(BAR, Attribute::WriteCombining)?;
    let region = device.region(BAR)?;
    ensure!(region.attribute() == Some(Attribute::WriteCombining));
    ensure!(region.effective() == Some(effective));
    let mapping = device.map(&region)?;
    mapping.write_combining()?.copy(0, &[7; 64])?;
    ensure!(mapping.read::<u8>(63)? == 7);
    drop(mapping);
    device.set_attribute(BAR, Attribute::Noncached)?;
    ensure!(device.region(BAR)?.effective().is_none());
    Ok(())
}

// contract: userspace.views
fn a_mapping_has_the_type_that_the_bar_has_by_then() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let before = device.region(BAR)?;
    device.set_attribute(BAR, Attribute::WriteCombining)?;
    ensure!(before.attribute() == Some(Attribute::Noncached));
    let mapping = device.map(&before)?;
    ensure!(mapping.attribute() == Some(Attribute::WriteCombining));
    ensure!(mapping.registers().is_err());
    Ok(())
}

// contract: userspace.mapping-lifetime
fn a_mapping_outlives_the_descriptor_and_keeps_the_device_open() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(0, MIB), Attribute::WriteCombining)?;
    let mapping = device.map(&region)?;
    drop(opened);
    mapping.write(8, 3_u64)?;
    ensure!(mapping.read::<u64>(8)? == 3);
    Ok(())
}

// contract: userspace.export
fn an_export_reaches_its_subregion_and_ends_with_it() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, 4 * MIB), Attribute::WriteCombining)?;
    let export = device.export(&region, ExportAccess::ReadWrite)?;
    let mapping = export.map()?;
    mapping.write_combining()?.copy(0, b"through an export")?;
    vfio_subregion::flush_stores();
    let mut bytes = [0; 17];
    ensure!(device.read(&region, 0, &mut bytes)? == 17 && &bytes == b"through an export");
    // As a process that has received the files, and has no region.
    let (part, wc) = (range(MIB, 4 * MIB), Attribute::WriteCombining);
    let received = Export::from_parts(export.into(), BAR, part, wc);
    ensure!(received.size() == 4 * MIB && received.attribute() == Some(wc));
    let mapping = received.map()?;
    // It agrees with the place in the BAR.
    ensure!(mapping.base().addr().get() % (2 << 20) == 1 << 20);
    mapping.write_combining()?.copy(0, b"T")?;
    vfio_subregion::flush_stores();
    ensure!(received.read(0, &mut bytes)? == 17 && &bytes == b"Through an export");
    let export = received;
    let read_only = device.export(&region, ExportAccess::ReadOnly)?;
    let received = Export::from_parts(read_only.into(), BAR, part, wc);
    ensure!(received.read(8, &mut bytes[..9])? == 9 && &bytes[..9] == b"an export");
    ensure!(received.write(0, b"x").unwrap_err().errno() == Some(Errno::BADF));
    ensure!(received.map().unwrap_err().errno() == Some(Errno::ACCESS));
    ensure!(export.write(0, b"t")? == 1 && mapping.read::<u8>(0)? == b't');
    device.destroy(region.index())?;
    ensure!(export.read(0, &mut bytes).unwrap_err().errno() == Some(Errno::NODEV));
    ensure!(export.map().unwrap_err().errno() == Some(Errno::NODEV));
    Ok(())
}

// contract: userspace.dma-buf
fn a_dma_buf_has_a_part_of_a_subregion() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, 4 * MIB), Attribute::WriteCombining)?;
    let dma_buf = |part| device.dma_buf(&region, part, ExportAccess::ReadWrite);
    let mut file = File::from(dma_buf(range(MIB, 3 * MIB))?);
    ensure!(file.seek(SeekFrom::End(0))? == 3 * MIB);
    let beyond = dma_buf(range(2 * MIB, 3 * MIB)).unwrap_err();
    ensure!(beyond.errno() == Some(Errno::INVAL) && beyond.call() == Some(Call::DmaBuf));
    device.destroy(region.index())?;
    ensure!(dma_buf(range(0, MIB)).unwrap_err().errno() == Some(Errno::NODEV));
    Ok(())
}

// contract: userspace.ioeventfd
fn an_ioeventfd_stores_its_value_and_keeps_the_type_of_its_page() -> Outcome {
    const AT: u64 = MIB + 8;
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, MIB), Attribute::WriteCombining)?;
    let memory = device.map(&region)?;
    memory.write(8, 0_u64)?;
    let event = eventfd(0, EventfdFlags::CLOEXEC)?;
    device.ioeventfd(BAR, AT, 0x1234_5678_u32, &event)?;
    let again = device.ioeventfd(BAR, AT, 0x1234_5678_u32, &event);
    ensure!(again.is_err_and(|error| error.errno() == Some(Errno::EXIST)));
    ensure!(device.destroy(region.index()).unwrap_err().errno() == Some(Errno::BUSY));
    write(&event, &1_u64.to_ne_bytes())?;
    let end = Instant::now() + Duration::from_secs(5);
    while memory.read::<u64>(8)? != 0x1234_5678 {
        ensure!(Instant::now() < end);
    }
    device.remove_ioeventfd(BAR, AT, 0x1234_5678_u32)?;
    let none = device
        .remove_ioeventfd(BAR, AT, 0x1234_5678_u32)
        .unwrap_err();
    ensure!(none.errno() == Some(Errno::NODEV) && none.call() == Some(Call::Ioeventfd));
    device.destroy(region.index())?;

    // In a strict page it prevents write combining, and the error says so.
    device.ioeventfd(BAR, AT, 7_u8, &event)?;
    let refused = device.create(BAR, range(MIB, MIB), Attribute::WriteCombining);
    ensure!(matches!(refused, Err(Error::Busy { busy, .. }) if busy == Busy::IOEVENTFD));
    device.remove_ioeventfd(BAR, AT, 7_u8)?;
    let outside = device.ioeventfd(BAR, 16 * MIB, 7_u8, &event);
    ensure!(outside.err() == Some(Error::OutsideRegion(BAR.into())));
    Ok(())
}
