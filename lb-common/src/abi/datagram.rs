//! Datagrams that arrive in fragments: what the later ones need of the first.

use core::hint::black_box;

use super::{FlowKey, Ticks};

/// What the fragments of a datagram have in common (RFC 791, section 3.2; RFC 8200, section 4.5).
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DatagramKey {
    /// The source, in the common form of [`super::Address`].
    pub source: [u64; 2],
    /// The destination, in the same form.
    pub destination: [u64; 2],
    /// The identification.
    pub identification: u32,
    /// IP protocol number; 0 in IPv6.
    pub protocol: u32,
}

/// A datagram of which the first fragment was seen.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Datagram {
    /// Source and destination port.
    pub ports: Ports,
    /// When its first fragment was seen.
    pub seen: Ticks,
    /// How much of it was seen, in units of eight bytes.
    pub covered: u32,
    /// How long it is, in units of eight bytes; 0 while its last fragment was not seen.
    pub total: u32,
    /// IP protocol number that its first fragment names.
    pub protocol: u32,
    /// What was seen of it, in any order; what touches is one span.
    pub spans: [Span; SPANS],
}

/// Spans of a datagram: in order there is one.
pub const SPANS: usize = 6;

/// A part of a datagram, from one offset to another in units of eight bytes; empty if both are zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Where it begins.
    pub start: u32,
    /// Where the next one would begin.
    pub end: u32,
}

impl Span {
    /// Behind every end: 65,535 bytes are 8,192 units.
    const MAX: u32 = u16::MAX as u32;
}

/// Both ports of a packet, in one number.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports(pub u32);

/// How a fragment goes with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is a part that was lacking.
    New,
    /// With it all is there.
    Complete,
    /// Some of it was there already, or lies behind the end.
    Overlap,
    /// There are more gaps than can be remembered.
    Scattered,
}

impl Ports {
    /// Those of a flow.
    #[inline(always)]
    pub fn of<A>(key: &FlowKey<A>) -> Self {
        Self(u32::from(key.remote_port) << 16 | u32::from(key.local_port))
    }

    /// The source's.
    #[inline(always)]
    pub fn source(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The destination's.
    #[inline(always)]
    pub fn destination(self) -> u16 {
        self.0 as u16
    }
}

impl Datagram {
    /// How long later fragments are waited for (RFC 791, section 3.2).
    pub const LIFETIME: u32 = Ticks::in_seconds(15);

    /// That of a first fragment.
    #[inline(always)]
    pub fn of<A>(key: &FlowKey<A>, seen: Ticks, first: Span) -> Self {
        let mut spans = [Span::default(); SPANS];
        spans[0] = first;
        Self {
            ports: Ports::of(key),
            seen,
            covered: first.end,
            total: 0,
            protocol: key.protocol.into(),
            spans,
        }
    }

    /// Adds a later fragment, which may be the last, unless it does not fit.
    ///
    /// The spans are compared without branches, of which the verifier would walk every combination.
    #[inline(always)]
    pub fn add(&mut self, part: Span, is_last: bool) -> Fit {
        let end = if is_last { part.end } else { Span::MAX };
        let is_beyond = self.total != 0 && (is_last || part.end > self.total);
        let (mut overlaps, mut touching, mut unused) = (0, 0, 0);
        // Unrolled, all would be read before the first is looked at, which is too much for the stack.
        for (index, span) in self.spans.iter().take(black_box(SPANS)).enumerate() {
            overlaps |= before(span.start, part.end) & before(part.start, span.end);
            // Behind the last fragment there is nothing.
            overlaps |= before(end, span.end);
            let touches = equal(span.end, part.start) | equal(span.start, part.end);
            touching |= touches << index;
            unused |= (1 ^ before(0, span.end)) << index;
        }
        if is_beyond || overlaps != 0 {
            return Fit::Overlap;
        }
        let places = if touching != 0 { touching } else { unused };
        let Some(span) = self.spans.get_mut(lowest(places)) else {
            return Fit::Scattered;
        };
        if touching == 0 {
            *span = part;
        } else if span.end == part.start {
            span.end = part.end;
        } else {
            span.start = part.start;
        }
        self.covered = self.covered.wrapping_add(part.end.wrapping_sub(part.start));
        if is_last {
            self.total = part.end;
        }
        if self.total != 0 && self.covered >= self.total {
            Fit::Complete
        } else {
            Fit::New
        }
    }
}

/// One if `a` is less than `b`, else zero.
#[inline(always)]
fn before(a: u32, b: u32) -> u32 {
    a.wrapping_sub(b) >> 31
}

/// One if both are the same, else zero.
#[inline(always)]
fn equal(a: u32, b: u32) -> u32 {
    1 ^ (before(a, b) | before(b, a))
}

/// Which is the lowest of the first [`SPANS`] bits; [`SPANS`] if none is set.
#[inline(always)]
fn lowest(bits: u32) -> usize {
    let mut place = 0;
    let mut none = 1;
    for index in 0..SPANS {
        none &= 1 ^ (bits >> index);
        place += none;
    }
    place as usize
}

const _: () = assert!(size_of::<DatagramKey>() == 40);
const _: () = assert!(size_of::<Datagram>() == 72);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::V4;

    fn part(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    fn begun(end: u32) -> Datagram {
        let key = FlowKey::new(
            (V4::from_octets([192, 0, 2, 1]), 1),
            (V4::from_octets([192, 0, 2, 2]), 2),
            17,
        );
        Datagram::of(&key, Ticks(7), part(0, end))
    }

    #[test]
    fn in_order_takes_one_span() {
        let mut datagram = begun(10);
        for step in 1..100 {
            let fit = datagram.add(part(step * 10, step * 10 + 10), false);
            assert_eq!(fit, Fit::New);
        }
        assert_eq!(datagram.spans[0], part(0, 1000));
        assert_eq!(datagram.spans[1], Span::default());
        assert_eq!(datagram.add(part(1000, 1001), true), Fit::Complete);
    }

    #[test]
    fn any_order_of_a_few_parts_is_complete_with_the_last_to_come() {
        let parts = [part(2, 5), part(5, 6), part(6, 9), part(9, 12)];
        for order in 0..24_usize {
            let mut left = parts.to_vec();
            let mut datagram = begun(2);
            for choice in [order % 4, order / 4 % 3, order / 12, 0] {
                let next = left.remove(choice.min(left.len() - 1));
                let fit = datagram.add(next, next.end == 12);
                let expected = if left.is_empty() {
                    Fit::Complete
                } else {
                    Fit::New
                };
                assert_eq!(fit, expected, "{order}: {next:?} of {datagram:?}");
            }
        }
    }

    #[test]
    fn what_overlaps_changes_nothing() {
        let mut datagram = begun(10);
        assert_eq!(datagram.add(part(20, 30), false), Fit::New);
        let before = datagram;
        for (start, end) in [
            (0, 10),
            (9, 12),
            (2, 3),
            (15, 21),
            (29, 31),
            (10, 40),
            (20, 30),
        ] {
            assert_eq!(datagram.add(part(start, end), false), Fit::Overlap);
        }
        assert_eq!(
            datagram.add(part(12, 15), true),
            Fit::Overlap,
            "not the last"
        );
        assert_eq!(datagram, before);
        assert_eq!(datagram.add(part(40, 50), true), Fit::New);
        assert_eq!(
            datagram.add(part(50, 60), false),
            Fit::Overlap,
            "behind the end"
        );
        assert_eq!(datagram.add(part(30, 40), false), Fit::New);
        assert_eq!(datagram.add(part(10, 20), false), Fit::Complete);
    }

    #[test]
    fn too_many_gaps_are_refused() {
        let mut datagram = begun(1);
        for step in 1..SPANS as u32 {
            assert_eq!(
                datagram.add(part(step * 10, step * 10 + 1), false),
                Fit::New
            );
        }
        assert_eq!(datagram.add(part(100, 101), false), Fit::Scattered);
        assert_eq!(datagram.add(part(11, 20), false), Fit::New, "a part of one");
    }
}
