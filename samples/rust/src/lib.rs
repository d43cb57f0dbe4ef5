// SPDX-License-Identifier: GPL-2.0-only

//! Common code of the samples.

pub use subregion_open::{exit, Address, Failure, Opened};

/// Calls `done` until it returns true, for at most 5 seconds.
///
/// # Errors
///
/// `what` did not happen in that time.
pub fn poll(what: &str, done: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    poll_for(what, 5, done)
}

/// Calls `done` until it returns true, for at most `seconds`.
///
/// # Errors
///
/// `what` did not happen in that time.
pub fn poll_for(
    what: &str,
    seconds: u64,
    mut done: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let begin = std::time::Instant::now();
    while !done()? {
        if begin.elapsed().as_secs() >= seconds {
            return Err(format!("{what} did not happen within {seconds} seconds").into());
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
