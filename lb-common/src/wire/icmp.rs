//! ICMP (RFC 792) and `ICMPv6` (RFC 4443).

use super::checksum::Delta;
use super::header::{Header, Icmp};
use super::{Family, Frame};

/// Bytes of the header of every message.
pub const HEADER_LENGTH: usize = size_of::<Icmp>();

/// Most bytes of the packet in question that an error quotes: the longest IPv4 header, eight bytes
/// behind it, and then some; a multiple of [`WORD`].
pub const QUOTE: usize = 128;
/// Fewest: the shortest header and eight bytes behind it (RFC 792).
pub const QUOTE_MIN: usize = 28;
/// Sums are made of so many bytes at once, and quotes are a multiple of them.
pub const WORD: usize = 4;

/// Writes an error of this type and code with the last two bytes of its header (for a packet that was
/// too long how long it may be: RFC 1191, section 4; RFC 4443, section 3.2) between the network header at
/// offset `at` and a quote of so many bytes.
#[inline(always)]
pub fn write_error<A: Family, F: Frame>(
    frame: &mut F,
    at: usize,
    quote: usize,
    ((kind, code), rest): ((u8, u8), u16),
) -> Option<()> {
    let mut sum = A::pseudo_sum(A::addresses(frame, at)?, HEADER_LENGTH + quote);
    let at = at + A::HEADER_LENGTH;
    let [high, low] = rest.to_be_bytes();
    let header = Icmp::view_mut(frame, at)?;
    (header.kind, header.code) = (kind, code);
    header.checksum = [0, 0];
    header.rest = [0, 0, high, low];
    for word_at in (0..HEADER_LENGTH + QUOTE).step_by(WORD) {
        if word_at >= HEADER_LENGTH + quote {
            break;
        }
        sum = sum.added(*frame.bytes::<WORD>(at + word_at)?);
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
