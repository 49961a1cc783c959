//! What IPv4 and IPv6 have in common, so that the engine is written once.

use super::Frame;
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

/// An address family: how its headers are read and rewritten.
pub trait Family: Address {
    /// Reads and checks the header at offset `at`.
    fn parse<F: Frame>(frame: &F, at: usize) -> Result<Packet<Self>, Reason>;

    /// Writes new addresses into the header at offset `at` and counts one hop (RFC 1812, section
    /// 5.3.1; RFC 8200, section 3). The caller has checked that the hop limit is above 1.
    fn readdress<F: Frame>(frame: &mut F, at: usize, source: Self, destination: Self)
    -> Option<()>;
}
