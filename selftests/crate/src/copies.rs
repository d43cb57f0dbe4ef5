// SPDX-License-Identifier: GPL-2.0-only

//! Copies by the crate, for programs in C that count their writes (`tools/wctrace/crate_copies.h`).

use crate::{range, Failure, BAR, MIB};
use std::{
    io::{stdin, stdout, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
};
use vfio_subregion::{order_stores, Attribute, Device, Mapping};

const PAGE: usize = 4096;

/// Creates, maps and touches a range, because a fault in the middle of a line would break it.
fn map<F: AsFd>(device: &Device<F>, offset: u64, attribute: Attribute) -> Result<Mapping, Failure> {
    let mapping = device.map(&device.create(BAR, range(offset, MIB), attribute)?)?;
    for at in (0..mapping.size()).step_by(PAGE) {
        mapping.write(at, 0_u8)?;
    }
    Ok(mapping)
}

/// Does the copies that come over stdout, which is a socket; stdin is the device file.
fn answer() -> Result<(), Failure> {
    let device = Device::new(stdin());
    let combining = map(&device, 4 * MIB, Attribute::WriteCombining)?;
    let strict = map(&device, 5 * MIB, Attribute::Noncached)?;
    let source = vec![1; 64 << 10];
    let mut socket = UnixStream::from(stdout().as_fd().try_clone_to_owned()?);
    let mut request = [0; 12];
    socket.write_all(&request[..1])?;
    // The caller closes the socket at the end.
    while socket.read_exact(&mut request).is_ok() {
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| request[at + byte]));
        let (is_strict, offset, size) = (word(0) != 0, word(4) as usize, word(8) as usize);
        let data = if is_strict {
            strict.data()
        } else {
            combining.write_combining()?
        };
        data.copy(offset, source.get(..size).ok_or("the copy is too long")?)?;
        order_stores();
        socket.write_all(&request[..1])?;
    }
    Ok(())
}

pub(crate) fn serve() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crate_test copies: {error}");
            ExitCode::FAILURE
        }
    }
}
