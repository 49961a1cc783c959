//! The packet that an ICMP error quotes: whose it was, and how the error is told in the terms of
//! another who knows it by other addresses.

use super::checksum::Delta;
use super::header::{Header, Icmp};
use super::icmp::HEADER_LENGTH;
use super::translation::Place;
use super::transport::{self, TCP, UDP};
use super::tunnel::GUE_PORT;
use super::{Family, Frame, ethernet};
use crate::abi::{FlowKey, Hop, V4, V6};

/// Offset of the ports in a TCP and in a UDP header, and their length.
const PORTS: usize = 4;
/// No offset of a transport header in a quote exceeds this.
const OFFSET_MASK: usize = 0xff;

/// Reads the flow of the packet that an error quotes, as its answers would have it: its source is
/// the flow's local end. `None` if the message at the place is no error, or about no TCP or UDP
/// packet of whom it is sent to.
#[inline(always)]
pub fn flow<A: Family, F: Frame>(frame: &F, place: Place) -> Option<FlowKey<A>> {
    let quote_at = place.payload_at + HEADER_LENGTH;
    if !A::is_error(Icmp::view(frame, place.payload_at)?.kind) {
        return None;
    }
    let (protocol, transport_at) = A::quoted(frame, quote_at)?;
    if protocol != TCP && protocol != UDP {
        return None;
    }
    let (source, destination) = A::addresses(frame, quote_at)?;
    let (_, told) = A::addresses(frame, place.at)?;
    if source != told {
        return None;
    }
    let [a, b, c, d] = *frame.bytes::<PORTS>(transport_at)?;
    let (source_port, destination_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(FlowKey::new(
        (destination, destination_port),
        (source, source_port),
        protocol,
    ))
}

/// Reads how many bytes of a tunnel's packet would have been let through, and the tunnel's far end.
/// `None` if the message at the place says nothing of a tunnel of whom it is sent to.
#[inline(always)]
pub fn tunnel_mtu<A: Family, F: Frame>(frame: &F, place: Place) -> Option<(A, u32)> {
    let quote_at = place.payload_at + HEADER_LENGTH;
    let header = Icmp::view(frame, place.payload_at)?;
    let mtu = match (A::IS_V6, header.rest) {
        (true, rest) => u32::from_be_bytes(rest),
        (false, [_, _, high, low]) => u32::from(u16::from_be_bytes([high, low])),
    };
    // Routers from before RFC 1191 say zero.
    if (header.kind, header.code) != A::TOO_BIG || mtu == 0 {
        return None;
    }
    let (protocol, transport_at) = A::quoted(frame, quote_at)?;
    let is_tunnel = match protocol {
        V4::PROTOCOL | V6::PROTOCOL => true,
        UDP => {
            let [_, _, high, low] = *frame.bytes::<PORTS>(transport_at)?;
            u16::from_be_bytes([high, low]) == GUE_PORT
        }
        _ => false,
    };
    let (source, destination) = A::addresses(frame, quote_at)?;
    let (_, told) = A::addresses(frame, place.at)?;
    (is_tunnel && source == told).then_some((destination, mtu.max(A::MTU_MIN)))
}

/// Sends an error about the flow `from` on as one about `to`, both as [`flow`] reads them, from
/// `source` to the local end of `to`, by a hop; counts one and mends all checksums. `None` where the
/// frame does not have what [`flow`] has read.
#[inline(always)]
pub fn translate<A: Family, F: Frame>(
    frame: &mut F,
    place: Place,
    source: A,
    from: &FlowKey<A>,
    to: &FlowKey<A>,
    hop: &Hop,
) -> Option<()> {
    let Place { at, payload_at, .. } = place;
    let quote_at = payload_at + HEADER_LENGTH;
    let transport_at = A::quoted(frame, quote_at)?.1;
    // The verifier does not see that the one lies behind the other.
    let transport_at = quote_at + (transport_at.wrapping_sub(quote_at) & OFFSET_MASK);
    let end = at + A::outline(frame, at)?.length;
    let addresses = Delta::between(from, to);
    let mut delta = requote_transport(frame, transport_at, end, from, to, addresses)?;
    if A::IS_V6 {
        // A quoted header of IPv4 sums up to the same as before, and there is no pseudo header.
        let (reporter, _) = A::addresses(frame, at)?;
        delta = delta.plus(addresses).address(reporter, source);
        delta = delta.address(from.local, to.local);
    }
    let header = Icmp::view_mut(frame, payload_at)?;
    header.checksum = delta.apply(header.checksum);
    A::write_addresses(frame, quote_at, to.local, to.remote)?;
    A::readdress(frame, at, source, to.local)?;
    ethernet::readdress(frame, hop)
}

/// Writes the ports into a quoted header, mends its checksum if the message, which reaches to `end`,
/// has that too, for them and for the `addresses`, and returns what this makes of the message's sum.
#[inline(always)]
fn requote_transport<A: Family, F: Frame>(
    frame: &mut F,
    transport_at: usize,
    end: usize,
    from: &FlowKey<A>,
    to: &FlowKey<A>,
    addresses: Delta,
) -> Option<Delta> {
    let ports = |flow: &FlowKey<A>| {
        (
            flow.local_port.to_be_bytes(),
            flow.remote_port.to_be_bytes(),
        )
    };
    let (before, after) = (ports(from), ports(to));
    let changed = Delta::NONE.word(before.0, after.0).word(before.1, after.1);
    let [a, b, c, d] = frame.bytes_mut::<PORTS>(transport_at)?;
    ([*a, *b], [*c, *d]) = after;
    let is_tcp = to.protocol == TCP;
    let checksum_at = transport_at + transport::checksum_at(is_tcp);
    if checksum_at + 2 > end {
        return Some(changed);
    }
    let checksum = frame.bytes_mut::<2>(checksum_at)?;
    let (old, delta) = (*checksum, changed.plus(addresses));
    *checksum = if is_tcp {
        delta.apply(old)
    } else {
        transport::mend_udp(old, delta)
    };
    Some(changed.word(old, *checksum))
}
