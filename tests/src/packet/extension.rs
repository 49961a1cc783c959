//! IPv6 extension headers.

use etherparse::{IpAuthHeader, IpFragOffset, IpNumber, Ipv6FragmentHeader, Ipv6RawExtHeader};

/// An IPv6 extension header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extension {
    /// One whose length counts units of eight bytes: its protocol number and how many units it
    /// has beyond the first.
    Units(u8, u8),
    /// The authentication header (RFC 4302) with so many words of four bytes of check value.
    Authentication(u8),
    /// A fragment header.
    Fragment {
        /// Offset in units of eight bytes.
        offset: u16,
        /// More fragments follow.
        more: bool,
    },
}

impl Extension {
    /// Hop-by-hop options, one unit.
    pub const HOP_BY_HOP: Self = Self::Units(0, 0);
    /// Routing, one unit.
    pub const ROUTING: Self = Self::Units(43, 0);
    /// Destination options, one unit.
    pub const DESTINATION: Self = Self::Units(60, 0);

    /// The protocol number that announces it.
    pub fn protocol(&self) -> u8 {
        match self {
            Self::Units(protocol, _) => *protocol,
            Self::Authentication(_) => 51,
            Self::Fragment { .. } => 44,
        }
    }

    /// Its bytes in a packet of this identification, announcing `next`.
    pub(super) fn bytes(&self, next: u8, identification: u32) -> Vec<u8> {
        let next = IpNumber(next);
        match self {
            Self::Units(_, more) => {
                let mut payload = vec![0; 6 + usize::from(*more) * 8];
                // One PadN option over the whole (RFC 8200, section 4.2).
                payload[0] = 1;
                payload[1] = (payload.len() - 2).min(255) as u8;
                let header = Ipv6RawExtHeader::new_raw(next, &payload).unwrap();
                header.to_bytes().to_vec()
            }
            Self::Authentication(words) => {
                let check = vec![0xa5; usize::from(*words) * 4];
                let header = IpAuthHeader::new(next, 1, 2, &check).unwrap();
                header.to_bytes().to_vec()
            }
            Self::Fragment { offset, more } => {
                let offset = IpFragOffset::try_new(*offset).unwrap();
                Ipv6FragmentHeader::new(next, offset, *more, identification)
                    .to_bytes()
                    .to_vec()
            }
        }
    }
}
