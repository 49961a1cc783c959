//! What IPv4 and IPv6 have in common, so that the engine is written once.

use super::Frame;
use super::checksum::Delta;
use super::ethernet::Network;
use crate::abi::datagram::Span;
use crate::abi::{Address, Reason};

/// What an IP header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Protocol number behind all extension headers.
    pub protocol: u8,
    /// Whether and which fragment it is.
    pub fragment: Fragment,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Offset of the IP header in the frame.
    pub at: usize,
    /// Offset of the transport header.
    pub payload_at: usize,
    /// Bytes from there to the end of the packet; link padding is not counted.
    pub payload_length: usize,
}

/// Whether a packet is a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// A whole packet.
    Whole,
    /// The first of several; it has the transport header.
    First,
    /// A later one, without a transport header.
    Later,
}

/// The hop limit of packets that begin here (RFC 1700).
pub const HOP_LIMIT: u8 = 64;

/// What another header has to say of a packet that it goes before, or in place of whose own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Bytes of the whole packet, from its network header; link padding is not counted.
    pub length: usize,
    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub traffic_class: u8,
    /// Time to live or hop limit.
    pub hop_limit: u8,
}

/// A header that is written anew, of a tunnel or of the other family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outer<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// The protocol of what follows the header.
    pub protocol: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Bytes that follow the header.
    pub payload_length: usize,
    /// Whether it is a fragment, or may become some.
    pub cut: Cut,
    /// A hash of the flow, for the flow label of IPv6 (RFC 6438).
    pub flow: u32,
}

/// Whether a packet is a fragment, or routers may make some of it, in one number, because it is held
/// across calls that take all registers.
///
/// From the lowest bit: the identification, 32 bits; the offset, sixteen; whether more follow; whether
/// it is a fragment; whether it may become some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut(u64);

impl Cut {
    /// Neither. It needs no identification then (RFC 6864).
    pub const NEVER: Self = Self(0);
    const OFFSET: u32 = 32;
    const MORE: u64 = 1 << 48;
    const DONE: u64 = 1 << 49;
    const ALLOWED: u64 = 1 << 50;

    /// IPv4 routers may cut it; its fragments will be told from others' by this.
    #[inline(always)]
    pub fn allowed(identification: [u8; 2]) -> Self {
        Self(Self::ALLOWED | u64::from(u16::from_be_bytes(identification)))
    }

    /// It is this fragment.
    #[inline(always)]
    pub fn done(piece: Piece) -> Self {
        let more = if piece.more { Self::MORE } else { 0 };
        let offset = u64::from(piece.offset) << Self::OFFSET;
        Self(Self::DONE | more | offset | u64::from(piece.identification))
    }

    /// Whether it may become fragments.
    #[inline(always)]
    pub(super) fn is_allowed(self) -> bool {
        self.0 & Self::ALLOWED != 0
    }

    /// Whether it is a fragment.
    #[inline(always)]
    pub(super) fn is_done(self) -> bool {
        self.0 & Self::DONE != 0
    }

    /// What tells its fragments from others'; of IPv4 the lower half (RFC 7915, section 5.1.1).
    #[inline(always)]
    pub(super) fn identification(self) -> u32 {
        self.0 as u32
    }

    /// The fragment's offset in units of eight bytes.
    #[inline(always)]
    pub(super) fn offset(self) -> u16 {
        (self.0 >> Self::OFFSET) as u16
    }

    /// Whether others follow behind the fragment.
    #[inline(always)]
    pub(super) fn is_followed(self) -> bool {
        self.0 & Self::MORE != 0
    }
}

/// A fragment's place in its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which datagram of this source and destination, and of this protocol.
    pub identification: u32,
    /// IP protocol number (RFC 791, section 3.2); 0 in IPv6, where identifications are for all
    /// protocols (RFC 8200, section 4.5).
    pub protocol: u8,
    /// Where it begins, in units of eight bytes.
    pub offset: u16,
    /// Others follow behind it.
    pub more: bool,
    /// Its length in bytes.
    pub length: usize,
}

impl Piece {
    /// Longest datagram.
    const END_MAX: usize = 65_535;

    /// The part of the datagram that it is; `None` for none, for one that ends in the middle of a unit
    /// without being the last, and for one behind the end of the longest datagram (RFC 8200, section
    /// 4.5).
    #[inline(always)]
    pub fn span(self) -> Option<Span> {
        let end = usize::from(self.offset) * 8 + self.length;
        let is_cut = self.more && !self.length.is_multiple_of(8);
        if self.length == 0 || is_cut || end > Self::END_MAX {
            return None;
        }
        Some(Span {
            start: self.offset.into(),
            end: end.div_ceil(8) as u32,
        })
    }
}

/// An address family: how its headers are read and rewritten.
pub trait Family: Address {
    /// The other one.
    type Other: Family;

    /// What frames call it.
    const NETWORK: Network;
    /// What other IP packets call it when they carry it (RFC 2003, RFC 2473).
    const PROTOCOL: u8;
    /// The protocol number of its control messages (RFC 792, RFC 4443).
    const ICMP: u8;
    /// The type of a control message that asks for an echo.
    const ECHO_REQUEST: u8;
    /// The type of that which answers it.
    const ECHO_REPLY: u8;
    /// Type and code of the control message that a packet was too long.
    const TOO_BIG: (u8, u8);
    /// Type and code of the control message that a packet's hop limit was used up.
    const TIME_EXCEEDED: (u8, u8);
    /// Bytes of the longest packet that every link takes, be it what routers say or not.
    const MTU_MIN: u32;
    /// DSCP and ECN of control messages about errors.
    const ERROR_CLASS: u8;
    /// Bytes of a header without options or extensions.
    const HEADER_LENGTH: usize;
    /// Bytes that the header of a fragment has more.
    const FRAGMENT_LENGTH: usize;

    /// Reads and checks the header at offset `at`.
    fn parse<F: Frame>(frame: &F, at: usize) -> Result<Packet<Self>, Reason>;

    /// Reads the place of a fragment in its datagram, from the network header at an offset. `None` if
    /// the frame has no fragment there.
    fn piece<F: Frame>(frame: &F, at: usize) -> Option<Piece>;

    /// The same of a fragment that has no other extension header, from its header at offset `at` to
    /// the offset of what is behind.
    fn lone_piece<F: Frame>(frame: &F, at: usize, payload_at: usize) -> Option<Piece>;

    /// Writes new addresses into the header at offset `at` and counts one hop (RFC 1812, section
    /// 5.3.1; RFC 8200, section 3). The caller has checked that the hop limit is above 1.
    fn readdress<F: Frame>(frame: &mut F, at: usize, source: Self, destination: Self)
    -> Option<()>;

    /// Whether a control message of this type is about an error, and quotes the packet in question.
    fn is_error(kind: u8) -> bool;

    /// The sum over the pseudo header of a control message of so many bytes, where there is one, as
    /// the difference to nothing.
    fn pseudo_sum(addresses: (Self, Self), length: usize) -> Delta;

    /// What a packet whose beginning is quoted at offset `at` carries: the number of its protocol,
    /// and where its header is. `None` if it is a fragment without one.
    fn quoted<F: Frame>(frame: &F, at: usize) -> Option<(u8, usize)>;

    /// Writes new addresses into the header at offset `at`, and mends its checksum if it has one.
    fn write_addresses<F: Frame>(
        frame: &mut F,
        at: usize,
        source: Self,
        destination: Self,
    ) -> Option<()>;

    /// Source and destination of the packet at offset `at`.
    fn addresses<F: Frame>(frame: &F, at: usize) -> Option<(Self, Self)>;

    /// Sends the packet at offset `at` back: its addresses change places, and its hop limit is that
    /// of one that begins here.
    fn turn<F: Frame>(frame: &mut F, at: usize) -> Option<()>;

    /// What an outer header has to say of the packet at offset `at`.
    fn outline<F: Frame>(frame: &F, at: usize) -> Option<Outline>;

    /// Writes DSCP and ECN.
    fn write_traffic_class<F: Frame>(frame: &mut F, at: usize, traffic_class: u8) -> Option<()>;

    /// Counts one hop. The caller has checked that the hop limit is above 1.
    fn count_hop<F: Frame>(frame: &mut F, at: usize) -> Option<()>;

    /// Writes a header at offset `at` over whatever is there.
    fn write_outer<F: Frame>(frame: &mut F, at: usize, outer: &Outer<Self>) -> Option<()>;
}
