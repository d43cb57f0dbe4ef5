// SPDX-License-Identifier: GPL-2.0

//! Every sequence of up to four operations on two small BARs: a proof by trying them all.
//!
//! What the table compares are offsets within one BAR, ids and slots. Two claims can lie apart,
//! touch or overlap in any way within five pages, with a third one in between; an operation that
//! depends on four others depends on pairs of these. The values at which arithmetic could go wrong
//! are the subject of the tests `at_every_edge_*` beside the arithmetic.

use super::{
    super::*,
    model::{
        Model,
        Op, //
    }, //
};
use crate::attr::Attribute;

/// How many operations a sequence has.
const DEPTH: usize = 4;

/// How many pages each BAR has.
const PAGES: usize = 5;

/// The BARs, the first and the last that there are.
const TWO: [usize; 2] = [0, 5];

/// Returns every operation there is on these BARs.
fn every_op() -> Vec<Op> {
    let mut ops = Vec::new();
    for bar in TWO {
        for first in 0..PAGES {
            ops.extend((1..=PAGES - first).map(|pages| Op::Create { bar, first, pages }));
        }
        for attribute in [Attribute::Noncached, Attribute::WriteCombining] {
            ops.push(Op::SetWindow { bar, attribute });
        }
    }
    // The last sequence of all can create this many; one number more is of none.
    ops.extend((0..DEPTH as u32).map(Op::Destroy));
    ops
}

/// Does `sequence` from an empty table on and checks what came of it.
fn try_out(sequence: &[Op], page: u64) {
    let mut table = Table::default();
    let mut model = Model::new(PAGES, page, 0x38_0000_0000);
    for op in sequence {
        model.step(&mut table, *op);
    }
    model.check(&table);
}

/// Tries every sequence that begins with `sequence` and has up to [`DEPTH`] operations.
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

#[test]
fn every_sequence_of_four_operations_leaves_what_the_model_says() {
    let ops = every_op();
    let all = (0..=DEPTH as u32).map(|depth| (ops.len() as u64).pow(depth));
    assert_eq!(try_all(&mut Vec::new(), &ops, 0x1000), all.sum());
}

#[test]
fn every_sequence_in_pages_of_64_gib_stays_within_the_window() {
    // Eight such pages are all the slots that a BAR has, so most sequences meet the end.
    let ops = every_op();
    try_all(&mut Vec::new(), &ops, 64 << 30);
}
