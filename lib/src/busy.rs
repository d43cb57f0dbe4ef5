// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The reasons for EBUSY.

use crate::bindings as abi;
use core::fmt;

bitflags::bitflags! {
    /// The reasons for EBUSY.
    ///
    /// A failed call has one of them, and [`Support`](crate::Support) all that apply. Bits that this
    /// crate does not know are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Busy: u32 {
        /// An ioeventfd writes to a page of the range, whose memory type would change.
        const IOEVENTFD = abi::VFIO_SUBREGION_BUSY_IOEVENTFD;
        /// Another driver had the BAR when the device was opened.
        const BAR = abi::VFIO_SUBREGION_BUSY_BAR;
        /// Another mapping gives a page of the range another memory type.
        const TYPE = abi::VFIO_SUBREGION_BUSY_TYPE;
        /// Another mapping decides the memory type of a page of the range.
        const STRAY = abi::VFIO_SUBREGION_BUSY_STRAY;
        /// The BAR has a subregion.
        const SUBREGION = abi::VFIO_SUBREGION_BUSY_SUBREGION;
        /// A process maps the BAR itself.
        const MAPPED = abi::VFIO_SUBREGION_BUSY_MAPPED;

        const _ = !0;
    }
}

/// Each reason, with its short name, its description and the advice.
const TEXTS: [(Busy, &str, &str, &str); 6] = [
    (
        Busy::BAR,
        "bar",
        "another driver (such as one for a framebuffer) had the BAR when the device was opened",
        "end it and open the device again",
    ),
    (
        Busy::SUBREGION,
        "subregion",
        "the BAR has a subregion",
        "destroy it first",
    ),
    (
        Busy::MAPPED,
        "mapped",
        "the BAR is mapped",
        "unmap it first, in every process",
    ),
    (
        Busy::IOEVENTFD,
        "ioeventfd",
        "an ioeventfd writes to a page whose memory type would change",
        "remove it, or make it after the subregion",
    ),
    (
        Busy::STRAY,
        "stray",
        "another mapping, such as resourceN_wc in sysfs, decides the memory type of a page",
        "end that mapping",
    ),
    (
        Busy::TYPE,
        "type",
        "another mapping, such as resourceN in sysfs, gives a page another memory type",
        "end that mapping",
    ),
];

impl Busy {
    /// The short names of the reasons that this crate knows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let known = TEXTS.iter().filter(move |(busy, ..)| self.contains(*busy));
        known.map(|(_, name, ..)| *name)
    }

    /// The advice for the first of the reasons.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        let known = TEXTS.iter().find(|(busy, ..)| self.contains(*busy));
        known.map(|(.., advice)| *advice)
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut known = TEXTS.iter().filter(|(busy, ..)| self.contains(*busy));
        let Some((_, _, first, _)) = known.next() else {
            return f.write_str(if self.is_empty() {
                "nothing"
            } else {
                "a reason that this version of the crate does not know"
            });
        };
        f.write_str(first)?;
        known.try_for_each(|(_, _, text, _)| write!(f, "; {text}"))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    // contract: userspace.errors
    #[test]
    fn every_reason_has_a_name_a_text_and_advice() {
        for busy in Busy::all().iter().take(6) {
            assert_eq!(busy.names().count(), 1);
            assert!(busy.advice().is_some());
            assert_ne!(busy.to_string(), Busy::empty().to_string());
        }
        let two = Busy::STRAY | Busy::MAPPED;
        assert!(two.names().eq(["mapped", "stray"]));
        assert!(two.to_string().starts_with("the BAR is mapped; another"));
        let unknown = Busy::from_bits_retain(1 << 31);
        assert_eq!(unknown.advice(), None);
        assert_ne!(unknown.to_string(), Busy::empty().to_string());
    }
}
