// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Common code of the samples, the tools and the tests in Rust, beside the crate that opens devices.

pub use vfio_subregion::{Address, Opened};

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
