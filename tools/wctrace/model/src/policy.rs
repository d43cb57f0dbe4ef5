// SPDX-License-Identifier: GPL-2.0-only

//! The choices that manuals leave to a CPU.

use crate::{Order, LINE};
use std::{fmt, str::FromStr};

/// Which stores share a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// All stores to the line, in any order, whatever is executed between them.
    Line,
    /// Only stores to ascending, adjacent bytes of the line, by store instructions that follow each
    /// other without another instruction between them.
    Adjacent,
}

/// How a buffer that is not full leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// One write for each aligned 8 bytes that have a valid byte.
    Words,
    /// One write for each run of valid bytes.
    Runs,
}

/// The behaviour of the buffers of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The number of buffers. When all are in use, the one that was opened first leaves.
    pub buffers: usize,
    /// Which stores share a buffer.
    pub gather: Gather,
    /// How a buffer that is not full leaves.
    pub partial: Partial,
    /// The bytes of a buffer, and the alignment of what it holds: a power of two from 8 to [`LINE`].
    pub line: u64,
    /// The instructions are those of x86: the manual's list of events empties the buffers.
    pub(crate) x86: bool,
}

const PRESETS: [(&str, Policy); 5] = [
    ("x86", Policy::X86),
    (
        "x86-runs",
        Policy {
            partial: Partial::Runs,
            ..Policy::X86
        },
    ),
    (
        "x86-one",
        Policy {
            buffers: 1,
            ..Policy::X86
        },
    ),
    ("arm64", Policy::ARM64),
    (
        "arm64-merge",
        Policy {
            buffers: 4,
            gather: Gather::Line,
            ..Policy::ARM64
        },
    ),
];

impl Policy {
    /// Intel's manual, with the 12 buffers of a Skylake core.
    pub const X86: Self = Self {
        buffers: 12,
        gather: Gather::Line,
        partial: Partial::Words,
        line: LINE,
        x86: true,
    };

    /// The assumption of Linux: only adjacent store instructions gather.
    pub const ARM64: Self = Self {
        buffers: 1,
        gather: Gather::Adjacent,
        partial: Partial::Runs,
        line: LINE,
        x86: false,
    };

    /// The mask of a buffer whose bytes are all valid.
    pub(crate) fn full(&self) -> u64 {
        u64::MAX >> (LINE - self.line)
    }

    /// Whether `order` empties the buffers.
    #[must_use]
    pub fn drains(&self, order: Order) -> bool {
        match order {
            Order::StoreFence | Order::FullFence | Order::Trap => true,
            Order::LoadFence => false,
            Order::Hint | Order::Release => !self.x86,
            Order::Locked | Order::Serializing | Order::Port | Order::Interrupt => self.x86,
        }
    }

    /// Whether an access to strict memory empties the buffers first.
    ///
    /// Where it does not, a strict store overtakes what waits in the buffers.
    #[must_use]
    pub fn strict_access_drains(&self) -> bool {
        self.x86
    }
}

/// The text is no policy.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownPolicy(String);

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
        write!(
            f,
            "{}: no such policy or parameter; a policy is one of {}, followed by any of \
             :buffers=N :line=BYTES :partial=words :partial=runs :gather=line :gather=adjacent",
            self.0,
            names.join(", ")
        )
    }
}

impl std::error::Error for UnknownPolicy {}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    /// Reads a preset and the parameters that differ from it, such as `x86:buffers=8:partial=runs`.
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let unknown = |word: &str| UnknownPolicy(word.to_owned());
        let mut words = text.split(':');
        let preset = words.next().unwrap_or_default();
        let (_, mut policy) = PRESETS
            .into_iter()
            .find(|(name, _)| *name == preset)
            .ok_or_else(|| unknown(preset))?;
        for word in words {
            match word.split_once('=') {
                Some(("buffers", count)) => {
                    policy.buffers = count
                        .parse()
                        .ok()
                        .filter(|&count| count > 0)
                        .ok_or_else(|| unknown(word))?;
                }
                Some(("line", size)) => {
                    policy.line = size
                        .parse()
                        .ok()
                        .filter(|size: &u64| size.is_power_of_two() && (8..=LINE).contains(size))
                        .ok_or_else(|| unknown(word))?;
                }
                Some(("partial", "words")) => policy.partial = Partial::Words,
                Some(("partial", "runs")) => policy.partial = Partial::Runs,
                Some(("gather", "line")) => policy.gather = Gather::Line,
                Some(("gather", "adjacent")) => policy.gather = Gather::Adjacent,
                _ => return Err(unknown(word)),
            }
        }
        Ok(policy)
    }
}

// contract: wctrace.model
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_preset_with_changes() {
        let expected = Policy {
            buffers: 8,
            partial: Partial::Runs,
            line: 32,
            ..Policy::X86
        };
        assert_eq!("x86:buffers=8:partial=runs:line=32".parse(), Ok(expected));
        assert_eq!("arm64".parse(), Ok(Policy::ARM64));
    }

    #[test]
    fn an_unknown_word_is_named() {
        for (text, word) in [
            ("sparc", "sparc"),
            ("x86:buffers=0", "buffers=0"),
            ("x86:line=4", "line=4"),
            ("x86:line=48", "line=48"),
            ("x86:line=128", "line=128"),
            ("x86:depth=3", "depth=3"),
        ] {
            let error = text.parse::<Policy>().unwrap_err();
            assert_eq!(error, UnknownPolicy(word.to_owned()));
            assert!(error.to_string().starts_with(word));
        }
    }
}
