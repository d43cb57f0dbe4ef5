// SPDX-License-Identifier: GPL-2.0-only

//! The rules of subregions: ranges, claims, slots, ids and attributes. They know neither the kernel
//! nor a device.
//!
//! This is safe Rust that uses `core` only, allocates nothing and takes no lock. The module
//! includes these files, and `Cargo.toml` in this folder builds them as a crate on the host.
//!
//! - [`span`]: a valid range of bytes
//! - [`attr`]: the attributes
//! - [`window`]: the meaning of a file offset, and the choice of a slot
//! - [`slots`]: the slots that are in use, and their VMAs
//! - [`store`]: the storage that the caller provides
//! - [`subregion`]: subregions, claims, and the reasons for which a subregion is refused
//! - [`table`]: the claims and subregions of all BARs

#![forbid(unsafe_code)]

pub(crate) mod attr;
pub(crate) mod slots;
pub(crate) mod span;
pub(crate) mod store;
pub(crate) mod subregion;
pub(crate) mod table;
pub(crate) mod window;

pub(crate) use self::attr::Attribute;
pub(crate) use self::slots::SlotMemory;
pub(crate) use self::span::{
    Span,
    SpanError, //
};
pub(crate) use self::store::{
    Array,
    Map,
    Stores, //
};
pub(crate) use self::subregion::{
    Busy,
    ClaimKind,
    Refusal,
    RegionId,
    Subregion, //
};
pub(crate) use self::table::{
    ClaimMemory,
    Plan,
    Table,
    LIMIT,
    SHARES, //
};
pub(crate) use self::window::{
    BarIndex,
    Target,
    BARS,
    SLOTS_SIZE,
    WINDOW,
    WINDOW_SHIFT, //
};

/// Offsets and addresses at which arithmetic can go wrong, for the tests.
#[cfg(any(test, CONFIG_KUNIT = "y"))]
pub(crate) const EDGES: [u64; 20] = [
    0,
    1,
    0xfff,
    0x1000,
    0x1001,
    (2 << 20) - 1,
    2 << 20,
    (1 << 30) - 1,
    1 << 30,
    (1 << 39) - 1,
    1 << 39,
    (1 << 39) + 1,
    (1 << 40) - 1,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX - 0xfff,
    u64::MAX - 1,
    u64::MAX,
];
