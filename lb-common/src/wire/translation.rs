//! From one address family to the other (RFC 7915).

use super::checksum::Delta;
use super::ethernet::{self, Tags};
use super::ip::{Cut, Outline};
use super::transport::{self, UDP};
use super::{Family, Fragment, Frame, Outer};
use crate::abi::{FlowKey, Hop, Reason};

/// The longest packet that IPv4 routers may still cut: every IPv6 link takes it whole in the other
/// direction, so that nobody can be told to send shorter ones (RFC 7915, section 5.1).
const CUTTABLE: usize = 1260;

/// No offset of a transport header exceeds this.
const OFFSET_MASK: usize = 0x7fff;

/// Where the headers of a packet are in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Offset of the network header.
    pub at: usize,
    /// Offset of the transport header.
    pub payload_at: usize,
    /// A later fragment has none.
    pub fragment: Fragment,
}

/// Writes both addresses and, but for a later fragment, ports, counts a hop, mends the checksums, and
/// addresses the frame to the next hop. `None` if the frame has no headers there.
#[inline(always)]
pub fn readdress<A: Family, F: Frame>(
    frame: &mut F,
    place: Place,
    from: &FlowKey<A>,
    to: &FlowKey<A>,
    hop: &Hop,
) -> Option<()> {
    if place.fragment != Fragment::Later {
        let delta = Delta::between(from, to);
        transport::readdress(frame, place.payload_at, to, delta)?;
    }
    A::readdress(frame, place.at, to.remote, to.local)?;
    ethernet::readdress(frame, hop)
}

/// Puts a header of the other family in place of the packet's own, options and extensions included,
/// and does what [`readdress`] does. VLAN tags stay.
///
/// What IPv4 routers may cut is told from other packets by the checksum that it came with: two of
/// the same are, but by chance, the same packet.
///
/// # Errors
/// [`Reason::NoChecksum`] for a UDP packet without one that IPv6 asks for (section 4.5),
/// [`Reason::Fragment`] for one with more extension headers, [`Reason::NoHeadroom`]; then nothing is
/// written yet. [`Reason::RewriteFailed`].
#[inline(always)]
pub fn cross<A: Family, F: Frame>(
    frame: &mut F,
    place: Place,
    outline: Outline,
    from: &FlowKey<A>,
    to: &FlowKey<A::Other>,
    hop: &Hop,
) -> Result<(), Reason> {
    let Place { at, payload_at, .. } = place;
    let mut checksum = [0, 0];
    if place.fragment != Fragment::Later {
        let found = transport::checksum(frame, to.protocol, payload_at);
        checksum = *found.as_ref().ok_or(Reason::RewriteFailed)?;
        if !A::IS_V6 && to.protocol == UDP && checksum == [0, 0] {
            return Err(Reason::NoChecksum);
        }
    }
    let mut cut = Cut::NEVER;
    if place.fragment != Fragment::Whole {
        let piece = A::lone_piece(frame, at, payload_at);
        cut = Cut::done(piece.ok_or(Reason::Fragment)?);
    }
    let network = <A::Other as Family>::NETWORK;
    // The verifier does not see that the one lies behind the other.
    let old = payload_at.wrapping_sub(at) & OFFSET_MASK;
    let new = header_length::<A::Other>(place);
    // Held while the head is resized: older verifiers do not follow that an offset which is what
    // one is longer than the other is not below zero.
    let tags = Tags::read(frame, 0, at).ok_or(Reason::RewriteFailed)?;
    if new > old {
        frame.grow_head(new - old).ok_or(Reason::NoHeadroom)?;
    } else {
        frame.shrink_head(old - new).ok_or(Reason::RewriteFailed)?;
    }
    let payload_length = outline.length - old;
    if place.fragment == Fragment::Whole && new + payload_length <= CUTTABLE {
        cut = Cut::allowed(checksum);
    }
    let outer = Outer {
        source: to.remote,
        destination: to.local,
        protocol: to.protocol,
        traffic_class: outline.traffic_class,
        hop_limit: outline.hop_limit.wrapping_sub(1),
        payload_length,
        cut,
        flow: from.hash(),
    };
    let delta = Delta::between(from, to);
    let ports = match place.fragment {
        Fragment::Later => Some(()),
        _ => transport::readdress(frame, at + new, to, delta),
    };
    ports
        .and_then(|()| <A::Other as Family>::write_outer(frame, at, &outer))
        .and_then(|()| tags.write(frame, 0, at, network))
        .and_then(|()| ethernet::readdress(frame, hop))
        .ok_or(Reason::RewriteFailed)
}

/// Bytes that a packet of this outline is long in the other family.
#[inline(always)]
pub fn length_across<A: Family>(place: Place, outline: Outline) -> usize {
    let old = place.payload_at.wrapping_sub(place.at);
    (outline.length + header_length::<A::Other>(place)).wrapping_sub(old)
}

/// Bytes of the header that a packet is given.
#[inline(always)]
fn header_length<A: Family>(place: Place) -> usize {
    match place.fragment {
        Fragment::Whole => A::HEADER_LENGTH,
        _ => A::HEADER_LENGTH + A::FRAGMENT_LENGTH,
    }
}
