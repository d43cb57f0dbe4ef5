// SPDX-License-Identifier: GPL-2.0

//! Tests of the crate on the driver, and of vfio-ioctls beside it, as KTAP.

use std::process::{
    Command,
    ExitCode, //
};
use subregion_samples::{
    Failure,
    Opened, //
};
use vfio_subregion::{
    Attribute,
    Attributes,
    Bar,
    ByteRange,
    Device,
    Error,
    RegionFlags,
    RegionIndex, //
};

type Outcome = Result<(), Failure>;
type Test = (&'static str, fn() -> Outcome);

/// Fails with the condition's own text.
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), stringify!($condition)).into());
        }
    };
}

const MIB: u64 = 1 << 20;

fn open() -> Result<Opened, Failure> {
    Opened::new(&std::env::var("DEV_IVSHMEM")?)
}

fn bar() -> Result<Bar, Failure> {
    Bar::new(2).ok_or_else(|| "there are BARs 0 to 5".into())
}

fn range(offset: u64, size: u64) -> Result<ByteRange, Failure> {
    ByteRange::new(offset, size).ok_or_else(|| "an empty range".into())
}

fn errno<T>(result: Result<T, Error>) -> Option<i32> {
    result
        .err()?
        .errno()
        .map(std::io::Error::from)
        .and_then(|e| e.raw_os_error())
}

fn what_is_written_through_a_subregion_is_read_through_the_bar() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(bar()?, range(MIB, MIB)?, Attribute::WriteCombining)?;
    let mapping = device.map(&region)?;
    mapping
        .write_combining()?
        .copy_from(5, b"by write combining")?;
    vfio_subregion::flush_stores();
    let mut bytes = [0; 18];
    device.read(&device.region(bar()?)?, MIB + 5, &mut bytes)?;
    ensure!(&bytes == b"by write combining");
    Ok(())
}

fn every_attribute_can_be_had_and_says_what_it_became() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let support = device.query(bar()?)?;
    ensure!(support.attributes == Attributes::from_bits_retain(15));
    ensure!(support.count == 0 && support.limit > 0);
    for (at, attribute) in (0_u64..).zip(Attribute::ALL) {
        let part = range(at * support.granule, support.granule)?;
        let region = device.create(bar()?, part, attribute)?;
        ensure!(region
            .effective
            .is_some_and(|effective| effective.name().is_some()));
        ensure!(device.query(region.index)?.attributes == Attributes::from(attribute));
        let mapping = device.map(&region)?;
        ensure!(mapping.registers().is_err() == (attribute == Attribute::WriteCombining));
        mapping.write(0, 0x5a_u32)?;
        ensure!(mapping.read::<u32>(0)? == 0x5a);
    }
    Ok(())
}

fn subregions_are_found_by_their_index_and_bars_tell_of_them() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let first = device.create(bar()?, range(4 * MIB, MIB)?, Attribute::Device)?;
    let second = device.create(bar()?, range(0, MIB)?, Attribute::WriteCombining)?;
    let regions = device.regions()?;
    for made in [&first, &second] {
        let found = regions.get(&made.index).ok_or("it is not found")?;
        ensure!(found.subregion == made.subregion && found.file_offset == made.file_offset);
        ensure!(found.size == MIB && found.effective == made.effective);
        ensure!(found.flags.contains(RegionFlags::MMAP));
    }
    let claims = &regions.get(&bar()?.into()).ok_or("there is no BAR")?.claims;
    let indices: Vec<_> = claims.iter().map(|claim| claim.index).collect();
    ensure!(indices == [second.index, first.index]);
    device.destroy(first.index)?;
    ensure!(!device.regions()?.contains_key(&first.index));
    Ok(())
}

fn errors_say_what_is_wrong_and_what_to_do() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(bar()?, range(MIB, MIB)?, Attribute::Device)?;
    let overlap = device.create(bar()?, range(0, 2 * MIB)?, Attribute::Device);
    ensure!(overlap.as_ref().err() == Some(&Error::Overlaps(region.index)));
    let small = device.create(bar()?, range(1, 4096)?, Attribute::Device);
    ensure!(errno(small.clone()) == Some(22));
    let text = small.err().ok_or("it was made")?.to_string();
    ensure!(text.contains("VFIO_SUBREGION_CREATE") && text.contains("BAR 2"));
    ensure!(text.contains("granule"));
    ensure!(errno(device.destroy(RegionIndex(2))) == Some(2));
    device.destroy(region.index)?;
    ensure!(errno(device.destroy(region.index)) == Some(2));
    Ok(())
}

fn a_part_beyond_the_end_is_not_mapped() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(bar()?, range(MIB, MIB)?, Attribute::Device)?;
    let beyond = device.map_part(&region, range(0, 2 * MIB)?);
    ensure!(matches!(beyond, Err(Error::OutsideRegion(index)) if index == region.index));
    let mut byte = [0];
    ensure!(device.read(&region, MIB, &mut byte).is_err());
    Ok(())
}

fn a_whole_bar_can_have_an_attribute() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let effective = device.set_attribute(bar()?, Attribute::WriteCombining)?;
    let region = device.region(bar()?)?;
    ensure!(region.attribute == Attribute::WriteCombining);
    ensure!(region.effective == Some(effective));
    let mapping = device.map(&region)?;
    mapping.write_combining()?.copy_from(0, &[7; 64])?;
    ensure!(mapping.read::<u8>(63)? == 7);
    ensure!(errno(device.set_attribute(bar()?, Attribute::Noncached)) == Some(16));
    drop(mapping);
    device.set_attribute(bar()?, Attribute::Noncached)?;
    ensure!(device.region(bar()?)?.effective.is_none());
    Ok(())
}

fn a_mapping_outlives_the_descriptor_and_keeps_the_device_open() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(bar()?, range(0, MIB)?, Attribute::WriteCombining)?;
    let mapping = device.map(&region)?;
    drop(opened);
    mapping.write(8, 3_u64)?;
    ensure!(mapping.read::<u64>(8)? == 3);
    Ok(())
}

fn a_file_that_is_no_device_has_no_subregions() -> Outcome {
    let device = Device::new(std::fs::File::open("/dev/null")?);
    let error = device.query(bar()?).err().ok_or("/dev/null has some")?;
    ensure!(error.is_unsupported());
    Ok(())
}

/// vfio-ioctls asks at open, so that what is made later is unknown to it and does no harm.
fn vfio_ioctls_is_not_confused_by_what_is_made_after_it_opened() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let bars: Vec<_> = (0..6)
        .map(|index| opened.vfio().get_region_size(index))
        .collect();
    device.create(bar()?, range(0, MIB)?, Attribute::WriteCombining)?;
    for (index, size) in (0..).zip(&bars) {
        ensure!(opened.vfio().get_region_size(index) == *size);
    }
    ensure!(bars.get(2) == Some(&(16 * MIB)));
    let mut id = [0; 4];
    opened.vfio().region_read(RegionIndex::CONFIG.0, &mut id, 0);
    ensure!(u32::from_le_bytes(id) == opened.id()?);
    Ok(())
}

/// It numbers the regions that it could ask of, and there is no region 8 where there is no VGA.
fn vfio_ioctls_that_opens_later_finds_subregions_one_index_too_low() -> Outcome {
    let opened = open()?;
    let device = opened.device();
    let region = device.create(bar()?, range(0, 3 * MIB)?, Attribute::WriteCombining)?;
    ensure!(region.index == RegionIndex(9));
    let later = opened.again(&std::env::var("DEV_IVSHMEM")?)?;
    ensure!(later.vfio().get_region_size(8) == 3 * MIB);
    ensure!(later.vfio().get_region_offset(8) == region.file_offset);
    ensure!(later.vfio().get_region_size(9) == 0);
    // What is below that is right, and so is this crate on its file.
    ensure!(later.vfio().get_region_size(2) == 16 * MIB);
    ensure!(later.device().region(region.index)?.subregion == region.subregion);
    Ok(())
}

fn sample(name: &str, arguments: &[&str], says: &str) -> Outcome {
    let output = Command::new(format!("/samples/{name}"))
        .args(arguments)
        .output()?;
    print!("{}", indented(&String::from_utf8_lossy(&output.stdout)));
    print!("{}", indented(&String::from_utf8_lossy(&output.stderr)));
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status).into());
    }
    if !String::from_utf8_lossy(&output.stdout).contains(says) {
        return Err(format!("{name} does not say: {says}").into());
    }
    Ok(())
}

/// The first lines of a text as comments.
fn indented(text: &str) -> String {
    text.lines()
        .take(20).flat_map(|line| ["# ", line, "\n"]).collect()
}

fn sample_rust_ring_fills_a_wc_window() -> Outcome {
    sample("rust_ring", &[], "1024 descriptors are in region")
}

fn sample_igb_loop_gets_back_every_frame() -> Outcome {
    sample("igb_loop", &[], "1000 frames were sent and 1000 received")
}

fn sample_nvme_cmb_reads_blocks_by_commands_in_the_controller() -> Outcome {
    let device = std::env::var("DEV_NVME")?;
    sample("nvme_cmb", &[&device, "42"], "begins with block 42")
}

/// What `subregionctl` says with the arguments, in words, and whether it succeeds.
fn tool(arguments: &str) -> Result<(bool, String), Failure> {
    let device = std::env::var("DEV_IVSHMEM")?;
    let arguments = arguments.replace("DEVICE", &device);
    let output = Command::new("/samples/subregionctl")
        .args(arguments.split_whitespace())
        .output()?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    print!("{}", indented(&said));
    Ok((output.status.success(), said))
}

fn subregionctl_shows_what_it_holds() -> Outcome {
    let (success, said) = tool("hold DEVICE --part 2:1M:4M:wc --part 2:0:4K:device --seconds 0")?;
    ensure!(success);
    ensure!(said.contains("claimed 0x00100000-0x004fffff   by region 9"));
    ensure!(said.contains("claimed 0x00000000-0x00000fff   by region 10"));
    ensure!(said.contains("in BAR 2"));
    Ok(())
}

fn subregionctl_lists_devices_as_json() -> Outcome {
    let (success, said) = tool("list --json")?;
    ensure!(success);
    for device in ["DEV_IVSHMEM", "DEV_NVME", "DEV_IGB"] {
        ensure!(said.contains(&format!("\"device\": \"{}\"", std::env::var(device)?)));
    }
    ensure!(said.contains("\"subregions\": true") && !said.contains("\"subregions\": false"));
    Ok(())
}

fn subregionctl_dumps_a_region() -> Outcome {
    let (success, said) = tool("dump DEVICE 7 --length 4")?;
    ensure!(success && said == "00000000  f4 1a 10 11\n");
    let (success, said) = tool("dump DEVICE 9 --part 2:1M:4K:wc --offset 4K")?;
    ensure!(!success && said.contains("region 9 ends at 0x1000"));
    Ok(())
}

fn subregionctl_says_why_it_cannot() -> Outcome {
    let (success, said) = tool("hold DEVICE --part 2:1:4K:wc --seconds 0")?;
    ensure!(!success && said.contains("whole granules"));
    let (success, said) = tool("list 0000:ff:00.0")?;
    ensure!(!success && said.contains("there is no PCI device"));
    let (success, said) = tool("list 0000:00:00.0")?;
    ensure!(!success && said.contains("its driver is none"));
    Ok(())
}

const TESTS: &[Test] = &[
    (
        "subregionctl_shows_what_it_holds",
        subregionctl_shows_what_it_holds,
    ),
    (
        "subregionctl_lists_devices_as_json",
        subregionctl_lists_devices_as_json,
    ),
    ("subregionctl_dumps_a_region", subregionctl_dumps_a_region),
    (
        "subregionctl_says_why_it_cannot",
        subregionctl_says_why_it_cannot,
    ),
    (
        "what_is_written_through_a_subregion_is_read_through_the_bar",
        what_is_written_through_a_subregion_is_read_through_the_bar,
    ),
    (
        "every_attribute_can_be_had_and_says_what_it_became",
        every_attribute_can_be_had_and_says_what_it_became,
    ),
    (
        "subregions_are_found_by_their_index_and_bars_tell_of_them",
        subregions_are_found_by_their_index_and_bars_tell_of_them,
    ),
    (
        "errors_say_what_is_wrong_and_what_to_do",
        errors_say_what_is_wrong_and_what_to_do,
    ),
    (
        "a_part_beyond_the_end_is_not_mapped",
        a_part_beyond_the_end_is_not_mapped,
    ),
    (
        "a_whole_bar_can_have_an_attribute",
        a_whole_bar_can_have_an_attribute,
    ),
    (
        "a_mapping_outlives_the_descriptor_and_keeps_the_device_open",
        a_mapping_outlives_the_descriptor_and_keeps_the_device_open,
    ),
    (
        "a_file_that_is_no_device_has_no_subregions",
        a_file_that_is_no_device_has_no_subregions,
    ),
    (
        "vfio_ioctls_is_not_confused_by_what_is_made_after_it_opened",
        vfio_ioctls_is_not_confused_by_what_is_made_after_it_opened,
    ),
    (
        "vfio_ioctls_that_opens_later_finds_subregions_one_index_too_low",
        vfio_ioctls_that_opens_later_finds_subregions_one_index_too_low,
    ),
    (
        "sample_rust_ring_fills_a_wc_window",
        sample_rust_ring_fills_a_wc_window,
    ),
    (
        "sample_igb_loop_gets_back_every_frame",
        sample_igb_loop_gets_back_every_frame,
    ),
    (
        "sample_nvme_cmb_reads_blocks_by_commands_in_the_controller",
        sample_nvme_cmb_reads_blocks_by_commands_in_the_controller,
    ),
];

fn main() -> ExitCode {
    println!("KTAP version 1\n1..{}", TESTS.len());
    let mut failed = false;
    for (number, (name, test)) in (1..).zip(TESTS) {
        match test() {
            Ok(()) => println!("ok {number} crate.{name}"),
            Err(error) => {
                failed = true;
                println!("# {error}\nnot ok {number} crate.{name}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
