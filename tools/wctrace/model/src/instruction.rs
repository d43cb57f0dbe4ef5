// SPDX-License-Identifier: GPL-2.0-only

//! The effect of an instruction, given by its bytes, on write-combining buffers.

use crate::Order;

/// An instruction, without the memory that it accesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// The event that it is.
    pub order: Option<Order>,
    /// The number of bytes that it stores, where that matters (arm64); 0 if it is no store.
    pub stores: u16,
    /// It is the no-operation that speaks to the plugin.
    pub marker: bool,
    /// It writes to a model-specific register (x86).
    pub writes_msr: bool,
}

impl From<Order> for Instruction {
    fn from(order: Order) -> Self {
        Self {
            order: Some(order),
            ..Self::default()
        }
    }
}

const MARKER: Instruction = Instruction {
    order: None,
    stores: 0,
    marker: true,
    writes_msr: false,
};

/// Decodes an instruction of x86-64 in 64-bit mode.
#[must_use]
pub fn x86(bytes: &[u8]) -> Instruction {
    let (mut locked, mut mandatory) = (false, None);
    let mut rest = bytes;
    let opcode = loop {
        let Some((&byte, tail)) = rest.split_first() else {
            return Instruction::default();
        };
        rest = tail;
        match byte {
            0xf0 => locked = true,
            0x66 | 0xf2 | 0xf3 => mandatory = Some(byte),
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67 | 0x40..=0x4f => {}
            opcode => break opcode,
        }
    };
    if locked {
        return Order::Locked.into();
    }
    let modrm = rest.first().copied().unwrap_or(0xff);
    match opcode {
        0x0f => x86_two_bytes(rest, mandatory),
        // xchg with memory locks by itself.
        0x86 | 0x87 if modrm < 0xc0 => Order::Locked.into(),
        0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef => Order::Port.into(),
        0xcf => Order::Serializing.into(),
        _ => Instruction::default(),
    }
}

/// Decodes what follows the byte 0x0f and the prefix `mandatory`.
fn x86_two_bytes(bytes: &[u8], mandatory: Option<u8>) -> Instruction {
    let Some((&opcode, rest)) = bytes.split_first() else {
        return Instruction::default();
    };
    let modrm = rest.first().copied().unwrap_or(0xff);
    let (is_register, extension) = (modrm >= 0xc0, modrm >> 3 & 7);
    match opcode {
        0x1f if rest == [0x80, b'W', b'C', b'T', b'R'] => MARKER,
        0xae if is_register && mandatory.is_none() => match extension {
            5 => Order::LoadFence.into(),
            6 => Order::FullFence.into(),
            7 => Order::StoreFence.into(),
            _ => Instruction::default(),
        },
        0x05 | 0x34 => Order::Trap.into(),
        // lldt, ltr; lgdt, lidt and invlpg; serialize.
        0x00 if matches!(extension, 2 | 3) => Order::Serializing.into(),
        0x01 if !is_register && matches!(extension, 2 | 3 | 7) => Order::Serializing.into(),
        0x01 if modrm == 0xe8 && mandatory.is_none() => Order::Serializing.into(),
        // wrmsrns does not serialize.
        0x01 if modrm == 0xc6 && mandatory.is_none() => Instruction {
            writes_msr: true,
            ..Instruction::default()
        },
        // invd, wbinvd, mov to a control or debug register, cpuid, rsm.
        0x08 | 0x09 | 0x22 | 0x23 | 0xa2 | 0xaa => Order::Serializing.into(),
        0x30 => Instruction {
            writes_msr: true,
            ..Order::Serializing.into()
        },
        _ => Instruction::default(),
    }
}

/// Decodes an instruction of arm64.
#[must_use]
pub fn arm64(word: u32) -> Instruction {
    // movz xzr, #0x5743
    if word == 0xd28a_e87f {
        return MARKER;
    }
    if let Some(order) = arm64_order(word) {
        return order.into();
    }
    Instruction {
        stores: arm64_stores(word),
        ..Instruction::default()
    }
}

fn arm64_order(word: u32) -> Option<Order> {
    let barrier = match word >> 8 & 3 {
        1 => Some(Order::LoadFence),
        2 => Some(Order::StoreFence),
        3 => Some(Order::FullFence),
        _ => None,
    };
    match word {
        0xd503_20df => return Some(Order::Hint),
        _ if matches!(word & 0xffff_f0ff, 0xd503_30bf | 0xd503_309f) => return barrier,
        // dsb with nXS.
        _ if word & 0xffff_f3ff == 0xd503_323f => return Some(Order::FullFence),
        _ => {}
    }
    let bit = |number: u32| word >> number & 1 == 1;
    let release = if word & 0x3f00_0000 == 0x0800_0000 {
        // Exclusive and ordered: bits 23, 22, 21 and 15 are o2, L, o1 and o0.
        match (bit(23), bit(22), bit(21)) {
            (true, false, false) => true,
            (false, false, false) | (true, _, true) => bit(15),
            (false, load, true) => bit(15) && (!load || !bit(31)),
            (_, true, false) => false,
        }
    } else if word & 0x3b20_0c00 == 0x3820_0000 {
        // Atomic operations; ldapr is the one that only acquires.
        bit(22)
    } else {
        // stlur
        word & 0x3fe0_0c00 == 0x1900_0000
    };
    release.then_some(Order::Release)
}

/// The longest vector of SVE: how long it is does not follow from the instruction.
const SVE_VECTOR: u16 = 256;

/// Returns the number of bytes that a store of arm64 stores; 0 for everything else.
fn arm64_stores(word: u32) -> u16 {
    let bits = |from: u32, mask: u32| word >> from & mask;
    let vector = bits(26, 1) == 1;
    if word & 0x3a00_0000 == 0x2800_0000 && bits(22, 1) == 0 {
        // stp, stnp
        return match (vector, bits(30, 3)) {
            (_, 0) => 8,
            (false, 2) | (true, 1) => 16,
            (true, 2) => 32,
            _ => 0,
        };
    }
    if word & 0x3a00_0000 == 0x3800_0000
        && (bits(24, 1) == 1 || bits(21, 1) == 0 || bits(10, 3) == 2)
    {
        // str, stur
        return match (vector, bits(22, 3)) {
            (_, 0) => 1 << bits(30, 3),
            (true, 2) => 16,
            _ => 0,
        };
    }
    if word & 0xbfff_0000 == 0x0c00_0000 || word & 0xbfe0_0000 == 0x0c80_0000 {
        // st1 to st4
        let registers = match bits(12, 15) {
            0b0000 | 0b0010 => 4,
            0b0100 | 0b0110 => 3,
            0b1000 | 0b1010 => 2,
            0b0111 => 1,
            _ => 0,
        };
        return registers * (8 << bits(30, 1));
    }
    if word & 0xffff_fc00 == 0xf83f_9000 {
        return 64;
    }
    if word & 0xfe00_0000 == 0xe400_0000 {
        return SVE_VECTOR;
    }
    0
}

// contract: wctrace.instructions
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordering_instructions_of_x86_are_known() {
        let cases: &[(&[u8], Option<Order>)] = &[
            (&[0x0f, 0xae, 0xf8], Some(Order::StoreFence)),
            (&[0x0f, 0xae, 0xf0], Some(Order::FullFence)),
            (&[0x0f, 0xae, 0xe8], Some(Order::LoadFence)),
            // clflush, incssp, tpause
            (&[0x0f, 0xae, 0x38], None),
            (&[0xf3, 0x0f, 0xae, 0xe8], None),
            (&[0x66, 0x0f, 0xae, 0xf0], None),
            // lock cmpxchg, lock incq, xchg with memory, xchg of registers
            (&[0xf0, 0x0f, 0xb1, 0x0f], Some(Order::Locked)),
            (&[0xf0, 0x48, 0xff, 0x00], Some(Order::Locked)),
            (&[0x48, 0x87, 0x07], Some(Order::Locked)),
            (&[0x48, 0x87, 0xc7], None),
            (&[0x0f, 0xa2], Some(Order::Serializing)),
            (&[0x48, 0xcf], Some(Order::Serializing)),
            (&[0x0f, 0x22, 0xd8], Some(Order::Serializing)),
            (&[0x0f, 0x20, 0xd8], None),
            (&[0xec], Some(Order::Port)),
            (&[0xee], Some(Order::Port)),
            (&[0xe4, 0x60], Some(Order::Port)),
            (&[0xf3, 0x6e], Some(Order::Port)),
            (&[0x0f, 0x05], Some(Order::Trap)),
            // mov, movaps, vmovdqu
            (&[0x48, 0x89, 0x07], None),
            (&[0x0f, 0x29, 0x07], None),
            (&[0xc5, 0xfe, 0x7f, 0x07], None),
            (&[], None),
        ];
        for (bytes, order) in cases {
            assert_eq!(x86(bytes).order, *order, "{bytes:02x?}");
        }
        assert!(x86(&[0x0f, 0x30]).writes_msr);
        assert!(x86(&[0x0f, 0x01, 0xc6]).writes_msr);
    }

    #[test]
    fn ordering_instructions_of_arm64_are_known() {
        let cases = [
            ("dmb oshst", 0xd503_32bf, Some(Order::StoreFence)),
            ("dmb ishld", 0xd503_39bf, Some(Order::LoadFence)),
            ("dmb sy", 0xd503_3fbf, Some(Order::FullFence)),
            ("dsb st", 0xd503_3e9f, Some(Order::StoreFence)),
            ("dsb sy", 0xd503_3f9f, Some(Order::FullFence)),
            ("isb", 0xd503_3fdf, None),
            ("nop", 0xd503_201f, None),
            ("dgh", 0xd503_20df, Some(Order::Hint)),
            ("stlr x0, [x1]", 0xc89f_fc20, Some(Order::Release)),
            ("ldar x0, [x1]", 0xc8df_fc20, None),
            ("stlxr w2, x0, [x1]", 0xc802_fc20, Some(Order::Release)),
            ("stxr w2, x0, [x1]", 0xc802_7c20, None),
            ("ldaxr x0, [x1]", 0xc85f_fc20, None),
            ("casal x0, x1, [x2]", 0xc8e0_fc41, Some(Order::Release)),
            ("cas x0, x1, [x2]", 0xc8a0_7c41, None),
            ("ldaddal x0, x1, [x2]", 0xf8e0_0041, Some(Order::Release)),
            ("ldadda x0, x1, [x2]", 0xf8a0_0041, None),
            ("str x0, [x1]", 0xf900_0020, None),
        ];
        for (name, word, order) in cases {
            assert_eq!(arm64(word).order, order, "{name}");
        }
    }

    #[test]
    fn stores_of_arm64_have_their_size() {
        let cases = [
            ("str x0, [x1]", 0xf900_0020, 8),
            ("str w0, [x1, #4]", 0xb900_0420, 4),
            ("strb w0, [x1], #1", 0x3800_1420, 1),
            ("str x0, [x1, x2]", 0xf822_6820, 8),
            ("stur x0, [x1, #-8]", 0xf81f_8020, 8),
            ("ldr x0, [x1]", 0xf940_0020, 0),
            ("ldrsw x0, [x1]", 0xb980_0020, 0),
            ("str q0, [x1]", 0x3d80_0020, 16),
            ("ldr q0, [x1]", 0x3dc0_0020, 0),
            ("stp x0, x1, [x2]", 0xa900_0440, 16),
            ("stp q0, q1, [x2], #32", 0xac81_0440, 32),
            ("ldp x0, x1, [x2]", 0xa940_0440, 0),
            ("st1 {v0.16b-v3.16b}, [x1]", 0x4c00_2020, 64),
            ("st4 {v0.2d-v3.2d}, [x1], #64", 0x4c9f_0c20, 64),
            ("ld1 {v0.16b}, [x1]", 0x4c40_7020, 0),
            ("st64b x0, [x8]", 0xf83f_9100, 64),
            ("st1b {z0.b}, p0, [x0]", 0xe400_e000, SVE_VECTOR),
            ("ld1b {z0.b}, p0/z, [x0]", 0xa400_a000, 0),
            ("add x0, x0, #8", 0x9100_2000, 0),
        ];
        for (name, word, bytes) in cases {
            assert_eq!(arm64(word).stores, bytes, "{name}");
        }
    }

    #[test]
    fn the_marker_is_that_of_the_header() {
        assert_eq!(x86(&[0x0f, 0x1f, 0x80, 0x57, 0x43, 0x54, 0x52]), MARKER);
        assert_eq!(x86(&[0x0f, 0x1f, 0x80, 0, 0, 0, 0]), Instruction::default());
        assert_eq!(arm64(0xd28a_e87f), MARKER);
    }
}
