// SPDX-License-Identifier: GPL-2.0-only

//! A device's regions as a table or as JSON.

use serde_json::{json, Value};
use std::{
    io::{self, BufWriter, Write},
    os::fd::AsFd,
};
use subregion_open::{Address, Failure};
use vfio_subregion::{
    Attribute, Attributes, Bar, Device, Region, RegionFlags, RegionIndex, Support,
};

/// The data of a device to show.
pub(crate) struct Listing {
    device: String,
    /// Whether the driver has subregions.
    supported: bool,
    /// Each region, and the attributes and limits that it supports.
    rows: Vec<(Region, Option<Support>)>,
}

impl Listing {
    pub(crate) fn new<F: AsFd>(address: &Address, device: &Device<F>) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        let mut supported = true;
        for region in device.regions()?.into_values() {
            let can = match device.query(region.index()) {
                Ok(support) => Some(support),
                Err(error) => {
                    supported &= !error.is_unsupported();
                    None
                }
            };
            rows.push((region, can));
        }
        Ok(Self {
            device: address.to_string(),
            supported,
            rows,
        })
    }

    /// The unit of offsets and sizes of subregions, in bytes.
    fn granule(&self) -> Option<u64> {
        let mut supports = self.rows.iter().filter_map(|(_, can)| *can);
        supports.next().map(|can| can.granule)
    }
}

fn kind(region: &Region) -> String {
    if let Some(subregion) = region.subregion() {
        return format!("in BAR {}", subregion.parent);
    }
    match (Bar::from_index(region.index()), region.index().0) {
        (Some(bar), _) => format!("BAR {bar}"),
        (None, 6) => "ROM".into(),
        (None, 8) => "VGA".into(),
        (None, _) if region.index() == RegionIndex::CONFIG => "config".into(),
        (None, _) => "other".into(),
    }
}

fn flags(region: &Region) -> String {
    [
        (RegionFlags::READ, 'r'),
        (RegionFlags::WRITE, 'w'),
        (RegionFlags::MMAP, 'm'),
    ]
    .into_iter()
    .map(|(flag, letter)| {
        if region.flags().contains(flag) {
            letter
        } else {
            '-'
        }
    })
    .collect()
}

fn names(attributes: Attributes) -> Vec<&'static str> {
    Attribute::ALL
        .iter()
        .copied()
        .filter(|&attribute| attributes.contains(attribute.into()))
        .map(Attribute::name)
        .collect()
}

/// The type of mappings, if the region can be mapped.
fn attribute(region: &Region) -> Option<Attribute> {
    region
        .attribute()
        .filter(|_| region.flags().contains(RegionFlags::MMAP))
}

fn table(out: &mut impl Write, listing: &Listing) -> io::Result<()> {
    let note = match listing.granule() {
        Some(granule) => format!("  (ranges in units of {granule:#x} bytes)"),
        None if listing.supported => String::new(),
        None => "  (its driver has no subregions)".into(),
    };
    writeln!(out, "{}{note}", listing.device)?;
    writeln!(
        out,
        "  {:<6} {:<9} {:<23} {:>12} {:<5} {:<9} {:<13} can be",
        "region", "what", "range", "size", "flags", "attribute", "type"
    )?;
    for (region, can) in &listing.rows {
        let range = region
            .subregion()
            .map_or("-".into(), |subregion| subregion.range.to_string());
        let effective = region
            .effective()
            .map_or("-".into(), |effective| effective.to_string());
        let names = can.map(|can| names(can.attributes));
        let names = names.filter(|names| !names.is_empty());
        writeln!(
            out,
            "  {:<6} {:<9} {range:<23} {:>#12x} {:<5} {:<9} {effective:<13} {}",
            region.index().0,
            kind(region),
            region.size(),
            flags(region),
            attribute(region).map_or("-", Attribute::name),
            names.map_or("-".into(), |names| names.join(" "))
        )?;
        let lacks = |can: &Support| {
            let all = Attribute::ALL.iter();
            all.copied()
                .any(|attribute| !can.attributes.contains(attribute.into()))
        };
        if let Some(can) = can.filter(lacks).filter(|can| !can.busy.is_empty()) {
            writeln!(out, "         busy: {}", can.busy)?;
        }
        for claim in region.claims() {
            writeln!(
                out,
                "         claimed {:<23} by region {}",
                claim.range.to_string(),
                claim.index
            )?;
        }
    }
    Ok(())
}

fn as_json(listing: &Listing) -> Value {
    let regions: Vec<_> = listing
        .rows
        .iter()
        .map(|(region, can)| {
            let claims: Vec<_> = region
                .claims()
                .iter()
                .map(|claim| {
                    json!({
                        "offset": claim.range.offset(),
                        "size": claim.range.size(),
                        "region": claim.index.0,
                    })
                })
                .collect();
            json!({
                "region": region.index().0,
                "kind": kind(region),
                "size": region.size(),
                "file_offset": region.file_offset(),
                "flags": flags(region),
                "parent": region.subregion().map(|subregion| subregion.parent.number()),
                "offset": region.subregion().map(|subregion| subregion.range.offset()),
                "attribute": attribute(region).map(Attribute::name),
                "type": region.effective().map(|effective| effective.to_string()),
                "can_be": can.map(|can| names(can.attributes)),
                "busy": can.map(|can| can.busy.names().collect::<Vec<_>>()),
                "claims": claims,
            })
        })
        .collect();
    json!({
        "device": listing.device,
        "subregions": listing.supported,
        "granule": listing.granule(),
        "regions": regions,
    })
}

/// Returns the error of a write to stdout, but ends the program without a message if the reader has
/// had enough, as head has.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(1),
        result => Ok(result?),
    }
}

/// Prints all devices.
///
/// # Errors
///
/// Those of stdout.
pub(crate) fn print(listings: &[Listing], json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = || {
        if json {
            writeln!(out, "{:#}", listings.iter().map(as_json).collect::<Value>())?;
        } else {
            for listing in listings {
                table(&mut out, listing)?;
            }
        }
        out.flush()
    };
    written(write())
}
