// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the crate with the driver, of vfio-ioctls beside it, and of the samples; they print
//! KTAP.

mod beside;
mod best;
mod copies;
mod device;
mod hardware;
mod messages;
mod refusals;
mod samples;
mod touch;

use std::process::ExitCode;
use subregion_open::{Address, Failure, Opened};
use vfio_subregion::{Bar, ByteRange};

type Outcome = Result<(), Failure>;
type Test = (&'static str, fn() -> Outcome);

/// Fails with the text of the condition.
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), stringify!($condition)).into());
        }
    };
}
use ensure;

/// The tests of a module, by name.
macro_rules! tests {
    ($($test:ident,)*) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((stringify!($test), $test)),*];
    };
}
use tests;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The BAR of ivshmem that is plain memory.
const BAR: Bar = Bar::new(2).unwrap();

fn open() -> Result<Opened, Failure> {
    Ok(Opened::new(&address("DEV_IVSHMEM")?)?)
}

/// The address of the device that the environment variable holds.
fn address(variable: &str) -> Result<Address, Failure> {
    let address = std::env::var(variable).map_err(|_| format!("{variable} is not set"))?;
    Ok(address.parse()?)
}

/// Tests write their ranges with this function, so that an invalid range does not compile.
const fn range(offset: u64, size: u64) -> ByteRange {
    ByteRange::new(offset, size).unwrap()
}

fn main() -> ExitCode {
    if let Some(what) = std::env::args().nth(1) {
        return match what.as_str() {
            "copies" => copies::serve(),
            _ => touch::touch(&what),
        };
    }
    let tests = || {
        [
            device::TESTS,
            best::TESTS,
            refusals::TESTS,
            beside::TESTS,
            hardware::TESTS,
            samples::TESTS,
            messages::TESTS,
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
