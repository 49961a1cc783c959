//! The other end of a tunnel: what `lb decap` does on a backend that has no tunnel device.
//!
//! Everything that is not a tunnel's is the host's, untouched.

use crate::abi::{V4, V6};
use crate::wire::ethernet::{self, Network};
use crate::wire::tunnel::{self, Inside};
use crate::wire::{Family, Frame, Packet};

/// Most prefixes of trusted sources, per family.
pub const PREFIXES: u32 = 1024;

/// No header lies farther behind than this.
const OFFSET_MASK: usize = 0x7fff;

/// Whose tunnels are believed.
pub trait Trust<A> {
    /// Whether packets from this outer source are unpacked.
    fn trusts(&self, source: A) -> bool;
}

/// What became of a frame.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpacked {
    /// No tunnel's; the host gets it as it is.
    Other = 0,
    /// Unpacked; the host gets what was inside.
    Inner = 1,
    /// Dropped: a tunnel from a source that is not trusted.
    Untrusted = 2,
    /// Dropped: what is inside is no IP packet, or is cut off.
    Malformed = 3,
    /// Dropped: it met congestion, and its sender would not understand the mark (RFC 6040).
    Congested = 4,
}

impl Unpacked {
    /// How many there are.
    pub const COUNT: u32 = 5;

    /// Whether the host gets the frame.
    #[inline(always)]
    pub fn passes(self) -> bool {
        matches!(self, Self::Other | Self::Inner)
    }
}

/// Unpacks a frame if it is a tunnel's.
#[inline(always)]
pub fn unpack<F: Frame, T: Trust<V4> + Trust<V6>>(frame: &mut F, trust: &T) -> Unpacked {
    let Ok(link) = ethernet::parse(frame) else {
        return Unpacked::Other;
    };
    match link.network {
        Network::V4 => outer::<V4, F, T>(frame, trust, link.payload_at),
        Network::V6 => outer::<V6, F, T>(frame, trust, link.payload_at),
        Network::Other => Unpacked::Other,
    }
}

#[inline(always)]
fn outer<A: Family, F: Frame, T: Trust<A>>(frame: &mut F, trust: &T, at: usize) -> Unpacked {
    let Ok(packet) = A::parse(frame, at) else {
        return Unpacked::Other;
    };
    let Some(inside) = tunnel::inside(frame, &packet) else {
        return Unpacked::Other;
    };
    if !trust.trusts(packet.source) {
        return Unpacked::Untrusted;
    }
    match inside.network {
        Network::V4 => inner::<A, V4, F>(frame, &packet, inside),
        Network::V6 => inner::<A, V6, F>(frame, &packet, inside),
        Network::Other => Unpacked::Malformed,
    }
}

/// Takes the outer headers away.
#[inline(always)]
fn inner<A: Family, B: Family, F: Frame>(
    frame: &mut F,
    packet: &Packet<A>,
    inside: Inside,
) -> Unpacked {
    let classes = A::outline(frame, packet.at).zip(B::outline(frame, inside.at));
    let Some((outer, inner)) = classes else {
        return Unpacked::Malformed;
    };
    if inside.at + inner.length > packet.payload_at + packet.payload_length {
        return Unpacked::Malformed;
    }
    let Some(class) = tunnel::congestion(outer.traffic_class, inner.traffic_class) else {
        return Unpacked::Congested;
    };
    // The verifier does not see that what is inside lies behind.
    let by = inside.at.wrapping_sub(packet.at) & OFFSET_MASK;
    let done = B::write_traffic_class(frame, inside.at, class)
        .and_then(|()| ethernet::lower(frame, by, packet.at, inside.network))
        .and_then(|()| frame.shrink_head(by));
    done.map_or(Unpacked::Malformed, |()| Unpacked::Inner)
}
