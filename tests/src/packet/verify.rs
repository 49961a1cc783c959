//! What a receiver would make of a frame, by etherparse.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    Ethernet2Header, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, SingleVlanHeader, TcpSlice,
    UdpSlice, checksum::Sum16BitWords, ip_number,
};

/// What a receiver reads from a frame whose every checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// What follows the transport header.
    pub payload: Vec<u8>,
}

/// An IP packet behind its headers.
struct Ip<'a> {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    protocol: u8,
    piece: Piece,
    payload: &'a [u8],
}

/// Which part of its datagram a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Whole,
    First,
    Later,
}

/// Reads a TCP, UDP or ICMP frame, in a tunnel or not; an error says what a receiver would reject it for.
/// The checksum over a fragmented datagram is not seen from one fragment, and a later one is payload.
pub fn receive(frame: &[u8]) -> Result<Received, String> {
    let (link, mut rest) = Ethernet2Header::from_slice(frame).map_err(text)?;
    let mut ether_type = link.ether_type.0;
    while matches!(ether_type, 0x8100 | 0x88a8) {
        let (tag, behind) = SingleVlanHeader::from_slice(rest).map_err(text)?;
        (ether_type, rest) = (tag.ether_type.0, behind);
    }
    let ip = match ether_type {
        0x0800 => v4(rest)?,
        0x86dd => v6(rest)?,
        other => return Err(format!("EtherType {other:#06x} is not IP")),
    };
    let ip = unpack(ip)?;
    let is_whole = ip.piece == Piece::Whole;
    let (ports, payload) = match ip.protocol {
        _ if ip.piece == Piece::Later => ((0, 0), ip.payload),
        6 => {
            let tcp = TcpSlice::from_slice(ip.payload).map_err(text)?;
            if is_whole && let wrong @ 1.. = checksum(&ip, tcp.slice())? {
                return Err(format!("the TCP checksum is off by {wrong:#06x}"));
            }
            ((tcp.source_port(), tcp.destination_port()), tcp.payload())
        }
        17 => {
            let udp = UdpSlice::from_slice_lax(ip.payload).map_err(text)?;
            if is_whole && udp.slice().len() != usize::from(udp.length()) {
                return Err("the UDP datagram is cut off".to_owned());
            }
            // RFC 768: a field of zero means that there is none.
            if is_whole
                && udp.checksum() != 0
                && let wrong @ 1.. = checksum(&ip, udp.slice())?
            {
                return Err(format!("the UDP checksum is off by {wrong:#06x}"));
            }
            ((udp.source_port(), udp.destination_port()), udp.payload())
        }
        1 | 58 => {
            let wrong = match ip.protocol {
                1 => Sum16BitWords::new().add_slice(ip.payload).ones_complement(),
                _ => checksum(&ip, ip.payload)?,
            };
            if wrong != 0 {
                return Err(format!("the ICMP checksum is off by {wrong:#06x}"));
            }
            (
                (0, 0),
                ip.payload.get(8..).ok_or("the ICMP message is cut off")?,
            )
        }
        other => return Err(format!("protocol {other} is none that is balanced")),
    };
    Ok(Received {
        source: SocketAddr::new(ip.source, ports.0),
        destination: SocketAddr::new(ip.destination, ports.1),
        hop_limit: ip.hop_limit,
        payload: payload.to_vec(),
    })
}

/// What is inside a tunnel, as its end finds it; a packet that is in none is as it was.
fn unpack(ip: Ip<'_>) -> Result<Ip<'_>, String> {
    match ip.protocol {
        _ if ip.piece != Piece::Whole => Ok(ip),
        4 => v4(ip.payload),
        41 => v6(ip.payload),
        17 => {
            let udp = UdpSlice::from_slice(ip.payload).map_err(text)?;
            let first = udp.payload().first().map_or(0, |byte| byte >> 4);
            match (udp.destination_port(), first) {
                (6080, 4) => v4(udp.payload()),
                (6080, 6) => v6(udp.payload()),
                _ => Ok(ip),
            }
        }
        _ => Ok(ip),
    }
}

fn v4(bytes: &[u8]) -> Result<Ip<'_>, String> {
    let (header, rest) = Ipv4Header::from_slice(bytes).map_err(text)?;
    let sum = header.calc_header_checksum();
    if sum != header.header_checksum {
        let found = header.header_checksum;
        return Err(format!("IPv4 checksum {found:#06x}, not {sum:#06x}"));
    }
    let offset = header.fragment_offset.value();
    let length = usize::from(header.payload_len().map_err(text)?);
    Ok(Ip {
        source: header.source.into(),
        destination: header.destination.into(),
        hop_limit: header.time_to_live,
        protocol: header.protocol.0,
        piece: Piece::of(offset, header.more_fragments),
        payload: rest.get(..length).ok_or("the IPv4 packet is cut off")?,
    })
}

fn v6(bytes: &[u8]) -> Result<Ip<'_>, String> {
    let (header, rest) = Ipv6Header::from_slice(bytes).map_err(text)?;
    let length = usize::from(header.payload_length);
    let rest = rest.get(..length).ok_or("the IPv6 packet is cut off")?;
    let (mut protocol, mut payload) = (header.next_header, rest);
    let mut piece = Piece::Whole;
    while piece != Piece::Later {
        if protocol == ip_number::IPV6_FRAG {
            let (fragment, _) = Ipv6FragmentHeader::from_slice(payload).map_err(text)?;
            let offset = fragment.fragment_offset.value();
            match Piece::of(offset, fragment.more_fragments) {
                Piece::Whole => {}
                part => piece = part,
            }
        }
        let (next, behind) =
            Ipv6Header::skip_header_extension_in_slice(payload, protocol).map_err(text)?;
        if behind.len() == payload.len() {
            break;
        }
        (protocol, payload) = (next, behind);
    }
    Ok(Ip {
        source: header.source.into(),
        destination: header.destination.into(),
        hop_limit: header.hop_limit,
        protocol: protocol.0,
        piece,
        payload,
    })
}

impl Piece {
    fn of(offset: u16, more: bool) -> Self {
        match (offset, more) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

/// The sum over pseudo header and segment, as RFC 9293, section 3.1 has a receiver do it: zero if
/// the segment is intact.
fn checksum(ip: &Ip<'_>, segment: &[u8]) -> Result<u16, String> {
    let length = u16::try_from(segment.len()).map_err(text)?;
    let mut sum = Sum16BitWords::new();
    for address in [ip.source, ip.destination] {
        sum = match address {
            IpAddr::V4(address) => sum.add_4bytes(address.octets()),
            IpAddr::V6(address) => sum.add_16bytes(address.octets()),
        };
    }
    sum = sum.add_2bytes([0, ip.protocol]);
    sum = sum.add_2bytes(length.to_be_bytes());
    Ok(sum.add_slice(segment).ones_complement())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
