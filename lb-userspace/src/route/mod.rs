//! Where packets to an address leave: the kernel's routes, neighbours and links over netlink.
//!
//! [`Routes`] answers questions and [`watch`] tells when answers may have changed. Nothing is
//! remembered and nothing configured; the only thing this module asks the kernel to do is to
//! resolve a neighbour. All sockets belong to the network namespace they were opened in.

mod error;
mod link;
mod neighbour;
mod request;
#[cfg(test)]
mod tests;
mod watch;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::abi::Hop;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

pub use self::error::RouteError;
pub use self::link::{Link, Other, Xdp, XdpMode};
use self::request::Connection;
pub use self::watch::{Changes, watch};
use crate::compile::Way;

/// Where packets to an address leave, and with which Ethernet addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// Index of the interface they leave by.
    pub interface: u32,
    /// Name of that interface.
    pub interface_name: String,
    /// Ethernet address of that interface.
    pub source_mac: [u8; 6],
    /// Ethernet address of `via`; `None` while the kernel does not know it, see
    /// [`Routes::solicit`].
    pub destination_mac: Option<[u8; 6]>,
    /// The neighbour that gets the packets: a gateway, or the address itself. A gateway may be
    /// of the other family.
    pub via: IpAddr,
    /// The address that this host would send from; unspecified (`0.0.0.0`, `::`) where it has
    /// none of the family.
    pub source: IpAddr,
    /// Longest packet in bytes, without the Ethernet header: the route's limit or the link's.
    pub mtu: u32,
}

impl NextHop {
    /// The way as the program takes it.
    pub fn way(&self) -> Way {
        let hop = |mac| Hop::new(self.interface, mac, self.source_mac);
        Way {
            hop: self.destination_mac.map(hop).unwrap_or_default(),
            source: Some(self.source).filter(|source| !source.is_unspecified()),
            mtu: u16::try_from(self.mtu).unwrap_or(u16::MAX),
        }
    }
}

/// Answers questions about routes, for the network namespace in which it was opened.
#[derive(Debug)]
pub struct Routes {
    connection: Connection,
}

impl Routes {
    /// Opens a netlink socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// Where the system gives no socket.
    #[expect(
        clippy::unused_async,
        reason = "needs a runtime, as every caller of it has"
    )]
    pub async fn open() -> Result<Self, RouteError> {
        Ok(Self {
            connection: Connection::open()?,
        })
    }

    /// Where packets to `address` leave now. Three short requests to the kernel, no dump.
    ///
    /// # Errors
    ///
    /// Where no Ethernet frame could carry a packet there: no route, an address of this host, a
    /// broadcast or multicast address, a device without Ethernet addresses. That the neighbour
    /// is not resolved yet is no error.
    pub async fn next_hop(&self, address: IpAddr) -> Result<NextHop, RouteError> {
        let address = address.to_canonical();
        let route = Route::of(address, self.route(address).await?)?;
        let (link, neighbour) = tokio::join!(
            self.connection.link(link::by_index(route.interface)),
            self.neighbour(route.interface, route.via),
        );
        let interface = || format!("with index {}", route.interface);
        let link = link?.ok_or_else(|| RouteError::NoInterface {
            interface: interface(),
        })?;
        let source_mac = link.mac.ok_or_else(|| RouteError::NoEthernet {
            address,
            interface: link.name.clone(),
        })?;
        Ok(NextHop {
            interface: link.index,
            interface_name: link.name,
            source_mac,
            destination_mac: neighbour?,
            via: route.via,
            source: route.source,
            mtu: route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
        })
    }

    /// Asks the kernel to find the neighbour of `hop`, as if a packet were sent to it.
    ///
    /// The answer arrives as a change, see [`watch`]. A neighbour that is known already is
    /// confirmed only when the kernel thinks it is time. The kernel gives up after some seconds,
    /// so an unresolved hop is to be solicited again from time to time.
    ///
    /// # Errors
    ///
    /// Where the process may not change the neighbour table, or the interface is gone.
    pub async fn solicit(&self, hop: &NextHop) -> Result<(), RouteError> {
        self.connection
            .order(neighbour::solicitation(hop.interface, hop.via))
            .await
    }

    /// What the kernel knows of the interface `name`.
    ///
    /// # Errors
    ///
    /// Where there is none of that name.
    pub async fn interface(&self, name: &str) -> Result<Link, RouteError> {
        let missing = || RouteError::NoInterface {
            interface: format!("`{name}`"),
        };
        // The kernel would refuse such a name as malformed, which says less.
        if name.is_empty() || name.len() > link::NAME_LENGTH_MAX {
            return Err(missing());
        }
        self.connection
            .link(link::by_name(name))
            .await?
            .ok_or_else(missing)
    }

    /// What the kernel knows of the other end of a veth, whatever namespace it is in.
    ///
    /// # Errors
    ///
    /// Where the process may not look into that namespace.
    pub async fn other_end(&self, other: Other) -> Result<Option<Link>, RouteError> {
        self.connection.link(link::elsewhere(other)).await
    }

    async fn route(&self, address: IpAddr) -> Result<RouteMessage, RouteError> {
        let mut message = RouteMessage::default();
        message.header = match address {
            IpAddr::V4(_) => header(AddressFamily::Inet, 32),
            IpAddr::V6(_) => header(AddressFamily::Inet6, 128),
        };
        message
            .attributes
            .push(RouteAttribute::Destination(address.into()));
        match self
            .connection
            .ask(RouteNetlinkMessage::GetRoute(message))
            .await
        {
            Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(route),
            Ok(_) => Err(RouteError::Silent),
            // Blackhole and prohibit routes answer EINVAL and EACCES.
            Err(RouteError::Refused(reason))
                if [
                    libc::ENETUNREACH,
                    libc::EHOSTUNREACH,
                    libc::EACCES,
                    libc::EINVAL,
                ]
                .map(Some)
                .contains(&reason.raw_os_error()) =>
            {
                Err(RouteError::NoRoute {
                    address,
                    reason: reason.to_string(),
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn neighbour(&self, interface: u32, via: IpAddr) -> Result<Option<[u8; 6]>, RouteError> {
        match self
            .connection
            .ask(neighbour::question(interface, via))
            .await
        {
            Ok(RouteNetlinkMessage::NewNeighbour(message)) => Ok(neighbour::usable_mac(&message)),
            Ok(_) => Err(RouteError::Silent),
            Err(RouteError::Refused(reason)) if reason.raw_os_error() == Some(libc::ENOENT) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn header(family: AddressFamily, prefix_length: u8) -> RouteHeader {
    RouteHeader {
        address_family: family,
        destination_prefix_length: prefix_length,
        ..RouteHeader::default()
    }
}

/// What a route says of the next hop, before neighbour and link are asked.
struct Route {
    interface: u32,
    via: IpAddr,
    source: IpAddr,
    mtu: Option<u32>,
}

impl Route {
    fn of(address: IpAddr, message: RouteMessage) -> Result<Self, RouteError> {
        let not_unicast = |kind| Err(RouteError::NotUnicast { address, kind });
        match message.header.kind {
            RouteType::Unicast => {}
            RouteType::Local => return Err(RouteError::Local { address }),
            RouteType::Broadcast => return not_unicast("broadcast"),
            RouteType::Multicast => return not_unicast("multicast"),
            RouteType::Anycast => return not_unicast("anycast"),
            other => {
                let reason = format!("a route of type {other:?}").to_lowercase();
                return Err(RouteError::NoRoute { address, reason });
            }
        }
        let unspecified: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let (mut interface, mut via, mut source, mut mtu) = (None, address, unspecified, None);
        for attribute in message.attributes {
            match attribute {
                RouteAttribute::Oif(index) => interface = Some(index),
                RouteAttribute::Gateway(RouteAddress::Inet(gateway))
                | RouteAttribute::Via(RouteVia::Inet(gateway)) => via = gateway.into(),
                RouteAttribute::Gateway(RouteAddress::Inet6(gateway))
                | RouteAttribute::Via(RouteVia::Inet6(gateway)) => via = gateway.into(),
                RouteAttribute::PrefSource(RouteAddress::Inet(own)) => source = own.into(),
                RouteAttribute::PrefSource(RouteAddress::Inet6(own)) => source = own.into(),
                RouteAttribute::Metrics(metrics) => {
                    mtu = metrics.into_iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(bytes) if bytes > 0 => Some(bytes),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        let interface = interface.ok_or_else(|| RouteError::NoRoute {
            address,
            reason: "the route names no interface".to_owned(),
        })?;
        Ok(Self {
            interface,
            via,
            source,
            mtu,
        })
    }
}
