//! What a frame says, read with etherparse only: the second opinion on everything that the engine
//! lets through.
//!
//! It looks behind what the engine looks behind, two tags and any number of extension headers, and
//! judges no checksum; `packet::verify` does.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    Ethernet2Header, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, SingleVlanHeader, ip_number,
};

/// A frame's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// Offset of the network header.
    pub(super) network_at: usize,
    /// Offset of the transport header.
    pub(super) transport_at: usize,
    /// Bytes from there to the packet's end.
    pub(super) length: usize,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    /// It is a part of a larger packet.
    pub(super) part: Option<Part>,
    /// Source and destination port of TCP and UDP.
    pub(super) ports: Option<(u16, u16)>,
}

/// What a fragment says of its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    identification: u32,
    /// Zero in IPv6.
    protocol: u8,
    is_later: bool,
}

/// What tells a datagram from others: source, destination, identification and protocol.
pub(super) type Datagram = (IpAddr, IpAddr, u32, u8);

impl Reading {
    /// It is a fragment that is not the first.
    pub(super) fn is_later(&self) -> bool {
        self.part.is_some_and(|part| part.is_later)
    }

    /// The datagram that it is a part of.
    pub(super) fn datagram(&self) -> Option<Datagram> {
        let part = self.part?;
        Some((
            self.source,
            self.destination,
            part.identification,
            part.protocol,
        ))
    }

    /// Source address and port, where there is one.
    pub(super) fn from(&self) -> SocketAddr {
        SocketAddr::new(self.source, self.ports.map_or(0, |ports| ports.0))
    }

    /// Destination address and port, where there is one.
    pub(super) fn to(&self) -> SocketAddr {
        SocketAddr::new(self.destination, self.ports.map_or(0, |ports| ports.1))
    }
}

/// Reads a frame; `None` where it is no IP packet or contradicts itself.
pub(super) fn read(frame: &[u8]) -> Option<Reading> {
    let (link, mut rest) = Ethernet2Header::from_slice(frame).ok()?;
    let mut ether_type = link.ether_type.0;
    for _ in 0..2 {
        if matches!(ether_type, 0x8100 | 0x88a8) {
            let (tag, behind) = SingleVlanHeader::from_slice(rest).ok()?;
            (ether_type, rest) = (tag.ether_type.0, behind);
        }
    }
    let network_at = frame.len() - rest.len();
    let mut reading = match ether_type {
        0x0800 => v4(rest)?,
        0x86dd => v6(rest)?,
        _ => return None,
    };
    reading.network_at = network_at;
    reading.transport_at += network_at;
    let transport = frame.get(reading.transport_at..)?.get(..reading.length)?;
    let has_ports = matches!(reading.protocol, 6 | 17) && !reading.is_later();
    if let (true, [a, b, c, d, ..]) = (has_ports, transport) {
        reading.ports = Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])));
    }
    Some(reading)
}

fn v4(bytes: &[u8]) -> Option<Reading> {
    let (header, _) = Ipv4Header::from_slice(bytes).ok()?;
    let length = usize::from(header.total_len);
    Some(Reading {
        network_at: 0,
        transport_at: header.header_len(),
        length: length.checked_sub(header.header_len())?,
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: header.protocol.0,
        hop_limit: header.time_to_live,
        part: header.is_fragmenting_payload().then(|| Part {
            identification: header.identification.into(),
            protocol: header.protocol.0,
            is_later: header.fragment_offset.value() != 0,
        }),
        ports: None,
    })
}

fn v6(bytes: &[u8]) -> Option<Reading> {
    let (header, rest) = Ipv6Header::from_slice(bytes).ok()?;
    let payload = rest.get(..usize::from(header.payload_length))?;
    let (mut next, mut rest) = (header.next_header, payload);
    let mut part: Option<Part> = None;
    while !part.is_some_and(|part| part.is_later) {
        if next == ip_number::IPV6_FRAG {
            let (fragment, _) = Ipv6FragmentHeader::from_slice(rest).ok()?;
            if fragment.is_fragmenting_payload() {
                part = Some(Part {
                    identification: fragment.identification,
                    protocol: 0,
                    is_later: fragment.fragment_offset.value() != 0,
                });
            }
        }
        let (following, behind) = Ipv6Header::skip_header_extension_in_slice(rest, next).ok()?;
        if behind.len() == rest.len() {
            break;
        }
        (next, rest) = (following, behind);
    }
    Some(Reading {
        network_at: 0,
        transport_at: Ipv6Header::LEN + payload.len() - rest.len(),
        length: rest.len(),
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: next.0,
        hop_limit: header.hop_limit,
        part,
        ports: None,
    })
}
