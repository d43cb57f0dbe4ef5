// SPDX-License-Identifier: GPL-2.0-only

//! A plugin of QEMU that follows a guest's stores to devices through a model of write-combining
//! buffers.
//!
//! `Documentation/wctrace.rst` describes it. The model is the crate `wctrace-model`; `abi` declares
//! QEMU's interface and has all unsafe code, `trace` follows the guest, `marker` does what a
//! program there asks for, `paging` finds memory types, and `report` writes what was found.

mod abi;
mod marker;
mod paging;
mod report;
mod trace;
