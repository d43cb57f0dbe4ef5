// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the crate on the driver, of vfio-ioctls beside it, and of the samples, as KTAP.

mod beside;
mod device;
mod refusals;
mod samples;
mod touch;

use std::process::ExitCode;
use subregion_open::{
    Address,
    Failure,
    Opened, //
};
use vfio_subregion::{
    Bar,
    ByteRange, //
};

type Outcome = Result<(), Failure>;
type Test = (&'static str, fn() -> Outcome);

/// Fails with the condition's own text.
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), stringify!($condition)).into());
        }
    };
}
use ensure;

/// The tests of a module, by their names.
macro_rules! tests {
    ($($test:ident,)*) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((stringify!($test), $test)),*];
    };
}
use tests;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// That of ivshmem which is plain memory.
const BAR: Bar = Bar::new(2).unwrap();

fn open() -> Result<Opened, Failure> {
    Opened::new(&address("DEV_IVSHMEM")?)
}

/// The address of the device that the environment names so.
fn address(variable: &str) -> Result<Address, Failure> {
    let address = std::env::var(variable).map_err(|_| format!("{variable} is not set"))?;
    Ok(address.parse()?)
}

/// Ranges of the tests are written in them, so that a wrong one is not compiled.
const fn range(offset: u64, size: u64) -> ByteRange {
    ByteRange::new(offset, size).unwrap()
}

fn main() -> ExitCode {
    if let Some(what) = std::env::args().nth(1) {
        return touch::touch(&what);
    }
    let tests = || {
        [
            device::TESTS,
            refusals::TESTS,
            beside::TESTS,
            samples::TESTS,
        ]
        .into_iter()
        .flatten()
    };
    println!("KTAP version 1\n1..{}", tests().count());
    let mut failed = false;
    for (number, (name, test)) in (1..).zip(tests()) {
        match test() {
            Ok(()) => println!("ok {number} crate.{name}"),
            Err(error) => {
                failed = true;
                println!("# {error}\nnot ok {number} crate.{name}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
