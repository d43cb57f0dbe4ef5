// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The best mapping of a part of a BAR that the device's driver offers, and layouts of such parts.

use crate::{
    flush_stores, raw::Memory, Attribute, Bar, ByteRange, Device, Error, Mapping, Region,
    RegionIndex,
};
use rustix::fd::{AsFd, AsRawFd};
use std::{
    format,
    fs::File,
    path::{Path, PathBuf},
    vec::Vec,
};

/// The interface that a mapping was made through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A subregion of this project's driver. It exists until [`Device::unmap`], [`Device::destroy`] or
    /// the last close of the device.
    Subregion(Region),
    /// The file `resourceN_wc` in sysfs. VFIO does not know this mapping, so a reset does not revoke
    /// it: the program must not access it while the device is being reset.
    Sysfs,
    /// The BAR's own region, as on vfio-pci.
    Bar,
}

/// A mapping that [`Device::map_best`] made, for [`Device::unmap`].
#[derive(Debug)]
pub struct Best {
    /// The mapping. [`Mapping::attribute`] is one of the attributes that were wanted.
    pub mapping: Mapping,
    /// The origin of the memory.
    pub source: Source,
}

/// The parts into which a driver splits a BAR.
///
/// ```no_run
/// use vfio_subregion::{Attribute, Bar, BarLayout, ByteRange, Device};
///
/// const REGISTERS: ByteRange = ByteRange::new(0, 1 << 20).unwrap();
/// const DATA: ByteRange = ByteRange::new(1 << 20, 4 << 20).unwrap();
///
/// # fn example(device: Device<std::fs::File>) -> Result<(), Box<dyn std::error::Error>> {
/// let layout = BarLayout::new(Bar::new(2).unwrap())
///     .part(REGISTERS, &[Attribute::Noncached])
///     .part(DATA, &[Attribute::WriteCombining, Attribute::Noncached]);
/// let parts = device.map_layout(&layout)?;
/// let doorbell = parts[0].mapping.registers()?.register::<u32>(0)?;
/// let mut queue = parts[1].mapping.data().ring::<[u64; 8]>(0, 1024)?.queue(doorbell);
/// println!("the data is {:?}", parts[1].mapping.attribute());
/// # queue.push(&[0; 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BarLayout {
    bar: Bar,
    parts: Vec<(ByteRange, Vec<Attribute>)>,
}

impl BarLayout {
    /// Returns a layout without parts.
    #[must_use]
    pub const fn new(bar: Bar) -> Self {
        Self {
            bar,
            parts: Vec::new(),
        }
    }

    /// Adds a part, with the attributes that the driver can work with, the best one first.
    #[must_use]
    pub fn part(mut self, range: ByteRange, wanted: &[Attribute]) -> Self {
        self.parts.push((range, wanted.to_vec()));
        self
    }

    /// Whether two of the parts share a byte.
    fn overlaps(&self) -> bool {
        let mut ranges: Vec<_> = self.parts.iter().map(|(range, _)| *range).collect();
        ranges.sort_by_key(|range| range.offset());
        ranges
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.overlaps(*b)))
    }
}

impl<F: AsFd> Device<F> {
    /// Creates a subregion and maps it; if it cannot be mapped, it is destroyed again.
    ///
    /// # Errors
    ///
    /// Those of [`Device::create`] and [`Device::map`].
    pub fn create_map(
        &self,
        bar: Bar,
        range: ByteRange,
        attribute: Attribute,
    ) -> Result<(Region, Mapping), Error> {
        let region = self.create(bar, range, attribute)?;
        match self.map(&region) {
            Ok(mapping) => Ok((region, mapping)),
            Err(error) => {
                // The error of the mapping is the one to report.
                let _ = self.destroy(region.index());
                Err(error)
            }
        }
    }

    /// Maps a part of a BAR with the first attribute of `wanted` that is possible.
    ///
    /// A driver that prefers write combining but works without it needs no other code for vfio-pci:
    /// [`Mapping::attribute`] and [`Best::source`] say what it got, and [`Mapping::data`] has the
    /// same copies for every type. These ways are tried:
    ///
    /// * for [`Attribute::Noncached`], a mapping of the BAR itself, with any driver;
    /// * for the others, a subregion;
    /// * for [`Attribute::WriteCombining`], if the driver has no subregions, the file `resourceN_wc`
    ///   in sysfs. Its rights must allow that, the BAR must be prefetchable, and the kernel must
    ///   allow mappings of memory that a driver has (`iomem=relaxed`, or no
    ///   `CONFIG_IO_STRICT_DEVMEM`). On x86 it is not tried: while VFIO has the device open, such a
    ///   mapping is uncached, and the kernel does not say so.
    ///
    /// # Errors
    ///
    /// That of the first attribute in `wanted`, if none is possible; [`Error::OutsideRegion`] if
    /// `wanted` is empty.
    pub fn map_best(
        &self,
        bar: Bar,
        range: ByteRange,
        wanted: &[Attribute],
    ) -> Result<Best, Error> {
        let mut first = None;
        for &attribute in wanted {
            let best = match attribute {
                Attribute::Noncached => self.map_bar(bar, range),
                _ => match self.create_map(bar, range, attribute) {
                    Ok((region, mapping)) => Ok(Best {
                        mapping,
                        source: Source::Subregion(region),
                    }),
                    Err(error) => self.map_sysfs(bar, range, attribute, error).ok_or(error),
                },
            };
            match best {
                Ok(best) => return Ok(best),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(Error::OutsideRegion(bar.into())))
    }

    /// Maps all parts of a layout, in its order, as [`Device::map_best`] does.
    ///
    /// # Errors
    ///
    /// [`Error::PartsOverlap`], and those of [`Device::map_best`]. Then nothing is mapped, and the
    /// subregions of the other parts are destroyed.
    pub fn map_layout(&self, layout: &BarLayout) -> Result<Vec<Best>, Error> {
        if layout.overlaps() {
            return Err(Error::PartsOverlap(layout.bar));
        }
        let mut made = Vec::new();
        for (range, wanted) in &layout.parts {
            match self.map_best(layout.bar, *range, wanted) {
                Ok(best) => made.push(best),
                Err(error) => {
                    // The error that led here is the one to report.
                    for best in made {
                        let _ = self.unmap(best);
                    }
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// Unmaps a result of [`Device::map_best`], and ends its subregion, if it is one.
    ///
    /// It first flushes the stores of this thread. Other threads and processes that stored to it must
    /// have called [`flush_stores`].
    ///
    /// # Errors
    ///
    /// Those of [`Device::destroy`].
    pub fn unmap(&self, best: Best) -> Result<(), Error> {
        flush_stores();
        drop(best.mapping);
        match best.source {
            Source::Subregion(region) => self.destroy(region.index()),
            Source::Sysfs | Source::Bar => Ok(()),
        }
    }

    /// Maps a part of the BAR itself, if it is strict there and no subregion has claimed any of it.
    fn map_bar(&self, bar: Bar, range: ByteRange) -> Result<Best, Error> {
        let region = self.region(bar)?;
        let mut claims = region.claims().iter();
        if let Some(claim) = claims.find(|claim| claim.range.overlaps(range)) {
            return Err(Error::Overlaps(claim.index));
        }
        let mapping = self.map_part(&region, range)?;
        if mapping.attribute() != Some(Attribute::Noncached) {
            return Err(Error::Changed(RegionIndex::from(bar)));
        }
        Ok(Best {
            mapping,
            source: Source::Bar,
        })
    }

    /// Maps a part of a BAR through sysfs, after `error` of the attempt to create a subregion.
    fn map_sysfs(
        &self,
        bar: Bar,
        range: ByteRange,
        attribute: Attribute,
        error: Error,
    ) -> Option<Best> {
        let x86 = cfg!(any(target_arch = "x86_64", target_arch = "x86"));
        if x86 || attribute != Attribute::WriteCombining || !error.is_unsupported() {
            return None;
        }
        let path = self.sysfs()?.join(format!("resource{bar}_wc"));
        let file = File::options().read(true).write(true).open(path).ok()?;
        let size = usize::try_from(range.size()).ok()?;
        let memory = Memory::map(file.as_fd(), range.offset(), size, range.offset()).ok()?;
        Some(Best {
            mapping: Mapping::new(memory, Some(attribute)),
            source: Source::Sysfs,
        })
    }

    /// The directory of the device in sysfs, which `/proc/self/fdinfo` names.
    pub(crate) fn sysfs(&self) -> Option<PathBuf> {
        let fd = self.fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        let path = |line: &str| Some(line.strip_prefix("vfio-device-syspath:")?.trim().into());
        info.lines()
            .find_map(path)
            .filter(|path: &PathBuf| path.starts_with(Path::new("/sys")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(offset: u64, size: u64) -> ByteRange {
        ByteRange::new(offset, size).unwrap()
    }

    // contract: userspace.layout
    #[test]
    fn parts_that_overlap_are_found_in_any_order() {
        let layout = |parts: &[ByteRange]| {
            let empty = BarLayout::new(Bar::ALL[2]);
            parts
                .iter()
                .fold(empty, |layout, part| layout.part(*part, &[]))
        };
        assert!(!layout(&[]).overlaps());
        assert!(!layout(&[range(4096, 4096), range(0, 4096), range(8192, 1)]).overlaps());
        assert!(layout(&[range(4096, 4096), range(0, 4097)]).overlaps());
        assert!(layout(&[range(0, 8192), range(4096, 1), range(9000, 1)]).overlaps());
    }

    // contract: userspace.best
    #[test]
    fn the_first_error_is_reported() {
        let null = File::options().read(true).write(true).open("/dev/null");
        let device = Device::new(null.unwrap());
        let wanted = [Attribute::WriteCombining, Attribute::Noncached];
        let error = device.map_best(Bar::ALL[2], range(0, 4096), &wanted);
        assert!(error.unwrap_err().is_unsupported());
        assert!(device.map_best(Bar::ALL[2], range(0, 4096), &[]).is_err());
        let layout = BarLayout::new(Bar::ALL[2]).part(range(0, 4096), &wanted);
        assert!(device.map_layout(&layout).unwrap_err().is_unsupported());
        let layout = layout.part(range(0, 1), &wanted);
        let overlap = Some(Error::PartsOverlap(Bar::ALL[2]));
        assert_eq!(device.map_layout(&layout).err(), overlap);
    }
}
