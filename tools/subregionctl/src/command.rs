// SPDX-License-Identifier: GPL-2.0-only

//! The command line.

use clap::{Parser, Subcommand};
use rustix::process::Pid;
use std::time::Duration;
use subregion_open::Address;
use vfio_subregion::{Attribute, Bar, ByteRange};

/// Shows regions and subregions of VFIO devices, and makes some for debugging.
///
/// Subregions belong to the open device and end with its last close. `list --open`, `list --pid` and
/// `watch` show those of other programs. `show`, `hold` and `dump` open the device, which is not
/// possible while another program has it open.
#[derive(Parser)]
#[command(
    name = "subregionctl",
    version,
    disable_help_subcommand = true,
    after_help = "DEVICE is a PCI address, such as 0000:01:00.0 or 01:00.0. For example,\n\n  \
        subregionctl hold 01:00.0 --part 2:1M:4M:wc\n\n\
        shows the device while 4 MiB of its BAR 2 are write-combining."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists devices, their drivers, IOMMU groups and BARs, by sysfs. No device is opened
    List {
        /// The devices (default: all that are bound to `subregion_vfio_pci` or vfio-pci)
        devices: Vec<Address>,
        /// Show instead what the devices have that other programs have open, by the driver's files
        /// in debugfs. No device is opened. Only root can do this
        #[arg(long, conflicts_with = "pid")]
        open: bool,
        /// Show instead the regions of the devices that this process has open, as show does, by
        /// copies of its descriptors. Only root, or a user who may trace the process, can do this
        #[arg(long)]
        pid: Option<Process>,
        /// Print JSON: a list of devices, each with the list of its BARs, regions or lines
        #[arg(long)]
        json: bool,
    },
    /// Opens devices, and shows their regions, memory types, and the attributes that they support
    Show {
        /// The devices (default: all that are bound to `subregion_vfio_pci` or vfio-pci)
        devices: Vec<Address>,
        /// Print JSON instead of a table: a list of devices, each with the list of its regions
        #[arg(long)]
        json: bool,
    },
    /// Prints what list --open shows at first, and each change of it, until it is ended (Ctrl-C)
    ///
    /// A line that has come is marked with +, one that has gone with -. A line that has changed
    /// goes and comes. No device is opened. Only root can do this.
    Watch {
        /// The devices (default: all that programs open)
        devices: Vec<Address>,
        /// The time between two looks, in seconds; what comes and goes in between is not seen
        #[arg(long, default_value = "1", value_parser = seconds)]
        interval: Duration,
        /// Print a JSON object in each line, with the device, the change and the values
        #[arg(long)]
        json: bool,
    },
    /// Makes subregions, shows the device, and keeps it open
    Hold {
        /// The device
        device: Address,
        /// A subregion, as BAR:OFFSET:SIZE:ATTRIBUTE, where ATTRIBUTE is noncached, device, wc or
        /// guest-any, and numbers may end in K, M or G
        #[arg(long = "part", required = true)]
        parts: Vec<Part>,
        /// End after this number of seconds, instead of at the end of input
        #[arg(long)]
        seconds: Option<u64>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Prints bytes of a region in hexadecimal, without mapping it
    Dump {
        /// The device
        device: Address,
        /// The index of the region
        region: u32,
        /// The offset of the first byte
        #[arg(long, default_value = "0", value_parser = number)]
        offset: u64,
        /// The number of bytes
        #[arg(long, default_value = "256", value_parser = number)]
        length: u64,
        /// Subregions to make first; the first one has the index 9 on most devices
        #[arg(long = "part")]
        parts: Vec<Part>,
    },
    /// Writes the manual pages to a directory
    #[command(hide = true)]
    Man {
        /// The directory
        directory: std::path::PathBuf,
    },
}

/// A range of a BAR and its attribute.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) bar: Bar,
    pub(crate) range: ByteRange,
    pub(crate) attribute: Attribute,
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<_> = text.split(':').collect();
        let [bar, offset, size, attribute] = fields[..] else {
            return Err("expected BAR:OFFSET:SIZE:ATTRIBUTE".into());
        };
        let bar = bar.parse().ok().and_then(Bar::new);
        let attribute = Attribute::ALL.iter().find(|a| a.name() == attribute);
        Ok(Self {
            bar: bar.ok_or("a BAR is a number from 0 to 5")?,
            range: ByteRange::new(number(offset)?, number(size)?)
                .ok_or("the range is empty or too large")?,
            attribute: *attribute.ok_or("the attribute is unknown")?,
        })
    }
}

/// A process.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) Pid);

impl std::str::FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pid = text.parse().ok().filter(|&number: &i32| number > 0);
        let pid = pid.and_then(Pid::from_raw);
        pid.map(Self)
            .ok_or_else(|| format!("{text} is not the number of a process"))
    }
}

/// A time, which is not zero.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| format!("{text} is not a number of seconds above zero"))
}

/// A decimal or, after 0x, hexadecimal number, which may end in K, M or G.
fn number(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 1 << 10),
        Some(digits) if text.ends_with('M') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text, 1),
    };
    match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    }
    .ok()
    .and_then(|value| value.checked_mul(unit))
    .ok_or_else(|| format!("{text} is not a number"))
}

// contract: userspace.subregionctl-options
#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn numbers_have_units_and_bases() {
        assert_eq!(number("4K"), Ok(4096));
        assert_eq!(number("0x10M"), Ok(16 << 20));
        assert_eq!(number("2G"), Ok(2 << 30));
        for wrong in ["", "K", "-1", "4T", "0x", "17179869184G"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_and_a_process_are_above_zero() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "1s", "NaN", "inf"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert!("1".parse::<Process>().is_ok());
        for wrong in ["", "0", "-1", "self", "4294967297"] {
            assert!(wrong.parse::<Process>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_has_four_fields() {
        let part: Part = "2:1M:4M:wc".parse().unwrap();
        assert_eq!(part.bar.number(), 2);
        assert_eq!(ByteRange::new(1 << 20, 4 << 20), Some(part.range));
        assert_eq!(part.attribute, Attribute::WriteCombining);
        for wrong in [
            "2:1M:4M",
            "6:0:4K:wc",
            "2:0:0:wc",
            "2:0:4K:wb",
            "2:0:4K:wc:",
        ] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
