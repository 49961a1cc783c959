//! The document `lb.toml`: checked types of the desired state.
//!
//! Text becomes these types in [`parse`]; whoever holds a [`Document`] may rely on every rule that
//! `parse` enforces. This module does no I/O: the text comes from a store, and goes back to one.

mod across;
mod addresses;
mod check;
mod diff;
pub mod edit;
mod firewall;
pub mod limits;
mod names;
mod parse;
mod path;
mod reader;
mod report;
mod revision;
mod rule;
mod service;
mod sources;
mod values;
mod warnings;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

pub use diff::changes;
pub use edit::{EditError, apply_edit, expire_blocks};
pub use parse::parse;
pub use report::{DocumentError, Problem};
pub use revision::revision;

/// The whole desired state, validated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// Names of the interfaces that the program is attached to; at least one.
    pub interfaces: Vec<String>,
    /// How the program is attached.
    pub xdp_mode: XdpMode,
    /// Where Prometheus metrics are served over TCP; `None` serves them on the Unix socket only.
    pub metrics: Option<SocketAddr>,
    /// Source addresses for `full-nat`, at most one per family; a missing family uses the address
    /// that the host's route to the backend prefers.
    pub nat_source: Vec<IpAddr>,
    /// Outer source addresses of `ipip` and `gue`, at most one prefix per family: up to 32 bits
    /// behind the prefix vary with the flow.
    pub tunnel_source: Vec<IpNet>,
    /// Compiles the program with debug logging of every decision.
    pub debug: bool,
    /// Most flows remembered per address family (entries, at least 1,024).
    pub flows: u32,
    /// Services in the order of the document.
    pub services: Vec<Service>,
    /// What is dropped.
    pub firewall: Firewall,
}

/// How the program is attached to its interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum XdpMode {
    /// Native where the driver has it, otherwise generic.
    #[default]
    Auto,
    /// In the driver; an error where the driver cannot.
    Native,
    /// In the network stack, on any device.
    Generic,
}

/// A virtual address whose connections are spread over backends.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Unique; counters go by it.
    pub name: String,
    /// Address, port and protocol that clients use; unique.
    pub vip: Vip,
    /// How a new connection's backend is picked.
    pub scheduler: Scheduler,
    /// How packets reach the backend.
    pub forward: Forward,
    /// The health check; `None` takes every backend as healthy.
    pub check: Option<Check>,
    /// At least one.
    pub backends: Vec<Backend>,
}

/// `ADDRESS:PORT/PROTOCOL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vip {
    /// The virtual address.
    pub address: IpAddr,
    /// Destination port; 0 is any port that no other service of this address and protocol names.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// A transport protocol that services balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How a new connection's backend is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheduler {
    /// Every backend in turn.
    #[default]
    RoundRobin,
    /// Every backend in turn, as often as its weight says, smoothly interleaved.
    WeightedRoundRobin,
}

/// How packets reach the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forward {
    /// Both addresses are rewritten; backends need no configuration.
    #[default]
    FullNat,
    /// The destination is rewritten; backends see the clients' addresses and route their replies
    /// through us.
    Nat,
    /// Only the Ethernet addresses are rewritten; backends hold the VIP and answer by themselves.
    Dsr,
    /// The packet travels inside another IP packet; backends unpack it, hold the VIP and answer by
    /// themselves.
    Ipip,
    /// The same behind a UDP header.
    Gue,
}

/// One backend of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Address and port; port 0 keeps the packet's port. Unique in its service.
    pub address: SocketAddr,
    /// Share of new connections under `weighted-round-robin`, 1 to 1000; without effect otherwise.
    pub weight: u16,
    /// Keeps its flows and gets no new ones.
    pub drain: bool,
}

/// How a backend is probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is done.
    pub kind: CheckKind,
    /// The port to probe instead of the backend's own.
    pub port: Option<u16>,
    /// Time between the starts of two probes; each is moved by up to 10 % at random.
    pub interval: Duration,
    /// How long one probe may take; at most `interval`.
    pub timeout: Duration,
    /// Successes in a row that bring a failed backend back, at least 1.
    pub rise: u32,
    /// Failures in a row that take a backend out, at least 1.
    pub fall: u32,
}

/// The kinds of probe.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// A TCP connection is accepted.
    Tcp,
    /// A `GET` is answered with an expected status.
    Http(HttpCheck),
    /// The same over TLS.
    Https {
        /// The request.
        http: HttpCheck,
        /// Whether the certificate must be valid for `host`; otherwise any is taken.
        verify: bool,
    },
}

/// An HTTP request and what counts as success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Absolute path with optional query.
    pub path: String,
    /// `Host` header and TLS server name; the backend's address where `None`.
    pub host: Option<String>,
    /// First and last status that count as success.
    pub status: (u16, u16),
}

/// Everything that decides what is dropped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Firewall {
    /// Named collections of prefixes.
    pub sets: Vec<Set>,
    /// In order; the first match decides.
    pub rules: Vec<Rule>,
    /// Sources dropped before any rule is asked.
    pub blocks: Vec<Block>,
}

/// A named collection of prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Unique among sets.
    pub name: String,
    /// Host bits are zero; both families may be mixed.
    pub entries: Vec<IpNet>,
}

/// One firewall line. Empty lists match everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique among rules; counters go by it.
    pub name: String,
    /// Matches the source address.
    pub source: AddressMatch,
    /// Matches the destination address.
    pub destination: AddressMatch,
    /// IP protocol number; `None` is any.
    pub protocol: Option<u8>,
    /// Destination ports, inclusive ranges; only with protocol tcp or udp.
    pub port: Vec<(u16, u16)>,
    /// Source ports, inclusive ranges; only with protocol tcp or udp.
    pub source_port: Vec<(u16, u16)>,
    /// What happens to a matching packet.
    pub action: Action,
}

/// Prefixes an address must be in, and must not be in.
///
/// An address matches when it is in any of `within` (`None`: anywhere) and in none of
/// `outside`. With prefixes of one family only in `within`, no address of the other family matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressMatch {
    /// Set references are resolved: these are prefixes only. `Some` of an empty list, a reference
    /// to an empty set, matches nothing.
    pub within: Option<Vec<IpNet>>,
    /// Prefixes written with `!`.
    pub outside: Vec<IpNet>,
    /// As the document wrote it, for listings.
    pub text: Vec<String>,
}

/// What happens to a packet that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// No later rule is asked.
    Accept,
    /// The packet is gone, and with it any flow it belongs to.
    Drop,
}

/// A source dropped before any rule is asked: `lb firewall block`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Host bits are zero.
    pub prefix: IpNet,
    /// When it ends by itself; `None` is never.
    pub until: Option<Timestamp>,
}

impl Forward {
    /// Whether packets travel inside others.
    pub const fn is_tunnel(self) -> bool {
        matches!(self, Self::Ipip | Self::Gue)
    }

    /// Whether the backend gets the packet as the client sent it.
    pub const fn keeps_packet(self) -> bool {
        matches!(self, Self::Dsr | Self::Ipip | Self::Gue)
    }
}

impl Protocol {
    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}
