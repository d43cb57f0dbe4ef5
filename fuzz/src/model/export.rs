// SPDX-License-Identifier: GPL-2.0-only

//! Exports: files of single subregions.

use super::{judge::Transferred, Device, Mem, Region, Vma, World};
use libc::{EBADF, EINVAL, ENODEV};

/// The subregion to which an export leads, and never to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The number of the open device.
    pub session: u32,
    /// The index of the subregion.
    pub index: u32,
    /// Whether the file can be written.
    pub write: bool,
}

/// A descriptor of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// The descriptor.
    pub fd: i32,
    /// Its target.
    pub to: Exported,
}

impl Device {
    /// Returns the subregion to which an export leads, if the export has not ended.
    #[must_use]
    pub fn exported(&self, to: &Exported) -> Option<&Region> {
        self.region(to.index).filter(|_| to.session == self.session)
    }

    /// Returns the byte of the BAR at an address in a VMA, and the type of entries there, if an
    /// access may reach all of the `len` bytes.
    #[must_use]
    pub fn extent_of(&self, vma: &Vma, address: u64, len: u64) -> Option<(usize, u64, Mem)> {
        let offset = vma.offset_of(address);
        let Some(to) = &vma.export else {
            return self.extent(offset, len);
        };
        let region = self.exported(to)?;
        let slot = region.slot();
        let inside = slot.start <= offset && offset + len <= slot.end;
        let at = region.span.start + offset.checked_sub(slot.start)?;
        inside.then(|| (region.bar, at, region.attribute.mem()))
    }
}

impl World {
    /// Returns the target of an export of a process.
    #[must_use]
    pub fn export(&self, who: u32, fd: i32) -> Option<Exported> {
        let exports = &self.process(who)?.exports;
        exports
            .iter()
            .find(|export| export.fd == fd)
            .map(|export| export.to)
    }

    /// Returns the result of `mmap()` of an export for a mapping: the type, and the offset in the
    /// device file; or an errno.
    pub(super) fn mappable_export(
        &self,
        to: &Exported,
        offset: u64,
        len: u64,
        shared: bool,
    ) -> Result<(Mem, u64), i32> {
        let region = self
            .device
            .as_ref()
            .and_then(|device| device.exported(to))
            .ok_or(ENODEV)?;
        let fits = offset + len <= region.span.end - region.span.start;
        if !shared || !fits {
            return Err(EINVAL);
        }
        Ok((region.attribute.mem(), region.offset + offset))
    }

    /// Returns the results of `pread()` and `pwrite()` of an export, as
    /// [`transfer`](Self::transfer) does.
    pub(super) fn transfer_export(
        &self,
        who: u32,
        fd: i32,
        (offset, len): (u64, u32),
        write: bool,
    ) -> Transferred {
        let to = self.export(who, fd).ok_or(EBADF)?;
        if write && !to.write {
            return Err(EBADF);
        }
        if len == 0 {
            return Ok((0, None));
        }
        let device = self.device.as_ref().ok_or(ENODEV)?;
        let region = device.exported(&to).ok_or(ENODEV)?;
        let size = region.span.end - region.span.start;
        let rest = size.checked_sub(offset).filter(|rest| *rest != 0);
        let len = u64::from(len).min(rest.ok_or(EINVAL)?);
        self.reach(device, region.bar, region.span.start + offset, len)
    }
}
