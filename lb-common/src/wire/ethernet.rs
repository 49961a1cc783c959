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

/// The way to where the frame came from.
#[inline(always)]
pub fn way_back<F: Frame>(frame: &F, interface: u32) -> Option<Hop> {
    let header = Ethernet::view(frame, 0)?;
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
