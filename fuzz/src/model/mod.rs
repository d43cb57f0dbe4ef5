// SPDX-License-Identifier: GPL-2.0-only

//! What has to happen: a model of the device, of the memory of each process, and of the bytes in the
//! BARs. It knows the contract and Linux, not the driver.

mod content;
mod device;
mod facts;
mod judge;
mod ranges;
mod space;
mod strays;
mod world;

pub use self::{
    content::Content,
    device::{size, Device, Frame, IoEvent, Region, Request, Where},
    facts::{
        overlap, window, Arch, Attribute, Bar, Facts, Mem, Place, BARS, CONFIG, LARGE, LIMIT,
        REGIONS, SLOTS, WINDOW_SHIFT,
    },
    space::{Space, Vma},
    strays::{foreign_type, in_the_way, ForeignMapping, ForeignMappings, FOREIGN, FOREIGN_PAGES},
    world::{Process, World, EVENTFDS, PROCESSES},
};
