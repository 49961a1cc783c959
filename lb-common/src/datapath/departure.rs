//! What goes into the steps that write a frame, and what comes out of them.

use super::Sent;
use crate::abi::trace::NONE;
use crate::abi::{Forward, Reason};
use crate::wire::translation::Place;
use crate::wire::{Fragment, Packet};

/// How a packet leaves, in one number: a global BPF function can return no more.
///
/// From the lowest bit: the [`Reason`] if it does not leave, or leaves as an ICMP error, eight bits;
/// whether it leaves; whether as an ICMP error, or, if it does not leave, whether its sender is to get
/// one; from bit 16 the bytes that the frame has grown by, as a signed number; from bit 32 the interface's
/// index, or how many bytes of it would have fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure(pub u64);

/// Where a packet's headers are, and how it is to be sent, in one number.
///
/// From the lowest bit: offset of the network header, eight bits; the mode, eight; offset of the
/// transport header, sixteen; the source port towards the backend, sixteen; whether it is a first
/// fragment, or a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order(pub u64);

/// Whose packet it was.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The service's id.
    pub service: u32,
    /// The backend's id.
    pub backend: u32,
}

impl Default for Owner {
    /// Nobody's.
    #[inline(always)]
    fn default() -> Self {
        Self {
            service: NONE,
            backend: NONE,
        }
    }
}

impl Departure {
    const LEAVES: u64 = 1 << 8;
    const ERROR: u64 = 1 << 9;
    const GROWN: u32 = 16;
    /// The answer to a question without a packet.
    pub const NONE: Self = Self(Reason::RewriteFailed as u64);
    /// The packet is of a protocol, or a message, that is not balanced.
    pub const OTHER: Self = Self(Reason::OtherProtocol as u64);
    /// The way to its backend is not known.
    pub(super) const NO_NEXT_HOP: Self = Self(Reason::NoNextHop as u64);
    /// The packet may go no further, which its sender is to be told.
    pub(super) const USED_UP: Self = Self(Reason::HopLimit as u64 | Self::ERROR);
    /// The packet is nobody's.
    pub const NOT_OURS: Self = Self(Reason::NotOurs as u64);

    /// Out of an interface.
    #[inline(always)]
    pub(super) fn by(interface: u32) -> Self {
        Self(Self::LEAVES | u64::from(interface) << 32)
    }

    /// Back out of the interface that it came in by, as a message to its sender.
    #[inline(always)]
    pub(super) fn error(interface: u32, reason: Reason) -> Self {
        Self(Self::by(interface).0 | Self::ERROR | reason as u64)
    }

    /// What a rewrite of the frame made of it.
    #[inline(always)]
    pub(super) fn rewritten(written: Option<()>, interface: u32) -> Self {
        match written {
            Some(()) => Self::by(interface),
            None => Self::refused(Reason::RewriteFailed),
        }
    }

    /// In a frame that was so long and now is so long.
    #[inline(always)]
    pub(super) fn resized(self, from: usize, to: usize) -> Self {
        let grown = to.wrapping_sub(from) as u16;
        Self(self.0 | u64::from(grown) << Self::GROWN)
    }

    /// It does not.
    #[inline(always)]
    pub(super) fn refused(reason: Reason) -> Self {
        Self(reason as u64)
    }

    /// It does not, because only so many bytes of it would fit.
    #[inline(always)]
    pub(super) fn too_big(mtu: usize) -> Self {
        Self(Reason::TooBig as u64 | Self::ERROR | (mtu as u64) << 32)
    }

    /// Whether its sender is to be told why it does not leave.
    #[inline(always)]
    pub(super) fn is_to_be_told(self) -> bool {
        self.0 & (Self::LEAVES | Self::ERROR) == Self::ERROR
    }

    /// How many bytes of it would have fit, if that is why it does not leave.
    #[inline(always)]
    pub(super) fn fitting(self) -> Option<u16> {
        (self.0 as u8 == Reason::TooBig as u8).then_some((self.0 >> 32) as u16)
    }

    /// Why it does not leave, for what is to be told.
    #[inline(always)]
    pub(super) fn reason(self) -> Reason {
        match self.fitting() {
            Some(_) => Reason::TooBig,
            None => Reason::HopLimit,
        }
    }

    /// Why it leaves, once its sender is told.
    #[inline(always)]
    pub(super) fn told_as(self) -> Reason {
        match self.fitting() {
            Some(_) => Reason::TooBigTold,
            None => Reason::HopLimitTold,
        }
    }

    /// Whether it does.
    #[inline(always)]
    pub fn leaves(self) -> bool {
        self.0 & Self::LEAVES != 0
    }

    /// The interface that it leaves by, or why it does not.
    #[inline(always)]
    pub(super) fn interface(self) -> Result<u32, Reason> {
        if self.leaves() {
            Ok((self.0 >> 32) as u32)
        } else {
            Err(self.noted())
        }
    }

    /// The reason that it bears.
    #[inline(always)]
    fn noted(self) -> Reason {
        Reason::from_number(u32::from(self.0 as u8)).unwrap_or(Reason::RewriteFailed)
    }

    /// Why it leaves, for `reason` unless it is an ICMP error, and by which interface; or why it does
    /// not.
    #[inline(always)]
    pub(super) fn sent(self, reason: Reason) -> Sent {
        let interface = self.interface()?;
        if self.0 & Self::ERROR != 0 {
            return Ok((self.noted(), interface));
        }
        Ok((reason, interface))
    }

    /// Bytes that the frame has grown by; what wraps around below zero is added as well as any.
    #[inline(always)]
    pub(super) fn growth(self) -> usize {
        isize::from(((self.0 >> Self::GROWN) as u16).cast_signed()).cast_unsigned()
    }
}

impl Order {
    const MODE: u32 = 8;
    const PAYLOAD: u32 = 16;
    const PORT: u32 = 32;
    const FIRST: u64 = 1 << 48;
    const LATER: u64 = 1 << 49;
    /// Longest offset of a network header: behind Ethernet and two tags.
    const AT_MASK: u64 = 0x1f;
    /// Longest offset of a transport header: nine headers of at most 2,048 bytes behind that.
    const PAYLOAD_MASK: u64 = 0x7fff;

    /// To send a packet.
    #[inline(always)]
    pub(super) fn new<A>(packet: &Packet<A>) -> Self {
        let fragment = match packet.fragment {
            Fragment::Whole => 0,
            Fragment::First => Self::FIRST,
            Fragment::Later => Self::LATER,
        };
        Self(packet.at as u64 | (packet.payload_at as u64) << Self::PAYLOAD | fragment)
    }

    /// Whether the packet is a part of another.
    #[inline(always)]
    fn fragment(self) -> Fragment {
        if self.0 & Self::LATER != 0 {
            Fragment::Later
        } else if self.0 & Self::FIRST != 0 {
            Fragment::First
        } else {
            Fragment::Whole
        }
    }

    /// The same in a mode, in `nat` and `full-nat` from this port.
    #[inline(always)]
    pub(super) fn in_mode(self, mode: Forward, source_port: u16) -> Self {
        Self(self.0 | u64::from(source_port) << Self::PORT | u64::from(mode.0) << Self::MODE)
    }

    /// Where the headers are: that of the network at most at 31, that of the transport at most at
    /// 32,767, whatever number this was made of.
    #[inline(always)]
    pub(super) fn place(self) -> Place {
        Place {
            at: (self.0 & Self::AT_MASK) as usize,
            payload_at: (self.0 >> Self::PAYLOAD & Self::PAYLOAD_MASK) as usize,
            fragment: self.fragment(),
        }
    }

    /// `nat` and `full-nat`: the source port towards the backend.
    #[inline(always)]
    pub(super) fn source_port(self) -> u16 {
        (self.0 >> Self::PORT) as u16
    }

    /// How it is sent.
    #[inline(always)]
    pub(super) fn mode(self) -> Forward {
        Forward((self.0 >> Self::MODE) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::V4;

    #[test]
    fn a_departure_tells_what_it_was_made_of() {
        let departure = Departure::by(u32::MAX).resized(100, 148);
        assert_eq!(departure.interface(), Ok(u32::MAX));
        assert_eq!(departure.growth(), 48);
        assert_eq!(departure.sent(Reason::Stray), Ok((Reason::Stray, u32::MAX)));
        let error = Departure::error(7, Reason::TooBigTold).resized(1514, 170);
        assert_eq!(error.interface(), Ok(7));
        assert_eq!(error.sent(Reason::Stray), Ok((Reason::TooBigTold, 7)));
        assert_eq!(170_usize.wrapping_sub(error.growth()), 1514);
        let told = [
            (Departure::too_big(1480), Some(1480), Reason::TooBig),
            (Departure::USED_UP, None, Reason::HopLimit),
        ];
        for (refused, fitting, reason) in told {
            assert!(refused.is_to_be_told());
            assert_eq!((refused.fitting(), refused.reason()), (fitting, reason));
            assert_eq!(refused.interface(), Err(reason));
        }
        assert!(!error.is_to_be_told());
        for reason in Reason::ALL {
            let refused = Departure::refused(*reason);
            assert!(!refused.is_to_be_told());
            assert_eq!(refused.interface(), Err(*reason));
        }
        assert!(Departure::NONE.interface().is_err());
    }

    #[test]
    fn an_order_tells_what_it_was_made_of() {
        let packet = Packet {
            source: V4::default(),
            destination: V4::default(),
            protocol: 6,
            fragment: Fragment::Whole,
            hop_limit: 64,
            at: 22,
            payload_at: 22 + 9 * 2048,
            payload_length: 20,
        };
        let order = Order::new(&packet).in_mode(Forward::DSR, 65_535);
        let (at, payload_at, fragment) = (22, 22 + 9 * 2048, Fragment::Whole);
        let place = Place {
            at,
            payload_at,
            fragment,
        };
        assert_eq!(order.place(), place);
        for fragment in [Fragment::First, Fragment::Later] {
            let order = Order::new(&Packet { fragment, ..packet });
            assert_eq!(order.place(), Place { fragment, ..place });
        }
        assert_eq!(order.source_port(), 65_535);
        assert_eq!(order.mode(), Forward::DSR);
        let any = Order(u64::MAX);
        let (at, payload_at, fragment) = (31, 32_767, Fragment::Later);
        let place = Place {
            at,
            payload_at,
            fragment,
        };
        assert_eq!(any.place(), place);
    }
}
