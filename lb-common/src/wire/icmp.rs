//! ICMP (RFC 792) and `ICMPv6` (RFC 4443).

use super::checksum::Delta;
use super::header::{Header, Icmp};
use super::{Family, Frame};

/// Bytes of the header of every message.
pub const HEADER_LENGTH: usize = size_of::<Icmp>();

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
