//! IPv4 (RFC 791), options included.

use network_types::ip::Ipv4Hdr;

use super::checksum::Delta;
use super::header::Header;
use super::{Family, Fragment, Frame, Packet};
use crate::abi::{Reason, V4};

/// More fragments follow (RFC 791, section 3.1).
const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment's offset in units of eight bytes.
const OFFSET: u16 = 0x1fff;

impl Family for V4 {
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
    fn readdress<F: Frame>(
        frame: &mut F,
        at: usize,
        source: Self,
        destination: Self,
    ) -> Option<()> {
        let header = Ipv4Hdr::view_mut(frame, at)?;
        let before = [header.ttl, header.proto];
        header.ttl = header.ttl.wrapping_sub(1);
        header.check = Delta::NONE
            .word(before, [header.ttl, header.proto])
            .address(Self::from_octets(header.src_addr), source)
            .address(Self::from_octets(header.dst_addr), destination)
            .apply(header.check);
        header.src_addr = source.octets();
        header.dst_addr = destination.octets();
        Some(())
    }
}
