// SPDX-License-Identifier: GPL-2.0-only

//! The parser of the parameter `ids=`, which has the syntax of vfio-pci.
//!
//! vfio-pci splits the parameter at commas and reads each entry with sscanf() and the format
//! `%x:%x:%x:%x:%x:%x` (`vfio_pci_fill_ids()`). This parser accepts exactly the same input,
//! including its oddities, so that a configuration for vfio-pci works here.

use crate::vfio::pci::DynamicId;

/// Returns whether the kernel's isspace() is true for `byte`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// Reads a hexadecimal number from the start of `text` by the rules of `%x` in the kernel's
/// sscanf(), and returns it with the rest of the text.
///
/// White space before the number is skipped, a sign is invalid, and `0x` alone is zero. A number of
/// more than 32 bits is cut to its lowest 32 bits. A number of more than 64 bits has all bits set.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let start = text.iter().position(|byte| !is_space(*byte))?;
    let text = text.get(start..)?;
    if !text.first()?.is_ascii_hexdigit() {
        return None;
    }
    let digits = match text {
        [b'0', b'x' | b'X', rest @ ..] => rest,
        _ => text,
    };
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end)?;
    let value = digits.iter().try_fold(0u64, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(u64::from(digit))
    });
    // CAST: A number is cut to its lowest 32 bits, as in sscanf().
    Some((value.unwrap_or(u64::MAX) as u32, rest))
}

/// Reads an id: two to six numbers, with a colon directly after each number but the last. Text
/// after the last number is ignored.
fn id(text: &[u8]) -> Option<DynamicId> {
    let mut fields = [0, 0, DynamicId::ANY, DynamicId::ANY, 0, 0];
    let mut found = 0_usize;
    let mut rest = Some(text);
    for field in &mut fields {
        let Some((value, after)) = rest.and_then(number) else {
            break;
        };
        *field = value;
        found = found.saturating_add(1);
        rest = after.strip_prefix(b":");
    }
    let [vendor, device, subvendor, subdevice, class, class_mask] = fields;
    (found >= 2).then_some(DynamicId {
        vendor,
        device,
        subvendor,
        subdevice,
        class,
        class_mask,
    })
}

/// Returns an iterator over the entries of a list with commas: an id, or the text of an invalid
/// entry as an error.
pub(crate) fn list(text: &[u8]) -> impl Iterator<Item = Result<DynamicId, &[u8]>> {
    text.split(|&byte| byte == b',')
        .filter(|entry| !entry.is_empty())
        .map(|entry| id(entry).ok_or(entry))
}

// contract: drop-in.ids
#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(subregion_ids)]
mod tests {
    use super::*;

    const ANY: u32 = DynamicId::ANY;

    fn fields(text: &[u8]) -> Option<[u32; 6]> {
        id(text).map(|id| {
            [
                id.vendor,
                id.device,
                id.subvendor,
                id.subdevice,
                id.class,
                id.class_mask,
            ]
        })
    }

    #[test]
    fn a_field_that_is_left_out_matches_anything() {
        assert!(fields(b"8086:10c9") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
        assert!(fields(b"8086:10c9:1:2:3:4") == Some([0x8086, 0x10c9, 1, 2, 3, 4]));
    }

    #[test]
    fn numbers_may_begin_with_0x() {
        assert!(fields(b"0x8086:0X10C9") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
    }

    #[test]
    fn a_field_that_is_no_number_ends_the_id() {
        assert!(fields(b"8086:10c9:zz:2") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
    }

    #[test]
    fn one_number_is_no_id() {
        assert!(fields(b"8086").is_none());
        assert!(fields(b"8086:").is_none());
        assert!(fields(b":8086").is_none());
    }

    #[test]
    fn white_space_before_a_number_is_skipped() {
        let igb = Some([0x8086, 0x10c9, ANY, ANY, 0, 0]);
        assert!(fields(b" 8086:10c9") == igb);
        assert!(fields(b"\t\n\x0b\x0c\r\xa0 8086: 10c9") == igb);
        assert!(fields(b"8086:10c9: 1:  2") == Some([0x8086, 0x10c9, 1, 2, 0, 0]));
    }

    #[test]
    fn white_space_before_a_colon_ends_the_id() {
        assert!(fields(b"8086 :10c9").is_none());
        assert!(fields(b"8086:10c9 :1") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
    }

    #[test]
    fn text_after_the_last_number_is_ignored() {
        assert!(fields(b"8086:10c9 ") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
        assert!(fields(b"8086:10c9:") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
        assert!(fields(b"8086:10c9: ") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
        assert!(fields(b"1:2:3:4:5:6:7") == Some([1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn a_number_without_digits_is_none() {
        assert!(fields(b" ").is_none());
        assert!(fields(b"x8086:10c9").is_none());
        assert!(fields(b"-8086:10c9").is_none());
        assert!(fields(b"+8086:10c9").is_none());
        assert!(fields(b"8086:-1").is_none());
    }

    #[test]
    fn a_prefix_without_digits_is_zero() {
        assert!(fields(b"0x:0X") == Some([0, 0, ANY, ANY, 0, 0]));
        assert!(fields(b"0xg:1").is_none());
    }

    #[test]
    fn the_low_bits_of_a_long_number_count() {
        assert!(fields(b"123456789:1") == Some([0x2345_6789, 1, ANY, ANY, 0, 0]));
        assert!(fields(b"fedcba9876543210:1") == Some([0x7654_3210, 1, ANY, ANY, 0, 0]));
        assert!(fields(b"000000000000000008086:1") == Some([0x8086, 1, ANY, ANY, 0, 0]));
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_the_largest_one() {
        assert!(fields(b"10000000000000000:1") == Some([u32::MAX, 1, ANY, ANY, 0, 0]));
        assert!(fields(b"1000000000000000000008086:1") == Some([u32::MAX, 1, ANY, ANY, 0, 0]));
    }

    #[test]
    fn a_list_may_have_blanks_behind_its_commas() {
        let mut entries = list(b"8086:10c9, 8086:1520");
        assert!(matches!(entries.next(), Some(Ok(id)) if id.device == 0x10c9));
        assert!(matches!(entries.next(), Some(Ok(id)) if id.device == 0x1520));
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_list_gives_ids_and_the_texts_of_invalid_ones() {
        let mut entries = list(b",1:2,nonsense,,3:4");
        assert!(matches!(
            entries.next(),
            Some(Ok(DynamicId {
                vendor: 1,
                device: 2,
                ..
            }))
        ));
        assert!(matches!(entries.next(), Some(Err(b"nonsense"))));
        assert!(matches!(
            entries.next(),
            Some(Ok(DynamicId {
                vendor: 3,
                device: 4,
                ..
            }))
        ));
        assert!(entries.next().is_none());
    }
}
