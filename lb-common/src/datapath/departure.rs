//! What goes into the steps that write a frame, and what comes out of them.

use crate::abi::{Forward, Reason};
use crate::wire::Packet;

/// How a packet leaves, in one number: a global BPF function can return no more.
///
/// From the lowest bit: the [`Reason`] if it does not leave, eight bits; whether it leaves; from bit
/// 16 the bytes that the frame has grown by; from bit 32 the interface's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure(u64);

/// Where a packet's headers are, and how it is to be sent, in one number.
///
/// From the lowest bit: offset of the network header, eight bits; the mode, eight; offset of the
/// transport header, sixteen; our port towards the backend, sixteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order(u64);

impl Departure {
    const LEAVES: u64 = 1 << 8;
    const GROWN: u32 = 16;
    const GROWN_MASK: u64 = 0xff;
    /// The answer to a question without a packet.
    pub const NONE: Self = Self(Reason::RewriteFailed as u64);

    /// Out of an interface.
    #[inline(always)]
    pub(super) fn by(interface: u32) -> Self {
        Self(Self::LEAVES | u64::from(interface) << 32)
    }

    /// In a frame that has grown by some bytes.
    #[inline(always)]
    pub(super) fn grown(self, by: usize) -> Self {
        Self(self.0 | (by as u64 & Self::GROWN_MASK) << Self::GROWN)
    }

    /// It does not.
    #[inline(always)]
    pub(super) fn refused(reason: Reason) -> Self {
        Self(reason as u64)
    }

    /// What a number that [`Departure::word`] returned stands for.
    #[inline(always)]
    pub fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The whole as a number.
    #[inline(always)]
    pub fn word(self) -> u64 {
        self.0
    }

    /// The interface that it leaves by, or why it does not leave.
    #[inline(always)]
    pub(super) fn interface(self) -> Result<u32, Reason> {
        if self.0 & Self::LEAVES == 0 {
            let number = u32::from(self.0 as u8);
            Err(Reason::from_number(number).unwrap_or(Reason::RewriteFailed))
        } else {
            Ok((self.0 >> 32) as u32)
        }
    }

    /// Bytes that the frame has grown by.
    #[inline(always)]
    pub(super) fn growth(self) -> usize {
        (self.0 >> Self::GROWN & Self::GROWN_MASK) as usize
    }
}

impl Order {
    const MODE: u32 = 8;
    const PAYLOAD: u32 = 16;
    const PORT: u32 = 32;
    /// Longest offset of a network header: behind Ethernet and two tags.
    const AT_MASK: u64 = 0x1f;
    /// Longest offset of a transport header: nine headers of at most 2,048 bytes behind that.
    const PAYLOAD_MASK: u64 = 0x7fff;

    /// To send a packet.
    #[inline(always)]
    pub(super) fn new<A>(packet: &Packet<A>) -> Self {
        Self(packet.at as u64 | (packet.payload_at as u64) << Self::PAYLOAD)
    }

    /// The same in a mode, in `full-nat` from this port.
    #[inline(always)]
    pub(super) fn in_mode(self, mode: Forward, source_port: u16) -> Self {
        Self(self.0 | u64::from(source_port) << Self::PORT | u64::from(mode.0) << Self::MODE)
    }

    /// What a number that [`Order::word`] returned stands for.
    #[inline(always)]
    pub fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The whole as a number.
    #[inline(always)]
    pub fn word(self) -> u64 {
        self.0
    }

    /// Offset of the network header; at most 31, whatever number this was made of.
    #[inline(always)]
    pub(super) fn at(self) -> usize {
        (self.0 & Self::AT_MASK) as usize
    }

    /// Offset of the transport header; at most 32,767, whatever number this was made of.
    #[inline(always)]
    pub(super) fn payload_at(self) -> usize {
        (self.0 >> Self::PAYLOAD & Self::PAYLOAD_MASK) as usize
    }

    /// `full-nat`: our port towards the backend.
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
    use crate::wire::Fragment;

    #[test]
    fn a_departure_survives_its_word() {
        let word = Departure::by(u32::MAX).grown(48).word();
        let departure = Departure::from_word(word);
        assert_eq!(departure.interface(), Ok(u32::MAX));
        assert_eq!(departure.growth(), 48);
        for reason in Reason::ALL {
            let word = Departure::refused(*reason).word();
            assert_eq!(Departure::from_word(word).interface(), Err(*reason));
        }
        assert!(Departure::NONE.interface().is_err());
    }

    #[test]
    fn an_order_survives_its_word() {
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
        let order = Order::from_word(order.word());
        assert_eq!((order.at(), order.payload_at()), (22, 22 + 9 * 2048));
        assert_eq!(order.source_port(), 65_535);
        assert_eq!(order.mode(), Forward::DSR);
        let any = Order::from_word(u64::MAX);
        assert_eq!((any.at(), any.payload_at()), (31, 32_767));
    }
}
