//! From headers to bytes, by etherparse.

use std::net::IpAddr;

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{
    EtherType, Ethernet2Header, IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type,
    IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader, TcpHeader,
    UdpHeader, VlanId, VlanPcp, icmpv4, icmpv6,
};

use super::{ACK, FIN, Outer, PSH, Packet, RST, SYN, Transport, Trouble};

pub(super) fn frame(packet: &Packet) -> Vec<u8> {
    let mut bytes = link(packet);
    bytes.extend(match &packet.outer {
        Some(outer) => tunnel(packet, outer),
        None => network(packet),
    });
    bytes.resize(bytes.len() + packet.padding, 0x5a);
    bytes
}

fn link(packet: &Packet) -> Vec<u8> {
    let first = packet
        .outer
        .map_or(packet.source.ip(), |outer| outer.source);
    let network = if first.is_ipv4() { 0x0800 } else { 0x86dd };
    let mut types: Vec<u16> = packet.tags.iter().map(|(kind, _)| *kind).collect();
    types.push(network);
    let header = Ethernet2Header {
        source: packet.from_mac,
        destination: packet.to_mac,
        ether_type: EtherType(types[0]),
    };
    let mut bytes = header.to_bytes().to_vec();
    for ((_, id), next) in packet.tags.iter().zip(&types[1..]) {
        let tag = SingleVlanHeader {
            pcp: VlanPcp::ZERO,
            drop_eligible_indicator: false,
            vlan_id: VlanId::try_new(*id).unwrap(),
            ether_type: EtherType(*next),
        };
        bytes.extend(tag.to_bytes());
    }
    bytes
}

fn tunnel(packet: &Packet, outer: &Outer) -> Vec<u8> {
    let mut body = network(packet);
    let mut protocol = if packet.source.is_ipv4() {
        IpNumber::IPV4
    } else {
        IpNumber::IPV6
    };
    if let Some(ports) = outer.udp {
        body.splice(..0, udp_header(ports, body.len()).to_bytes());
        protocol = IpNumber::UDP;
    }
    let header = match (outer.source, outer.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            let length = u16::try_from(body.len()).unwrap();
            let mut header = Ipv4Header::new(length, 64, protocol, source, destination).unwrap();
            header.dont_fragment = true;
            (header.dscp, header.ecn) = dscp_and_ecn(packet);
            header.header_checksum = header.calc_header_checksum();
            header.to_bytes().to_vec()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => Ipv6Header {
            traffic_class: packet.traffic_class,
            flow_label: outer.flow_label.try_into().unwrap(),
            payload_length: u16::try_from(body.len()).unwrap(),
            next_header: protocol,
            hop_limit: 64,
            source: source.octets(),
            destination: destination.octets(),
        }
        .to_bytes()
        .to_vec(),
        _ => panic!("the ends of the tunnel are of two families"),
    };
    body.splice(..0, header);
    body
}

fn network(packet: &Packet) -> Vec<u8> {
    let body = transport(packet);
    match (packet.source.ip(), packet.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = Ipv4Header::new(
                0,
                packet.hop_limit,
                IpNumber(packet.protocol()),
                source.octets(),
                destination.octets(),
            )
            .unwrap();
            header.identification = packet.identification as u16;
            header.dont_fragment = packet.fragment == (0, false) && !packet.may_be_cut;
            header.fragment_offset = IpFragOffset::try_new(packet.fragment.0).unwrap();
            header.more_fragments = packet.fragment.1;
            (header.dscp, header.ecn) = dscp_and_ecn(packet);
            header.options = packet.options.as_slice().try_into().unwrap();
            header.set_payload_len(body.len()).unwrap();
            header.header_checksum = header.calc_header_checksum();
            let mut bytes = header.to_bytes().to_vec();
            bytes.extend(body);
            bytes
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let chain = extensions(packet);
            let header = Ipv6Header {
                traffic_class: packet.traffic_class,
                flow_label: packet.flow_label.try_into().unwrap(),
                payload_length: u16::try_from(chain.len() + body.len()).unwrap(),
                next_header: IpNumber(
                    packet
                        .extensions
                        .first()
                        .map_or(packet.protocol(), super::Extension::protocol),
                ),
                hop_limit: packet.hop_limit,
                source: source.octets(),
                destination: destination.octets(),
            };
            let mut bytes = header.to_bytes().to_vec();
            bytes.extend(chain);
            bytes.extend(body);
            bytes
        }
        _ => panic!("source and destination are of two families"),
    }
}

/// What IPv4 has in place of a traffic class.
fn dscp_and_ecn(packet: &Packet) -> (IpDscp, IpEcn) {
    let dscp = IpDscp::try_new(packet.traffic_class >> 2).unwrap();
    let ecn = IpEcn::try_new(packet.traffic_class & 3).unwrap();
    (dscp, ecn)
}

fn extensions(packet: &Packet) -> Vec<u8> {
    let following = packet
        .extensions
        .iter()
        .skip(1)
        .map(super::Extension::protocol)
        .chain([packet.protocol()]);
    packet
        .extensions
        .iter()
        .zip(following)
        .flat_map(|(extension, next)| extension.bytes(next, packet.identification))
        .collect()
}

pub(super) fn transport(packet: &Packet) -> Vec<u8> {
    let mut bytes = match &packet.transport {
        Transport::Tcp { flags, options } => tcp(packet, *flags, options),
        Transport::Udp { checksum } => udp(packet, *checksum),
        Transport::Echo { reply } => echo(packet, *reply),
        Transport::Error(trouble) => error(packet, *trouble),
        Transport::Raw(_) => Vec::new(),
    };
    bytes.extend(&packet.payload);
    bytes
}

fn tcp(packet: &Packet, flags: u8, options: &[u8]) -> Vec<u8> {
    let (source, destination) = (packet.source.port(), packet.destination.port());
    let mut header = TcpHeader::new(source, destination, 0x0102_0304, 0x4000);
    header.fin = flags & FIN != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & RST != 0;
    header.psh = flags & PSH != 0;
    header.ack = flags & ACK != 0;
    header.acknowledgment_number = if header.ack { 0x0a0b_0c0d } else { 0 };
    header.set_options_raw(options).unwrap();
    header.checksum = match (packet.source.ip(), packet.destination.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            header.calc_checksum_ipv4_raw(s.octets(), d.octets(), &packet.payload)
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            header.calc_checksum_ipv6_raw(s.octets(), d.octets(), &packet.payload)
        }
        _ => panic!("source and destination are of two families"),
    }
    .unwrap();
    header.to_bytes().to_vec()
}

fn echo(packet: &Packet, reply: bool) -> Vec<u8> {
    let header = IcmpEchoHeader { id: 7, seq: 9 };
    if reply {
        let (v4, v6) = (Icmpv4Type::EchoReply(header), Icmpv6Type::EchoReply(header));
        return icmp(packet, v4, v6);
    }
    let (v4, v6) = (
        Icmpv4Type::EchoRequest(header),
        Icmpv6Type::EchoRequest(header),
    );
    icmp(packet, v4, v6)
}

fn error(packet: &Packet, trouble: Trouble) -> Vec<u8> {
    let (v4, v6) = match trouble {
        Trouble::TooBig(mtu) => {
            // The field of IPv4 has two bytes.
            let next_hop_mtu = mtu as u16;
            let needed = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu };
            (
                Icmpv4Type::DestinationUnreachable(needed),
                Icmpv6Type::PacketTooBig { mtu },
            )
        }
        Trouble::Unreachable => (
            Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port),
            Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Port),
        ),
        Trouble::TimeExceeded => (
            Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit),
            Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded),
        ),
    };
    icmp(packet, v4, v6)
}

fn icmp(packet: &Packet, v4: Icmpv4Type, v6: Icmpv6Type) -> Vec<u8> {
    let payload = &packet.payload;
    match (packet.source.ip(), packet.destination.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            Icmpv4Header::with_checksum(v4, payload).to_bytes().to_vec()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            let header = Icmpv6Header::with_checksum(v6, source, destination, payload);
            header.unwrap().to_bytes().to_vec()
        }
        _ => panic!("source and destination are of two families"),
    }
}

fn udp(packet: &Packet, checksum: bool) -> Vec<u8> {
    let ports = (packet.source.port(), packet.destination.port());
    let mut header = udp_header(ports, packet.payload.len());
    if checksum {
        header.checksum = match (packet.source.ip(), packet.destination.ip()) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                header.calc_checksum_ipv4_raw(s.octets(), d.octets(), &packet.payload)
            }
            (IpAddr::V6(s), IpAddr::V6(d)) => {
                header.calc_checksum_ipv6_raw(s.octets(), d.octets(), &packet.payload)
            }
            _ => panic!("source and destination are of two families"),
        }
        .unwrap();
    }
    header.to_bytes().to_vec()
}

/// Without a checksum.
fn udp_header((source_port, destination_port): (u16, u16), payload: usize) -> UdpHeader {
    UdpHeader {
        source_port,
        destination_port,
        length: u16::try_from(8 + payload).unwrap(),
        checksum: 0,
    }
}
