//! Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use network_types::eth::EtherType;

use super::Frame;
use super::header::{Ethernet, Header, Tag};
use crate::abi::limits::VLAN_TAGS;
use crate::abi::{Hop, Reason};

/// What an Ethernet header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The network protocol behind all tags.
    pub network: Network,
    /// Offset of the network header.
    pub payload_at: usize,
    /// The frame is for a group of stations.
    pub multicast: bool,
}

/// What stands between the addresses and the `EtherType` of the network header.
#[derive(Debug, Clone, Copy)]
pub struct Tags([[u8; size_of::<Tag>()]; VLAN_TAGS]);

/// A network protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Anything else.
    Other,
}

const IPV4: [u8; 2] = (EtherType::Ipv4 as u16).to_ne_bytes();
const IPV6: [u8; 2] = (EtherType::Ipv6 as u16).to_ne_bytes();
const TAG: [u8; 2] = (EtherType::Ieee8021q as u16).to_ne_bytes();
const SERVICE_TAG: [u8; 2] = (EtherType::Ieee8021ad as u16).to_ne_bytes();

/// No offset of a network header exceeds this: 22, behind two tags.
const AT_MASK: usize = 0x1f;
/// Bytes of both addresses.
const ADDRESSES: usize = 12;

impl Network {
    /// The number on the wire.
    #[inline(always)]
    fn ether_type(self) -> Option<[u8; 2]> {
        match self {
            Self::V4 => Some(IPV4),
            Self::V6 => Some(IPV6),
            Self::Other => None,
        }
    }
}

/// Reads the header and looks behind the tags.
#[inline(always)]
pub fn parse<F: Frame>(frame: &F) -> Result<Link, Reason> {
    let header = Ethernet::view(frame, 0).ok_or(Reason::Malformed)?;
    let mut ether_type = header.ether_type;
    // IEEE 802.3: the first bit on the wire, the lowest of the first byte, marks a group.
    let multicast = header.destination[0] & 1 != 0;
    let mut payload_at = size_of::<Ethernet>();
    for _ in 0..VLAN_TAGS {
        if ether_type != TAG && ether_type != SERVICE_TAG {
            break;
        }
        let tag = Tag::view(frame, payload_at).ok_or(Reason::Malformed)?;
        ether_type = tag.ether_type;
        payload_at += size_of::<Tag>();
    }
    let network = match ether_type {
        IPV4 => Network::V4,
        IPV6 => Network::V6,
        TAG | SERVICE_TAG => return Err(Reason::TooManyTags),
        _ => Network::Other,
    };
    Ok(Link {
        network,
        payload_at,
        multicast,
    })
}

/// The way to where the header at offset `at` came from.
#[inline(always)]
pub fn way_back<F: Frame>(frame: &F, at: usize, interface: u32) -> Option<Hop> {
    let header = Ethernet::view(frame, at)?;
    Some(Hop::new(interface, header.source, header.destination))
}

/// Addresses the frame to a hop. Tags stay as they are.
#[inline(always)]
pub fn readdress<F: Frame>(frame: &mut F, hop: &Hop) -> Option<()> {
    let header = Ethernet::view_mut(frame, 0)?;
    header.destination = hop.destination();
    header.source = hop.source();
    Some(())
}

/// Addresses the frame to where the header at offset `at` came from: its own, or the one that it had
/// before it grew. Tags stay as they are.
#[inline(always)]
pub fn turn<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
    let back = way_back(frame, at, 0)?;
    readdress(frame, &back)
}

/// Moves the header to the head of a frame that has grown by `by` bytes, before a network header at
/// `at`. Tags stay; the addresses are left to [`readdress`].
#[inline(always)]
pub fn lift<F: Frame>(frame: &mut F, by: usize, at: usize, network: Network) -> Option<()> {
    relocate(frame, (by, 0), at, network)
}

/// Moves the header of a frame, before a network header at `at`, `by` bytes towards the end, over
/// what it carries; at least twelve bytes, so that it is not moved over itself.
#[inline(always)]
pub fn lower<F: Frame>(frame: &mut F, by: usize, at: usize, network: Network) -> Option<()> {
    relocate(frame, (0, by), at, network)?;
    // Word by word: all at once would be a call of `memmove`.
    for word_at in (0..ADDRESSES).step_by(4) {
        let word = *frame.bytes::<4>(word_at)?;
        *frame.bytes_mut(by + word_at)? = word;
    }
    Some(())
}

/// Moves tags from behind one offset to behind another, and tells what follows them. All are read
/// before the first is written, because they may be moved over each other.
#[inline(always)]
fn relocate<F: Frame>(
    frame: &mut F,
    (from, to): (usize, usize),
    at: usize,
    network: Network,
) -> Option<()> {
    let tags = Tags::read(frame, from, at)?;
    tags.write(frame, to, at, network)
}

impl Tags {
    const BYTES: usize = size_of::<Tag>();

    /// Reads those before a network header at `at` in a header at offset `from`.
    #[inline(always)]
    pub fn read<F: Frame>(frame: &F, from: usize, at: usize) -> Option<Self> {
        let [first_at, second_at] = [ADDRESSES, ADDRESSES + Self::BYTES];
        let mut tags = [[0; Self::BYTES]; VLAN_TAGS];
        if second_at < at {
            tags[0] = *frame.bytes(from + first_at)?;
        }
        if second_at + Self::BYTES < at {
            tags[1] = *frame.bytes(from + second_at)?;
        }
        Some(Self(tags))
    }

    /// Writes them into a header at offset `to`, and what follows them.
    #[inline(always)]
    pub fn write<F: Frame>(
        self,
        frame: &mut F,
        to: usize,
        at: usize,
        network: Network,
    ) -> Option<()> {
        let [first_at, second_at] = [ADDRESSES, ADDRESSES + Self::BYTES];
        let ether_type = network.ether_type()?;
        if second_at < at {
            *frame.bytes_mut(to + first_at)? = self.0[0];
        }
        if second_at + Self::BYTES < at {
            *frame.bytes_mut(to + second_at)? = self.0[1];
        }
        // Older verifiers do not follow that the one lies behind the other.
        let type_at = at.wrapping_sub(size_of_val(&ether_type)) & AT_MASK;
        *frame.bytes_mut(to + type_at)? = ether_type;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::bytes::Bytes;
    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

    /// A header with what follows it.
    fn frame<const N: usize>(behind: [u8; N]) -> Bytes<64> {
        let mut bytes = Bytes::new(12 + N);
        bytes.put(0, &OURS);
        bytes.put(6, &THEIRS);
        bytes.put(12, &behind);
        bytes
    }

    #[test]
    fn looks_behind_up_to_two_tags() {
        let cases = [
            (parse(&frame([0x08, 0x00])), Network::V4, 14),
            (parse(&frame([0x86, 0xdd])), Network::V6, 14),
            (parse(&frame([0x08, 0x06])), Network::Other, 14),
            (
                parse(&frame([0x81, 0x00, 0, 7, 0x08, 0x00])),
                Network::V4,
                18,
            ),
            (
                parse(&frame([0x88, 0xa8, 0, 9, 0x81, 0x00, 0, 7, 0x86, 0xdd])),
                Network::V6,
                22,
            ),
        ];
        for (link, network, payload_at) in cases {
            let link = link.unwrap();
            assert_eq!((link.network, link.payload_at), (network, payload_at));
            assert!(!link.multicast);
        }
    }

    #[test]
    fn a_third_tag_is_one_too_many() {
        let tags = [0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 0x81, 0, 0, 8, 0x08, 0x00];
        assert_eq!(parse(&frame(tags)), Err(Reason::TooManyTags));
    }

    #[test]
    fn a_header_cut_anywhere_is_malformed() {
        let whole = frame([0x88, 0xa8, 0, 9, 0x81, 0x00, 0, 7, 0x86, 0xdd]);
        for length in 0..whole.length() {
            assert_eq!(parse(&whole.cut(length)), Err(Reason::Malformed));
        }
    }

    #[test]
    fn the_first_bit_marks_a_group() {
        for (first, multicast) in [(0x02, false), (0x01, true), (0x33, true), (0xff, true)] {
            let mut bytes = frame([0x08, 0x00]);
            bytes.put(0, &[first]);
            assert_eq!(parse(&bytes).unwrap().multicast, multicast);
        }
    }

    #[test]
    fn the_way_back_readdresses_to_where_it_came_from() {
        let mut bytes = frame([0x08, 0x00]);
        let hop = way_back(&bytes, 0, 3).unwrap();
        assert_eq!(hop, Hop::new(3, THEIRS, OURS));
        readdress(&mut bytes, &hop).unwrap();
        assert_eq!(*bytes.bytes::<6>(0).unwrap(), THEIRS);
        assert_eq!(*bytes.bytes::<6>(6).unwrap(), OURS);
        assert_eq!(*bytes.bytes::<2>(12).unwrap(), [0x08, 0x00]);
    }
}
