//! The scene of most cases: a client, a service with backends, and us between them, for both
//! families, both protocols and both ways of forwarding.

use std::net::{IpAddr, SocketAddr};

use lb_common::abi::{FlowState, Hop};
use lb_userspace::document::{Forward, Protocol};

use super::{Case, Change, Expect};
use crate::packet::{ACK, CLIENT_MAC, Outer, PSH, Packet, SYN};
use crate::ring::{FlowView, ReverseView, Table, Tuple};
use crate::world::{BackendSetup, INTERFACE, OUR_MAC, Setup, backend_hop};

/// The one port of `full-nat`.
pub const NAT_PORT: u16 = 61_000;
/// The service of every scene.
pub const SERVICE: &str = "web";

/// A combination of what the engine tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scene {
    /// IPv6, or IPv4.
    pub v6: bool,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// How packets reach the backend.
    pub forward: Forward,
    /// The backends are of the other family.
    pub crosses: bool,
}

impl std::fmt::Display for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = if self.v6 { "v6" } else { "v4" };
        write!(f, "{family} {} {}", self.protocol, self.forward)?;
        match (self.crosses, self.v6) {
            (false, _) => Ok(()),
            (true, false) => f.write_str(" to v6"),
            (true, true) => f.write_str(" to v4"),
        }
    }
}

impl Scene {
    /// The plainest one.
    pub const PLAIN: Self = Self {
        v6: false,
        protocol: Protocol::Tcp,
        forward: Forward::FullNat,
        crosses: false,
    };
    /// Every mode, and whether its backends are of the other family.
    const MODES: [(Forward, bool); 8] = [
        (Forward::FullNat, false),
        (Forward::FullNat, true),
        (Forward::Nat, false),
        (Forward::Dsr, false),
        (Forward::Ipip, false),
        (Forward::Ipip, true),
        (Forward::Gue, false),
        (Forward::Gue, true),
    ];

    /// All combinations.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for v6 in [false, true] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                for (forward, crosses) in Self::MODES {
                    all.push(Self {
                        v6,
                        protocol,
                        forward,
                        crosses,
                    });
                }
            }
        }
        all
    }

    /// Those whose packets travel as they are or translated.
    pub fn all_without_tunnels() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|scene| !scene.forward.is_tunnel());
        all
    }

    /// Those that balance TCP.
    pub fn all_tcp() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|scene| scene.is_tcp());
        all
    }

    /// Those with a way back through us.
    pub fn all_nat() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|scene| scene.is_nat());
        all
    }

    /// Those whose flows have to take one source port towards a backend.
    pub fn all_sharing_port() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|scene| scene.shares_port());
        all
    }

    /// Whether it balances TCP.
    pub fn is_tcp(self) -> bool {
        self.protocol == Protocol::Tcp
    }

    /// Whether it has a way back through us.
    pub fn is_nat(self) -> bool {
        matches!(self.forward, Forward::FullNat | Forward::Nat)
    }

    /// Whether all its flows have to take one source port towards a backend.
    pub fn shares_port(self) -> bool {
        self.forward == Forward::FullNat
    }

    /// Whether it leaves what lies beyond the Ethernet header alone.
    pub fn is_direct(self) -> bool {
        self.forward == Forward::Dsr
    }

    /// An address of the clients' family: the IPv4 network's last byte, or the IPv6 prefix's last
    /// word.
    fn address(self, v4: [u8; 3], v6: u16, last: u8) -> IpAddr {
        address(self.v6, v4, v6, last)
    }

    /// The same in the backends' family.
    fn far_address(self, v4: [u8; 3], v6: u16, last: u8) -> IpAddr {
        address(self.v6 != self.crosses, v4, v6, last)
    }

    /// A client by number.
    pub fn client(self, number: u8) -> SocketAddr {
        SocketAddr::new(self.address([198, 51, 100], 0xc, 7 + number), 40_000)
    }

    /// What clients address.
    pub fn vip(self) -> SocketAddr {
        SocketAddr::new(self.address([192, 0, 2], 0xf, 10), 80)
    }

    /// An address of the clients' family that no service has.
    pub fn other_address(self) -> IpAddr {
        self.address([10, 0, 0], 0xb, 1)
    }

    /// Our address towards backends.
    pub fn our_address(self) -> IpAddr {
        self.far_address([10, 0, 0], 0xb, 1)
    }

    /// A backend by its id.
    pub fn backend(self, id: u8) -> SocketAddr {
        SocketAddr::new(self.far_address([10, 0, 0], 0xb, 11 + id), 8080)
    }

    /// The way to a backend.
    pub fn backend_hop(self, id: u8) -> Hop {
        backend_hop(self.backend(id).ip(), INTERFACE)
    }

    /// The way back to the clients.
    pub fn client_hop() -> Hop {
        Hop::new(INTERFACE, CLIENT_MAC, OUR_MAC)
    }

    /// A configuration of this service alone.
    pub fn setup(self, backends: u8) -> Setup {
        let backends: Vec<BackendSetup> = (0..backends)
            .map(|id| BackendSetup::new(self.backend(id)))
            .collect();
        self.setup_of(&backends)
    }

    /// A configuration of this service with these backends.
    pub fn setup_of(self, backends: &[BackendSetup]) -> Setup {
        Setup::new(&[self.our_address()])
            .tunnels(&[self.our_address().into()])
            .service(SERVICE, self.vip(), self.protocol, self.forward, backends)
    }

    /// A case in which client 0 has a flow to backend 0, the only one.
    pub fn begin(self, shows: &str) -> Case {
        self.begin_with(shows, &self.opening(0), &self.following(0))
    }

    /// The same with these as the flow's first two packets.
    pub fn begin_with(self, shows: &str, opening: &Packet, following: &Packet) -> Case {
        Case::new(format!("{self}: {shows}"), &mut self.setup(1))
            .packet("first packet", opening, self.opened(opening, 0, 0))
            .packet("second packet", following, self.promoted(following, 0, 0))
    }

    /// A client's first packet.
    pub fn opening(self, client: u8) -> Packet {
        self.from_client(client, SYN)
    }

    /// A client's later packet.
    pub fn following(self, client: u8) -> Packet {
        self.from_client(client, ACK | PSH)
    }

    /// A client's packet with these flags, if it is TCP.
    pub fn from_client(self, client: u8, flags: u8) -> Packet {
        self.between(self.client(client), self.vip(), flags)
    }

    /// A backend's packet to a client.
    pub fn reply(self, client: u8, backend: u8, flags: u8) -> Packet {
        let hop = self.backend_hop(backend);
        self.between(self.backend(backend), self.source(client), flags)
            .link(hop.destination(), hop.source())
    }

    /// What a backend takes for the client.
    pub fn source(self, client: u8) -> SocketAddr {
        if self.forward == Forward::Nat {
            self.client(client)
        } else {
            SocketAddr::new(self.our_address(), NAT_PORT)
        }
    }

    fn between(self, source: SocketAddr, destination: SocketAddr, flags: u8) -> Packet {
        if self.is_tcp() {
            Packet::tcp(source, destination, flags).payload(b"GET / HTTP/1.1\r\n\r\n")
        } else {
            Packet::udp(source, destination).payload(b"a datagram")
        }
    }

    /// What a client's packet looks like on its way to a backend.
    pub fn at_backend(self, packet: &Packet, backend: u8) -> Packet {
        let source = match self.forward {
            Forward::FullNat => SocketAddr::new(self.our_address(), NAT_PORT),
            Forward::Nat => packet.source,
            Forward::Dsr | Forward::Ipip | Forward::Gue => {
                return self.carried(packet, packet, backend);
            }
        };
        let sent = packet.clone().sent_to(&self.backend_hop(backend));
        sent.translated(source, self.backend(backend))
    }

    /// What a packet that stays as it is looks like on its way to a backend, with those of a flow.
    pub fn carried(self, packet: &Packet, flow: &Packet, backend: u8) -> Packet {
        let sent = packet.clone().sent_to(&self.backend_hop(backend));
        match self.forward {
            Forward::Ipip => sent.inside(self.outer(flow, backend, false)),
            Forward::Gue => sent.inside(self.outer(flow, backend, true)),
            Forward::FullNat | Forward::Nat | Forward::Dsr => sent,
        }
    }

    /// The tunnel of a client's packet to a backend.
    fn outer(self, packet: &Packet, backend: u8, udp: bool) -> Outer {
        let flow = packet.flow();
        let source_port = 0xc000 | (flow & 0x3fff) as u16;
        Outer {
            source: self.our_address(),
            destination: self.backend(backend).ip(),
            flow_label: flow & 0xf_ffff,
            udp: udp.then_some((source_port, 6080)),
        }
    }

    /// What a backend's packet looks like on its way to a client.
    pub fn at_client(self, packet: &Packet, client: u8) -> Packet {
        packet
            .clone()
            .translated(self.vip(), self.client(client))
            .sent_to(&Self::client_hop())
    }

    /// A client's packet goes to a backend.
    pub fn forwarded(self, packet: &Packet, backend: u8) -> Expect {
        Expect::to_backend(0, backend.into(), &self.at_backend(packet, backend))
    }

    /// A client's packet makes a new flow in its turn.
    pub fn opened(self, packet: &Packet, client: u8, backend: u8) -> Expect {
        self.forwarded(packet, backend)
            .new_flow()
            .change(self.laid(client, backend))
    }

    /// A client's packet promotes its flow.
    pub fn promoted(self, packet: &Packet, client: u8, backend: u8) -> Expect {
        self.forwarded(packet, backend).change(self.moved_up(
            client,
            backend,
            FlowState::ESTABLISHED,
        ))
    }

    /// A backend's packet goes to a client.
    pub fn returned(self, packet: &Packet, client: u8, backend: u8) -> Expect {
        Expect::to_client(0, backend.into(), &self.at_client(packet, client))
    }

    /// The 5-tuple of a client's packets.
    pub fn tuple(self, client: u8) -> Tuple {
        Tuple {
            remote: self.client(client),
            local: self.vip(),
            protocol: self.protocol.number(),
        }
    }

    /// The 5-tuple of a backend's replies.
    pub fn reply_tuple(self, client: u8, backend: u8) -> Tuple {
        Tuple {
            remote: self.backend(backend),
            local: self.source(client),
            protocol: self.protocol.number(),
        }
    }

    /// A flow of a backend whose incarnation is its first.
    pub fn flow(self, backend: u8, state: FlowState) -> FlowView {
        FlowView {
            backend: backend.into(),
            incarnation: u32::from(backend) + 1,
            age: 0,
            source_port: match self.forward {
                Forward::FullNat => NAT_PORT,
                Forward::Nat => self.client(0).port(),
                Forward::Dsr | Forward::Ipip | Forward::Gue => 0,
            },
            state,
        }
    }

    /// The way from a backend to a client.
    pub fn way_back(self, client: u8, backend: u8) -> ReverseView {
        ReverseView {
            client: self.client(client),
            vip: self.vip(),
            service: 0,
            backend: backend.into(),
            age: 0,
            state: FlowState::PENDING,
            hop: Self::client_hop(),
        }
    }

    /// A flow appears in the pending table.
    pub fn laid(self, client: u8, backend: u8) -> Vec<Change> {
        let flow = self.flow(backend, FlowState::PENDING);
        let way = self.way_back(client, backend);
        self.both(Table::Pending, client, backend, Some((flow, way)))
    }

    /// A flow vanishes from a table.
    pub fn gone(self, table: Table, client: u8, backend: u8) -> Vec<Change> {
        self.both(table, client, backend, None)
    }

    /// A flow moves from the pending table to the established one.
    pub fn moved_up(self, client: u8, backend: u8, state: FlowState) -> Vec<Change> {
        let flow = self.flow(backend, state);
        let way = ReverseView {
            state,
            ..self.way_back(client, backend)
        };
        let mut changes = self.gone(Table::Pending, client, backend);
        changes.extend(self.both(Table::Established, client, backend, Some((flow, way))));
        changes
    }

    /// A flow and its way back take another state, or are refreshed.
    pub fn state(self, table: Table, client: u8, backend: u8, state: FlowState) -> Vec<Change> {
        let flow = Some(self.flow(backend, state));
        let mut changes = vec![Change::Flow(table, self.tuple(client), flow)];
        changes.extend(self.refreshed(table, client, backend, state));
        changes
    }

    /// A way back alone takes another state, or is refreshed; nothing where there is none.
    pub fn refreshed(self, table: Table, client: u8, backend: u8, state: FlowState) -> Vec<Change> {
        let way = ReverseView {
            state,
            ..self.way_back(client, backend)
        };
        let change = Change::Reverse(table, self.reply_tuple(client, backend), Some(way));
        self.is_nat().then_some(change).into_iter().collect()
    }

    fn both(
        self,
        table: Table,
        client: u8,
        backend: u8,
        entry: Option<(FlowView, ReverseView)>,
    ) -> Vec<Change> {
        let (flow, way) = (entry.map(|e| e.0), entry.map(|e| e.1));
        let mut changes = vec![Change::Flow(table, self.tuple(client), flow)];
        if self.is_nat() {
            changes.push(Change::Reverse(
                table,
                self.reply_tuple(client, backend),
                way,
            ));
        }
        changes
    }
}

/// An address of a family: the IPv4 network's last byte, or the IPv6 prefix's last word.
fn address(is_v6: bool, v4: [u8; 3], v6: u16, last: u8) -> IpAddr {
    if is_v6 {
        IpAddr::from([0x2001, 0xdb8, v6, 0, 0, 0, 0, u16::from(last)])
    } else {
        IpAddr::from([v4[0], v4[1], v4[2], last])
    }
}
