// SPDX-License-Identifier: GPL-2.0-only OR MIT

#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("VFIO is Linux's");

#[cfg(feature = "std")]
extern crate std;

// The types of other crates in the interface of this one.
#[cfg(feature = "std")]
pub use rustix::io::Errno;
pub use zerocopy;

mod attribute;
mod busy;
mod info;
mod range;

#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    clippy::pedantic,
    reason = "bindgen's, named and complete as the header is"
)]
mod bindings;

#[cfg(feature = "std")]
mod address;
#[cfg(feature = "std")]
mod best;
#[cfg(feature = "std")]
mod data;
#[cfg(feature = "std")]
mod device;
#[cfg(feature = "std")]
mod dma;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod export;
#[cfg(feature = "std")]
mod interrupts;
#[cfg(feature = "std")]
mod ioeventfd;
#[cfg(feature = "std")]
mod mapping;
#[cfg(feature = "std")]
mod open;
#[cfg(feature = "std")]
mod queue;
#[cfg(feature = "std")]
mod raw;
#[cfg(feature = "std")]
mod region;
#[cfg(feature = "std")]
mod registers;
#[cfg(feature = "std")]
mod unsuitable;

pub use crate::{
    attribute::{Attribute, Attributes, EffectiveType},
    busy::Busy,
    info::{BarInfo, Claim, Claims, Malformed, RegionFlags, RegionInfo, SubregionInfo},
    range::{Bar, ByteRange, RegionIndex},
};

#[cfg(feature = "vfio-ioctls")]
pub use crate::raw::VfioFile;
#[cfg(feature = "std")]
pub use crate::{
    address::{Address, NoAddress},
    best::{BarLayout, Best, Source},
    data::{Data, Ring},
    device::{Device, Support},
    dma::Dma,
    error::{AccessError, Call, Error},
    export::{Export, ExportAccess},
    interrupts::{Interrupt, Interrupts, Irq},
    mapping::{Mapping, Word},
    open::{Opened, SetupError},
    queue::{Queue, SharedQueue},
    raw::{flush_stores, order_loads, order_stores, LineStore},
    region::Region,
    registers::{Register, Registers},
    unsuitable::Unsuitable,
};
