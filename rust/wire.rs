// SPDX-License-Identifier: GPL-2.0-only

//! The user interface in bytes: the conversion of user structures to domain types, and of errors to
//! errnos.

mod capability;

pub(crate) use self::capability::{
    subregion_capability,
    Claims, //
};

use crate::{
    bindings::{
        self,
        vfio_device_ioeventfd,
        vfio_region_set_attr,
        vfio_subregion_create,
        vfio_subregion_destroy,
        vfio_subregion_export,
        vfio_subregion_query, //
    },
    compat::{
        eopnotsupp,
        index_nospec,
        MemType, //
    },
    region::{
        self,
        Attribute,
        BarIndex,
        Busy,
        Refusal,
        Span,
        SpanError,
        Subregion, //
    }, //
};
use core::mem::offset_of;
use kernel::{
    fs::file::flags,
    page::PAGE_SIZE,
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The unit of offsets and sizes in bytes.
// CAST: The page size is far below 64 bits.
const GRANULE: u64 = PAGE_SIZE as u64;

/// The maximum length of a user structure in bytes, as the user interface defines it.
const LONGEST: usize = 4096;

/// The reason for which an ioctl fails.
pub(crate) enum Failure {
    /// The structure is too short, a reserved field or a flag is not zero, or a field has an
    /// invalid value.
    Malformed,
    /// The structure is longer than the known one, and the excess is not zero or too long.
    TooLong,
    /// The offset and the size do not make a range.
    Range(SpanError),
    /// The parent is not a memory BAR that can have subregions, or the range leaves it.
    NoParent,
    /// The BAR is larger than the range of its slots.
    BarTooLarge,
    /// The range includes a page of the MSI-X table, which the kernel writes too.
    MsixTable,
    /// The index is not that of a subregion.
    NoSubregion,
    /// Another user of the range, or of the BAR, excludes the request.
    Busy(Busy),
    /// The table refuses the subregion.
    Refused(Refusal),
    /// The platform does not support the memory type.
    NoSuchType,
    /// A function of the kernel failed: [`EFAULT`], [`EINTR`], [`EMFILE`], [`ENFILE`] or
    /// [`ENOMEM`].
    Kernel(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Malformed => EINVAL,
            Failure::TooLong => E2BIG,
            Failure::Range(SpanError::Empty | SpanError::Unaligned) => EINVAL,
            Failure::Range(SpanError::Wraps) => EOVERFLOW,
            Failure::NoParent => EINVAL,
            Failure::BarTooLarge => eopnotsupp(),
            Failure::MsixTable => EPERM,
            Failure::NoSubregion => ENOENT,
            Failure::Busy(_) | Failure::Refused(Refusal::Busy(_)) => EBUSY,
            Failure::Refused(Refusal::Overlap(_)) => EEXIST,
            Failure::Refused(Refusal::Limit) => ENOSPC,
            Failure::NoSuchType => eopnotsupp(),
            Failure::Kernel(error) => error,
        }
    }
}

impl From<Error> for Failure {
    /// Converts an error that is not [`EBUSY`], for which userspace gets a reason.
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl Failure {
    /// Converts an error of a change of memory types in [`segments`](crate::segments), where
    /// [`EBUSY`] means that another mapping gives a page another type.
    pub(crate) fn of_type_change(error: Error) -> Self {
        if error == EBUSY {
            Self::Busy(Busy::Type)
        } else {
            Self::Kernel(error)
        }
    }

    /// Returns the reason for [`EBUSY`], or `None` if the errno is another one.
    fn busy(&self) -> Option<Busy> {
        match self {
            Self::Busy(busy) | Self::Refused(Refusal::Busy(busy)) => Some(*busy),
            _ => None,
        }
    }
}

/// The user structure of a call.
#[derive(Clone, Copy)]
pub(crate) struct Arg {
    user: UserPtr,
}

impl Arg {
    /// Wraps the argument of an ioctl, which is the address of the structure.
    pub(crate) fn of_ioctl(arg: usize) -> Self {
        Self {
            user: UserPtr::from_addr(arg),
        }
    }
}

/// The argument of `VFIO_SUBREGION_CREATE`.
pub(crate) struct Create {
    pub(crate) parent: BarIndex,
    pub(crate) span: Span,
    pub(crate) attribute: Attribute,
    pub(crate) sharing: Sharing,
}

/// Whether identical requests share a subregion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Exclusive,
    Shared,
}

impl Create {
    /// Reads the structure.
    pub(crate) fn read(arg: Arg) -> Result<(Self, CreateReply), Failure> {
        let (user, raw) = read::<vfio_subregion_create>(arg)?;
        let attribute = attribute(raw.attribute).ok_or(Failure::Malformed)?;
        let parent = bar(raw.parent).ok_or(Failure::NoParent)?;
        let span = Span::aligned(raw.offset, raw.size, GRANULE).map_err(Failure::Range)?;
        let sharing = if raw.flags & bindings::VFIO_SUBREGION_CREATE_SHARED == 0 {
            Sharing::Exclusive
        } else {
            Sharing::Shared
        };
        let create = Self {
            parent,
            span,
            attribute,
            sharing,
        };
        Ok((create, CreateReply(user)))
    }
}

/// The user structure of `VFIO_SUBREGION_CREATE`, for its output fields.
pub(crate) struct CreateReply(UserPtr);

impl CreateReply {
    /// Writes the index of the subregion that the range overlaps.
    pub(crate) fn conflict(&self, index: u32) -> Result {
        let at = offset_of!(vfio_subregion_create, index);
        put(self.0, at, index)
    }

    /// Writes the reason if `failure` is [`EBUSY`], and returns the failure for the caller.
    pub(crate) fn failed(self, failure: Failure) -> Failure {
        put_busy(self.0, offset_of!(vfio_subregion_create, busy), failure)
    }

    /// Writes the region index, the effective type and the mmap offset of the subregion.
    pub(crate) fn created(&self, index: u32, region: &Subregion, mem: MemType) -> Result {
        let at = offset_of!(vfio_subregion_create, index);
        put(self.0, at, index)?;
        let at = offset_of!(vfio_subregion_create, effective_type);
        put(self.0, at, effective_type(mem))?;
        let at = offset_of!(vfio_subregion_create, mmap_offset);
        put(self.0, at, region.file_offset())
    }
}

/// The argument of `VFIO_SUBREGION_DESTROY`.
pub(crate) struct Destroy {
    pub(crate) index: u32,
}

impl Destroy {
    /// Reads the structure.
    pub(crate) fn read(arg: Arg) -> Result<Self, Failure> {
        let (_, raw) = read::<vfio_subregion_destroy>(arg)?;
        Ok(Self { index: raw.index })
    }
}

/// The argument of `VFIO_SUBREGION_EXPORT`.
pub(crate) struct Export {
    pub(crate) index: u32,
    /// `O_RDONLY` or `O_RDWR`, and `O_CLOEXEC` or not.
    pub(crate) open_flags: u32,
}

impl Export {
    /// Reads the structure.
    pub(crate) fn read(arg: Arg) -> Result<(Self, ExportReply), Failure> {
        let (user, raw) = read::<vfio_subregion_export>(arg)?;
        if raw.open_flags & !(flags::O_RDWR | flags::O_CLOEXEC) != 0 {
            return Err(Failure::Malformed);
        }
        let export = Self {
            index: raw.index,
            open_flags: raw.open_flags,
        };
        Ok((export, ExportReply(user)))
    }
}

/// The user structure of `VFIO_SUBREGION_EXPORT`, for its output field.
pub(crate) struct ExportReply(UserPtr);

impl ExportReply {
    /// Writes the number of the file descriptor.
    pub(crate) fn write(self, fd: u32) -> Result {
        let at = offset_of!(vfio_subregion_export, fd);
        put(self.0, at, i32::try_from(fd)?)
    }
}

/// The argument of `VFIO_DEVICE_IOEVENTFD`.
pub(crate) struct Ioeventfd {
    pub(crate) bar: BarIndex,
    /// The offset in the BAR.
    pub(crate) at: u64,
    /// The number of bytes: 1, 2, 4 or 8.
    pub(crate) count: u64,
    pub(crate) value: u64,
    /// The eventfd, or `None` to remove the ioeventfd.
    pub(crate) fd: Option<c_int>,
}

impl Ioeventfd {
    /// Reads VFIO's structure at the user address `arg`, with the checks that vfio-pci makes.
    pub(crate) fn read(arg: usize) -> Result<Self, Failure> {
        const SIZE: usize = offset_of!(vfio_device_ioeventfd, reserved);
        let mut user = UserSlice::new(UserPtr::from_addr(arg), SIZE).reader();
        let argsz: u32 = user.read()?;
        let flags: u32 = user.read()?;
        let offset: u64 = user.read()?;
        let value = user.read()?;
        let fd: c_int = user.read()?;
        if usize::try_from(argsz).is_ok_and(|argsz| argsz < SIZE) || fd < -1 {
            return Err(Failure::Malformed);
        }
        let count = match flags {
            bindings::VFIO_DEVICE_IOEVENTFD_8 => 1,
            bindings::VFIO_DEVICE_IOEVENTFD_16 => 2,
            bindings::VFIO_DEVICE_IOEVENTFD_32 => 4,
            bindings::VFIO_DEVICE_IOEVENTFD_64 => 8,
            _ => return Err(Failure::Malformed),
        };
        let index = u32::try_from(offset >> bindings::VFIO_PCI_OFFSET_SHIFT);
        let bar = index.ok().and_then(bar).ok_or(Failure::NoParent)?;
        Ok(Self {
            bar,
            at: offset.saturating_sub(bar.window_start()),
            count,
            value,
            fd: (fd >= 0).then_some(fd),
        })
    }
}

/// The argument of `VFIO_SUBREGION_QUERY`.
pub(crate) struct Query {
    pub(crate) index: u32,
}

impl Query {
    /// Reads the structure.
    pub(crate) fn read(arg: Arg) -> Result<(Self, QueryReply), Failure> {
        let (user, raw) = read::<vfio_subregion_query>(arg)?;
        Ok((Self { index: raw.index }, QueryReply(user)))
    }

    /// Returns the BAR with this index, or `None` if the index is not that of a BAR.
    pub(crate) fn bar(&self) -> Option<BarIndex> {
        bar(self.index)
    }
}

/// The user structure of `VFIO_SUBREGION_QUERY`, for its output fields.
pub(crate) struct QueryReply(UserPtr);

impl QueryReply {
    /// Writes the available attributes, the granule, the limit, the number of subregions, and the
    /// reasons for which attributes are not available.
    pub(crate) fn write(self, attributes: Attributes, count: u32, reasons: Reasons) -> Result {
        let at = offset_of!(vfio_subregion_query, attributes);
        put(self.0, at, attributes.0)?;
        let at = offset_of!(vfio_subregion_query, granule);
        put(self.0, at, GRANULE)?;
        let at = offset_of!(vfio_subregion_query, limit);
        put(self.0, at, region::LIMIT)?;
        let at = offset_of!(vfio_subregion_query, count);
        put(self.0, at, count)?;
        let at = offset_of!(vfio_subregion_query, busy);
        put(self.0, at, reasons.0)
    }
}

/// A set of attributes.
pub(crate) struct Attributes(u32);

impl Attributes {
    /// The empty set.
    pub(crate) fn none() -> Self {
        Self(0)
    }

    /// Adds `attribute`.
    pub(crate) fn add(&mut self, attribute: Attribute) {
        self.0 |= 1 << attribute_number(attribute);
    }
}

/// A set of reasons for [`EBUSY`].
pub(crate) struct Reasons(u32);

impl Reasons {
    /// The empty set.
    pub(crate) fn none() -> Self {
        Self(0)
    }

    /// Adds `busy` if `applies`.
    pub(crate) fn add_if(&mut self, applies: bool, busy: Busy) {
        if applies {
            self.0 |= busy_bit(busy);
        }
    }
}

/// The argument of `VFIO_REGION_SET_ATTR`.
pub(crate) struct SetAttr {
    pub(crate) bar: BarIndex,
    pub(crate) attribute: Attribute,
}

impl SetAttr {
    /// Reads the structure.
    pub(crate) fn read(arg: Arg) -> Result<(Self, SetAttrReply), Failure> {
        let (user, raw) = read::<vfio_region_set_attr>(arg)?;
        let set = Self {
            bar: bar(raw.index).ok_or(Failure::NoParent)?,
            attribute: attribute(raw.attribute).ok_or(Failure::Malformed)?,
        };
        Ok((set, SetAttrReply(user)))
    }
}

/// The user structure of `VFIO_REGION_SET_ATTR`, for its output field.
pub(crate) struct SetAttrReply(UserPtr);

impl SetAttrReply {
    /// Writes the reason if `failure` is [`EBUSY`], and returns the failure for the caller.
    pub(crate) fn failed(self, failure: Failure) -> Failure {
        put_busy(self.0, offset_of!(vfio_region_set_attr, busy), failure)
    }

    /// Writes the effective type.
    pub(crate) fn write(&self, mem: MemType) -> Result {
        let at = offset_of!(vfio_region_set_attr, effective_type);
        put(self.0, at, effective_type(mem))
    }
}

/// Converts a region index of the user interface to a BAR, or returns `None` if it is not that of a
/// BAR.
fn bar(index: u32) -> Option<BarIndex> {
    // CAST: `BARS` is 6.
    let bars = region::BARS as u32;
    if index >= bars {
        return None;
    }
    BarIndex::new(u64::from(index_nospec(index, bars)))
}

/// The fields that all structures of the interface have.
trait Argument: FromBytes {
    /// Returns `argsz`.
    fn size(&self) -> u32;

    /// Returns the bitwise or of all fields and flags that must be zero.
    fn zero(&self) -> u32;
}

macro_rules! argument {
    ($($name:ident($flags:expr): $($reserved:ident)?;)*) => {
        $(impl Argument for $name {
            fn size(&self) -> u32 {
                self.argsz
            }

            fn zero(&self) -> u32 {
                self.flags & !$flags $(| self.$reserved)?
            }
        })*
    };
}

argument! {
    vfio_subregion_create(bindings::VFIO_SUBREGION_CREATE_SHARED): reserved;
    vfio_subregion_destroy(0): reserved;
    vfio_subregion_export(0): reserved;
    vfio_subregion_query(0): reserved;
    vfio_region_set_attr(0):;
}

/// Reads the structure, and checks the fields that all structures have.
///
/// All structures have the length of their first version, which is also the minimum.
///
/// Fails with [`Failure::Malformed`] if `argsz` is too small, or if a reserved field or a flag is
/// not zero. Fails with [`Failure::TooLong`] if `argsz` is too large, or if a byte after the known
/// ones is not zero. Fails with [`EFAULT`] if the address is invalid.
fn read<T: Argument>(arg: Arg) -> Result<(UserPtr, T), Failure> {
    let user = arg.user;
    let raw: T = UserSlice::new(user, size_of::<T>()).reader().read()?;
    check_size(user, raw.size(), size_of::<T>())?;
    if raw.zero() != 0 {
        return Err(Failure::Malformed);
    }
    Ok((user, raw))
}

/// Writes `value` at offset `at` of the user structure `user`.
fn put<T: AsBytes>(user: UserPtr, at: usize, value: T) -> Result {
    UserSlice::new(user.wrapping_byte_add(at), size_of::<T>())
        .writer()
        .write(&value)
}

/// If `failure` is [`EBUSY`], writes its reason at offset `at` of the user structure `user`.
/// Returns the failure for the caller, which is [`EFAULT`] if the structure cannot be written.
fn put_busy(user: UserPtr, at: usize, failure: Failure) -> Failure {
    let written = failure.busy().map(|busy| put(user, at, busy_bit(busy)));
    match written {
        Some(Err(error)) => Failure::Kernel(error),
        _ => failure,
    }
}

/// Writes the number of regions to the `struct vfio_device_info` at the user address `arg`, after
/// the core has filled in the structure.
pub(crate) fn put_num_regions(arg: usize, regions: u32) -> Result {
    let at = offset_of!(bindings::vfio_device_info, num_regions);
    put(UserPtr::from_addr(arg), at, regions)
}

/// Checks that `argsz`, the size of the user structure at `user`, is at least `size` and at most
/// [`LONGEST`], and that all bytes after the first `size` are zero.
fn check_size(user: UserPtr, argsz: u32, size: usize) -> Result<(), Failure> {
    let argsz = usize::try_from(argsz).map_err(|_| Failure::TooLong)?;
    let tail = argsz.checked_sub(size).ok_or(Failure::Malformed)?;
    if argsz > LONGEST {
        return Err(Failure::TooLong);
    }
    let mut reader = UserSlice::new(user.wrapping_byte_add(size), tail).reader();
    while !reader.is_empty() {
        let mut chunk = [0u8; 64];
        let length = reader.len().min(chunk.len());
        let chunk = chunk.get_mut(..length).ok_or(Failure::Malformed)?;
        reader.read_slice(chunk)?;
        if chunk.iter().any(|byte| *byte != 0) {
            return Err(Failure::TooLong);
        }
    }
    Ok(())
}

/// Converts a number of the user interface to an attribute.
fn attribute(raw: u32) -> Option<Attribute> {
    match raw {
        bindings::VFIO_SUBREGION_ATTR_NONCACHED => Some(Attribute::Noncached),
        bindings::VFIO_SUBREGION_ATTR_DEVICE => Some(Attribute::Device),
        bindings::VFIO_SUBREGION_ATTR_WC => Some(Attribute::WriteCombining),
        bindings::VFIO_SUBREGION_ATTR_GUEST_ANY => Some(Attribute::GuestAny),
        _ => None,
    }
}

/// Returns the number of an attribute in the user interface.
pub(crate) fn attribute_number(attribute: Attribute) -> u32 {
    match attribute {
        Attribute::Noncached => bindings::VFIO_SUBREGION_ATTR_NONCACHED,
        Attribute::Device => bindings::VFIO_SUBREGION_ATTR_DEVICE,
        Attribute::WriteCombining => bindings::VFIO_SUBREGION_ATTR_WC,
        Attribute::GuestAny => bindings::VFIO_SUBREGION_ATTR_GUEST_ANY,
    }
}

/// Returns the bit of a reason for [`EBUSY`] in the user interface.
fn busy_bit(busy: Busy) -> u32 {
    match busy {
        Busy::Ioeventfd => bindings::VFIO_SUBREGION_BUSY_IOEVENTFD,
        Busy::Bar => bindings::VFIO_SUBREGION_BUSY_BAR,
        Busy::Type => bindings::VFIO_SUBREGION_BUSY_TYPE,
        Busy::Stray => bindings::VFIO_SUBREGION_BUSY_STRAY,
        Busy::Subregion => bindings::VFIO_SUBREGION_BUSY_SUBREGION,
        Busy::Mapped => bindings::VFIO_SUBREGION_BUSY_MAPPED,
    }
}

/// Returns the number of the effective type that `mem` has on this architecture.
fn effective_type(mem: MemType) -> u32 {
    if cfg!(CONFIG_X86) {
        match mem {
            MemType::Noncached | MemType::Device => bindings::VFIO_SUBREGION_TYPE_X86_UC_MINUS,
            MemType::WriteCombining => bindings::VFIO_SUBREGION_TYPE_X86_WC,
        }
    } else {
        match mem {
            MemType::Noncached => bindings::VFIO_SUBREGION_TYPE_ARM64_NGNRNE,
            MemType::Device => bindings::VFIO_SUBREGION_TYPE_ARM64_NGNRE,
            MemType::WriteCombining => bindings::VFIO_SUBREGION_TYPE_ARM64_NORMAL_NC,
        }
    }
}
