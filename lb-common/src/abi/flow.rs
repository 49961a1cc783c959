//! Flows: what is remembered of a connection.

use super::{Address, Hop, V4, V6};

/// A flow's 5-tuple as a packet towards us carries it.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FlowKey<A> {
    /// The packet's source: the client, or for replies the backend.
    pub remote: A,
    /// The packet's destination: the VIP, or for replies our own address.
    pub local: A,
    /// The packet's source port.
    pub remote_port: u16,
    /// The packet's destination port.
    pub local_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    // Explicit padding. Three bytes as one array would be set by a call of `memset`.
    zero: u8,
    zeros: u16,
}

/// A client's flow.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// The backend's id.
    pub backend: u16,
    /// The mark of the key: what is held may be another flow's by now.
    pub mark: u16,
    /// The backend's incarnation when the flow was made.
    pub incarnation: u32,
    /// When its last packet was seen.
    pub seen: Ticks,
    /// `full-nat`: our source port towards the backend; otherwise 0.
    pub source_port: u16,
    /// How far it is.
    pub state: FlowState,
    /// Explicit padding, zero.
    pub zero: u8,
}

/// The way back of a `nat` or `full-nat` flow, keyed by the 5-tuple of the backend's replies. One
/// cache line.
///
/// The addresses are of the client's family, which is not always the key's, and in the common form
/// of [`Address`].
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reverse {
    // In another order than in the key, from which both are copied: the compiler would copy an
    // address and both ports at once, and the verifier refuse that on the stack.
    /// The address the client knows.
    pub vip: [u64; 2],
    /// The client.
    pub client: [u64; 2],
    /// The client's port.
    pub client_port: u16,
    /// The port the client knows.
    pub vip_port: u16,
    /// The service's id.
    pub service: u16,
    /// How far the flow is, which says how long it keeps its source port.
    pub state: FlowState,
    /// Explicit padding, zero.
    pub zero: u8,
    /// The backend's id.
    pub backend: u16,
    /// The mark of the key: what is held may be another flow's by now.
    pub mark: u16,
    /// When its last packet was seen, in either direction.
    pub seen: Ticks,
    /// Where the client's packets came from.
    pub hop: Hop,
}

/// How far a flow is.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowState(pub u8);

impl FlowState {
    /// One packet seen; in the pending table.
    pub const PENDING: Self = Self(0);
    /// The client continued.
    pub const ESTABLISHED: Self = Self(1);
    /// TCP: a FIN or RST was seen.
    pub const CLOSING: Self = Self(2);
}

/// Coarse time in units of 2^30 ns, about 1.07 s; wraps after 146 years.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticks(pub u32);

impl Ticks {
    /// Rounds a time of the monotonic clock down.
    #[inline(always)]
    pub const fn from_ns(ns: u64) -> Self {
        Self((ns >> 30) as u32)
    }

    /// The number of ticks in so many seconds, rounded up.
    pub const fn in_seconds(seconds: u64) -> u32 {
        ((seconds * 1_000_000_000) >> 30) as u32 + 1
    }

    /// Ticks since `earlier`; 0 if `earlier` lies ahead, as clocks of two CPUs may differ.
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

impl<A> FlowKey<A> {
    /// The key of a packet from one address and port to another.
    #[inline(always)]
    pub const fn new(
        (remote, remote_port): (A, u16),
        (local, local_port): (A, u16),
        protocol: u8,
    ) -> Self
    where
        A: Copy,
    {
        Self {
            remote,
            local,
            remote_port,
            local_port,
            protocol,
            zero: 0,
            zeros: 0,
        }
    }
}

impl<A: Address> FlowKey<A> {
    /// A few bits by which an entry is told from most others.
    #[inline(always)]
    pub fn mark(&self) -> u16 {
        let address = self.remote.fold() ^ self.local.fold().rotate_left(16);
        (address ^ (address >> 16)) as u16 ^ self.remote_port ^ self.local_port
    }

    /// A well mixed hash of the tuple.
    #[inline(always)]
    pub fn hash(&self) -> u32 {
        let ports = (u32::from(self.remote_port) << 16) | u32::from(self.local_port);
        let mut h = self.remote.fold() ^ self.local.fold().rotate_left(13) ^ ports.rotate_left(7);
        h ^= u32::from(self.protocol);
        // The finalizer of MurmurHash3: every input bit affects every output bit.
        h ^= h >> 16;
        h = h.wrapping_mul(0x85eb_ca6b);
        h ^= h >> 13;
        h = h.wrapping_mul(0xc2b2_ae35);
        h ^ (h >> 16)
    }
}

const _: () = assert!(size_of::<FlowKey<V4>>() == 16 && size_of::<FlowKey<V6>>() == 40);
const _: () = assert!(size_of::<Flow>() == 16);
const _: () = assert!(size_of::<Reverse>() == 64);
