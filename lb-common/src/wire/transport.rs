//! TCP (RFC 9293) and UDP (RFC 768): ports and flags in, new ports and checksum out.

use network_types::ip::IpProto;
use network_types::udp::UdpHdr;

use super::checksum::Delta;
use super::header::{Header, Tcp};
use super::{Fragment, Frame, Packet};
use crate::abi::{FlowKey, Reason};

/// TCP's protocol number.
pub const TCP: u8 = IpProto::Tcp as u8;
/// UDP's protocol number.
pub const UDP: u8 = IpProto::Udp as u8;

/// What a transport header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transport {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// TCP's flags; none for UDP.
    pub flags: TcpFlags,
}

/// The flags of a TCP header (RFC 9293, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// Opens a connection: SYN without ACK.
    #[inline(always)]
    pub fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK) == Self::SYN
    }

    /// Ends a connection: FIN or RST.
    #[inline(always)]
    pub fn closes(self) -> bool {
        self.0 & (Self::FIN | Self::RST) != 0
    }

    /// Resets a connection.
    #[inline(always)]
    pub fn resets(self) -> bool {
        self.0 & Self::RST != 0
    }
}

/// Reads the transport header, or `None` if the packet has none that is balanced.
#[inline(always)]
pub fn parse<F: Frame, A>(frame: &F, packet: &Packet<A>) -> Result<Option<Transport>, Reason> {
    if packet.fragment == Fragment::Later {
        return Ok(None);
    }
    let cut = if packet.fragment == Fragment::First {
        Reason::TinyFragment
    } else {
        Reason::Malformed
    };
    match packet.protocol {
        TCP => {
            if packet.payload_length < size_of::<Tcp>() {
                return Err(cut);
            }
            let header = Tcp::view(frame, packet.payload_at).ok_or(Reason::Malformed)?;
            let header_length = usize::from(header.offset >> 4) * 4;
            if header_length < size_of::<Tcp>() || header_length > packet.payload_length {
                return Err(cut);
            }
            Ok(Some(Transport {
                source_port: u16::from_be_bytes(header.source),
                destination_port: u16::from_be_bytes(header.destination),
                flags: TcpFlags(header.flags),
            }))
        }
        UDP => {
            if packet.payload_length < UdpHdr::LEN {
                return Err(cut);
            }
            let header = UdpHdr::view(frame, packet.payload_at).ok_or(Reason::Malformed)?;
            let length = usize::from(u16::from_be_bytes(header.len));
            let whole = packet.fragment == Fragment::Whole;
            if length < UdpHdr::LEN || (whole && length > packet.payload_length) {
                return Err(Reason::Malformed);
            }
            Ok(Some(Transport {
                source_port: u16::from_be_bytes(header.src),
                destination_port: u16::from_be_bytes(header.dst),
                flags: TcpFlags(0),
            }))
        }
        _ => Ok(None),
    }
}

/// Where in a TCP or UDP header the checksum is.
#[inline(always)]
pub fn checksum_at(is_tcp: bool) -> usize {
    if is_tcp { 16 } else { 6 }
}

/// The checksum in the TCP or UDP header at offset `at`; zeros of UDP mean that the sender computed
/// none (RFC 768).
#[inline(always)]
pub fn checksum<F: Frame>(frame: &F, protocol: u8, at: usize) -> Option<[u8; 2]> {
    if protocol == TCP {
        Some(Tcp::view(frame, at)?.checksum)
    } else {
        Some(UdpHdr::view(frame, at)?.check)
    }
}

/// A checksum of UDP after a change: zeros mean that the sender computed none, and a sum of zero is
/// sent as ones (RFC 768).
#[inline(always)]
pub fn mend_udp(checksum: [u8; 2], delta: Delta) -> [u8; 2] {
    if checksum == [0, 0] {
        return checksum;
    }
    match delta.apply(checksum) {
        [0, 0] => [0xff, 0xff],
        sum => sum,
    }
}

/// Writes the ports of `to` into the header of its protocol at offset `at`; `delta` is what changed
/// in the pseudo header.
#[inline(always)]
pub fn readdress<F: Frame, A>(
    frame: &mut F,
    at: usize,
    to: &FlowKey<A>,
    delta: Delta,
) -> Option<()> {
    let (source, destination) = (to.remote_port.to_be_bytes(), to.local_port.to_be_bytes());
    if to.protocol == TCP {
        let header = Tcp::view_mut(frame, at)?;
        header.checksum = delta
            .word(header.source, source)
            .word(header.destination, destination)
            .apply(header.checksum);
        header.source = source;
        header.destination = destination;
    } else {
        let header = UdpHdr::view_mut(frame, at)?;
        let delta = delta.word(header.src, source).word(header.dst, destination);
        header.check = mend_udp(header.check, delta);
        header.src = source;
        header.dst = destination;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::bytes::Bytes;
    use super::*;
    use crate::abi::V4;

    /// From 192.168.0.1:40000 to 192.168.0.199: to port 53 over UDP, to port 80 over TCP; and the
    /// same from 10.0.0.1:61000 to 10.0.0.2, to ports 5353 and 8080. All checksums are by another
    /// implementation.
    const UDP_BEFORE: [u8; 13] = [
        0x9c, 0x40, 0x00, 0x35, 0x00, 0x0d, 0x9d, 0x73, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
    ];
    const UDP_AFTER: [u8; 13] = [
        0xee, 0x48, 0x14, 0xe9, 0x00, 0x0d, 0xa4, 0xcd, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
    ];
    const TCP_BEFORE: [u8; 20] = [
        0x9c, 0x40, 0x00, 0x50, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x50, 0x02, 0x20,
        0x00, 0x71, 0x38, 0x00, 0x00,
    ];
    const TCP_AFTER: [u8; 20] = [
        0xee, 0x48, 0x1f, 0x90, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x50, 0x02, 0x20,
        0x00, 0x6e, 0x06, 0x00, 0x00,
    ];

    fn packet(protocol: u8, fragment: Fragment, payload_length: usize) -> Packet<V4> {
        Packet {
            source: V4::from_octets([192, 168, 0, 1]),
            destination: V4::from_octets([192, 168, 0, 199]),
            protocol,
            fragment,
            hop_limit: 64,
            at: 0,
            payload_at: 0,
            payload_length,
        }
    }

    fn to(protocol: u8, port: u16) -> FlowKey<V4> {
        FlowKey::new((V4::default(), 61_000), (V4::default(), port), protocol)
    }

    /// What [`parse`] makes of these bytes as a whole packet.
    fn whole(protocol: u8, bytes: &Bytes<32>) -> Result<Option<Transport>, Reason> {
        parse(bytes, &packet(protocol, Fragment::Whole, bytes.length()))
    }

    fn delta() -> Delta {
        Delta::NONE
            .address(
                V4::from_octets([192, 168, 0, 1]),
                V4::from_octets([10, 0, 0, 1]),
            )
            .address(
                V4::from_octets([192, 168, 0, 199]),
                V4::from_octets([10, 0, 0, 2]),
            )
    }

    #[test]
    fn reads_ports_and_flags() {
        let udp = whole(UDP, &Bytes::of(&UDP_BEFORE)).unwrap().unwrap();
        assert_eq!((udp.source_port, udp.destination_port), (40_000, 53));
        assert_eq!(udp.flags, TcpFlags(0));
        let tcp = whole(TCP, &Bytes::of(&TCP_BEFORE)).unwrap().unwrap();
        assert_eq!((tcp.source_port, tcp.destination_port), (40_000, 80));
        assert!(tcp.flags.opens() && !tcp.flags.closes() && !tcp.flags.resets());
        assert_eq!(whole(1, &Bytes::of(&TCP_BEFORE)), Ok(None));
    }

    #[test]
    fn flags_say_what_a_segment_does() {
        for flags in 0..=u8::MAX {
            let (fin, syn) = (flags & 1 != 0, flags & 2 != 0);
            let (rst, ack) = (flags & 4 != 0, flags & 16 != 0);
            let parsed = TcpFlags(flags);
            assert_eq!(parsed.opens(), syn && !ack);
            assert_eq!(parsed.closes(), fin || rst);
            assert_eq!(parsed.resets(), rst);
        }
    }

    #[test]
    fn contradictions_are_malformed() {
        for length in 0..TCP_BEFORE.len() {
            let cut = Bytes::of(&TCP_BEFORE).cut(length);
            assert_eq!(whole(TCP, &cut), Err(Reason::Malformed));
        }
        for words in (0..5).chain(6..16) {
            let mut bytes = Bytes::of(&TCP_BEFORE);
            bytes.put(12, &[words << 4]);
            assert_eq!(whole(TCP, &bytes), Err(Reason::Malformed));
        }
        for length in [0, 7, UDP_BEFORE.len() as u8 + 1] {
            let mut bytes = Bytes::of(&UDP_BEFORE);
            bytes.put(5, &[length]);
            assert_eq!(whole(UDP, &bytes), Err(Reason::Malformed));
        }
        for length in 0..UDP_BEFORE.len() {
            let cut = Bytes::of(&UDP_BEFORE).cut(length);
            assert_eq!(whole(UDP, &cut), Err(Reason::Malformed));
        }
    }

    #[test]
    fn a_first_fragment_must_have_its_header() {
        let (tcp, udp) = (Bytes::of(&TCP_BEFORE), Bytes::<32>::of(&UDP_BEFORE));
        for length in 0..20 {
            let first = packet(TCP, Fragment::First, length);
            assert_eq!(
                parse::<Bytes<32>, _>(&tcp, &first),
                Err(Reason::TinyFragment)
            );
        }
        for length in 0..8 {
            let first = packet(UDP, Fragment::First, length);
            assert_eq!(parse(&udp, &first), Err(Reason::TinyFragment));
        }
        // The length in a first fragment is that of the whole datagram.
        let first = packet(UDP, Fragment::First, 8);
        assert!(parse(&udp, &first).unwrap().is_some());
        assert_eq!(parse(&udp, &packet(UDP, Fragment::Later, 13)), Ok(None));
    }

    #[test]
    fn readdressing_agrees_with_another_implementation() {
        let mut bytes = Bytes::<32>::of(&UDP_BEFORE);
        readdress(&mut bytes, 0, &to(UDP, 5353), delta()).unwrap();
        assert_eq!(bytes, Bytes::of(&UDP_AFTER));
        let mut bytes = Bytes::<32>::of(&TCP_BEFORE);
        readdress(&mut bytes, 0, &to(TCP, 8080), delta()).unwrap();
        assert_eq!(bytes, Bytes::of(&TCP_AFTER));
    }

    #[test]
    fn a_udp_checksum_is_kept_away_from_zero_and_none_stays_none() {
        let mut bytes = Bytes::<32>::of(&UDP_BEFORE);
        bytes.put(6, &[0, 0]);
        readdress(&mut bytes, 0, &to(UDP, 5353), delta()).unwrap();
        assert_eq!(*bytes.bytes::<2>(6).unwrap(), [0, 0]);
        // Over every checksum that a sender may have computed, none comes out as zero.
        // Miri, which interprets, takes minutes for all of them.
        let sparsely = if cfg!(miri) { 997 } else { 1 };
        for checksum in (1..=u16::MAX).step_by(sparsely) {
            let mut bytes = Bytes::<32>::of(&UDP_BEFORE);
            bytes.put(6, &checksum.to_be_bytes());
            readdress(&mut bytes, 0, &to(UDP, 5353), delta()).unwrap();
            assert_ne!(*bytes.bytes::<2>(6).unwrap(), [0, 0]);
        }
    }
}
