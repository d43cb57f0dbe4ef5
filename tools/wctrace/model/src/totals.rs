// SPDX-License-Identifier: GPL-2.0-only

//! Sums over departures.

use crate::{Departure, Reason};
use std::collections::{BTreeMap, HashMap};

/// The place in which a burst broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The instruction that made the buffer leave before it was full.
    pub place: u64,
    /// The last instruction that stored to it.
    pub last_store: u64,
    /// Why it left.
    pub reason: Reason,
}

/// Counts of the writes that left a CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Writes on the link.
    pub writes: u64,
    /// Bytes that these write.
    pub bytes: u64,
    /// Bytes on the link, with everything that a packet has besides data.
    pub link_bytes: u64,
    /// Writes by how many bytes they write.
    pub sizes: BTreeMap<u64, u64>,
    /// Writes by the reason why they left, in the order of [`Reason::ALL`].
    by_reason: [u64; Reason::ALL.len()],
    /// Lines that left full, as one write.
    pub full: u64,
    /// Lines that left before they were full.
    pub broken: u64,
    /// The number of lines that broke at each place, and of the writes that they became.
    pub places: HashMap<Place, (u64, u64)>,
}

impl Totals {
    /// Adds what left another CPU.
    pub fn merge(&mut self, other: &Self) {
        self.writes += other.writes;
        self.bytes += other.bytes;
        self.link_bytes += other.link_bytes;
        self.full += other.full;
        self.broken += other.broken;
        for (sum, writes) in self.by_reason.iter_mut().zip(other.by_reason) {
            *sum += writes;
        }
        for (&size, &writes) in &other.sizes {
            *self.sizes.entry(size).or_default() += writes;
        }
        for (&place, &(lines, writes)) in &other.places {
            let sums = self.places.entry(place).or_default();
            *sums = (sums.0 + lines, sums.1 + writes);
        }
    }

    /// Returns the number of writes that left for this reason.
    #[must_use]
    pub fn writes_by(&self, reason: Reason) -> u64 {
        self.by_reason[reason as usize]
    }

    /// Adds a departure.
    pub fn add(&mut self, departure: &Departure) {
        let mut writes = 0;
        for write in departure.writes() {
            writes += 1;
            self.bytes += write.bytes;
            self.link_bytes += write.link_bytes();
            *self.sizes.entry(write.bytes).or_default() += 1;
        }
        self.writes += writes;
        self.by_reason[departure.reason as usize] += writes;
        match departure.reason {
            Reason::Type => {}
            Reason::Full => self.full += 1,
            reason => {
                self.broken += 1;
                let place = Place {
                    place: departure.place,
                    last_store: departure.last_store,
                    reason,
                };
                let sums = self.places.entry(place).or_default();
                sums.0 += 1;
                sums.1 += writes;
            }
        }
    }
}
