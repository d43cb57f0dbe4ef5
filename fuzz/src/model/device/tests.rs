// SPDX-License-Identifier: GPL-2.0-only

use super::super::{are_mixed, foreign_type, window, Arch, Bar, ForeignMapping, ForeignMappings};
use super::*;
use libc::{E2BIG, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, EOVERFLOW, EPERM};

const PAGE: u64 = 4096;

fn facts() -> Arc<Facts> {
    let bar = |len, msix| Bar {
        phys: 0xfe00_0000,
        len,
        memory: true,
        mappable: len,
        msix,
        ram: true,
        foreign: true,
    };
    Arc::new(Facts {
        arch: Arch::X86,
        page: PAGE,
        bars: [
            bar(4 * PAGE, 0x2010..0x2020),
            Bar::default(),
            bar(16 << 20, 0..0),
            Bar::default(),
            Bar::default(),
            Bar::default(),
        ],
        regions: Vec::new(),
        config: 4096,
        reset: true,
        hot_reset: true,
        sibling: false,
        reopens: true,
        nodes: true,
        express: false,
        sysfs_reset: true,
        pm: None,
        flr: None,
        dma_buf: false,
    })
}

fn frame(size: u32) -> Frame {
    Frame {
        place: Where::Good,
        argsz: size,
        flags: 0,
        reserved: 0,
        tail: false,
    }
}

fn request(parent: u32, attribute: u32, offset: u64, size: u64) -> Request {
    Request {
        parent,
        attribute,
        offset,
        size,
    }
}

fn create(device: &mut Device, request: &Request) -> Result<(), i32> {
    let region = device.create(&frame(size::CREATE), request);
    let Created::New(mut region) = region.map_err(|(errno, _)| errno)? else {
        panic!("there is nothing to share");
    };
    region.offset = window(region.bar, SLOTS) + ((device.regions.len() as u64) << 30);
    device.enter(region, |_| false).unwrap();
    Ok(())
}

// contract: fuzz.model
#[test]
fn the_first_of_several_errors_is_reported() {
    let mut device = Device::new(facts());
    assert_eq!(create(&mut device, &request(2, 2, PAGE, PAGE)), Ok(()));
    let errno = |frame: &Frame, request: &Request| {
        device
            .create(frame, request)
            .map(|_| ())
            .map_err(|(errno, _)| errno)
    };
    let good = frame(size::CREATE);
    let wrap = PAGE.wrapping_neg();
    for (request, expected) in [
        (request(2, 2, wrap, 2 * PAGE + 1), Err(EINVAL)),
        (request(2, 2, PAGE, wrap), Err(EOVERFLOW)),
        (request(2, 2, PAGE, 16 << 20), Err(EINVAL)),
        (request(2, 2, 0, 2 * PAGE), Err(EEXIST)),
        (request(2, 4, 0, PAGE), Err(EINVAL)),
        (request(1, 0, 0, PAGE), Err(EINVAL)),
        (request(0, 2, 2 * PAGE, PAGE), Err(EPERM)),
        (request(0, 1, 2 * PAGE, PAGE), Ok(())),
        (request(2, 2, 2 * PAGE, PAGE), Ok(())),
    ] {
        assert_eq!(errno(&good, &request), expected, "{request:x?}");
    }
    let valid = request(2, 2, 2 * PAGE, PAGE);
    let with = |change: &dyn Fn(&mut Frame)| {
        let mut frame = good;
        change(&mut frame);
        errno(&frame, &valid)
    };
    assert_eq!(with(&|f| f.argsz -= 1), Err(EINVAL));
    assert_eq!(with(&|f| f.argsz = 4097), Err(E2BIG));
    assert_eq!(with(&|f| (f.argsz, f.tail) = (57, true)), Err(E2BIG));
    assert_eq!(with(&|f| f.tail = true), Ok(()));
    assert_eq!(with(&|f| f.flags = 1), Ok(()));
    assert_eq!(with(&|f| f.flags = 2), Err(EINVAL));
    assert_eq!(with(&|f| f.place = Where::ReadOnly), Err(EFAULT));
}

// contract: fuzz.model
#[test]
fn only_the_same_request_with_the_flag_shares_a_subregion() {
    let mut device = Device::new(facts());
    let shared = Frame {
        flags: SHARED,
        ..frame(size::CREATE)
    };
    let same = request(2, 2, PAGE, PAGE);
    let Ok(Created::New(mut region)) = device.create(&shared, &same) else {
        panic!("it is not made");
    };
    region.offset = window(2, SLOTS);
    device.enter(region, |_| false).unwrap();
    assert_eq!(device.create(&shared, &same), Ok(Created::Shared(REGIONS)));
    let overlap = Err((EEXIST, Some(REGIONS)));
    assert_eq!(device.create(&frame(size::CREATE), &same), overlap);
    for other in [
        request(2, 1, PAGE, PAGE),
        request(2, 2, PAGE, 2 * PAGE),
        request(2, 2, 0, 2 * PAGE),
    ] {
        assert_eq!(device.create(&shared, &other), overlap);
    }
    device.share(REGIONS);
    assert!(device.unshare(REGIONS));
    assert!(!device.unshare(REGIONS));
    create(&mut device, &request(2, 2, 4 * PAGE, PAGE)).unwrap();
    let exclusive = request(2, 2, 4 * PAGE, PAGE);
    let overlap = Err((EEXIST, Some(REGIONS + 1)));
    assert_eq!(device.create(&shared, &exclusive), overlap);
    assert!(!device.unshare(REGIONS + 1));
}

// contract: fuzz.model
#[test]
fn an_offset_is_not_given_out_again_while_it_is_used_or_mapped() {
    let mut device = Device::new(facts());
    create(&mut device, &request(2, 2, PAGE, PAGE)).unwrap();
    let old = device.region(REGIONS).unwrap().clone();
    assert!(device.enter(old.clone(), |_| false).is_err());
    device.remove(REGIONS).unwrap();
    assert_eq!(device.destroy(&frame(size::DESTROY), REGIONS), Err(ENOENT));
    assert!(device.enter(old.clone(), |_| true).is_err());
    assert_eq!(device.next_index(), REGIONS + 1);
    let outside = Region {
        offset: window(2, 0),
        ..old.clone()
    };
    assert!(device.enter(outside, |_| false).is_err());
    assert!(device.enter(old, |_| false).is_ok());
}

// contract: fuzz.model
#[test]
fn an_ioeventfd_keeps_the_type_of_its_page() {
    let mut device = Device::new(facts());
    device.events.push(IoEvent {
        bar: 2,
        at: PAGE - 4,
        count: 4,
        data: 0,
        eventfd: 0,
    });
    assert_eq!(device.query(&frame(size::QUERY), 2), Ok(0b1111));
    assert_eq!(device.busy(2, |_| false), busy::IOEVENTFD);
    assert_eq!(create(&mut device, &request(2, 2, 0, PAGE)), Err(EBUSY));
    assert_eq!(create(&mut device, &request(2, 1, 0, PAGE)), Ok(()));
    assert_eq!(create(&mut device, &request(2, 2, PAGE, PAGE)), Ok(()));
    assert!(device.destroy(&frame(size::DESTROY), REGIONS).is_ok());
    device.events[0].at = PAGE;
    let wc = REGIONS + 1;
    assert_eq!(device.destroy(&frame(size::DESTROY), wc), Err(EBUSY));
    device.events.clear();
    assert!(device.destroy(&frame(size::DESTROY), wc).is_ok());
}

// contract: fuzz.model
#[test]
fn a_subregion_keeps_write_combining_from_beginning_and_ending() {
    let mut device = Device::new(facts());
    let set = |device: &Device, attribute, mapped: bool| {
        device.set_attr(&frame(size::SET_ATTR), 2, attribute, |_| mapped)
    };
    let busy = |busy| Err((EBUSY, Some(busy)));
    assert_eq!(set(&device, 2, true), busy(busy::MAPPED));
    assert_eq!(device.busy(2, |_| true), busy::MAPPED);
    assert_eq!(set(&device, 0, true), Ok((2, Attribute::Noncached)));
    assert_eq!(set(&device, 2, false), Ok((2, Attribute::WriteCombining)));
    device.windows[2] = Attribute::WriteCombining;
    assert_eq!(device.query(&frame(size::QUERY), 2), Ok(0b1111));
    create(&mut device, &request(2, 0, 0, PAGE)).unwrap();
    assert_eq!(set(&device, 0, false), busy(busy::SUBREGION));
    assert_eq!(set(&device, 2, false), Ok((2, Attribute::WriteCombining)));
    assert_eq!(device.busy(2, |_| false), busy::SUBREGION);
    device.windows[2] = Attribute::Noncached;
    assert_eq!(set(&device, 2, false), busy(busy::SUBREGION));
    assert_eq!(set(&device, 1, false), Ok((2, Attribute::Device)));
}

// contract: fuzz.model
#[test]
fn strict_pages_of_a_wc_bar_are_kept_once_their_subregion_is_destroyed() {
    let mut device = Device::new(facts());
    device.windows[2] = Attribute::WriteCombining;
    create(&mut device, &request(2, 0, 0, 8 * PAGE)).unwrap();
    let none = ForeignMappings::default();
    let get = |device: &Device, start, end| {
        foreign_type(Some(device), &none, 2, &(start * PAGE..end * PAGE))
    };
    assert_eq!(get(&device, 0, 8), Some(Mem::Noncached));
    assert_eq!(get(&device, 8, 9), Some(Mem::WriteCombining));
    assert_eq!(get(&device, 7, 9), None);
    device.see(&foreign([(6, 2, Mem::Noncached)]));
    assert!(device.kept(2).is_empty());
    device.remove(REGIONS);
    device.find_strays();
    assert_eq!(device.kept(2).all(), [6 * PAGE..8 * PAGE]);
    assert_eq!(
        create(&mut device, &request(2, 2, 6 * PAGE, PAGE)),
        Err(EBUSY)
    );
    device.see(&foreign([(0, 2, Mem::WriteCombining)]));
    assert_eq!(create(&mut device, &request(2, 0, 0, PAGE)), Err(EBUSY));
    assert_eq!(create(&mut device, &request(2, 2, 0, PAGE)), Ok(()));
}

// contract: fuzz.model
#[test]
fn an_export_ends_with_its_subregion_and_with_its_open_device() {
    let mut device = Device::new(facts());
    assert_eq!(create(&mut device, &request(2, 2, 0, PAGE)), Ok(()));
    let read_write = libc::O_RDWR as u32;
    let new = |device: &Device, flags| device.export(&frame(size::EXPORT), REGIONS, flags);
    assert_eq!(new(&device, 1), Err(EINVAL));
    assert!(!new(&device, 0).unwrap().write);
    let export = new(&device, read_write).unwrap();
    assert!(export.write);
    assert_eq!(device.exported(&export), device.region(REGIONS));
    let mut read_only = frame(size::EXPORT);
    read_only.place = Where::ReadOnly;
    assert_eq!(device.export(&read_only, REGIONS, 0), Err(EFAULT));
    assert_eq!(device.export(&read_only, REGIONS + 1, 0), Err(ENOENT));
    let again = Device {
        session: 1,
        ..device.clone()
    };
    assert_eq!(again.exported(&export), None);
    device.remove(REGIONS);
    assert_eq!(device.exported(&export), None);
    assert_eq!(new(&device, read_write), Err(ENOENT));
    assert_eq!(create(&mut device, &request(2, 2, 0, PAGE)), Ok(()));
    assert_eq!(device.exported(&export), None);
}

// contract: fuzz.model
#[test]
fn a_page_has_the_type_of_its_bar_or_subregion() {
    let mut device = Device::new(facts());
    create(&mut device, &request(2, 2, PAGE, 2 * PAGE)).unwrap();
    let offset = device.region(REGIONS).unwrap().offset;
    assert_eq!(
        device.extent(window(2, 0), PAGE),
        Some((2, 0, Mem::Noncached))
    );
    assert_eq!(device.extent(window(2, 0), 2 * PAGE), None);
    assert_eq!(device.extent(window(2, PAGE), PAGE), None);
    let second = Some((2, 2 * PAGE, Mem::WriteCombining));
    assert_eq!(device.extent(offset + PAGE, PAGE), second);
    assert_eq!(device.extent(offset + PAGE, 2 * PAGE), None);
    device.remove(REGIONS);
    assert_eq!(device.extent(offset, PAGE), None);
}

/// Foreign mappings of BAR 2: the first page, the number of pages and the type of each.
fn foreign<const N: usize>(mappings: [(u64, u64, Mem); N]) -> ForeignMappings {
    let mut foreign = ForeignMappings::default();
    for (place, (at, pages, mem)) in foreign.iter_mut().zip(mappings) {
        let span = at * PAGE..(at + pages) * PAGE;
        *place = Some(ForeignMapping { bar: 2, span, mem });
    }
    foreign
}

// contract: fuzz.model
#[test]
fn pages_that_others_mapped_first_are_kept_until_these_unmap_them() {
    let mut device = Device::new(facts());
    device.see(&foreign([(4, 2, Mem::WriteCombining)]));
    assert_eq!(device.extent(window(2, 4 * PAGE), PAGE), None);
    assert_eq!(device.extent(window(2, 0), LARGE), None);
    assert!(device.extent(window(2, 6 * PAGE), PAGE).is_some());
    for attribute in 0..4 {
        let at = |page| request(2, attribute, page * PAGE, PAGE);
        assert_eq!(create(&mut device, &at(5)), Err(EBUSY));
        assert_eq!(create(&mut device, &at(6 + u64::from(attribute))), Ok(()));
        let set = device.set_attr(&frame(size::SET_ATTR), 2, attribute, |_| false);
        assert_eq!(set, Err((EBUSY, Some(busy::STRAY))));
    }
    device.see(&ForeignMappings::default());
    assert!(device.extent(window(2, 4 * PAGE), PAGE).is_some());
    assert_eq!(create(&mut device, &request(2, 0, 5 * PAGE, PAGE)), Ok(()));
}

// contract: fuzz.model
#[test]
fn pages_of_a_subregion_are_kept_once_it_is_destroyed() {
    let mut device = Device::new(facts());
    create(&mut device, &request(2, 2, 0, 8 * PAGE)).unwrap();
    let others = foreign([(6, 2, Mem::WriteCombining)]);
    device.see(&others);
    assert!(device.kept(2).is_empty());
    device.remove(REGIONS);
    device.find_strays();
    assert_eq!(device.kept(2).all(), [6 * PAGE..8 * PAGE]);
    // No ioctl has checked since these mappings ended.
    device.see(&ForeignMappings::default());
    assert!(device.kept(2).is_empty());
    let none = ForeignMappings::default();
    let get = |device: &Device, page| {
        foreign_type(Some(device), &none, 2, &(page * PAGE..(page + 1) * PAGE))
    };
    assert_eq!(get(&device, 6), None);
    assert_eq!(get(&device, 8), Some(Mem::Noncached));
    device.settle(2);
    assert_eq!(get(&device, 6), Some(Mem::Noncached));
}

// contract: fuzz.model
#[test]
fn later_mappings_of_others_have_the_type_of_the_device() {
    let mut device = Device::new(facts());
    create(&mut device, &request(2, 2, 0, 2 * PAGE)).unwrap();
    let none = ForeignMappings::default();
    let get = |start, end| foreign_type(Some(&device), &none, 2, &(start * PAGE..end * PAGE));
    assert_eq!(get(0, 2), Some(Mem::WriteCombining));
    assert_eq!(get(2, 4), Some(Mem::Noncached));
    assert_eq!(get(1, 3), None);
    let others = foreign([(4, 1, Mem::Noncached)]);
    device.see(&others);
    assert_eq!(
        create(&mut device, &request(2, 2, 4 * PAGE, PAGE)),
        Err(EBUSY)
    );
    assert_eq!(create(&mut device, &request(2, 1, 4 * PAGE, PAGE)), Ok(()));
    // For a closed device it is the type of other mappings.
    let free = |start, end| foreign_type(None, &others, 2, &(start * PAGE..end * PAGE));
    assert_eq!(free(4, 6), Some(Mem::Noncached));
    assert_eq!(free(5, 6), Some(Mem::WriteCombining));
    assert!(!are_mixed(&others));
    let mixed = foreign([(4, 1, Mem::Noncached), (5, 1, Mem::WriteCombining)]);
    assert!(are_mixed(&mixed));
    let mut device = Device::new(facts());
    device.see(&mixed);
    assert_eq!(device.kept(2).all(), [5 * PAGE..6 * PAGE]);
}
