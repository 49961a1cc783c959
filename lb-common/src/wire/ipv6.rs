//! IPv6 (RFC 8200) with a bounded walk over its extension headers.

use network_types::ip::{IpProto, Ipv6Hdr};

use super::checksum::Delta;
use super::ethernet::Network;
use super::header::{FragmentHeader, Header};
use super::ip::HOP_LIMIT;
use super::{Family, Fragment, Frame, Outer, Outline, Packet, Piece};
use crate::abi::limits::EXTENSION_HEADERS;
use crate::abi::{Address as _, Reason, V4, V6};

const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
const ROUTING: u8 = IpProto::Ipv6Route as u8;
const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
const AUTHENTICATION: u8 = IpProto::Ah as u8;
const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
const MOBILITY: u8 = IpProto::MobilityHeader as u8;
const HOST_IDENTITY: u8 = IpProto::Hip as u8;
const SHIM6: u8 = IpProto::Shim6 as u8;

/// The flow label's bits (RFC 8200, section 3).
const FLOW_LABEL: u32 = 0x000f_ffff;

/// What the walk over the extension headers found, packed into one word: the verifier judges the
/// walk as a function of its own, and such functions return a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain(pub u64);

impl Chain {
    const WHOLE: u64 = 0;
    const FIRST: u64 = 1;
    const LATER: u64 = 2;
    const MALFORMED: u64 = 3;
    const TINY: u64 = 4;
    const TOO_MANY: u64 = 5;

    /// Nine headers of at most 2,048 bytes behind two tags stay below this.
    const OFFSET_MASK: u64 = 0x7fff;
    const PROTOCOL: u32 = 16;
    const FRAGMENT_AT: u32 = 24;
    const STATUS: u32 = 40;

    #[inline(always)]
    fn new(status: u64, protocol: u8, payload_at: usize) -> Self {
        let payload_at = payload_at as u64 & Self::OFFSET_MASK;
        Self(status << Self::STATUS | u64::from(protocol) << Self::PROTOCOL | payload_at)
    }

    #[inline(always)]
    fn fragment(self) -> Result<Fragment, Reason> {
        match self.0 >> Self::STATUS {
            Self::WHOLE => Ok(Fragment::Whole),
            Self::FIRST => Ok(Fragment::First),
            Self::LATER => Ok(Fragment::Later),
            Self::TINY => Err(Reason::TinyFragment),
            Self::TOO_MANY => Err(Reason::TooManyExtensions),
            _ => Err(Reason::Malformed),
        }
    }

    #[inline(always)]
    fn protocol(self) -> u8 {
        (self.0 >> Self::PROTOCOL) as u8
    }

    #[inline(always)]
    fn payload_at(self) -> usize {
        (self.0 & Self::OFFSET_MASK) as usize
    }

    /// The same, with the offset of the fragment header that says so.
    #[inline(always)]
    fn with_fragment_at(self, at: usize) -> Self {
        Self(self.0 | (at as u64 & Self::OFFSET_MASK) << Self::FRAGMENT_AT)
    }

    /// The offset of the fragment header, if it is a fragment.
    #[inline(always)]
    fn fragment_at(self) -> Option<usize> {
        let at = (self.0 >> Self::FRAGMENT_AT & Self::OFFSET_MASK) as usize;
        (at != 0).then_some(at)
    }
}

impl Family for V6 {
    type Other = V4;

    const NETWORK: Network = Network::V6;
    const PROTOCOL: u8 = IpProto::Ipv6 as u8;
    const ICMP: u8 = IpProto::Ipv6Icmp as u8;
    const ECHO_REQUEST: u8 = 128;
    const ECHO_REPLY: u8 = 129;
    const TOO_BIG: (u8, u8) = (2, 0);
    const TIME_EXCEEDED: (u8, u8) = (3, 0);
    /// RFC 8200, section 5.
    const MTU_MIN: u32 = 1280;
    const ERROR_CLASS: u8 = 0;
    const HEADER_LENGTH: usize = Ipv6Hdr::LEN;
    const FRAGMENT_LENGTH: usize = size_of::<FragmentHeader>();

    #[inline(always)]
    fn parse<F: Frame>(frame: &F, at: usize) -> Result<Packet<Self>, Reason> {
        let header = Ipv6Hdr::view(frame, at).ok_or(Reason::Malformed)?;
        let first_at = at + size_of::<Ipv6Hdr>();
        let end = first_at + usize::from(u16::from_be_bytes(header.payload_len));
        if header.vcf[0] >> 4 != 6 || end > frame.length() {
            return Err(Reason::Malformed);
        }
        let (source, destination) = (header.src_addr, header.dst_addr);
        let hop_limit = header.hop_limit;
        let chain = if is_extension(header.next_hdr) {
            frame.walk_extensions(header.next_hdr, first_at)
        } else {
            Chain::new(Chain::WHOLE, header.next_hdr, first_at)
        };
        let (fragment, payload_at) = (chain.fragment()?, chain.payload_at());
        if payload_at > end {
            return Err(Reason::Malformed);
        }
        Ok(Packet {
            source: Self::from_octets(source),
            destination: Self::from_octets(destination),
            protocol: chain.protocol(),
            fragment,
            hop_limit,
            at,
            payload_at,
            payload_length: end - payload_at,
        })
    }

    #[inline(always)]
    fn piece<F: Frame>(frame: &F, at: usize) -> Option<Piece> {
        let header = Ipv6Hdr::view(frame, at)?;
        let first_at = at + Self::HEADER_LENGTH;
        let end = first_at + usize::from(u16::from_be_bytes(header.payload_len));
        let chain = frame.walk_extensions(header.next_hdr, first_at);
        let fragment_at = chain.fragment_at()?;
        let length = end.saturating_sub(fragment_at + Self::FRAGMENT_LENGTH);
        piece(frame, fragment_at, length)
    }

    #[inline(always)]
    fn lone_piece<F: Frame>(frame: &F, at: usize, payload_at: usize) -> Option<Piece> {
        let header = Ipv6Hdr::view(frame, at)?;
        let fragment_at = at + Self::HEADER_LENGTH;
        if header.next_hdr != FRAGMENT || payload_at != fragment_at + Self::FRAGMENT_LENGTH {
            return None;
        }
        let length = usize::from(u16::from_be_bytes(header.payload_len));
        piece(frame, fragment_at, length - Self::FRAGMENT_LENGTH)
    }

    #[inline(always)]
    fn readdress<F: Frame>(
        frame: &mut F,
        at: usize,
        source: Self,
        destination: Self,
    ) -> Option<()> {
        Self::count_hop(frame, at)?;
        Self::write_addresses(frame, at, source, destination)
    }

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 1..=4)
    }

    /// Extension headers are not looked behind: what has some is no packet of ours.
    #[inline(always)]
    fn quoted<F: Frame>(frame: &F, at: usize) -> Option<(u8, usize)> {
        let header = Ipv6Hdr::view(frame, at)?;
        (header.vcf[0] >> 4 == 6).then_some((header.next_hdr, at + Self::HEADER_LENGTH))
    }

    #[inline(always)]
    fn write_addresses<F: Frame>(
        frame: &mut F,
        at: usize,
        source: Self,
        destination: Self,
    ) -> Option<()> {
        let header = Ipv6Hdr::view_mut(frame, at)?;
        header.src_addr = source.octets();
        header.dst_addr = destination.octets();
        Some(())
    }

    #[inline(always)]
    fn pseudo_sum(addresses: (Self, Self), length: usize) -> Delta {
        let none = Self::default();
        Delta::NONE
            .added((length as u32).to_be_bytes())
            .added([0, 0, 0, Self::ICMP])
            .address(none, addresses.0)
            .address(none, addresses.1)
    }

    #[inline(always)]
    fn addresses<F: Frame>(frame: &F, at: usize) -> Option<(Self, Self)> {
        // In words: as bytes, of which a copy takes a stack slot each, they would not fit.
        let word = |word_at: usize| Some(u64::from_ne_bytes(*frame.bytes::<8>(at + word_at)?));
        let source = Self::from_wide([word(8)?, word(16)?]);
        Some((source, Self::from_wide([word(24)?, word(32)?])))
    }

    #[inline(always)]
    fn turn<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let (source, destination) = Self::addresses(frame, at)?;
        let header = Ipv6Hdr::view_mut(frame, at)?;
        header.hop_limit = HOP_LIMIT;
        header.src_addr = destination.octets();
        header.dst_addr = source.octets();
        Some(())
    }

    #[inline(always)]
    fn outline<F: Frame>(frame: &F, at: usize) -> Option<Outline> {
        let header = Ipv6Hdr::view(frame, at)?;
        let [first, second, ..] = header.vcf;
        Some(Outline {
            length: Self::HEADER_LENGTH + usize::from(u16::from_be_bytes(header.payload_len)),
            traffic_class: first << 4 | second >> 4,
            hop_limit: header.hop_limit,
        })
    }

    #[inline(always)]
    fn write_traffic_class<F: Frame>(frame: &mut F, at: usize, traffic_class: u8) -> Option<()> {
        let header = Ipv6Hdr::view_mut(frame, at)?;
        let [first, second, ..] = &mut header.vcf;
        *first = *first & 0xf0 | traffic_class >> 4;
        *second = *second & 0x0f | traffic_class << 4;
        Some(())
    }

    #[inline(always)]
    fn count_hop<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let header = Ipv6Hdr::view_mut(frame, at)?;
        header.hop_limit = header.hop_limit.wrapping_sub(1);
        Some(())
    }

    #[inline(always)]
    fn write_outer<F: Frame>(frame: &mut F, at: usize, outer: &Outer<Self>) -> Option<()> {
        let header = Ipv6Hdr::view_mut(frame, at)?;
        let label = outer.flow & FLOW_LABEL;
        let word = 6 << 28 | u32::from(outer.traffic_class) << 20 | label;
        header.vcf = word.to_be_bytes();
        header.payload_len = (outer.payload_length as u16).to_be_bytes();
        header.next_hdr = outer.protocol;
        header.hop_limit = outer.hop_limit;
        header.src_addr = outer.source.octets();
        header.dst_addr = outer.destination.octets();
        if outer.cut.is_done() {
            let length = outer.payload_length + Self::FRAGMENT_LENGTH;
            header.payload_len = (length as u16).to_be_bytes();
            header.next_hdr = FRAGMENT;
            let header = FragmentHeader::view_mut(frame, at + Self::HEADER_LENGTH)?;
            header.next = outer.protocol;
            header.reserved = 0;
            header.offset =
                (outer.cut.offset() << 3 | u16::from(outer.cut.is_followed())).to_be_bytes();
            header.identification = outer.cut.identification().to_be_bytes();
        }
        Some(())
    }
}

/// What the fragment header at offset `at` says of so many bytes behind it.
#[inline(always)]
fn piece<F: Frame>(frame: &F, at: usize, length: usize) -> Option<Piece> {
    let header = FragmentHeader::view(frame, at)?;
    let bits = u16::from_be_bytes(header.offset);
    Some(Piece {
        identification: u32::from_be_bytes(header.identification),
        protocol: 0,
        offset: bits >> 3,
        more: bits & 1 != 0,
        length,
    })
}

/// Whether a header of this number is an extension that another header follows.
#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | AUTHENTICATION
            | DESTINATION
            | MOBILITY
            | HOST_IDENTITY
            | SHIM6
    )
}

/// Walks from the first extension header to the transport header (RFC 8200, section 4).
#[inline(always)]
pub fn walk<F: Frame>(frame: &F, first: u8, at: usize) -> Chain {
    let mut protocol = first;
    let mut payload_at = at;
    let mut status = Chain::WHOLE;
    let mut fragment_at = 0;
    for _ in 0..EXTENSION_HEADERS {
        if !is_extension(protocol) {
            return Chain::new(status, protocol, payload_at).with_fragment_at(fragment_at);
        }
        let Some([next, length, high, low]) = frame.bytes::<4>(payload_at) else {
            return Chain::new(Chain::MALFORMED, protocol, payload_at);
        };
        let length = usize::from(*length);
        payload_at += match protocol {
            FRAGMENT => 8,
            // RFC 4302, section 2.2: the length counts four-byte units, minus 2.
            AUTHENTICATION => (length + 2) * 4,
            _ => (length + 1) * 8,
        };
        if protocol == FRAGMENT {
            // An atomic fragment inside of a first one makes no whole packet of it.
            let found = fragment(u16::from_be_bytes([*high, *low]));
            if found != Chain::WHOLE {
                status = found;
                fragment_at = payload_at - size_of::<FragmentHeader>();
            }
            // RFC 8200, section 4.5: what follows in a later fragment is payload, no header.
            if found != Chain::WHOLE && found != Chain::FIRST {
                return Chain::new(found, *next, payload_at).with_fragment_at(fragment_at);
            }
        }
        protocol = *next;
    }
    let status = if is_extension(protocol) {
        Chain::TOO_MANY
    } else {
        status
    };
    Chain::new(status, protocol, payload_at).with_fragment_at(fragment_at)
}

/// What offset and flags of a fragment header say (RFC 8200, section 4.5).
#[inline(always)]
fn fragment(bits: u16) -> u64 {
    let offset = bits >> 3;
    if offset == 1 {
        // As in IPv4 (RFC 1858): it could only overwrite the transport header.
        Chain::TINY
    } else if offset != 0 {
        Chain::LATER
    } else if bits & 1 != 0 {
        Chain::FIRST
    } else {
        // RFC 6946: an atomic fragment is a whole packet.
        Chain::WHOLE
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::bytes::Bytes;
    use super::*;

    /// Bytes behind the fixed header of every frame here.
    const PAYLOAD: u8 = 96;

    /// A frame whose header is followed by these bytes, then zeros.
    fn frame<const N: usize>(next: u8, behind: [u8; N]) -> Bytes<160> {
        let mut bytes = Bytes::new(14 + 40 + usize::from(PAYLOAD));
        bytes.put(14, &[0x60, 0, 0, 0, 0, PAYLOAD, next, 64]);
        bytes.put(14 + 8, &[0x20, 0x01, 0x0d, 0xb8]);
        bytes.put(14 + 8 + 15, &[1]);
        bytes.put(14 + 24, &[0xfd]);
        bytes.put(14 + 24 + 15, &[2]);
        bytes.put(14 + 40, &behind);
        bytes
    }

    fn parse(bytes: &Bytes<160>) -> Result<Packet<V6>, Reason> {
        V6::parse(bytes, 14)
    }

    /// Protocol, fragment and how many bytes of extension headers there are.
    fn walked(bytes: &Bytes<160>) -> Result<(u8, Fragment, usize), Reason> {
        parse(bytes).map(|p| (p.protocol, p.fragment, p.payload_at - 54))
    }

    #[test]
    fn reads_a_header() {
        let packet = parse(&frame(17, [])).unwrap();
        let (mut source, mut destination) = ([0; 16], [0; 16]);
        source[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        source[15] = 1;
        (destination[0], destination[15]) = (0xfd, 2);
        assert_eq!(packet.source.octets(), source);
        assert_eq!(packet.destination.octets(), destination);
        assert_eq!((packet.protocol, packet.hop_limit), (17, 64));
        assert_eq!(packet.fragment, Fragment::Whole);
        assert_eq!((packet.at, packet.payload_at), (14, 54));
        assert_eq!(packet.payload_length, 96);
    }

    #[test]
    fn each_extension_header_has_its_own_unit_of_length() {
        for kind in [0, 43, 60, 135, 139, 140] {
            let long = frame(kind, [6, 1]);
            assert_eq!(walked(&long), Ok((6, Fragment::Whole, 16)), "{kind}");
        }
        // RFC 4302, section 2.2: units of four bytes, minus two.
        assert_eq!(walked(&frame(51, [6, 4])), Ok((6, Fragment::Whole, 24)));
        assert_eq!(walked(&frame(44, [6, 9])), Ok((6, Fragment::Whole, 8)));
        for kind in [6, 17, 50, 58, 59, 132] {
            assert_eq!(walked(&frame(kind, [6])), Ok((kind, Fragment::Whole, 0)));
        }
    }

    #[test]
    fn the_walk_ends_after_eight_headers() {
        let mut bytes = frame(60, []);
        for header in 0..EXTENSION_HEADERS {
            bytes.put(54 + header * 8, &[60]);
        }
        assert_eq!(walked(&bytes), Err(Reason::TooManyExtensions));
        bytes.put(54 + (EXTENSION_HEADERS - 1) * 8, &[17]);
        assert_eq!(walked(&bytes), Ok((17, Fragment::Whole, 64)));
    }

    #[test]
    fn tells_fragments_apart() {
        for (high, low, expected) in [
            (0, 0, Ok((6, Fragment::Whole, 8))),
            (0, 1, Ok((6, Fragment::First, 8))),
            (0, 8, Err(Reason::TinyFragment)),
            (0, 9, Err(Reason::TinyFragment)),
            (0, 16, Ok((6, Fragment::Later, 8))),
            (0xff, 0xf9, Ok((6, Fragment::Later, 8))),
        ] {
            assert_eq!(walked(&frame(44, [6, 0, high, low])), expected);
        }
        // What follows the header of a later fragment is payload, whatever its number says.
        let later = frame(44, [60, 0, 0, 16, 0, 0, 0, 0, 6, 1]);
        assert_eq!(walked(&later), Ok((60, Fragment::Later, 8)));
        // A fragment header stays in force behind others.
        let first = frame(44, [60, 0, 0, 1, 0, 0, 0, 0, 6]);
        assert_eq!(walked(&first), Ok((6, Fragment::First, 16)));
    }

    #[test]
    fn contradictions_are_malformed() {
        for (at, byte) in [(0, 0x40), (0, 0), (5, PAYLOAD + 1), (4, 1)] {
            let mut bytes = frame(17, []);
            bytes.put(14 + at, &[byte]);
            assert_eq!(walked(&bytes), Err(Reason::Malformed), "{at}: {byte}");
        }
        assert_eq!(walked(&frame(60, [6, 255])), Err(Reason::Malformed));
        assert_eq!(walked(&frame(51, [6, 255])), Err(Reason::Malformed));
        for length in 0..14 + 40 + usize::from(PAYLOAD) {
            assert_eq!(walked(&frame(17, []).cut(length)), Err(Reason::Malformed));
        }
    }

    #[test]
    fn readdressing_writes_addresses_and_counts_the_hop() {
        let mut bytes = frame(17, []);
        V6::readdress(
            &mut bytes,
            14,
            V6::from_octets([1; 16]),
            V6::from_octets([2; 16]),
        )
        .unwrap();
        let packet = parse(&bytes).unwrap();
        assert_eq!(packet.source.octets(), [1; 16]);
        assert_eq!(packet.destination.octets(), [2; 16]);
        assert_eq!((packet.hop_limit, packet.protocol), (63, 17));
    }
}
