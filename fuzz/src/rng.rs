// SPDX-License-Identifier: GPL-2.0-only

//! Random numbers that depend only on the seed.

/// A generator of the kind xorshift64*.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// Spreads the bits of `value` over all of the result (the finalizer of splitmix64).
#[must_use]
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// Makes generator number `stream` of `seed`; each has a sequence of its own.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        // A state of 0 would stay 0.
        Self(mix(seed ^ mix(stream)).max(1))
    }

    /// Returns 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 8) % limit
    }

    /// Returns a number below `limit` to be used as an index.
    pub fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    /// Returns true once in `times` calls.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns one of `choices`, which are not empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// Returns the index of one of `weights`, each with a probability proportional to it.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut at = self.below(total.max(1));
        for (number, &weight) in weights.iter().enumerate() {
            match at.checked_sub(u64::from(weight)) {
                Some(rest) => at = rest,
                None => return number,
            }
        }
        0
    }
}

// contract: fuzz.repeat
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b) = (Rng::new(1, 2), Rng::new(1, 2));
        for _ in 0..100 {
            assert_eq!(a.next(), b.next());
        }
    }

    #[test]
    fn streams_differ() {
        let (mut a, mut b) = (Rng::new(1, 2), Rng::new(1, 3));
        assert_ne!(
            [a.next(), a.next(), a.next()],
            [b.next(), b.next(), b.next()]
        );
    }

    #[test]
    fn a_choice_of_weight_zero_is_not_made() {
        let mut rng = Rng::new(7, 7);
        for _ in 0..1000 {
            assert_ne!(rng.weighted(&[3, 0, 1]), 1);
        }
    }
}
