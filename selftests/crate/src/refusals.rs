// SPDX-License-Identifier: GPL-2.0-only

//! Calls that fail, their errnos, and the advice in their messages.

use crate::{
    address, ensure, open, range, tests,
    touch::{ends_by_sigbus, Elsewhere},
    Outcome, BAR, KIB, MIB,
};
use subregion_open::Opened;
use vfio_subregion::{Attribute, Bar, Busy, Call, Device, Errno, Error, RegionIndex, Unsuitable};

tests! {
    errors_have_a_reason_and_advice,
    a_part_beyond_the_end_is_not_mapped,
    a_part_that_begins_within_a_page_is_not_mapped,
    a_destroyed_subregion_cannot_be_mapped,
    another_devices_region_is_not_taken_for_this_ones,
    a_bar_without_memory_has_no_subregions,
    a_bar_that_cannot_be_mapped_has_a_reason,
    the_msix_table_is_not_made_write_combining,
    a_bar_that_is_mapped_keeps_its_attribute,
    a_bar_with_a_subregion_does_not_become_write_combining,
    memory_that_is_off_is_neither_read_nor_written,
    a_touch_of_a_destroyed_subregion_raises_sigbus,
    a_touch_of_claimed_pages_through_the_bar_raises_sigbus,
    a_driver_without_subregions_is_told_apart_and_can_be_used,
    a_file_that_is_no_device_has_no_subregions,
}

/// Fails unless the call failed with `errno` and its advice contains `advice`.
fn refused<T>(result: Result<T, Error>, call: Call, errno: Errno, advice: &str) -> Outcome {
    let error = result.err().ok_or("it was not refused")?;
    println!("# {error}");
    ensure!(error.call() == Some(call) && error.errno() == Some(errno));
    ensure!(error.advice().unwrap_or_default().contains(advice));
    ensure!(error.to_string().contains(call.name()));
    Ok(())
}

// contract: userspace.errors
fn errors_have_a_reason_and_advice() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, MIB), Attribute::Device)?;
    let overlap = device.create(BAR, range(0, 2 * MIB), Attribute::Device);
    ensure!(overlap.err() == Some(Error::Overlaps(region.index())));
    let small = device.create(BAR, range(1, 4 * KIB), Attribute::Device);
    refused(small, Call::Create, Errno::INVAL, "whole pages")?;
    let beyond = device.create(BAR, range(16 * MIB, 4 * KIB), Attribute::Device);
    refused(beyond, Call::Create, Errno::INVAL, "whole pages")?;
    let bar = device.destroy(BAR.into());
    refused(bar, Call::Destroy, Errno::NOENT, "no such subregion")?;
    device.destroy(region.index())?;
    let twice = device.destroy(region.index());
    refused(twice, Call::Destroy, Errno::NOENT, "destroyed before")?;
    let query = device.query(RegionIndex::CONFIG);
    refused(query, Call::Query, Errno::INVAL, "a BAR or a subregion")?;
    let none = device.region(RegionIndex(1000));
    refused(none, Call::RegionInfo, Errno::INVAL, "no such region")
}

// contract: userspace.checked
fn a_part_beyond_the_end_is_not_mapped() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, MIB), Attribute::Device)?;
    let outside = Some(Error::OutsideRegion(region.index()));
    ensure!(device.map_part(&region, range(0, 2 * MIB)).err() == outside);
    let mut bytes = [0; 8];
    ensure!(device.read(&region, MIB, &mut bytes).err() == outside);
    ensure!(device.write(&region, MIB, &bytes).err() == outside);
    // A range that crosses the end is shortened.
    ensure!(device.read(&region, MIB - 4, &mut bytes)? == 4);
    Ok(())
}

// contract: userspace.checked
fn a_part_that_begins_within_a_page_is_not_mapped() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let part = device.map_part(&device.region(BAR)?, range(8, 8));
    refused(part, Call::Mmap, Errno::INVAL, "begin with a page")
}

// contract: userspace.errors
fn a_destroyed_subregion_cannot_be_mapped() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(MIB, MIB), Attribute::Device)?;
    device.destroy(region.index())?;
    refused(device.map(&region), Call::Mmap, Errno::INVAL, "destroyed")?;
    ensure!(device.region(region.index())?.size() == 0);
    Ok(())
}

/// The other device has a different region at this region's index, and this region elsewhere.
// contract: userspace.views
fn another_devices_region_is_not_taken_for_this_ones() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    device.create(BAR, range(0, MIB), Attribute::Device)?;
    let region = device.create(BAR, range(MIB, MIB), Attribute::Device)?;
    let other = Opened::new(&address("DEV_IVSHMEM_BIG")?)?;
    let other = other.device();
    let large = other.create(BAR, range(0, 4 * MIB), Attribute::WriteCombining)?;
    let index = other
        .create(BAR, range(4 * MIB, MIB), Attribute::Device)?
        .index();
    ensure!(index == region.index());
    let begin = large.file_offset();
    ensure!((begin..begin + 3 * MIB).contains(&region.file_offset()));
    ensure!(other.map(&region).err() == Some(Error::Changed(index)));
    device.map(&region)?.write(0, 1_u8)?;
    Ok(())
}

// contract: userspace.errors
fn a_bar_without_memory_has_no_subregions() -> Outcome {
    let opened = Opened::new(&address("DEV_TESTDEV")?)?;
    let device = opened.device();
    // BAR 1 is an I/O BAR, and BAR 5 does not exist.
    for (bar, advice) in [
        (Bar::ALL[1], "name a memory BAR"),
        (Bar::ALL[5], "lspci -vv"),
    ] {
        let create = device.create(bar, range(0, 4 * KIB), Attribute::Device);
        refused(create, Call::Create, Errno::INVAL, advice)?;
        let set = device.set_attribute(bar, Attribute::Device);
        refused(set, Call::SetAttr, Errno::INVAL, advice)?;
        ensure!(device.query(bar)?.attributes.is_empty());
    }
    let config = device.map(&device.region(RegionIndex::CONFIG)?);
    refused(config, Call::Mmap, Errno::INVAL, "cannot be mapped")
}

/// Fails unless the call was refused because of that property of the BAR.
fn unsuitable<T>(result: Result<T, Error>, call: Call, errno: Errno, want: Unsuitable) -> Outcome {
    let error = result.err().ok_or("it was not refused")?;
    println!("# {error}");
    ensure!(matches!(error, Error::Unsuitable { why, .. } if why == want));
    ensure!(error.call() == Some(call) && error.errno() == Some(errno));
    ensure!(error.advice() == Some(want.advice()));
    Ok(())
}

// contract: userspace.messages
fn a_bar_that_cannot_be_mapped_has_a_reason() -> Outcome {
    let page = range(0, 4 * KIB);
    let wc = Attribute::WriteCombining;
    let testdev = Opened::new(&address("DEV_TESTDEV")?)?;
    for (bar, why) in [
        (1, Unsuitable::Ports),
        (3, Unsuitable::UpperHalf(BAR)),
        (5, Unsuitable::Absent),
    ] {
        let device = testdev.device();
        let bar = Bar::ALL[bar];
        unsuitable(
            device.create(bar, page, wc),
            Call::Create,
            Errno::INVAL,
            why,
        )?;
        let set = device.set_attribute(bar, wc);
        unsuitable(set, Call::SetAttr, Errno::INVAL, why)?;
        ensure!(device.unsuitable(bar, wc) == Some(why));
        if why == Unsuitable::Ports {
            let map = device.map(&device.region(bar)?);
            unsuitable(map, Call::Mmap, Errno::INVAL, why)?;
        }
    }
    let ivshmem = open()?;
    let device = ivshmem.device();
    let small = Unsuitable::LessThanAPage(256);
    let create = device.create(Bar::ALL[0], page, wc);
    unsuitable(create, Call::Create, Errno::INVAL, small)?;
    ensure!(device.unsuitable(BAR, wc).is_none());
    let msix = Opened::new(&address("DEV_MSIX")?)?;
    let device = msix.device();
    let create = device.create(Bar::ALL[1], page, wc);
    unsuitable(create, Call::Create, Errno::PERM, Unsuitable::MsixTable)?;
    ensure!(device.unsuitable(Bar::ALL[1], Attribute::Device).is_none());
    device.create(Bar::ALL[1], page, Attribute::Device)?;
    Ok(())
}

// contract: userspace.errors
fn the_msix_table_is_not_made_write_combining() -> Outcome {
    let opened = Opened::new(&address("DEV_NVME")?)?;
    let device = opened.device();
    let bar = Bar::ALL[0];
    let page = range(8 * KIB, 4 * KIB);
    let create = device.create(bar, page, Attribute::WriteCombining);
    refused(create, Call::Create, Errno::PERM, "MSI-X table")?;
    let set = device.set_attribute(bar, Attribute::WriteCombining);
    refused(set, Call::SetAttr, Errno::PERM, "MSI-X table")?;
    // A strict subregion is possible.
    device.create(bar, page, Attribute::Device)?;
    Ok(())
}

// contract: userspace.errors
fn a_bar_that_is_mapped_keeps_its_attribute() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let mapping = device.map_part(&device.region(BAR)?, range(0, 4 * KIB))?;
    let set = device.set_attribute(BAR, Attribute::WriteCombining);
    refused(set, Call::SetAttr, Errno::BUSY, "unmap it first")?;
    ensure!(device.query(BAR)?.busy == Busy::MAPPED);
    ensure!(device.region(BAR)?.attribute() == Some(Attribute::Noncached));
    drop(mapping);
    device.set_attribute(BAR, Attribute::WriteCombining)?;
    Ok(())
}

// contract: userspace.errors
fn a_bar_with_a_subregion_does_not_become_write_combining() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(0, MIB), Attribute::WriteCombining)?;
    let set = device.set_attribute(BAR, Attribute::WriteCombining);
    refused(set, Call::SetAttr, Errno::BUSY, "destroy it first")?;
    ensure!(device.query(BAR)?.busy == Busy::SUBREGION);
    device.destroy(region.index())?;
    device.set_attribute(BAR, Attribute::WriteCombining)?;
    let strict = device.create(BAR, range(0, MIB), Attribute::Noncached)?;
    ensure!(device.map(&strict)?.attribute() == Some(Attribute::Noncached));
    Ok(())
}

// contract: userspace.errors
fn memory_that_is_off_is_neither_read_nor_written() -> Outcome {
    const COMMAND: u64 = 4;
    const MEMORY: u8 = 2;
    let opened = open()?;
    let device = opened.device();
    let region = device.create(BAR, range(0, MIB), Attribute::WriteCombining)?;
    let config = device.region(RegionIndex::CONFIG)?;
    let mut command = [0];
    device.read(&config, COMMAND, &mut command)?;
    let [on] = command;
    device.write(&config, COMMAND, &[on & !MEMORY])?;
    let read = device.read(&region, 0, &mut [0; 4]);
    let write = device.write(&region, 0, &[0; 4]);
    device.write(&config, COMMAND, &[on | MEMORY])?;
    refused(read, Call::Read, Errno::IO, "Memory Space")?;
    refused(write, Call::Write, Errno::IO, "Memory Space")?;
    ensure!(device.read(&region, 0, &mut [0; 4])? == 4);
    Ok(())
}

// contract: userspace.sigbus
fn a_touch_of_a_destroyed_subregion_raises_sigbus() -> Outcome {
    ends_by_sigbus("destroyed")
}

// contract: userspace.sigbus
fn a_touch_of_claimed_pages_through_the_bar_raises_sigbus() -> Outcome {
    ends_by_sigbus("claimed")
}

// contract: userspace.other-driver
fn a_driver_without_subregions_is_told_apart_and_can_be_used() -> Outcome {
    let elsewhere = Elsewhere::new(address("DEV_IVSHMEM")?)?;
    let opened = open()?;
    let device = opened.device();
    let bind = "bind the device to subregion_vfio_pci";
    let create = device.create(BAR, range(0, MIB), Attribute::WriteCombining);
    ensure!(create.as_ref().is_err_and(Error::is_unsupported));
    refused(create, Call::Create, Errno::NOTTY, bind)?;
    refused(device.query(BAR), Call::Query, Errno::NOTTY, bind)?;
    let destroy = device.destroy(RegionIndex(9));
    refused(destroy, Call::Destroy, Errno::NOTTY, bind)?;
    let set = device.set_attribute(BAR, Attribute::WriteCombining);
    refused(set, Call::SetAttr, Errno::NOTTY, bind)?;

    let region = device
        .regions()?
        .remove(&BAR.into())
        .ok_or("there is no BAR")?;
    ensure!(region.effective().is_none() && region.claims().is_empty());
    let mapping = device.map(&region)?;
    mapping.registers()?.write(0, 7_u32)?;
    ensure!(mapping.read::<u32>(0)? == 7);
    drop(mapping);
    drop(opened);
    elsewhere.back()
}

// contract: userspace.other-driver
fn a_file_that_is_no_device_has_no_subregions() -> Outcome {
    let device = Device::new(std::fs::File::open("/dev/null")?);
    let error = device.query(BAR).err().ok_or("/dev/null has some")?;
    ensure!(error.is_unsupported());
    refused(
        device.regions(),
        Call::DeviceInfo,
        Errno::NOTTY,
        "no VFIO device",
    )
}
