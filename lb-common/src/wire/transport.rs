//! TCP (RFC 9293) and UDP (RFC 768): ports and flags in, new ports and checksum out.

use network_types::ip::IpProto;
use network_types::udp::UdpHdr;

use super::checksum::Delta;
use super::header::{Header, Tcp};
use super::{Fragment, Frame, Packet};
use crate::abi::Reason;

/// TCP's protocol number.
pub const TCP: u8 = IpProto::Tcp as u8;
/// UDP's protocol number.
pub const UDP: u8 = IpProto::Udp as u8;

/// What a transport header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Writes new ports; `delta` is what changed in the pseudo header.
#[inline(always)]
pub fn readdress<F: Frame, A>(
    frame: &mut F,
    packet: &Packet<A>,
    source_port: u16,
    destination_port: u16,
    delta: Delta,
) -> Option<()> {
    let (source, destination) = (source_port.to_be_bytes(), destination_port.to_be_bytes());
    if packet.protocol == TCP {
        let header = Tcp::view_mut(frame, packet.payload_at)?;
        header.checksum = delta
            .word(header.source, source)
            .word(header.destination, destination)
            .apply(header.checksum);
        header.source = source;
        header.destination = destination;
    } else {
        let header = UdpHdr::view_mut(frame, packet.payload_at)?;
        // RFC 768: zero means that the sender computed none, and a sum of zero is sent as ones.
        if header.check != [0, 0] {
            let sum = delta
                .word(header.src, source)
                .word(header.dst, destination)
                .apply(header.check);
            header.check = if sum == [0, 0] { [0xff, 0xff] } else { sum };
        }
        header.src = source;
        header.dst = destination;
    }
    Some(())
}
