// SPDX-License-Identifier: GPL-2.0-only

//! The manual pages, made from the command line.

use crate::command::Arguments;
use clap::CommandFactory;
use clap_mangen::Man;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};
use subregion_open::Failure;

/// The date of the last change of the command line.
const DATE: &str = "2026-11-27";

/// Text that the command line does not contain.
const END: &str = r".SH DEVICES
A device is named by its PCI address, such as 0000:01:00.0 or 01:00.0, and must be bound to
subregion_vfio_pci; show and dump also work with vfio\-pci, and list with any driver.
.SH EXIT STATUS
0 on success; 1 if an operation failed, with the reason on stderr; 2 for a wrong command line.
.SH EXAMPLES
Show the device while 4 MiB of its BAR 2 are write\-combining:
.PP
.nf
    subregionctl hold 01:00.0 \-\-part 2:1M:4M:wc
.fi
.PP
The attribute and type of each region that can be mapped, for a script:
.PP
.nf
    subregionctl show \-\-json 01:00.0 | jq '.[].regions[] | {region, attribute, type}'
.fi
.PP
The regions of the devices that a running testpmd has open:
.PP
.nf
    subregionctl list \-\-pid $(pidof dpdk\-testpmd)
.fi
.SH SEE ALSO
";

/// Writes a page for the program and one for each of its commands.
pub(crate) fn write(directory: &Path) -> Result<(), Failure> {
    let mut all = Arguments::command();
    all.build();
    let commands: Vec<_> = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .cloned()
        .chain([all.clone()])
        .collect();
    let names: Vec<_> = commands.iter().map(name).collect();
    for command in commands {
        let own = name(&command);
        let others: Vec<_> = names
            .iter()
            .filter(|&other| *other != own)
            .map(|other| format!("\\fB{}\\fR(1)", other.replace('-', "\\-")))
            .collect();
        let mut page = File::create(directory.join(format!("{own}.1")))?;
        render(command, &mut page)?;
        writeln!(page, "{END}{}", others.join(",\n"))?;
    }
    Ok(())
}

fn name(command: &clap::Command) -> String {
    command
        .get_display_name()
        .unwrap_or("subregionctl")
        .to_string()
}

/// Text of the command line.
fn render(command: clap::Command, page: &mut File) -> io::Result<()> {
    let title = name(&command).to_uppercase();
    Man::new(command.after_help(None::<&str>).version(None::<&str>))
        .title(title)
        .date(DATE)
        .source(concat!("subregionctl ", env!("CARGO_PKG_VERSION")))
        .manual("Subregions of PCI BARs")
        .render(page)
}
