//! Packets as headers, to send and to expect.
//!
//! Bytes and all checksums come from etherparse, computed in full: nothing here shares a line
//! with the code under test.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a packet that cannot be built is a mistake in the test"
)]

mod encode;
mod extension;
pub mod verify;

use std::net::{IpAddr, SocketAddr};

use lb_common::abi::{FlowKey, Hop, V4, V6};

pub use extension::Extension;

/// TCP's FIN flag.
pub const FIN: u8 = 0x01;
/// TCP's SYN flag.
pub const SYN: u8 = 0x02;
/// TCP's RST flag.
pub const RST: u8 = 0x04;
/// TCP's PSH flag.
pub const PSH: u8 = 0x08;
/// TCP's ACK flag.
pub const ACK: u8 = 0x10;

/// The Ethernet address that clients' packets come from.
pub const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xc0, 0x01];

/// A packet as headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Destination Ethernet address.
    pub to_mac: [u8; 6],
    /// Source Ethernet address.
    pub from_mac: [u8; 6],
    /// VLAN tags from the outside in: `EtherType` and VLAN id.
    pub tags: Vec<(u16, u16)>,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// What tells its fragments from others'; IPv4 has the lower half of it.
    pub identification: u32,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// IPv4: routers may cut it, though it is whole.
    pub may_be_cut: bool,
    /// IPv6: the flow label.
    pub flow_label: u32,
    /// IPv4 options; a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers in order.
    pub extensions: Vec<Extension>,
    /// IPv4 fragment: offset in units of eight bytes, and whether more follow.
    pub fragment: (u16, bool),
    /// What the IP packet carries.
    pub transport: Transport,
    /// What follows the transport header.
    pub payload: Vec<u8>,
    /// Bytes of link padding behind the IP packet.
    pub padding: usize,
    /// The packet that all this is inside of.
    pub outer: Option<Outer>,
}

/// The headers of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outer {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IPv6: the flow label.
    pub flow_label: u32,
    /// With a UDP header between the two: its ports.
    pub udp: Option<(u16, u16)>,
}

/// What an IP packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// TCP with these flags and options.
    Tcp {
        /// The flags.
        flags: u8,
        /// Options; a multiple of four bytes.
        options: Vec<u8>,
    },
    /// UDP.
    Udp {
        /// Whether the sender computed a checksum.
        checksum: bool,
    },
    /// An echo request or reply of the family's ICMP.
    Echo {
        /// The reply.
        reply: bool,
    },
    /// The family's ICMP message about an error; the payload is the beginning of the packet in
    /// question.
    Error(Trouble),
    /// Another protocol, or a fragment without header: the payload alone.
    Raw(u8),
}

/// What an ICMP error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The packet was longer than this.
    TooBig(u32),
    /// Nobody listens at its destination port.
    Unreachable,
    /// Its hop limit was used up.
    TimeExceeded,
}

impl Packet {
    /// A TCP packet from a client with these flags.
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Self {
        let transport = Transport::Tcp {
            flags,
            options: Vec::new(),
        };
        Self::new(source, destination, transport)
    }

    /// A UDP packet from a client.
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(source, destination, Transport::Udp { checksum: true })
    }

    /// A request for an echo.
    pub fn echo(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(source, destination, Transport::Echo { reply: false })
    }

    /// The echo, as it leaves the host that was asked.
    #[must_use]
    pub fn echoed(mut self) -> Self {
        self.transport = Transport::Echo { reply: true };
        std::mem::swap(&mut self.source, &mut self.destination);
        std::mem::swap(&mut self.from_mac, &mut self.to_mac);
        self.hop_limit(64)
    }

    /// What its sender is told by its destination if only `mtu` bytes of it would have fit.
    #[must_use]
    pub fn too_big(&self, mtu: u32) -> Self {
        self.told(Trouble::TooBig(mtu))
    }

    /// What its sender is told about it by its destination, in as many words of it as that quotes.
    #[must_use]
    pub fn told(&self, trouble: Trouble) -> Self {
        let length = self.bytes().len() - 14 - 4 * self.tags.len() - self.padding;
        let error = self.reported(self.destination, trouble, length.min(128) / 4 * 4);
        Self {
            identification: 0,
            traffic_class: if self.source.is_ipv4() { 0xc0 } else { 0 },
            tags: self.tags.clone(),
            ..error.link(self.to_mac, self.from_mac)
        }
    }

    /// What its sender is told about it by a router, with so many bytes of it quoted at most.
    #[must_use]
    pub fn reported(&self, router: SocketAddr, trouble: Trouble, bytes: usize) -> Self {
        let packet = self.bytes().split_off(14 + 4 * self.tags.len());
        let quote = &packet[..packet.len().min(bytes)];
        let outside = self.outer.map(|outer| SocketAddr::new(outer.source, 0));
        let sender = outside.unwrap_or(self.source);
        Self::new(router, sender, Transport::Error(trouble)).payload(quote)
    }

    /// A packet of any other protocol.
    pub fn raw(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Self {
        Self::new(source, destination, Transport::Raw(protocol)).payload(&[0; 24])
    }

    fn new(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        Self {
            to_mac: crate::world::OUR_MAC,
            from_mac: CLIENT_MAC,
            tags: Vec::new(),
            source,
            destination,
            identification: if source.is_ipv4() {
                0x1234
            } else {
                0x5678_1234
            },
            hop_limit: 64,
            traffic_class: 0,
            may_be_cut: false,
            flow_label: 0,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: (0, false),
            transport,
            payload: Vec::new(),
            padding: 0,
            outer: None,
        }
    }

    /// With a payload.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// With another hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// With one more VLAN tag inside the others.
    #[must_use]
    pub fn tag(mut self, ether_type: u16, id: u16) -> Self {
        self.tags.push((ether_type, id));
        self
    }

    /// With IPv4 options.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// With one more IPv6 extension header.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// As a fragment: the offset is in units of eight bytes.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        if self.source.is_ipv4() {
            self.fragment = (offset, more);
            self
        } else {
            self.extension(Extension::Fragment { offset, more })
        }
    }

    /// With link padding.
    #[must_use]
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// Between other Ethernet addresses.
    #[must_use]
    pub fn link(mut self, from: [u8; 6], to: [u8; 6]) -> Self {
        self.from_mac = from;
        self.to_mac = to;
        self
    }

    /// With other TCP flags; nothing for other protocols.
    #[must_use]
    pub fn flags(mut self, new: u8) -> Self {
        if let Transport::Tcp { flags, .. } = &mut self.transport {
            *flags = new;
        }
        self
    }

    /// With TCP options; nothing for other protocols.
    #[must_use]
    pub fn tcp_options(mut self, bytes: &[u8]) -> Self {
        if let Transport::Tcp { options, .. } = &mut self.transport {
            *options = bytes.to_vec();
        }
        self
    }

    /// Without the checksum that UDP may leave out.
    #[must_use]
    pub fn without_checksum(mut self) -> Self {
        if let Transport::Udp { checksum } = &mut self.transport {
            *checksum = false;
        }
        self
    }

    /// As it leaves by a hop.
    #[must_use]
    pub fn sent_to(self, hop: &Hop) -> Self {
        self.link(hop.source(), hop.destination())
    }

    /// As it leaves a router with other addresses, if need be of the other family (RFC 7915).
    #[must_use]
    pub fn translated(mut self, source: SocketAddr, destination: SocketAddr) -> Self {
        if self.source.is_ipv4() != source.is_ipv4() {
            self = self.across();
        }
        self.source = source;
        self.destination = destination;
        self.hop_limit -= 1;
        self
    }

    /// With what headers of the other family have beside the addresses.
    fn across(mut self) -> Self {
        let flow = self.flow();
        let checksum = match self.transport {
            Transport::Raw(_) => 0,
            _ => self.checksum(),
        };
        self.options.clear();
        let extensions = std::mem::take(&mut self.extensions);
        if self.source.is_ipv4() {
            self.flow_label = flow & 0xf_ffff;
            if self.fragment != (0, false) {
                let (offset, more) = std::mem::take(&mut self.fragment);
                self.extensions.push(Extension::Fragment { offset, more });
            }
            return self;
        }
        if let [Extension::Fragment { offset, more }] = extensions[..]
            && (offset, more) != (0, false)
        {
            self.fragment = (offset, more);
            return self;
        }
        let header = if self.protocol() == 6 { 20 } else { 8 };
        let length = 20 + header + self.payload.len();
        (self.may_be_cut, self.identification) = if length <= 1260 {
            (true, checksum.into())
        } else {
            (false, 0)
        };
        self
    }

    /// The checksum in its TCP or UDP header.
    pub fn checksum(&self) -> u16 {
        let (bytes, body) = (self.bytes(), encode::transport(self).len());
        let header = &bytes[bytes.len() - self.padding - body..];
        let at = if self.protocol() == 6 { 16 } else { 6 };
        u16::from_be_bytes([header[at], header[at + 1]])
    }

    /// As it leaves a router by a tunnel.
    #[must_use]
    pub fn inside(mut self, outer: Outer) -> Self {
        self.outer = Some(outer);
        self.hop_limit -= 1;
        self
    }

    /// With another DSCP and ECN.
    #[must_use]
    pub fn traffic_class(mut self, traffic_class: u8) -> Self {
        self.traffic_class = traffic_class;
        self
    }

    /// The engine's hash of its flow, which no standard prescribes.
    pub fn flow(&self) -> u32 {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let (from, to) = (self.source.port(), self.destination.port());
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (V4::from(source), V4::from(destination));
                FlowKey::new((source, from), (destination, to), self.protocol()).hash()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (V6::from(source), V6::from(destination));
                FlowKey::new((source, from), (destination, to), self.protocol()).hash()
            }
            _ => panic!("source and destination are of two families"),
        }
    }

    /// The protocol number behind all extension headers.
    pub fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp { .. } => 6,
            Transport::Udp { .. } => 17,
            Transport::Echo { .. } | Transport::Error(_) if self.source.is_ipv4() => 1,
            Transport::Echo { .. } | Transport::Error(_) => 58,
            Transport::Raw(protocol) => protocol,
        }
    }

    /// Its bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        encode::frame(self)
    }
}
