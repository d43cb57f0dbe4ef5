// SPDX-License-Identifier: GPL-2.0

//! Ranges, claims and attributes: the rules of subregions, without a kernel in sight.
//!
//! Everything here is safe Rust over `core` alone, allocates nothing and takes no lock. The same
//! files are built into the module and, as the crate in `Cargo.toml` beside this file, on the host.
//!
//! - [`span`]: a range of bytes that is known to be sound
//! - [`attr`]: the attributes
//! - [`window`]: where a file offset of the device leads
//! - [`store`]: storage that somebody else allocates
//! - [`subregion`]: what a subregion is
//! - [`table`]: which subregion holds which pages of which BAR

#![forbid(unsafe_code)]

pub(crate) mod attr;
pub(crate) mod span;
pub(crate) mod store;
pub(crate) mod subregion;
pub(crate) mod table;
pub(crate) mod window;

pub(crate) use self::attr::Attribute;
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
    Holder,
    Refusal,
    RegionId,
    Subregion, //
};
pub(crate) use self::table::{
    ClaimMemory,
    Plan,
    Table,
    LIMIT, //
};
pub(crate) use self::window::{
    Bar,
    Place,
    BARS,
    SLOTS_SIZE, //
};

/// Values at which arithmetic on offsets and addresses can go wrong, for the tests.
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
