//! IPv4 (RFC 791), options included.

use network_types::ip::{IpProto, Ipv4Hdr};

use super::checksum::Delta;
use super::ethernet::Network;
use super::header::Header;
use super::ip::HOP_LIMIT;
use super::{Family, Fragment, Frame, Outer, Outline, Packet, Piece};
use crate::abi::{Reason, V4, V6};

/// More fragments follow (RFC 791, section 3.1).
const MORE_FRAGMENTS: u16 = 0x2000;
/// It is not to be fragmented.
const DO_NOT_FRAGMENT: u16 = 0x4000;
/// The fragment's offset in units of eight bytes.
const OFFSET: u16 = 0x1fff;

impl Family for V4 {
    type Other = V6;

    const NETWORK: Network = Network::V4;
    const PROTOCOL: u8 = IpProto::Ipv4 as u8;
    const ICMP: u8 = IpProto::Icmp as u8;
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;
    const TOO_BIG: (u8, u8) = (3, 4);
    const TIME_EXCEEDED: (u8, u8) = (11, 0);
    /// RFC 791 says 68; Linux believes nobody who says less than 552.
    const MTU_MIN: u32 = 552;
    /// RFC 1812, section 4.3.2.5: internetwork control.
    const ERROR_CLASS: u8 = 0xc0;
    const HEADER_LENGTH: usize = Ipv4Hdr::LEN;
    const FRAGMENT_LENGTH: usize = 0;

    #[inline(always)]
    fn parse<F: Frame>(frame: &F, at: usize) -> Result<Packet<Self>, Reason> {
        let header = Ipv4Hdr::view(frame, at).ok_or(Reason::Malformed)?;
        let words = usize::from(header.vihl & 0x0f);
        let header_length = words * 4;
        let total_length = usize::from(u16::from_be_bytes(header.tot_len));
        // RFC 1812, section 5.2.2: version 4, at least five words of header, and a total length
        // that holds the header and fits the frame.
        if header.vihl >> 4 != 4
            || words < 5
            || total_length < header_length
            || at + total_length > frame.length()
        {
            return Err(Reason::Malformed);
        }
        let fragment = match u16::from_be_bytes(header.frags) {
            bits if bits & OFFSET != 0 => {
                // RFC 1858, section 3.2.1: a fragment at offset 1 can only be meant to overwrite
                // the transport header that the first one showed to the filter.
                if bits & OFFSET == 1 {
                    return Err(Reason::TinyFragment);
                }
                Fragment::Later
            }
            bits if bits & MORE_FRAGMENTS != 0 => Fragment::First,
            _ => Fragment::Whole,
        };
        Ok(Packet {
            source: Self::from_octets(header.src_addr),
            destination: Self::from_octets(header.dst_addr),
            protocol: header.proto,
            fragment,
            hop_limit: header.ttl,
            at,
            payload_at: at + header_length,
            payload_length: total_length - header_length,
        })
    }

    #[inline(always)]
    fn piece<F: Frame>(frame: &F, at: usize) -> Option<Piece> {
        let header = Ipv4Hdr::view(frame, at)?;
        let header_length = usize::from(header.vihl & 0x0f) * 4;
        let bits = u16::from_be_bytes(header.frags);
        let length = usize::from(u16::from_be_bytes(header.tot_len));
        Some(Piece {
            identification: u16::from_be_bytes(header.id).into(),
            protocol: header.proto,
            offset: bits & OFFSET,
            more: bits & MORE_FRAGMENTS != 0,
            length: length.saturating_sub(header_length),
        })
    }

    #[inline(always)]
    fn lone_piece<F: Frame>(frame: &F, at: usize, _: usize) -> Option<Piece> {
        Self::piece(frame, at)
    }

    #[inline(always)]
    fn readdress<F: Frame>(
        frame: &mut F,
        at: usize,
        source: Self,
        destination: Self,
    ) -> Option<()> {
        let header = Ipv4Hdr::view_mut(frame, at)?;
        let delta = write_ttl(header, header.ttl.wrapping_sub(1));
        write_addresses(header, delta, source, destination);
        Some(())
    }

    /// Destination unreachable, time exceeded, parameter problem. A source quench is ignored (RFC
    /// 6633), and a redirect is not for those behind the VIP.
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 3 | 11 | 12)
    }

    #[inline(always)]
    fn quoted<F: Frame>(frame: &F, at: usize) -> Option<(u8, usize)> {
        let header = Ipv4Hdr::view(frame, at)?;
        let words = usize::from(header.vihl & 0x0f);
        let is_first = u16::from_be_bytes(header.frags) & OFFSET == 0;
        let has_transport = header.vihl >> 4 == 4 && words >= 5 && is_first;
        has_transport.then_some((header.proto, at + words * 4))
    }

    #[inline(always)]
    fn write_addresses<F: Frame>(
        frame: &mut F,
        at: usize,
        source: Self,
        destination: Self,
    ) -> Option<()> {
        write_addresses(
            Ipv4Hdr::view_mut(frame, at)?,
            Delta::NONE,
            source,
            destination,
        );
        Some(())
    }

    #[inline(always)]
    fn pseudo_sum(_: (Self, Self), _: usize) -> Delta {
        Delta::NONE
    }

    #[inline(always)]
    fn addresses<F: Frame>(frame: &F, at: usize) -> Option<(Self, Self)> {
        let header = Ipv4Hdr::view(frame, at)?;
        let source = Self::from_octets(header.src_addr);
        Some((source, Self::from_octets(header.dst_addr)))
    }

    #[inline(always)]
    fn turn<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let header = Ipv4Hdr::view_mut(frame, at)?;
        let delta = write_ttl(header, HOP_LIMIT);
        header.check = delta.apply(header.check);
        core::mem::swap(&mut header.src_addr, &mut header.dst_addr);
        Some(())
    }

    #[inline(always)]
    fn outline<F: Frame>(frame: &F, at: usize) -> Option<Outline> {
        let header = Ipv4Hdr::view(frame, at)?;
        Some(Outline {
            length: usize::from(u16::from_be_bytes(header.tot_len)),
            traffic_class: header.tos,
            hop_limit: header.ttl,
        })
    }

    #[inline(always)]
    fn write_traffic_class<F: Frame>(frame: &mut F, at: usize, traffic_class: u8) -> Option<()> {
        let header = Ipv4Hdr::view_mut(frame, at)?;
        header.check = Delta::NONE
            .word([header.vihl, header.tos], [header.vihl, traffic_class])
            .apply(header.check);
        header.tos = traffic_class;
        Some(())
    }

    #[inline(always)]
    fn count_hop<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let header = Ipv4Hdr::view_mut(frame, at)?;
        let delta = write_ttl(header, header.ttl.wrapping_sub(1));
        header.check = delta.apply(header.check);
        Some(())
    }

    #[inline(always)]
    fn write_outer<F: Frame>(frame: &mut F, at: usize, outer: &Outer<Self>) -> Option<()> {
        let length = (Self::HEADER_LENGTH + outer.payload_length) as u16;
        let header = Ipv4Hdr::view_mut(frame, at)?;
        header.vihl = 0x45;
        header.tos = outer.traffic_class;
        header.tot_len = length.to_be_bytes();
        let bits = if outer.cut.is_followed() {
            outer.cut.offset() | MORE_FRAGMENTS
        } else if outer.cut.is_done() || outer.cut.is_allowed() {
            outer.cut.offset()
        } else {
            DO_NOT_FRAGMENT
        };
        header.id = (outer.cut.identification() as u16).to_be_bytes();
        header.frags = bits.to_be_bytes();
        header.ttl = outer.hop_limit;
        header.proto = outer.protocol;
        header.src_addr = outer.source.octets();
        header.dst_addr = outer.destination.octets();
        // As the difference to a header of zeros, whose checksum is all ones.
        header.check = Delta::NONE
            .word([0, 0], [header.vihl, header.tos])
            .word([0, 0], header.tot_len)
            .word([0, 0], header.id)
            .word([0, 0], header.frags)
            .word([0, 0], [header.ttl, header.proto])
            .address(Self::default(), outer.source)
            .address(Self::default(), outer.destination)
            .apply([0xff, 0xff]);
        Some(())
    }
}

/// Writes addresses, and mends the checksum for them and for what else has changed.
#[inline(always)]
fn write_addresses(header: &mut Ipv4Hdr, delta: Delta, source: V4, destination: V4) {
    header.check = delta
        .address(V4::from_octets(header.src_addr), source)
        .address(V4::from_octets(header.dst_addr), destination)
        .apply(header.check);
    header.src_addr = source.octets();
    header.dst_addr = destination.octets();
}

/// Writes a time to live, and leaves the checksum to the caller.
#[inline(always)]
fn write_ttl(header: &mut Ipv4Hdr, ttl: u8) -> Delta {
    let before = [header.ttl, header.proto];
    header.ttl = ttl;
    Delta::NONE.word(before, [ttl, header.proto])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::bytes::Bytes;
    use super::*;

    /// A header of a UDP packet of 115 bytes; its checksum is by another implementation, as is
    /// that of [`AFTER`].
    const BEFORE: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];
    /// The same behind a router that has written 10.0.0.1 and 10.0.0.2 into it.
    const AFTER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x3f, 0x11, 0x27, 0x78, 0x0a, 0x00, 0x00,
        0x01, 0x0a, 0x00, 0x00, 0x02,
    ];

    /// The header at offset 14 of a frame, changed at some offsets.
    fn frame(changes: &[(usize, u8)]) -> Bytes<160> {
        let mut bytes = Bytes::new(14 + 115);
        bytes.put(14, &BEFORE);
        for (at, byte) in changes {
            bytes.put(14 + at, &[*byte]);
        }
        bytes
    }

    fn parse(bytes: &Bytes<160>) -> Result<Packet<V4>, Reason> {
        V4::parse(bytes, 14)
    }

    #[test]
    fn reads_a_header() {
        let packet = parse(&frame(&[])).unwrap();
        assert_eq!(packet.source, V4::from_octets([192, 168, 0, 1]));
        assert_eq!(packet.destination, V4::from_octets([192, 168, 0, 199]));
        assert_eq!((packet.protocol, packet.hop_limit), (17, 64));
        assert_eq!(packet.fragment, Fragment::Whole);
        assert_eq!((packet.at, packet.payload_at), (14, 34));
        assert_eq!(packet.payload_length, 95);
    }

    #[test]
    fn options_belong_to_the_header() {
        for words in 5..=15_u8 {
            let packet = parse(&frame(&[(0, 0x40 | words)])).unwrap();
            assert_eq!(packet.payload_at, 14 + usize::from(words) * 4);
            assert_eq!(packet.payload_length, 115 - usize::from(words) * 4);
        }
    }

    #[test]
    fn contradictions_are_malformed() {
        for change in [(0, 0x44), (0, 0x40), (0, 0x65), (0, 0x05), (2, 1), (3, 19)] {
            assert_eq!(
                parse(&frame(&[change])),
                Err(Reason::Malformed),
                "{change:?}"
            );
        }
        for length in 0..14 + 115 {
            assert_eq!(parse(&frame(&[]).cut(length)), Err(Reason::Malformed));
        }
        let padded = frame(&[(3, 110)]);
        assert_eq!(parse(&padded).unwrap().payload_length, 90);
    }

    #[test]
    fn tells_fragments_apart() {
        for (high, low, expected) in [
            (0x40, 0, Ok(Fragment::Whole)),
            (0x20, 0, Ok(Fragment::First)),
            (0x00, 1, Err(Reason::TinyFragment)),
            (0x20, 1, Err(Reason::TinyFragment)),
            (0x20, 2, Ok(Fragment::Later)),
            (0x1f, 0xff, Ok(Fragment::Later)),
        ] {
            let packet = parse(&frame(&[(6, high), (7, low)]));
            assert_eq!(packet.map(|packet| packet.fragment), expected);
        }
    }

    #[test]
    fn readdressing_agrees_with_another_implementation() {
        let mut bytes = frame(&[]);
        let (source, destination) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        V4::readdress(
            &mut bytes,
            14,
            V4::from_octets(source),
            V4::from_octets(destination),
        )
        .unwrap();
        assert_eq!(*bytes.bytes::<20>(14).unwrap(), AFTER);
    }
}
