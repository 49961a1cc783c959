//! Services: what clients address.

use super::{Address, Features, V4, V6};

/// What a client addresses. Port 0 stands for any port; protocol 0 with port 0 marks the address
/// as a VIP, whatever the port.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ServiceKey<A: Address> {
    /// The virtual address.
    pub address: A,
    /// Destination port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    zero: u8,
    zeros: A::Padding,
}

impl<A: Address> ServiceKey<A> {
    /// The key of an address, port and protocol.
    #[inline(always)]
    pub fn new(address: A, port: u16, protocol: u8) -> Self {
        Self {
            address,
            port,
            protocol,
            zero: 0,
            zeros: A::Padding::default(),
        }
    }
}

/// A service.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Service {
    /// Index of its cursor and counters.
    pub id: u32,
    /// Explicit padding, zero.
    pub zeros: u32,
    /// Its range of slots; none means that no backend is healthy.
    pub slots: Slots,
    /// How a slot is picked.
    pub scheduler: Scheduler,
    /// How packets reach the backend.
    pub forward: Forward,
    /// Explicit padding, zero.
    pub zero: [u8; 6],
}

/// A range of slots in one word: whoever reads it while it is replaced sees the old range or the
/// new one, never a mixture.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots(u64);

impl Slots {
    /// `count` slots from `first`.
    pub const fn new(first: u32, count: u32) -> Self {
        Self((first as u64) << 32 | count as u64)
    }

    /// The first slot.
    #[inline(always)]
    pub const fn first(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// How many slots there are.
    #[inline(always)]
    pub const fn count(self) -> u32 {
        self.0 as u32
    }
}

/// How a slot is picked for a new flow.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduler(pub u8);

impl Scheduler {
    /// The next one: an atomic cursor walks the slots.
    pub const CURSOR: Self = Self(0);
}

/// How packets reach the backend.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forward(pub u8);

impl Forward {
    /// Source and destination are rewritten; replies come back through us.
    pub const FULL_NAT: Self = Self(0);
    /// Only the Ethernet addresses are rewritten; replies go straight to the client.
    pub const DSR: Self = Self(1);
    /// The packet goes inside another IP packet; replies go straight to the client.
    pub const IPIP: Self = Self(2);
    /// The same behind a UDP header.
    pub const GUE: Self = Self(3);
    /// The destination is rewritten; replies come back through us, because we route them.
    pub const NAT: Self = Self(4);

    /// The stage that a program has for it, none for an unknown mode.
    #[inline(always)]
    pub const fn feature(self) -> Features {
        match self {
            Self::FULL_NAT => Features::FULL_NAT,
            Self::DSR => Features::DSR,
            Self::IPIP => Features::IPIP,
            Self::GUE => Features::GUE,
            Self::NAT => Features::NAT,
            _ => Features(0),
        }
    }
}

const _: () = assert!(size_of::<ServiceKey<V4>>() == 8 && size_of::<ServiceKey<V6>>() == 24);
const _: () = assert!(size_of::<Service>() == 24);
