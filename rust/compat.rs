// SPDX-License-Identifier: GPL-2.0-only

//! Parts that the kernel crate lacks, for subsystems other than VFIO.
//!
//! Nothing in this module refers to VFIO or to this driver. The head of each file names the file of
//! the kernel crate that it would belong to.

mod debugfs;
mod iomap;
mod memtype;
mod nospec;
mod older;
mod phys;
mod pm;
mod read_once;
mod reservation;
mod result;
mod rwsem;
mod this_module;
mod user_memory;

pub(crate) use self::debugfs::{
    DebugDir,
    DebugFile,
    Show, //
};
pub(crate) use self::iomap::{
    is_mapped_as,
    IoMap, //
};
pub(crate) use self::memtype::MemType;
pub(crate) use self::nospec::index_nospec;
pub(crate) use self::older::{
    eopnotsupp,
    raw_init,
    MAYSHARE, //
};
pub(crate) use self::phys::{
    overlap,
    PhysRange, //
};
pub(crate) use self::pm::PowerGuard;
pub(crate) use self::read_once::read_once;
pub(crate) use self::reservation::{
    Reservation,
    TypeCheck, //
};
pub(crate) use self::result::{
    int_result,
    LongResult, //
};
pub(crate) use self::rwsem::{
    ReadGuard,
    RwSemaphore,
    WriteGuard, //
};
pub(crate) use self::this_module::THIS_MODULE;
pub(crate) use self::user_memory::UserMemory;
