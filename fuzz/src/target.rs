// SPDX-License-Identifier: GPL-2.0-only

//! The device under test: how to open it, and its constant properties.
//!
//! `lib/open` does not open it, unlike elsewhere: getting a descriptor is an operation too. Any
//! process can do it at any time, its errno is compared with the model's, and no object must own
//! the descriptor.

use crate::abi::{self, Bytes};
use crate::model::{Arch, Bar, Facts, BARS, CONFIG, REGIONS, WINDOW_SHIFT};
use crate::sys;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

/// A device that can be opened.
pub struct Target {
    /// Its PCI address.
    pub bdf: String,
    /// Another function of the device, which is reset with it.
    sibling: Option<String>,
    way: Way,
}

/// The way in which it is opened.
enum Way {
    /// Through its group, which is in a container.
    Group { group: File, _container: File },
    /// Through its character device, with an iommufd.
    OwnFile { iommufd: File },
}

fn error(what: &str, ret: i64) -> io::Error {
    let errno = io::Error::from_raw_os_error(i32::try_from(-ret).unwrap_or(0));
    io::Error::new(errno.kind(), format!("{what}: {errno}"))
}

fn ok(what: &str, ret: i64) -> io::Result<i64> {
    if ret < 0 {
        Err(error(what, ret))
    } else {
        Ok(ret)
    }
}

fn open(path: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

/// Returns the character device that VFIO has for a device.
fn own_file(bdf: &str) -> io::Result<String> {
    let directory = format!("/sys/bus/pci/devices/{bdf}/vfio-dev");
    let mut entries = fs::read_dir(directory)?;
    let entry = entries.next().ok_or(io::ErrorKind::NotFound)??;
    let name = entry.file_name();
    let path = format!("/dev/vfio/devices/{}", name.to_string_lossy());
    fs::metadata(&path).map(|_| path)
}

impl Way {
    /// Opens the group of a device.
    fn group(bdf: &str) -> io::Result<Self> {
        let group = fs::read_link(format!("/sys/bus/pci/devices/{bdf}/iommu_group"))?;
        let number = group.file_name().unwrap_or_default().to_string_lossy();
        let group = open(&format!("/dev/vfio/{number}"))?;
        let container = open("/dev/vfio/vfio")?;
        let fd = container.as_raw_fd();
        let arg = std::ptr::from_ref(&fd) as u64;
        let set = sys::ioctl(group.as_raw_fd(), abi::GROUP_SET_CONTAINER, arg);
        ok("VFIO_GROUP_SET_CONTAINER", set)?;
        ok(
            "VFIO_SET_IOMMU",
            sys::ioctl(fd, abi::SET_IOMMU, abi::TYPE1V2),
        )?;
        Ok(Self::Group {
            group,
            _container: container,
        })
    }

    /// Gets a descriptor of the device `bdf`, or a negative errno.
    fn open(&self, bdf: &str) -> i64 {
        match self {
            Self::Group { group, .. } => {
                let name = CString::new(bdf).unwrap_or_default();
                let arg = name.as_ptr() as u64;
                sys::ioctl(group.as_raw_fd(), abi::GROUP_GET_DEVICE_FD, arg)
            }
            Self::OwnFile { iommufd } => {
                let Ok(file) = own_file(bdf).and_then(|path| open(&path)) else {
                    return -i64::from(libc::ENOENT);
                };
                let bind = Bytes::default().u32(24).u32(0).i32(iommufd.as_raw_fd());
                let mut bind = bind.u32(0).u64(0).0;
                let arg = bind.as_mut_ptr() as u64;
                match sys::ioctl(file.as_raw_fd(), abi::BIND_IOMMUFD, arg) {
                    0.. => i64::from(file.into_raw_fd()),
                    errno => errno,
                }
            }
        }
    }

    /// Does a hot reset through a descriptor of a device that was opened in this way.
    fn hot_reset(&self, fd: RawFd) -> i64 {
        let head = Bytes::default();
        let mut bytes = match self {
            Self::Group { group, .. } => head.u32(16).u32(0).u32(1).i32(group.as_raw_fd()).0,
            Self::OwnFile { .. } => head.u32(12).u32(0).u32(0).0,
        };
        sys::ioctl(fd, abi::HOT_RESET, bytes.as_mut_ptr() as u64)
    }
}

impl Target {
    /// Finds the device in the environment variable `DEV_name`; it is opened through its character
    /// device if `own` is set and the kernel has such files.
    pub fn find(name: &str, own: bool) -> io::Result<Self> {
        let bdf = std::env::var(format!("DEV_{name}"))
            .map_err(|_| io::Error::other(format!("DEV_{name} is not set")))?;
        let sibling = match name {
            "PAIR_0" => std::env::var("DEV_PAIR_1").ok(),
            _ => None,
        };
        let way = match open("/dev/iommu") {
            Ok(iommufd) if own && own_file(&bdf).is_ok() => Way::OwnFile { iommufd },
            _ => Way::group(&bdf)?,
        };
        Ok(Self { bdf, sibling, way })
    }

    /// Gets a descriptor of the device, or a negative errno.
    #[must_use]
    pub fn open(&self) -> i64 {
        self.way.open(&self.bdf)
    }

    /// Does a hot reset through a descriptor of the device.
    #[must_use]
    pub fn hot_reset(&self, fd: RawFd) -> i64 {
        self.way.hot_reset(fd)
    }

    /// Opens the other function, does a hot reset through it, and closes it.
    #[must_use]
    pub fn hot_reset_by_sibling(&self) -> i64 {
        let Some(sibling) = &self.sibling else {
            return -i64::from(libc::ENODEV);
        };
        let fd = self.way.open(sibling);
        match RawFd::try_from(fd) {
            Ok(fd @ 0..) => {
                let ret = self.way.hot_reset(fd);
                sys::close(fd);
                ret
            }
            _ => fd,
        }
    }

    /// Returns the path of one of its files in sysfs.
    #[must_use]
    pub fn sysfs(&self, file: &str) -> String {
        format!("/sys/bus/pci/devices/{}/{file}", self.bdf)
    }

    /// Opens the device, determines its constant properties, and closes it.
    pub fn facts(&self) -> io::Result<Facts> {
        let fd = ok("the device cannot be opened", self.open())?;
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        let facts = self.facts_of(fd);
        sys::close(fd);
        facts
    }

    fn facts_of(&self, fd: RawFd) -> io::Result<Facts> {
        let info = call(
            fd,
            abi::GET_INFO,
            Bytes::default().u32(24).u32(0).u32(0).u32(0).u64(0).0,
        )?;
        let regions = (0..REGIONS)
            .map(|index| region(fd, index))
            .collect::<Vec<_>>();
        let config = Config::read(fd);
        let words = self.identity()?;
        // Otherwise sysfs maps no BAR that a driver uses; and only x86 tracks other mappings.
        let command_line = fs::read_to_string("/proc/cmdline")?;
        let relaxed = Arch::HERE == Arch::X86
            && command_line
                .split_whitespace()
                .any(|word| word == "iomem=relaxed");
        let mut bars: [Bar; BARS] = Default::default();
        let resources = fs::read_to_string(self.sysfs("resource"))?;
        for ((number, bar), line) in bars.iter_mut().enumerate().zip(resources.lines()) {
            let numbers: Vec<u64> = line
                .split_whitespace()
                .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
                .collect();
            let [start, end, flags] = numbers[..] else {
                return Err(io::Error::other(
                    "the file resource in sysfs has an unknown format",
                ));
            };
            if start == 0 {
                continue;
            }
            bar.phys = start;
            bar.len = end - start + 1;
            // IORESOURCE_MEM
            bar.memory = flags & 0x200 != 0;
            let can_map = matches!(regions[number], Ok((_, flags)) if flags & 4 != 0);
            if can_map {
                bar.mappable = bar.len.next_multiple_of(sys::page_size());
            }
            // ivshmem and pci-testdev, whose BAR 2 is memory of the host.
            let has_memory = words == (0x1af4, 0x1110) || words == (0x1b36, 0x0005);
            bar.ram = number == 2 && has_memory;
            bar.foreign = relaxed && fs::metadata(self.sysfs(&resource_wc(number))).is_ok();
            if let Some(table) = config.msix().filter(|(other, ..)| *other == number) {
                bar.msix = table.1..table.1 + table.2;
            }
        }
        let hot_reset_info = Bytes::default().u32(12 + 8 * 8).u32(0).u32(0).u64(0).u64(0);
        let mut room = hot_reset_info.0;
        room.resize(12 + 8 * 8, 0);
        let features = abi::FEATURE_PROBE | abi::FEATURE_GET | abi::DMA_BUF;
        Ok(Facts {
            arch: Arch::HERE,
            page: sys::page_size(),
            bars,
            regions,
            config: config.0.len() as u64,
            // VFIO_DEVICE_FLAGS_RESET
            reset: info[4] & 1 != 0,
            hot_reset: call(fd, abi::HOT_RESET_INFO, room).is_ok(),
            sibling: self.sibling.is_some(),
            reopens: matches!(self.way, Way::Group { .. }),
            nodes: sys::has_nodes(),
            sysfs_reset: fs::metadata(self.sysfs("reset")).is_ok(),
            pm: config.capability(1),
            express: config.capability(0x10).is_some(),
            flr: config
                .capability(0x10)
                .filter(|&at| config.u32(at + 4) >> 28 & 1 != 0),
            dma_buf: call(
                fd,
                abi::FEATURE,
                Bytes::default().u32(24).u32(features).u64(0).u64(0).0,
            )
            .is_ok(),
        })
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        let number = |file| -> io::Result<u64> {
            let text = fs::read_to_string(self.sysfs(file))?;
            u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).map_err(io::Error::other)
        };
        Ok((number("vendor")?, number("device")?))
    }
}

/// The name of the sysfs file that maps a BAR write-combining.
#[must_use]
pub fn resource_wc(bar: usize) -> String {
    format!("resource{bar}_wc")
}

/// Does an ioctl with a structure and returns the structure.
fn call(fd: RawFd, request: u32, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let ret = sys::ioctl(fd, request, bytes.as_mut_ptr() as u64);
    ok(&format!("ioctl {request:#x}"), ret)?;
    Ok(bytes)
}

/// Queries one of VFIO's own regions: its size and flags, except that of capabilities.
fn region(fd: RawFd, index: u32) -> Result<(u64, u32), i32> {
    let info = Bytes::default()
        .u32(32)
        .u32(0)
        .u32(index)
        .u32(0)
        .u64(0)
        .u64(0);
    let mut bytes = info.0;
    let ret = sys::ioctl(fd, abi::GET_REGION_INFO, bytes.as_mut_ptr() as u64);
    if ret < 0 {
        return Err(i32::try_from(-ret).unwrap_or(libc::EIO));
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
    let flags = u32::from_le_bytes(std::array::from_fn(|n| bytes[4 + n]));
    Ok((word(16), flags & !8))
}

/// Configuration space as VFIO shows it.
struct Config(Vec<u8>);

impl Config {
    fn read(fd: RawFd) -> Self {
        let mut bytes = vec![0; 4096];
        for size in [4096, 256] {
            bytes.truncate(size);
            if sys::read_at(fd, &mut bytes, CONFIG << WINDOW_SHIFT) == size as i64 {
                return Self(bytes);
            }
        }
        Self(Vec::new())
    }

    fn u32(&self, at: u64) -> u32 {
        let at = usize::try_from(at).unwrap_or(0);
        u32::from_le_bytes(std::array::from_fn(|n| self.0[at + n]))
    }

    /// Returns the offset of the capability with an id.
    fn capability(&self, id: u8) -> Option<u64> {
        let mut at = usize::from(*self.0.get(0x34)?);
        for _ in 0..64 {
            if at == 0 {
                return None;
            }
            if *self.0.get(at)? == id {
                return Some(at as u64);
            }
            at = usize::from(*self.0.get(at + 1)?);
        }
        None
    }

    /// Returns the BAR of the MSI-X table, the offset in it, and the size.
    fn msix(&self) -> Option<(usize, u64, u64)> {
        let at = self.capability(0x11)?;
        let table = self.u32(at + 4);
        let vectors = u64::from(self.u32(at) >> 16 & 0x7ff) + 1;
        Some(((table & 7) as usize, u64::from(table & !7), vectors * 16))
    }
}
