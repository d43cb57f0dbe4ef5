// SPDX-License-Identifier: GPL-2.0-only

//! Properties of every program under every policy.

use crate::{Cpu, Departure, Gather, MemoryType, Order, Partial, Policy, Reason, Store};
use proptest::prelude::*;

const MEMORY: usize = 320;

#[derive(Clone, Debug)]
enum Event {
    Store {
        address: usize,
        size: usize,
        kind: MemoryType,
        follows: bool,
    },
    Load(usize, MemoryType),
    Order(Order),
}

fn kind() -> impl Strategy<Value = MemoryType> {
    prop_oneof![
        6 => Just(MemoryType::Gathering),
        1 => Just(MemoryType::Strict),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let size = prop::sample::select(vec![1_usize, 2, 4, 8, 16, 32, 64]);
    let order = prop::sample::select(vec![
        Order::StoreFence,
        Order::FullFence,
        Order::LoadFence,
        Order::Hint,
        Order::Locked,
        Order::Release,
        Order::Serializing,
        Order::Port,
        Order::Interrupt,
        Order::Trap,
    ]);
    prop_oneof![
        12 => (0..MEMORY - 64, size, kind(), any::<bool>()).prop_map(
            |(address, size, kind, follows)| Event::Store { address, size, kind, follows }
        ),
        1 => (0..MEMORY - 8, kind()).prop_map(|(address, kind)| Event::Load(address, kind)),
        2 => order.prop_map(Event::Order),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let preset = prop::sample::select(vec![Policy::X86, Policy::ARM64]);
    let gather = prop::sample::select(vec![Gather::Line, Gather::Adjacent]);
    let partial = prop::sample::select(vec![Partial::Words, Partial::Runs]);
    let line = prop::sample::select(vec![8, 16, 32, 64]);
    (preset, 1..5_usize, gather, partial, line).prop_map(
        |(preset, buffers, gather, partial, line)| Policy {
            buffers,
            gather,
            partial,
            line,
            ..preset
        },
    )
}

/// The device, with the bytes that have reached it.
struct Device {
    memory: Vec<u8>,
    written: u64,
}

impl Device {
    fn receive(&mut self, departure: &Departure) {
        assert_ne!(departure.mask, 0);
        assert_eq!(
            departure.reason == Reason::Full,
            departure.is_full() && departure.reason != Reason::Type
        );
        let mut bytes = 0;
        for write in departure.writes() {
            bytes += write.bytes;
            let end = write.address + write.payload;
            assert!(write.address >= departure.line && end <= departure.line + 64 + 3);
            assert!(write.payload % 4 == 0 && write.payload >= write.bytes);
        }
        assert_eq!(bytes, u64::from(departure.mask.count_ones()));
        self.written += bytes;
        for offset in 0..64 {
            if departure.mask & 1 << offset != 0 {
                let at = usize::try_from(departure.line).unwrap() + offset;
                // The value is the number of the store.
                assert!(
                    self.memory[at] < departure.data[offset],
                    "byte {at} went back in time"
                );
                self.memory[at] = departure.data[offset];
            }
        }
    }
}

proptest! {
    // contract: wctrace.model
    #[test]
    fn no_byte_is_lost_or_reordered_and_the_sums_agree(
        policy in policy(),
        events in prop::collection::vec(event(), 0..200),
    ) {
        let mut device = Device { memory: vec![0; MEMORY], written: 0 };
        let mut cpu = Cpu::new(policy);
        let mut expected = vec![0; MEMORY];
        let mut stored = 0;
        // Where strict and gathered stores meet in one line, their order is not defined.
        let mut number = 0;
        let strict_half = |kind, address: usize| match kind {
            MemoryType::Strict => address % 64 + 256,
            _ => address % 192,
        };
        for event in events {
            let mut left = |departure: Departure| device.receive(&departure);
            match event {
                Event::Store { address, size, kind, follows } => {
                    let address = strict_half(kind, address);
                    let size = size.min(MEMORY - address);
                    number += 1;
                    let data = vec![number; size];
                    expected[address..address + size].fill(number);
                    stored += size as u64;
                    let store = Store { address: address as u64, data: &data, place: 0, follows };
                    cpu.store(&store, kind, &mut left);
                }
                Event::Load(address, kind) => {
                    cpu.load(strict_half(kind, address) as u64, 8, kind, 0, &mut left);
                }
                Event::Order(order) => cpu.order(order, 0, &mut left),
            }
            // After a fence nothing waits.
            if let Event::Order(Order::StoreFence | Order::FullFence) = event {
                prop_assert!(!cpu.is_waiting());
            }
        }
        cpu.end(&mut |departure| device.receive(&departure));
        prop_assert!(!cpu.is_waiting());
        prop_assert_eq!(device.memory, expected);
        prop_assert_eq!(device.written + cpu.absorbed(), stored);
    }

    // contract: wctrace.model
    #[test]
    fn ascending_adjacent_stores_fill_every_line_under_every_policy(
        policy in policy(),
        size in prop::sample::select(vec![1_usize, 2, 4, 8, 16, 32, 64]),
        lines in 1..6_u64,
    ) {
        let mut cpu = Cpu::new(policy);
        let mut full = 0;
        let data = vec![1; size];
        for address in (0..lines * 64).step_by(size) {
            let store = Store { address, data: &data, place: 0, follows: true };
            cpu.store(&store, MemoryType::Gathering, &mut |departure| {
                assert!(departure.is_full());
                full += 1;
            });
        }
        prop_assert_eq!(full, lines * 64 / policy.line);
        prop_assert!(!cpu.is_waiting());
    }
}
