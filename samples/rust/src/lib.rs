// SPDX-License-Identifier: GPL-2.0-only

//! What the samples share: an open device, and memory that it can reach.

mod dma;

pub use crate::dma::Dma;
pub use subregion_open::{
    exit,
    Address,
    Failure,
    Function,
    Opened, //
};

/// Asks `done` until it says yes, for at most 5 seconds.
///
/// # Errors
///
/// That `what` did not happen in that time.
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

/// The PCI address that the command line consists of, or that the environment has as `variable`.
///
/// # Errors
///
/// That there is none.
pub fn device_argument(variable: &str) -> Result<Address, Failure> {
    let address = std::env::args()
        .nth(1)
        .or_else(|| std::env::var(variable).ok())
        .ok_or_else(|| format!("say which device, as 0000:01:00.0, or set {variable}"))?;
    Ok(address.parse()?)
}
