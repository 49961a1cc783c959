//! IPv6 (RFC 8200) with a bounded walk over its extension headers.

use network_types::ip::{IpProto, Ipv6Hdr};

use super::header::Header;
use super::{Family, Fragment, Frame, Packet};
use crate::abi::limits::EXTENSION_HEADERS;
use crate::abi::{Reason, V6};

const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
const ROUTING: u8 = IpProto::Ipv6Route as u8;
const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
const AUTHENTICATION: u8 = IpProto::Ah as u8;
const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
const MOBILITY: u8 = IpProto::MobilityHeader as u8;
const HOST_IDENTITY: u8 = IpProto::Hip as u8;
const SHIM6: u8 = IpProto::Shim6 as u8;

/// What the walk over the extension headers found, packed into one word: the verifier judges the
/// walk as a function of its own, and such functions return a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain(u64);

impl Chain {
    const WHOLE: u64 = 0;
    const FIRST: u64 = 1;
    const LATER: u64 = 2;
    const MALFORMED: u64 = 3;
    const TINY: u64 = 4;
    const TOO_MANY: u64 = 5;

    /// Nine headers of at most 2,048 bytes behind two tags stay below this.
    const OFFSET_MASK: u64 = 0x7fff;

    #[inline(always)]
    fn new(status: u64, protocol: u8, payload_at: usize) -> Self {
        Self(status << 24 | u64::from(protocol) << 16 | payload_at as u64 & Self::OFFSET_MASK)
    }

    /// From a number that [`Chain::word`] returned.
    #[inline(always)]
    pub fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The chain as a number.
    #[inline(always)]
    pub fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn fragment(self) -> Result<Fragment, Reason> {
        match self.0 >> 24 {
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
        (self.0 >> 16) as u8
    }

    #[inline(always)]
    fn payload_at(self) -> usize {
        (self.0 & Self::OFFSET_MASK) as usize
    }
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
    for _ in 0..EXTENSION_HEADERS {
        if !is_extension(protocol) {
            return Chain::new(status, protocol, payload_at);
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
            }
            // RFC 8200, section 4.5: what follows in a later fragment is payload, no header.
            if found != Chain::WHOLE && found != Chain::FIRST {
                return Chain::new(found, *next, payload_at);
            }
        }
        protocol = *next;
    }
    let status = if is_extension(protocol) {
        Chain::TOO_MANY
    } else {
        status
    };
    Chain::new(status, protocol, payload_at)
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
