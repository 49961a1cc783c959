//! ICMP (RFC 792) and `ICMPv6` (RFC 4443).

use super::checksum::Delta;
use super::header::{Header, Icmp};
use super::{Family, Frame};

/// Bytes of the header of every message.
pub const HEADER_LENGTH: usize = size_of::<Icmp>();

/// Bytes of the packet in question that an error quotes: the longest IPv4 header, eight bytes behind
/// it, and then some; a multiple of four.
pub const QUOTE: usize = 128;

/// Writes the message that a packet was too long for what lies ahead (RFC 1191, section 4; RFC 4443,
/// section 3.2) between the network header at offset `at` and the [`QUOTE`].
#[inline(always)]
pub fn write_too_big<A: Family, F: Frame>(frame: &mut F, at: usize, mtu: u16) -> Option<()> {
    let mut sum = A::pseudo_sum(A::addresses(frame, at)?, HEADER_LENGTH + QUOTE);
    let at = at + A::HEADER_LENGTH;
    let [high, low] = mtu.to_be_bytes();
    let header = Icmp::view_mut(frame, at)?;
    (header.kind, header.code) = A::TOO_BIG;
    header.checksum = [0, 0];
    header.rest = [0, 0, high, low];
    for word_at in (0..HEADER_LENGTH + QUOTE).step_by(4) {
        sum = sum.added(*frame.bytes::<4>(at + word_at)?);
    }
    // As the difference to a message of zeros, whose checksum is all ones.
    Icmp::view_mut(frame, at)?.checksum = sum.apply([0xff, 0xff]);
    Some(())
}

/// Whether the message at offset `at` asks for an echo.
#[inline(always)]
pub fn is_echo_request<A: Family, F: Frame>(frame: &F, at: usize) -> bool {
    Icmp::view(frame, at).is_some_and(|header| header.kind == A::ECHO_REQUEST && header.code == 0)
}

/// Makes the request at offset `at` its own reply. The sum over the pseudo header, which `ICMPv6`
/// has, stays the same where addresses change places.
#[inline(always)]
pub fn make_echo_reply<A: Family, F: Frame>(frame: &mut F, at: usize) -> Option<()> {
    let header = Icmp::view_mut(frame, at)?;
    let before = [header.kind, header.code];
    header.kind = A::ECHO_REPLY;
    header.checksum = Delta::NONE
        .word(before, [header.kind, header.code])
        .apply(header.checksum);
    Some(())
}
