// SPDX-License-Identifier: GPL-2.0

//! The ids that the parameter `ids=` names, in vfio-pci's way of writing them.

use crate::vfio::pci::DynamicId;

/// Reads the hexadecimal number that `text` begins with, and returns it with what follows it.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = match text {
        [b'0', b'x' | b'X', rest @ ..] => rest,
        _ => text,
    };
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end)?;
    let value = u32::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((value, rest))
}

/// Reads one id: up to six numbers with colons between them, of which the first two must be there.
/// Whatever follows the last number is passed over, as vfio-pci does.
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

/// Returns each id of a list with commas, or else what was written where no id is to be read.
pub(crate) fn list(text: &[u8]) -> impl Iterator<Item = Result<DynamicId, &[u8]>> {
    text.split(|&byte| byte == b',')
        .filter(|entry| !entry.is_empty())
        .map(|entry| id(entry).ok_or(entry))
}

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
    fn what_is_left_out_matches_anything() {
        assert!(fields(b"8086:10c9") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
        assert!(fields(b"8086:10c9:1:2:3:4") == Some([0x8086, 0x10c9, 1, 2, 3, 4]));
    }

    #[test]
    fn numbers_may_begin_with_0x() {
        assert!(fields(b"0x8086:0X10C9") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
    }

    #[test]
    fn what_is_no_number_ends_the_id() {
        assert!(fields(b"8086:10c9:zz:2") == Some([0x8086, 0x10c9, ANY, ANY, 0, 0]));
    }

    #[test]
    fn one_number_is_no_id() {
        assert!(fields(b"8086").is_none());
        assert!(fields(b"8086:").is_none());
        assert!(fields(b":8086").is_none());
        assert!(fields(b"123456789:1").is_none());
    }

    #[test]
    fn a_list_gives_what_can_be_read_and_what_cannot() {
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
