// SPDX-License-Identifier: GPL-2.0

//! The user interface as bytes: what comes in becomes domain types here, and what goes wrong
//! becomes an errno here.

use crate::{
    bindings::{
        self,
        vfio_info_cap_header,
        vfio_region_info_cap_subregion,
        vfio_subregion_create, //
    },
    region::{
        self,
        Attribute,
        Bar,
        Refusal,
        Span,
        SpanError,
        Subregion, //
    },
    vfio::{
        self,
        MemType, //
    }, //
};
use core::mem::offset_of;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The unit of offsets and sizes, in bytes.
// CAST: The page size is far below 64 bits.
const GRANULE: u64 = PAGE_SIZE as u64;

/// The longest structure that is taken, in bytes; the user interface says so.
const LONGEST: usize = 4096;

/// Why an ioctl fails.
pub(crate) enum Failure {
    /// The structure is not one of this ioctl's, or a field has no meaning.
    Malformed,
    /// The structure is longer than the one that is known here, and says more.
    TooLong,
    /// The range is none.
    Range(SpanError),
    /// The parent cannot have subregions, or not there.
    NoParent,
    /// The BAR is larger than the window for its subregions.
    BarTooLarge,
    /// The range has the MSI-X table, which the kernel writes as well.
    MsixTable,
    /// The table says no.
    Refused(Refusal),
    /// The platform has no such memory type.
    NoSuchType,
    /// Something that failed in the kernel.
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
            Failure::BarTooLarge => EOPNOTSUPP,
            Failure::MsixTable => EPERM,
            Failure::Refused(Refusal::Overlap(_)) => EEXIST,
            Failure::Refused(Refusal::Limit) => ENOSPC,
            Failure::NoSuchType => EOPNOTSUPP,
            Failure::Kernel(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

/// The argument of `VFIO_SUBREGION_CREATE`.
pub(crate) struct Create {
    pub(crate) parent: Bar,
    pub(crate) span: Span,
    pub(crate) attribute: Attribute,
}

impl Create {
    /// Reads the structure at the user address `arg`.
    pub(crate) fn read(arg: usize) -> Result<(Self, CreateReply), Failure> {
        let user = UserPtr::from_addr(arg);
        let size = size_of::<vfio_subregion_create>();
        let raw: vfio_subregion_create = UserSlice::new(user, size).reader().read()?;
        check_size(user, raw.argsz, size)?;
        if raw.flags != 0 || raw.reserved != 0 {
            return Err(Failure::Malformed);
        }
        let attribute = attribute(raw.attribute).ok_or(Failure::Malformed)?;
        // CAST: There are 6.
        let bars = region::BARS as u32;
        if raw.parent >= bars {
            return Err(Failure::NoParent);
        }
        let parent = vfio::index_nospec(raw.parent, bars);
        let parent = Bar::new(u64::from(parent)).ok_or(Failure::NoParent)?;
        let span = Span::aligned(raw.offset, raw.size, GRANULE).map_err(Failure::Range)?;
        let create = Self {
            parent,
            span,
            attribute,
        };
        Ok((create, CreateReply(user)))
    }
}

/// Where the answer to `VFIO_SUBREGION_CREATE` goes.
pub(crate) struct CreateReply(UserPtr);

impl CreateReply {
    /// Writes the index of the subregion that is in the way.
    pub(crate) fn conflict(self, index: u32) -> Result {
        let at = offset_of!(vfio_subregion_create, index);
        put(self.0, at, index)
    }

    /// Writes what the new subregion is.
    pub(crate) fn created(self, index: u32, region: &Subregion, mem: MemType) -> Result {
        let at = offset_of!(vfio_subregion_create, index);
        put(self.0, at, index)?;
        let at = offset_of!(vfio_subregion_create, effective_type);
        put(self.0, at, effective_type(mem))?;
        let at = offset_of!(vfio_subregion_create, mmap_offset);
        put(self.0, at, region.file_offset())
    }
}

/// Writes `value` at byte `at` of the user structure `user`.
fn put<T: kernel::transmute::AsBytes>(user: UserPtr, at: usize, value: T) -> Result {
    UserSlice::new(user.wrapping_byte_add(at), size_of::<T>())
        .writer()
        .write(&value)
}

/// Writes the number of regions into the `struct vfio_device_info` at the user address `arg`, which
/// the core has just filled in.
pub(crate) fn put_num_regions(arg: usize, regions: u32) -> Result {
    let at = offset_of!(bindings::vfio_device_info, num_regions);
    put(UserPtr::from_addr(arg), at, regions)
}

/// Checks the size `argsz` that the caller gives for the structure at `user`, of which `size` bytes
/// are known here: what is beyond must be zero, and it is no longer than any may be.
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

/// Takes a number of the user interface for an attribute.
fn attribute(raw: u32) -> Option<Attribute> {
    match raw {
        bindings::VFIO_SUBREGION_ATTR_NONCACHED => Some(Attribute::Noncached),
        bindings::VFIO_SUBREGION_ATTR_DEVICE => Some(Attribute::Device),
        bindings::VFIO_SUBREGION_ATTR_WC => Some(Attribute::WriteCombining),
        bindings::VFIO_SUBREGION_ATTR_GUEST_ANY => Some(Attribute::GuestAny),
        _ => None,
    }
}

/// Returns the number of an attribute.
fn attribute_number(attribute: Attribute) -> u32 {
    match attribute {
        Attribute::Noncached => bindings::VFIO_SUBREGION_ATTR_NONCACHED,
        Attribute::Device => bindings::VFIO_SUBREGION_ATTR_DEVICE,
        Attribute::WriteCombining => bindings::VFIO_SUBREGION_ATTR_WC,
        Attribute::GuestAny => bindings::VFIO_SUBREGION_ATTR_GUEST_ANY,
    }
}

/// Returns the number of what the page tables hold for `mem` on this architecture.
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

/// Makes the capability that describes a subregion.
pub(crate) fn subregion_capability(
    region: &Subregion,
    mem: MemType,
) -> vfio_region_info_cap_subregion {
    vfio_region_info_cap_subregion {
        header: vfio_info_cap_header {
            // CAST: The constants of the user interface fit their fields.
            id: bindings::VFIO_REGION_INFO_CAP_SUBREGION as u16,
            version: 1,
            next: 0,
        },
        // CAST: A BAR's number is less than 6.
        parent: region.bar().index() as u32,
        attribute: attribute_number(region.attribute()),
        effective_type: effective_type(mem),
        reserved: 0,
        offset: region.span().start(),
    }
}

/// The capability that lists the subregions of a BAR, being made up
/// (`struct vfio_region_info_cap_claims`).
pub(crate) struct Claims(KVec<u64>);

impl Claims {
    /// Makes the capability for `claims` subregions that are yet to be given.
    pub(crate) fn with_capacity(claims: usize) -> Result<Self> {
        let words = claims.checked_mul(3).and_then(|words| words.checked_add(2));
        let mut words = KVec::with_capacity(words.ok_or(EOVERFLOW)?, GFP_KERNEL)?;
        // The header: a 16-bit id, a 16-bit version and a 32-bit offset that VFIO fills in.
        let id = bindings::VFIO_REGION_INFO_CAP_CLAIMS;
        let version = 1;
        words.push_within_capacity(pair(join(id, version), 0))?;
        words.push_within_capacity(pair(0, 0))?;
        Ok(Self(words))
    }

    /// Adds the subregion `index`, which holds `span`.
    pub(crate) fn push(&mut self, span: Span, index: u32) -> Result {
        self.0.push_within_capacity(span.start())?;
        self.0.push_within_capacity(span.len())?;
        Ok(self.0.push_within_capacity(pair(index, 0))?)
    }

    /// Returns the bytes, by eights.
    pub(crate) fn into_words(mut self) -> KVec<u64> {
        // CAST: At most as many as there are subregions.
        let claims = (self.0.len().saturating_sub(2) / 3) as u32;
        if let Some(word) = self.0.get_mut(1) {
            *word = pair(claims, 0);
        }
        self.0
    }
}

/// Returns the eight bytes that hold `first` and then `second`.
fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the four bytes that hold the low halves of `first` and then of `second`.
fn join(first: u32, second: u32) -> u32 {
    // CAST: The low halves are what is meant.
    let ([a, b], [c, d]) = ((first as u16).to_ne_bytes(), (second as u16).to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}
