//! One entry of the backend array: everything needed to send a packet to a backend.

use core::net::IpAddr;

/// The Ethernet side of a path: which interface, to whom, from whom.
///
/// Ethernet addresses are kept as words, because six single bytes would cost the BPF program six
/// stack slots each.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hop {
    /// Interface index; 0 while the next hop is not resolved.
    pub interface: u32,
    destination_first: u32,
    source_first: u32,
    destination_last: u16,
    source_last: u16,
}

impl Hop {
    /// Out of an interface, to a next hop's Ethernet address, from our own.
    #[inline(always)]
    pub const fn new(interface: u32, destination: [u8; 6], source: [u8; 6]) -> Self {
        let [d, s] = [destination, source];
        Self {
            interface,
            destination_first: u32::from_ne_bytes([d[0], d[1], d[2], d[3]]),
            source_first: u32::from_ne_bytes([s[0], s[1], s[2], s[3]]),
            destination_last: u16::from_ne_bytes([d[4], d[5]]),
            source_last: u16::from_ne_bytes([s[4], s[5]]),
        }
    }

    /// Ethernet address of the next hop.
    #[inline(always)]
    pub const fn destination(&self) -> [u8; 6] {
        Self::mac(self.destination_first, self.destination_last)
    }

    /// Ethernet address of our interface.
    #[inline(always)]
    pub const fn source(&self) -> [u8; 6] {
        Self::mac(self.source_first, self.source_last)
    }

    #[inline(always)]
    const fn mac(first: u32, last: u16) -> [u8; 6] {
        let (first, last) = (first.to_ne_bytes(), last.to_ne_bytes());
        [first[0], first[1], first[2], first[3], last[0], last[1]]
    }
}

/// A backend. One cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backend {
    /// Changes whenever the id is given to another backend, so that a flow of the former owner
    /// is never sent to the new one.
    pub incarnation: u32,
    /// The service it belongs to.
    pub service: u32,
    /// What it gets.
    pub state: BackendState,
    /// The family of its address.
    pub family: AddressFamily,
    /// Its port; 0 keeps the packet's port.
    pub port: u16,
    /// Bytes of the longest packet on the way to it; 0 while that is not known.
    pub mtu: u16,
    /// How many of the last bits of `source` vary with the flow, at most 32.
    pub source_bits: u8,
    /// Explicit padding, zero.
    pub zero: u8,
    /// Where its packets leave.
    pub hop: Hop,
    /// Its address, in the common form of [`crate::abi::Address`].
    pub address: [u64; 2],
    /// Our address on the way to it: the source of `full-nat`, and of `ipip` and `gue`; zeros in
    /// `nat`, where the client's stays.
    pub source: [u64; 2],
}

/// The family of an address.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressFamily(pub u8);

impl AddressFamily {
    /// IPv4.
    pub const V4: Self = Self(0);
    /// IPv6.
    pub const V6: Self = Self(1);

    /// That of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// What a backend gets.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendState(pub u8);

impl BackendState {
    /// The id is not in use.
    pub const ABSENT: Self = Self(0);
    /// New flows and its own.
    pub const UP: Self = Self(1);
    /// Only its own flows.
    pub const DRAINING: Self = Self(2);
    /// Nothing; its flows move to others.
    pub const DOWN: Self = Self(3);

    /// Whether flows that point here stay here.
    #[inline(always)]
    pub fn keeps_flows(self) -> bool {
        self == Self::UP || self == Self::DRAINING
    }
}

const _: () = assert!(size_of::<Hop>() == 16 && size_of::<Backend>() == 64);
