//! Why there is no next hop.

use std::io;
use std::net::IpAddr;

/// Why a question about routes has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The system gives no netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// Nothing leads to the address.
    #[error("no route to {address} ({reason}): check `ip route get {address}`, add a route")]
    NoRoute {
        /// The address asked for.
        address: IpAddr,
        /// What the kernel answered.
        reason: String,
    },
    /// The address is this host's own.
    #[error(
        "{address} is an address of this host, so packets to it leave by no interface: \
         use an address of another host"
    )]
    Local {
        /// The address asked for.
        address: IpAddr,
    },
    /// The address is nobody's in particular.
    #[error("{address} is a {kind} address: use the address of one host")]
    NotUnicast {
        /// The address asked for.
        address: IpAddr,
        /// `broadcast`, `multicast` or `anycast`.
        kind: &'static str,
    },
    /// The way there is not Ethernet.
    #[error(
        "{address} is reached by {interface}, which has no Ethernet address (a tunnel or loopback): \
         check `ip route get {address}`, route it over an Ethernet interface"
    )]
    NoEthernet {
        /// The address asked for.
        address: IpAddr,
        /// The name of the interface.
        interface: String,
    },
    /// The interface does not exist.
    #[error("there is no interface {interface}: `ip link` lists those of this host")]
    NoInterface {
        /// Its name in backquotes, or `with index N`.
        interface: String,
    },
    /// The kernel refused the request.
    #[error("the kernel refused a netlink request: {0}")]
    Refused(#[source] io::Error),
    /// There was no answer, or one to another question.
    #[error("the kernel did not answer a netlink request")]
    Silent,
    /// The socket is gone.
    #[error("the netlink socket was closed")]
    Closed,
}
