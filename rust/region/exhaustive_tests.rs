// SPDX-License-Identifier: GPL-2.0-only

//! All sequences of up to four operations on two small BARs.
//!
//! The table compares offsets within one BAR, ids and slots. Two claims within five pages can be
//! apart, touch or overlap in every way, with a third claim between them. An operation that
//! depended on four others would depend on pairs of them. The tests `at_every_edge_*` beside the
//! arithmetic cover the values at which it can go wrong.

use super::{
    super::*,
    model::{
        Model,
        Op, //
    }, //
};
use crate::attr::Attribute;

/// The number of operations in a sequence.
const DEPTH: usize = 4;

/// The number of pages of each BAR.
const PAGES: usize = 5;

/// The two BARs: the first and the last of a device.
const TWO: [usize; 2] = [0, 5];

/// Returns all operations on these BARs.
fn every_op() -> Vec<Op> {
    let mut ops = Vec::new();
    for bar in TWO {
        for first in 0..PAGES {
            ops.extend((1..=PAGES - first).map(|pages| Op::Create { bar, first, pages }));
        }
        for attribute in [Attribute::Noncached, Attribute::WriteCombining] {
            ops.push(Op::SetAttribute { bar, attribute });
        }
    }
    // A sequence that destroys can create at most `DEPTH - 1` subregions, so the last number never
    // exists.
    ops.extend((0..DEPTH as u32).map(Op::Destroy));
    // One slot is followed, and another in its way.
    ops.extend((0..2).flat_map(|number| [Op::Map(number), Op::Unmap(number)]));
    ops
}

/// Runs `sequence` on an empty table and checks the result.
fn try_out(sequence: &[Op], page: u64) {
    let mut table = Table::default();
    let mut model = Model::new(PAGES, page, 0x38_0000_0000);
    for op in sequence {
        model.step(&mut table, *op);
    }
    model.check(&table);
}

/// Runs all sequences of up to [`DEPTH`] operations that begin with `sequence`, and returns their
/// number.
fn try_all(sequence: &mut Vec<Op>, ops: &[Op], page: u64) -> u64 {
    try_out(sequence, page);
    if sequence.len() == DEPTH {
        return 1;
    }
    let mut tried = 1;
    for op in ops {
        sequence.push(*op);
        tried += try_all(sequence, ops, page);
        sequence.pop();
    }
    tried
}

// contract: rules.model
#[test]
fn every_sequence_of_four_operations_leaves_the_state_of_the_model() {
    let ops = every_op();
    let all = (0..=DEPTH as u32).map(|depth| (ops.len() as u64).pow(depth));
    assert_eq!(try_all(&mut Vec::new(), &ops, 0x1000), all.sum());
}

// contract: rules.model
#[test]
fn every_sequence_in_pages_of_64_gib_stays_within_the_window() {
    // A BAR has slots for eight such pages only, so most sequences reach the end of the window.
    let ops = every_op();
    try_all(&mut Vec::new(), &ops, 64 << 30);
}
