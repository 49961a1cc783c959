//! IPv6 (RFC 8200) with a bounded walk over its extension headers.

use network_types::ip::{IpProto, Ipv6Hdr};

use super::header::Header;
use super::{Family, Fragment, Frame, Packet};
use crate::abi::limits::EXTENSION_HEADERS;
use crate::abi::{Reason, V6};

/// What the walk over the extension headers found.
struct Chain {
    protocol: u8,
    fragment: Fragment,
    payload_at: usize,
}

impl Family for V6 {
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
        let chain = walk(frame, header.next_hdr, first_at)?;
        if chain.payload_at > end {
            return Err(Reason::Malformed);
        }
        Ok(Packet {
            source: Self::from_octets(source),
            destination: Self::from_octets(destination),
            protocol: chain.protocol,
            fragment: chain.fragment,
            hop_limit,
            at,
            payload_at: chain.payload_at,
            payload_length: end - chain.payload_at,
        })
    }

    #[inline(always)]
    fn readdress<F: Frame>(
        frame: &mut F,
        at: usize,
        source: Self,
        destination: Self,
    ) -> Option<()> {
        let header = Ipv6Hdr::view_mut(frame, at)?;
        header.hop_limit = header.hop_limit.wrapping_sub(1);
        header.src_addr = source.octets();
        header.dst_addr = destination.octets();
        Some(())
    }
}

/// Walks from the first extension header to the transport header (RFC 8200, section 4).
#[inline(always)]
fn walk<F: Frame>(frame: &F, first: u8, at: usize) -> Result<Chain, Reason> {
    const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
    const ROUTING: u8 = IpProto::Ipv6Route as u8;
    const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
    const AUTHENTICATION: u8 = IpProto::Ah as u8;
    const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
    const MOBILITY: u8 = IpProto::MobilityHeader as u8;
    const HOST_IDENTITY: u8 = IpProto::Hip as u8;
    const SHIM6: u8 = IpProto::Shim6 as u8;

    let mut chain = Chain {
        protocol: first,
        fragment: Fragment::Whole,
        payload_at: at,
    };
    for _ in 0..EXTENSION_HEADERS {
        let unit = match chain.protocol {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => 8,
            // RFC 4302, section 2.2: the length counts four-byte units, minus 2.
            AUTHENTICATION => 4,
            FRAGMENT => 0,
            _ => return Ok(chain),
        };
        let [next, length, high, low] = *frame
            .bytes::<4>(chain.payload_at)
            .ok_or(Reason::Malformed)?;
        chain.protocol = next;
        if unit == 0 {
            chain.payload_at += 8;
            chain.fragment = fragment(u16::from_be_bytes([high, low]))?;
            // RFC 8200, section 4.5: what follows in a later fragment is payload, no header.
            if chain.fragment == Fragment::Later {
                return Ok(chain);
            }
        } else if unit == 4 {
            chain.payload_at += (usize::from(length) + 2) * 4;
        } else {
            chain.payload_at += (usize::from(length) + 1) * 8;
        }
    }
    match chain.protocol {
        HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 | AUTHENTICATION
        | FRAGMENT => Err(Reason::TooManyExtensions),
        _ => Ok(chain),
    }
}

/// Reads offset and flags of a fragment header (RFC 8200, section 4.5).
#[inline(always)]
fn fragment(bits: u16) -> Result<Fragment, Reason> {
    let offset = bits >> 3;
    if offset == 1 {
        // As in IPv4 (RFC 1858): it could only overwrite the transport header.
        Err(Reason::TinyFragment)
    } else if offset != 0 {
        Ok(Fragment::Later)
    } else if bits & 1 != 0 {
        Ok(Fragment::First)
    } else {
        // RFC 6946: an atomic fragment is a whole packet.
        Ok(Fragment::Whole)
    }
}
