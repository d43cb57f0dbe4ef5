// SPDX-License-Identifier: GPL-2.0-only

//! A stranger: a thread without the device, which maps a page of a BAR through sysfs now and then.

use crate::foreign::Mappings;
use crate::model::{Arch, Facts, ForeignMapping, Mem, BARS, LARGE};
use crate::op::{Foreign, Outcome};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::target::Target;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A stranger, which maps one page after another through sysfs. The kernel logs no conflicts of
/// types for a mapping of one page.
pub struct Stranger {
    mappings: Mappings,
    oracle: Oracle,
    rng: Rng,
    bar: usize,
    /// The page that is mapped, and its type.
    page: Option<(u64, Mem)>,
}

impl Stranger {
    /// Chooses a BAR for the stranger.
    pub fn new(target: &Target, facts: &Facts, rng: Rng) -> io::Result<Option<Self>> {
        let suits = |&bar: &usize| facts.bars[bar].foreign && facts.bars[bar].ram;
        let Some(bar) = (0..BARS).find(suits) else {
            return Ok(None);
        };
        Ok(Some(Self {
            mappings: Mappings::new(target),
            oracle: Oracle::open()?,
            rng,
            bar,
            page: None,
        }))
    }

    /// Maps pages until `stop` is set; the last mapping may remain.
    pub fn work(&mut self, facts: &Facts, stop: &AtomicBool) -> Result<(), String> {
        let mut outcome = Box::new(Outcome::EMPTY);
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_micros(20 << self.rng.below(8)));
            if self.page.take().is_some() {
                let op = Foreign::Unmap(0);
                self.mappings.perform(op, &self.oracle, &mut outcome);
            }
            if self.rng.once_in(4) {
                continue;
            }
            // The pages where the threads make subregions.
            let block = self
                .rng
                .below((facts.bars[self.bar].len / LARGE).clamp(1, 4));
            let at = block * LARGE + self.rng.below(8) * facts.page;
            let op = Foreign::Map {
                number: 0,
                bar: self.bar as u32,
                at,
                len: facts.page,
            };
            self.mappings.perform(op, &self.oracle, &mut outcome);
            let mut known = [Mem::Noncached, Mem::WriteCombining].into_iter();
            let of = |mem: &Mem| outcome.value == u64::from(Arch::HERE.number(*mem));
            match known.find(of) {
                Some(mem) if outcome.ret == 0 => self.page = Some((at, mem)),
                _ => return Err(format!("stranger: {op:x?} returned {}", outcome.ret)),
            }
        }
        Ok(())
    }

    /// Returns the current mapping.
    pub fn mapping(&self, page: u64) -> Option<ForeignMapping> {
        self.page.map(|(at, mem)| ForeignMapping {
            bar: self.bar,
            span: at..at + page,
            mem,
        })
    }
}
