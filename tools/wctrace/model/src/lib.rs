// SPDX-License-Identifier: GPL-2.0-only

//! A model of write-combining buffers, and what it has to know about CPUs.
//!
//! A [`Cpu`] receives the stores, loads and ordering instructions of one CPU and reports each
//! [`Departure`]: the bytes that leave the CPU together, the [`Reason`], and the writes on the PCI
//! Express link that carry them. [`Totals`] adds these up.
//!
//! The numbers describe a [`Policy`], not a CPU: manuals promise little about these buffers. The
//! policy names each choice, and `Documentation/wctrace.rst` tells rule, choice and assumption apart.

mod cpu;
mod departure;
pub mod instruction;
mod policy;
mod totals;
pub mod walk;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

pub use cpu::{Cpu, Order, Store};
pub use departure::{Departure, Reason, Write};
pub use policy::{Gather, Partial, Policy, UnknownPolicy};
pub use totals::{Place, Totals};

/// The bytes of a line, and so of the largest buffer, and the alignment of what it holds.
pub const LINE: u64 = 64;

/// The memory type of a page-table entry, as far as stores are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// Each store leaves by itself: x86 UC and UC-, arm64 Device without gathering.
    Strict,
    /// Stores may leave together: x86 WC, arm64 Normal-NC and Device-GRE.
    Gathering,
    /// Stores stay in the caches, about which this model says nothing.
    Cached,
}
