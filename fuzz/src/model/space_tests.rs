// SPDX-License-Identifier: GPL-2.0-only

use super::*;

const PAGE: u64 = 4096;

fn vma(range: Range<u64>, offset: u64) -> Vma {
    Vma {
        range,
        offset,
        mem: Mem::Noncached,
        read: true,
        write: true,
        inherited: true,
        bound: false,
        export: None,
    }
}

fn space() -> Space {
    let mut space = Space::default();
    space.map(vma(0x10000..0x20000, 0));
    space
}

// contract: fuzz.model
#[test]
fn a_hole_leaves_both_ends_with_their_offsets() {
    let mut space = space();
    space.unmap(&(0x14000..0x18000));
    let vmas: Vec<_> = space.vmas().map(|v| (v.range.clone(), v.offset)).collect();
    assert_eq!(vmas, [(0x10000..0x14000, 0), (0x18000..0x20000, 0x8000)]);
}

// contract: fuzz.model
#[test]
fn a_change_that_changes_nothing_divides_nothing() {
    let mut space = space();
    assert_eq!(space.protect(&(0x14000..0x18000), true, true), Ok(()));
    assert_eq!(space.len(), 1);
    assert_eq!(space.protect(&(0x14000..0x18000), true, false), Ok(()));
    assert_eq!(space.len(), 3);
}

// contract: fuzz.model
#[test]
fn protect_stops_at_a_gap_and_advice_does_not() {
    let mut space = space();
    space.unmap(&(0x14000..0x15000));
    assert_eq!(
        space.protect(&(0x10000..0x20000), false, false),
        Err(ENOMEM)
    );
    assert!(!space.find(0x10000).unwrap().read);
    assert!(space.find(0x15000).unwrap().read);
    assert_eq!(space.dont_fork(&(0x10000..0x20000)), Err(ENOMEM));
    assert!(space.fork().is_empty());
}

// contract: fuzz.model
#[test]
fn only_mapped_pages_are_locked_or_bound() {
    let mut space = space();
    assert_eq!(space.lock(&(0x14000..0x18000)), Ok(()));
    assert_eq!(space.bind(&(0x14000..0x18000), false), Ok(()));
    assert_eq!(space.len(), 1);
    assert_eq!(space.bind(&(0x14000..0x18000), true), Ok(()));
    assert_eq!(space.len(), 3);
    assert_eq!(space.lock(&(0x10000..0x21000)), Err(ENOMEM));
    assert_eq!(space.bind(&(0x10000..0x21000), true), Err(EFAULT));
    assert_eq!(space.bind(&(0x10000..0x21000), false), Ok(()));
    assert_eq!(space.bind(&(0x30000..0x31000), false), Err(EFAULT));
    assert!(space.vmas().all(|vma| !vma.bound));
}

// contract: fuzz.model
#[test]
fn a_move_takes_live_entries_along() {
    let mut space = space();
    space.touched(0x10000);
    assert!(space.may_be_live(&(0x10000..0x20000)));
    assert_eq!(
        space.remap(0x11000, 0x2000, 0x2000, Some(0x40000)),
        Ok(0x40000)
    );
    assert!(space.may_be_live(&(0x40000..0x42000)));
    assert!(!space.may_be_live(&(0x11000..0x12000)));
    assert!(space.may_be_live(&(0x13000..0x14000)));
    assert_eq!(space.find(0x40000).unwrap().offset, 0x1000);
}

// contract: fuzz.model
#[test]
fn a_move_may_be_of_several_and_shrink_one() {
    let mut space = space();
    space.unmap(&(0x14000..0x15000));
    space.map(vma(0x44000..0x46000, 0x100_0000));
    assert_eq!(
        space.remap(0x10000, 0x10000, 0x10000, Some(0x40000)),
        Ok(0x40000)
    );
    // Mappings at the destination of the gap remain.
    assert_eq!(space.find(0x44000).unwrap().offset, 0x100_0000);
    assert_eq!(space.find(0x45000).unwrap().offset, 0x5000);
    assert_eq!(
        space.remap(0x45000, 0x3000, PAGE, Some(0x10000)),
        Ok(0x10000)
    );
    assert!(space.is_free(&(0x45000..0x48000)));
    assert_eq!(space.remap(0x10000, PAGE, 2 * PAGE, None), Err(EFAULT));
    assert_eq!(space.remap(0x11000, PAGE, PAGE, None), Err(EFAULT));
    assert_eq!(space.remap(0x10000, PAGE, 0, None), Err(EINVAL));
    assert_eq!(space.remap(0x40000, PAGE, PAGE, None), Ok(0x40000));
    assert_eq!(space.find(0x40000).unwrap().range, 0x40000..0x44000);
}

// contract: fuzz.model
#[test]
fn revoking_bytes_of_the_file_is_of_all_that_shows_them() {
    let mut space = space();
    space.map(vma(0x40000..0x42000, 0x1000));
    space.touched(0x10000);
    space.touched(0x40000);
    space.revoke(&(0x1000..0x2000));
    assert!(space.may_be_live(&(0x10000..0x11000)));
    assert!(!space.may_be_live(&(0x11000..0x12000)));
    assert!(!space.may_be_live(&(0x40000..0x41000)));
    assert!(space.may_be_live(&(0x41000..0x42000)));
}

// contract: fuzz.model
#[test]
fn protect_stops_at_a_mapping_of_a_read_only_export() {
    let mut space = space();
    let mut export = vma(0x14000..0x16000, 0);
    export.write = false;
    export.export = Some(Exported {
        session: 0,
        index: 9,
        write: false,
    });
    space.map(export);
    assert_eq!(
        space.protect(&(0x10000..0x14000), false, false),
        Ok(()),
        "the end is before the export"
    );
    assert_eq!(space.protect(&(0x10000..0x20000), true, true), Err(EACCES));
    assert!(space.find(0x10000).unwrap().write);
    assert!(!space.find(0x14000).unwrap().write);
    space.unmap(&(0x13000..0x14000));
    assert_eq!(space.protect(&(0x10000..0x20000), true, true), Err(ENOMEM));
    assert_eq!(space.protect(&(0x15000..0x16000), false, false), Ok(()));
    assert!(space.uses_device());
    space.unmap(&(0x10000..0x14000));
    space.unmap(&(0x16000..0x20000));
    assert!(!space.uses_device());
}
