// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Opening of VFIO devices, for the samples, the tools and the tests in Rust.
//!
//! `vfio_open.c` does the same for programs in C.

mod address;
mod opened;
mod why;

pub use crate::{
    address::Address,
    opened::{
        Function,
        Opened, //
    },
    why::no_dma,
};

use std::process::ExitCode;

/// The error of all functions here.
pub type Failure = Box<dyn std::error::Error>;

/// Returns the exit status of a program, after it has printed an error.
#[must_use]
pub fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
