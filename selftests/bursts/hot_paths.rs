// SPDX-License-Identifier: GPL-2.0-only

//! The hot paths of a driver as functions of their own; `rig/bursts` looks at their code.

use vfio_subregion::{
    AccessError,
    Data,
    Queue,
    Register,
};

/// A descriptor of one line.
pub type Descriptor = [u64; 8];

#[inline(never)]
pub fn register_read(register: Register<'_, u32>) -> u32 {
    register.read()
}

#[inline(never)]
pub fn register_write(register: Register<'_, u32>, value: u32) {
    register.write(value);
}

#[inline(never)]
pub fn doorbell(register: Register<'_, u32>, value: u32) {
    register.write_ordered(value);
}

#[inline(never)]
pub fn queue_push(queue: &mut Queue<'_, Descriptor, u32>, entry: &Descriptor) {
    queue.push(entry);
}

#[inline(never)]
pub fn queue_submit(queue: &mut Queue<'_, Descriptor, u32>, value: u32) {
    queue.submit(value);
}

#[inline(never)]
pub fn queue_release(queue: &mut Queue<'_, Descriptor, u32>) {
    queue.release();
}

#[inline(never)]
pub fn write_line(data: &Data<'_>, offset: usize, line: &[u8; 64]) -> Result<(), AccessError> {
    data.write_line(offset, line)
}

#[inline(never)]
pub fn copy_line(data: &Data<'_>, offset: usize, bytes: &[u8; 64]) -> Result<(), AccessError> {
    data.copy(offset, bytes)
}
