//! Entries of the neighbour table: which Ethernet address an IP address has.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

/// Asks for the entry of `address` at the interface with the index `interface`.
///
/// Kernels answer this without a dump since 5.0.
pub(super) fn question(interface: u32, address: IpAddr) -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetNeighbour(entry(interface, address))
}

/// Has the kernel resolve `address`, without telling it anything about the address.
pub(super) fn solicitation(interface: u32, address: IpAddr) -> RouteNetlinkMessage {
    let mut message = entry(interface, address);
    message.header.flags = NeighbourFlags::Use;
    RouteNetlinkMessage::NewNeighbour(message)
}

fn entry(interface: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = interface;
    message
        .attributes
        .push(NeighbourAttribute::Destination(address.into()));
    message
}

/// The Ethernet address of an entry, where packets may be sent to it.
///
/// A stale entry is as good as any until the kernel finds otherwise; one that is being resolved
/// or has failed may still show the address that it had before.
pub(super) fn usable_mac(message: &NeighbourMessage) -> Option<[u8; 6]> {
    let usable = matches!(
        message.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp
    );
    let mac = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
            _ => None,
        });
    mac.filter(|_| usable)
}

/// Which entry a message is about; `None` for those of bridges and tunnels.
pub(super) fn key(message: &NeighbourMessage) -> Option<(u32, IpAddr)> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                Some((message.header.ifindex, (*address).into()))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                Some((message.header.ifindex, (*address).into()))
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use NeighbourState as S;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    #[test]
    fn only_states_that_may_be_sent_to_have_an_address() {
        let usable = |state| {
            let mut message = entry(1, IpAddr::from([10, 0, 0, 1]));
            message.header.state = state;
            message
                .attributes
                .push(NeighbourAttribute::LinkLayerAddress(MAC.to_vec()));
            usable_mac(&message).is_some()
        };
        for state in [
            S::Reachable,
            S::Stale,
            S::Delay,
            S::Probe,
            S::Permanent,
            S::Noarp,
        ] {
            assert!(usable(state), "{state}");
        }
        for state in [S::None, S::Incomplete, S::Failed, S::Other(0x100)] {
            assert!(!usable(state), "{state}");
        }
    }

    #[test]
    fn addresses_of_another_length_are_not_ethernet() {
        let mut message = entry(1, IpAddr::from([10, 0, 0, 1]));
        message.header.state = NeighbourState::Reachable;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(vec![0; 4]));
        assert_eq!(usable_mac(&message), None);
    }
}
