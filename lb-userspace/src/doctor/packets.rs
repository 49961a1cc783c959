//! The frames that are sent, and what is read of those that arrive.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header, IpHeaders, IpNumber,
    Ipv4Extensions, Ipv4Header, Ipv4HeaderSlice, Ipv6Extensions, Ipv6Header, Ipv6HeaderSlice,
    NetSlice, PacketBuilder, PacketBuilderStep, SlicedPacket, TransportSlice, UdpHeader, ip_number,
};

/// The port of GUE (RFC draft-ietf-intarea-gue, IANA).
const GUE: u16 = 6080;
const TTL: u8 = 64;
const BROADCAST: [u8; 6] = [0xff; 6];

/// The ends of a link: source and destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) source: [u8; 6],
    pub(super) destination: [u8; 6],
}

/// What was read of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// A TCP segment from one to the other, as of one who listens.
    Tcp(SocketAddr, SocketAddr),
    /// Likewise, as of one who does not.
    Reset(SocketAddr, SocketAddr),
    /// The reply to an echo request: from, to, identifier, sequence number.
    Echo(IpAddr, IpAddr, u16, u16),
    /// A packet of this protocol to this address was refused there.
    Refused(IpAddr, u8),
    /// A packet to this address was longer than so many bytes.
    TooBig(IpAddr, u32),
    /// An ARP reply: who has the address.
    Has([u8; 6], Ipv4Addr),
    /// An ARP request: who asks, as whom, for whom.
    Asks([u8; 6], Ipv4Addr, Ipv4Addr),
}

/// Reads a frame; `None` for what no probe is answered with.
pub(super) fn read(frame: &[u8]) -> Option<Seen> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(packet) => {
            let header = packet.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        NetSlice::Ipv6(packet) => {
            let header = packet.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        NetSlice::Arp(packet) => {
            let arp = packet.to_packet().try_eth_ipv4().ok()?;
            let sender = arp.sender_ipv4.into();
            return match arp.operation {
                ArpOperation::REPLY => Some(Seen::Has(arp.sender_mac, sender)),
                _ => Some(Seen::Asks(arp.sender_mac, sender, arp.target_ipv4.into())),
            };
        }
    };
    match packet.transport? {
        TransportSlice::Tcp(tcp) => {
            let from = SocketAddr::new(source, tcp.source_port());
            let to = SocketAddr::new(destination, tcp.destination_port());
            Some(if tcp.rst() {
                Seen::Reset(from, to)
            } else {
                Seen::Tcp(from, to)
            })
        }
        TransportSlice::Icmpv4(icmp) => match (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8()) {
            (0, _, [a, b, c, d]) => Some(echoed(source, destination, [a, b, c, d])),
            (3, code, [_, _, high, low]) => {
                let quoted = Ipv4HeaderSlice::from_slice(icmp.payload()).ok()?;
                let to = quoted.destination_addr().into();
                match code {
                    // Protocol, port.
                    2 | 3 => Some(Seen::Refused(to, quoted.protocol().0)),
                    4 => Some(Seen::TooBig(to, u16::from_be_bytes([high, low]).into())),
                    _ => None,
                }
            }
            _ => None,
        },
        TransportSlice::Icmpv6(icmp) => match (icmp.type_u8(), icmp.code_u8()) {
            (129, _) => Some(echoed(source, destination, icmp.bytes5to8())),
            // Port unreachable; an unknown next header.
            (1, 4) | (4, 1) => {
                let quoted = Ipv6HeaderSlice::from_slice(icmp.payload()).ok()?;
                let to = quoted.destination_addr().into();
                Some(Seen::Refused(to, quoted.next_header().0))
            }
            (2, _) => {
                let quoted = Ipv6HeaderSlice::from_slice(icmp.payload()).ok()?;
                let mtu = u32::from_be_bytes(icmp.bytes5to8());
                Some(Seen::TooBig(quoted.destination_addr().into(), mtu))
            }
            _ => None,
        },
        _ => None,
    }
}

fn echoed(from: IpAddr, to: IpAddr, [a, b, c, d]: [u8; 4]) -> Seen {
    Seen::Echo(
        from,
        to,
        u16::from_be_bytes([a, b]),
        u16::from_be_bytes([c, d]),
    )
}

/// The first segment of a connection, with its Ethernet header.
pub(super) fn syn(link: Link, from: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
    let packet = internet(link, from.ip(), to.ip())?;
    let packet = packet.tcp(from.port(), to.port(), 1, 65_535).syn();
    let mut frame = Vec::new();
    packet.write(&mut frame, &[]).ok()?;
    Some(frame)
}

/// A request for an echo, of so many bytes with its IP header, which nobody may cut.
pub(super) fn echo(
    link: Link,
    (from, to): (IpAddr, IpAddr),
    (id, seq): (u16, u16),
    length: usize,
) -> Option<Vec<u8>> {
    let header = if from.is_ipv4() { 20 } else { 40 };
    let payload = vec![0x5a; length.saturating_sub(header + 8)];
    let packet = internet(link, from, to)?;
    let mut frame = Vec::new();
    if from.is_ipv4() {
        packet
            .icmpv4_echo_request(id, seq)
            .write(&mut frame, &payload)
    } else {
        packet
            .icmpv6_echo_request(id, seq)
            .write(&mut frame, &payload)
    }
    .ok()?;
    Some(frame)
}

/// Asks who has an address.
pub(super) fn who_has(source: [u8; 6], from: Ipv4Addr, address: Ipv4Addr) -> Option<Vec<u8>> {
    let request = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &source,
        &from.octets(),
        &[0; 6],
        &address.octets(),
    );
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(source, BROADCAST)
        .arp(request.ok()?)
        .write(&mut frame)
        .ok()?;
    Some(frame)
}

/// A frame's IP packet inside of another between these ends, behind a UDP header if it is GUE.
pub(super) fn inside(
    link: Link,
    (from, to): (IpAddr, IpAddr),
    gue: bool,
    frame: &[u8],
) -> Option<Vec<u8>> {
    let inner = frame.get(Ethernet2Header::LEN..)?;
    let mut protocol = match inner.first()? >> 4 {
        4 => ip_number::IPV4,
        _ => ip_number::IPV6,
    };
    let mut body = Vec::new();
    if gue {
        body.extend(gue_header((from, to), inner)?.to_bytes());
        protocol = ip_number::UDP;
    }
    body.extend(inner);
    let mut outer = Vec::new();
    internet(link, from, to)?
        .write(&mut outer, protocol, &body)
        .ok()?;
    Some(outer)
}

/// With a checksum over IPv6: without one a host says nothing where no tunnel ends (RFC 6935).
fn gue_header(ends: (IpAddr, IpAddr), inner: &[u8]) -> Option<UdpHeader> {
    let mut header = UdpHeader::without_ipv4_checksum(GUE, GUE, inner.len()).ok()?;
    if let (IpAddr::V6(from), IpAddr::V6(to)) = ends {
        let checksum = header.calc_checksum_ipv6_raw(from.octets(), to.octets(), inner);
        header.checksum = checksum.ok()?;
    }
    Some(header)
}

/// Ethernet and IP.
fn internet(link: Link, from: IpAddr, to: IpAddr) -> Option<PacketBuilderStep<IpHeaders>> {
    let header = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (from, to) = (from.octets(), to.octets());
            let mut header = Ipv4Header::new(0, TTL, IpNumber(0), from, to).ok()?;
            header.dont_fragment = true;
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = Ipv6Header {
                hop_limit: TTL,
                source: from.octets(),
                destination: to.octets(),
                ..Ipv6Header::default()
            };
            IpHeaders::Ipv6(header, Ipv6Extensions::default())
        }
        _ => return None,
    };
    Some(PacketBuilder::ethernet2(link.source, link.destination).ip(header))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const LINK: Link = Link {
        source: [2, 0, 0, 0, 0, 1],
        destination: [2, 0, 0, 0, 0, 2],
    };

    fn ends(v6: bool) -> (IpAddr, IpAddr) {
        if v6 {
            ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
        } else {
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap())
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for v6 in [false, true] {
            let (from, to) = ends(v6);
            let (client, server) = (SocketAddr::new(from, 61_000), SocketAddr::new(to, 80));
            let frame = syn(LINK, client, server).unwrap();
            assert_eq!(read(&frame), Some(Seen::Tcp(client, server)));
            for gue in [false, true] {
                let outer = inside(LINK, (from, to), gue, &frame).unwrap();
                assert_eq!(read(&outer), None, "a tunnel is no answer");
                assert_eq!(outer[outer.len() - (frame.len() - 14)..], frame[14..]);
            }
            for length in [64, 1500] {
                let frame = echo(LINK, (from, to), (7, 9), length).unwrap();
                assert_eq!(frame.len(), 14 + length);
                assert_eq!(read(&frame), None, "a request is no answer");
            }
        }
        let (from, to) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let frame = who_has(LINK.source, from, to).unwrap();
        assert_eq!(read(&frame), Some(Seen::Asks(LINK.source, from, to)));
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        let frame = syn(
            LINK,
            "10.0.0.1:1".parse().unwrap(),
            "10.0.0.2:2".parse().unwrap(),
        )
        .unwrap();
        for length in 0..frame.len() {
            assert_eq!(read(&frame[..length]), None);
        }
    }
}
