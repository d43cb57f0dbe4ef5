// SPDX-License-Identifier: GPL-2.0-only

//! The known bytes of the BARs.

use std::collections::HashMap;

const PAGE: u64 = 4096;

/// The bytes of BARs that keep written values; a byte is known after it was written or read.
#[derive(Clone, Debug, Default)]
pub struct Content(HashMap<(usize, u64), Vec<Option<u8>>>);

impl Content {
    fn byte(&mut self, bar: usize, at: u64) -> &mut Option<u8> {
        let length = usize::try_from(PAGE).unwrap_or(0);
        let page = self
            .0
            .entry((bar, at / PAGE))
            .or_insert_with(|| vec![None; length]);
        &mut page[usize::try_from(at % PAGE).unwrap_or(0)]
    }

    /// Records written bytes.
    pub fn write(&mut self, bar: usize, at: u64, bytes: &[u8]) {
        for (at, &byte) in (at..).zip(bytes) {
            *self.byte(bar, at) = Some(byte);
        }
    }

    /// Compares read bytes with the known ones, and records the others.
    pub fn read(&mut self, bar: usize, at: u64, bytes: &[u8]) -> Result<(), String> {
        for (at, &byte) in (at..).zip(bytes) {
            let known = self.byte(bar, at);
            match *known {
                Some(known) if known != byte => {
                    return Err(format!(
                        "byte {at:#x} of BAR {bar} is {byte:#04x}, but {known:#04x} was written there"
                    ));
                }
                _ => *known = Some(byte),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: fuzz.model
    #[test]
    fn written_bytes_are_expected() {
        let mut content = Content::default();
        content.write(2, PAGE - 1, &[1, 2]);
        assert_eq!(content.read(2, PAGE - 2, &[9, 1, 2]), Ok(()));
        assert!(content.read(2, PAGE - 2, &[8]).is_err());
        assert!(content.read(2, PAGE, &[3]).is_err());
        assert_eq!(content.read(3, PAGE, &[3]), Ok(()));
    }
}
