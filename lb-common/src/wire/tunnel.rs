//! A packet inside another: IP in IP (RFC 2003, RFC 2473) and generic UDP encapsulation.

use network_types::udp::UdpHdr;

use super::ethernet::Network;
use super::header::Header;
use super::ip::HOP_LIMIT;
use super::transport::UDP;
use super::{Cut, Family, Fragment, Frame, Outer, Outline, Packet, ethernet};
use crate::abi::{Hop, V4, V6};

/// The destination port of generic UDP encapsulation (IANA; draft-ietf-intarea-gue-09).
pub const GUE_PORT: u16 = 6080;
/// The first source port of tunnels, and how many there are: the dynamic ones (RFC 6335).
const SOURCE_PORTS: (u16, u16) = (0xc000, 0x4000);

/// A packet inside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// Its network protocol.
    pub network: Network,
    /// Offset of its network header.
    pub at: usize,
}

/// What a receiver makes of the congestion marks of both headers (RFC 6040, section 4.2): the inner
/// traffic class from then on, or `None` for a packet that has to be dropped.
#[inline(always)]
pub fn congestion(outer: u8, inner: u8) -> Option<u8> {
    const MASK: u8 = 3;
    const NOT_CAPABLE: u8 = 0;
    const CAPABLE_1: u8 = 1;
    const CAPABLE_0: u8 = 2;
    const EXPERIENCED: u8 = 3;
    match (outer & MASK, inner & MASK) {
        (EXPERIENCED, NOT_CAPABLE) => None,
        (EXPERIENCED, _) => Some(inner | EXPERIENCED),
        (CAPABLE_1, CAPABLE_0) => Some(inner & !MASK | CAPABLE_1),
        _ => Some(inner),
    }
}

/// The packet that a packet carries: IP in IP, or generic UDP encapsulation of variant 1 to
/// [`GUE_PORT`].
#[inline(always)]
pub fn inside<F: Frame, A>(frame: &F, packet: &Packet<A>) -> Option<Inside> {
    if packet.fragment != Fragment::Whole {
        return None;
    }
    let mut at = packet.payload_at;
    if packet.protocol == UDP {
        let header = UdpHdr::view(frame, at)?;
        if header.dst != GUE_PORT.to_be_bytes() {
            return None;
        }
        at += UdpHdr::LEN;
    }
    // The version is the first thing in both headers.
    let network = match (packet.protocol, frame.bytes::<1>(at)?[0] >> 4) {
        (V4::PROTOCOL | UDP, 4) => Network::V4,
        (V6::PROTOCOL | UDP, 6) => Network::V6,
        _ => return None,
    };
    Some(Inside { network, at })
}

/// The tunnel of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel<B> {
    /// Our end.
    pub source: B,
    /// The backend.
    pub destination: B,
    /// A hash of the flow.
    pub flow: u32,
    /// Whether there is a UDP header between the two IP headers.
    pub udp: bool,
}

impl<B: Family> Tunnel<B> {
    /// Bytes before the packet.
    #[inline(always)]
    pub fn overhead(&self) -> usize {
        B::HEADER_LENGTH + if self.udp { UdpHdr::LEN } else { 0 }
    }

    /// Puts the packet whose network header is at `at` into the tunnel, counts a hop of its own, and
    /// addresses the frame to the next. VLAN tags stay. `None` where the frame has no room or no
    /// such packet; its hop limit is above 1.
    ///
    /// Of generic UDP encapsulation this is variant 1, where the IP header follows the UDP header;
    /// there is no checksum, which of IPv6 a tunnel may do without (RFC 6935).
    #[inline(always)]
    pub fn enter<A: Family, F: Frame>(
        &self,
        frame: &mut F,
        at: usize,
        inner: Outline,
        hop: &Hop,
    ) -> Option<()> {
        let by = self.overhead();
        frame.grow_head(by)?;
        A::count_hop(frame, by + at)?;
        ethernet::lift(frame, by, at, B::NETWORK)?;
        let outer = Outer {
            source: self.source,
            destination: self.destination,
            protocol: if self.udp { UDP } else { A::PROTOCOL },
            traffic_class: inner.traffic_class,
            hop_limit: HOP_LIMIT,
            payload_length: by - B::HEADER_LENGTH + inner.length,
            cut: Cut::NEVER,
            flow: self.flow,
        };
        B::write_outer(frame, at, &outer)?;
        if self.udp {
            let (first, count) = SOURCE_PORTS;
            let header = UdpHdr::view_mut(frame, at + B::HEADER_LENGTH)?;
            header.src = (first | self.flow as u16 & (count - 1)).to_be_bytes();
            header.dst = GUE_PORT.to_be_bytes();
            header.len = (outer.payload_length as u16).to_be_bytes();
            header.check = [0, 0];
        }
        ethernet::readdress(frame, hop)
    }
}
