// SPDX-License-Identifier: GPL-2.0-only

//! Numbers of VFIO's interface, and its structures as bytes.

/// An ioctl of VFIO, by its number.
const fn vfio(number: u32) -> u32 {
    (b';' as u32) << 8 | (100 + number)
}

pub const SET_IOMMU: u32 = vfio(2);
pub const GROUP_SET_CONTAINER: u32 = vfio(4);
pub const GROUP_GET_DEVICE_FD: u32 = vfio(6);
pub const GET_INFO: u32 = vfio(7);
pub const GET_REGION_INFO: u32 = vfio(8);
pub const GET_IRQ_INFO: u32 = vfio(9);
pub const SET_IRQS: u32 = vfio(10);
pub const RESET: u32 = vfio(11);
pub const HOT_RESET_INFO: u32 = vfio(12);
pub const HOT_RESET: u32 = vfio(13);
pub const IOEVENTFD: u32 = vfio(16);
pub const FEATURE: u32 = vfio(17);
pub const BIND_IOMMUFD: u32 = vfio(18);

/// `VFIO_TYPE1v2_IOMMU`
pub const TYPE1V2: u64 = 3;

pub const FEATURE_GET: u32 = 1 << 16;
pub const FEATURE_SET: u32 = 1 << 17;
pub const FEATURE_PROBE: u32 = 1 << 18;
pub const LOW_POWER_ENTRY: u32 = 3;
pub const LOW_POWER_EXIT: u32 = 5;
pub const DMA_BUF: u32 = 11;

/// `VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER`
pub const IRQ_OFF: u32 = 1 | 1 << 5;
/// `VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER`
pub const IRQ_ON: u32 = 1 << 2 | 1 << 5;

/// An ioctl of this driver, by its number.
const fn own(number: u32) -> u32 {
    0xd5 << 8 | number
}

pub const CREATE: u32 = own(0);
pub const DESTROY: u32 = own(1);
pub const QUERY: u32 = own(2);
pub const SET_ATTR: u32 = own(3);
pub const EXPORT: u32 = own(4);

/// The offset of the command register in configuration space, and its bit Memory Space.
pub const COMMAND: u64 = 4;
pub const COMMAND_MEMORY: u16 = 2;

/// A structure under construction.
#[derive(Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }
}
