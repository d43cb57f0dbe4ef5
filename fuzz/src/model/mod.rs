// SPDX-License-Identifier: GPL-2.0-only

//! The expected behaviour: a model of the device, of the memory of each process, and of the bytes
//! in the BARs. It is based on the contract and on Linux, not on the driver.

mod content;
mod device;
mod export;
mod facts;
mod judge;
mod ranges;
mod space;
mod strays;
mod world;

pub use self::{
    content::Content,
    device::{size, Created, Device, Frame, IoEvent, Region, Request, Where, SHARED},
    export::{Export, Exported},
    facts::{
        overlap, window, Arch, Attribute, Bar, Facts, Mem, Place, BARS, CONFIG, LARGE, LIMIT,
        REGIONS, SLOTS, WINDOW_SHIFT,
    },
    space::{Space, Vma},
    strays::{are_mixed, foreign_type, ForeignMapping, ForeignMappings, FOREIGN, FOREIGN_PAGES},
    world::{Process, World, EVENTFDS, PROCESSES},
};
