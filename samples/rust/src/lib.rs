// SPDX-License-Identifier: GPL-2.0-only

//! Common code of the samples.

pub use subregion_open::{exit, Address, Failure, Opened};

/// Calls `done` until it returns true, for at most 5 seconds.
///
/// # Errors
///
/// `what` did not happen in that time.
pub fn poll(what: &str, mut done: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let begin = std::time::Instant::now();
    while !done()? {
        if begin.elapsed().as_secs() >= 5 {
            return Err(format!("{what} did not happen within 5 seconds").into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Returns the PCI address in the command line, or in the environment variable `variable`.
///
/// # Errors
///
/// Neither has an address.
pub fn device_argument(variable: &str) -> Result<Address, Failure> {
    let address = std::env::args()
        .nth(1)
        .or_else(|| std::env::var(variable).ok())
        .ok_or_else(|| format!("name a device, such as 0000:01:00.0, or set {variable}"))?;
    Ok(address.parse()?)
}
