// SPDX-License-Identifier: GPL-2.0-only

//! Opening a VFIO device, for the samples, the tools and the tests in Rust.
//!
//! `vfio_open.c` beside it does the same for programs in C.

mod address;
mod opened;

pub use crate::{
    address::Address,
    opened::{
        Function,
        Opened, //
    },
};

use std::process::ExitCode;

/// What all of them fail with.
pub type Failure = Box<dyn std::error::Error>;

/// What a program ends with; a failure is told in words.
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
