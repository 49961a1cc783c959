//! What must hold after each frame, whatever it was.
//!
//! Each check is an invariant of ARCHITECTURE.md or of the engine's contract, judged from outside:
//! from the bytes before and after, from the view of the tables, and from an independent reading
//! of headers and rules.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lb_common::abi::address::wide;
use lb_common::abi::reason::Outlet;
use lb_common::abi::trace::NONE;
use lb_common::abi::{BackendState, FlowState, Forward, Hop, Reason, Ticks};

use super::configuration::Configuration;
use super::reading::{self, Datagram, Reading};
use crate::packet::{ACK, SYN, verify};
use crate::ring::{Exit, FlowView, Ran, ReverseView, State, Table, Tuple};

/// Within this time no flow is idle, whatever its protocol and state.
const BUSY: u32 = Ticks::in_seconds(200);
/// A way back that nobody used for longer leads nowhere.
const WAY_BACK: u32 = Ticks::in_seconds(7440);

/// A frame, and everything around it.
pub(super) struct Moment<'a> {
    pub(super) before: &'a State,
    pub(super) sent: &'a [u8],
    pub(super) ran: &'a Ran,
    pub(super) after: &'a State,
    pub(super) configuration: &'a Configuration,
    /// The protocol and the ports that first fragments have named.
    pub(super) firsts: &'a Firsts,
    /// The tables are small, so that entries may make room for others.
    pub(super) may_evict: bool,
    /// The frame's door may shut.
    pub(super) may_fail: bool,
}

/// Protocol, and source and destination port, of each datagram whose first fragment was let through.
pub(super) type Firsts = BTreeMap<Datagram, Named>;

type Named = (u8, (u16, u16));

impl Moment<'_> {
    /// The frame, with the protocol and the ports of its datagram if it is a later fragment.
    fn reading(&self) -> Option<Reading> {
        let mut reading = reading::read(self.sent)?;
        if reading.is_later()
            && let Some((protocol, ports)) = self.firsts.get(&reading.datagram()?).copied()
        {
            (reading.protocol, reading.ports) = (protocol, Some(ports));
        }
        Some(reading)
    }

    /// The datagram that the frame begins, and what it names for those behind it.
    pub(super) fn named(&self) -> Option<(Datagram, Named)> {
        let reading = self.reading().filter(|reading| !reading.is_later())?;
        let named = (reading.datagram()?, (reading.protocol, reading.ports?));
        let stopped = matches!(
            self.ran.reason()?,
            Reason::FirewallDrop | Reason::Multicast | Reason::Malformed | Reason::TinyFragment
        );
        let mut vips = self.configuration.tables.services.keys();
        let is_ours = vips.any(|vip| vip.address == reading.destination)
            || self.way_back(&tuple(&reading)).is_some();
        (is_ours && !stopped).then_some(named)
    }

    /// Panics unless everything holds.
    pub(super) fn check(&self) {
        let reason = self.ran.reason().expect("each frame leaves for a reason");
        let forwarded = self.ran.is_forwarded();
        let right = match reason.outlet() {
            Outlet::Pass => self.ran.exit == Exit::Pass,
            Outlet::Drop => self.ran.exit == Exit::Drop,
            Outlet::Forward => forwarded,
        };
        assert!(right, "{reason:?} leaves by {:?}", self.ran.exit);
        let may_be_resized = matches!(reason, Reason::HopLimitTold | Reason::RewriteFailed);
        let is_as_long = self.sent.len() == self.ran.frame.len();
        assert!(is_as_long || may_be_resized, "the length changed");
        if reason == Reason::RewriteFailed {
            assert!(self.may_fail, "a rewrite failed");
        } else if !forwarded {
            assert_eq!(self.sent, self.ran.frame, "{reason:?} leaves a trace");
        }
        self.check_counters(reason);
        let reading = self.reading();
        self.check_firewall(reason, reading.as_ref());
        self.check_tables(reading.as_ref());
        if forwarded {
            let reading = reading.expect("what is forwarded can be read");
            self.check_rewrite(reason, &reading);
        }
    }

    /// One reason, and no more than one rule, service and backend counted the frame.
    fn check_counters(&self, reason: Reason) {
        let (before, after, trace) = (self.before, self.after, self.ran.trace);
        let length = self.sent.len() as u64;
        let mut expected = before.clone();
        let count = |tally: &mut lb_common::abi::Tally| {
            tally.packets += 1;
            tally.bytes += length;
        };
        count(expected.reasons.entry(reason as u32).or_default());
        if trace.rule != NONE {
            count(expected.rules.entry(trace.rule).or_default());
        }
        let egress = reason == Reason::ToClient || self.is_reply();
        if trace.service != NONE {
            let backend = (trace.backend != NONE).then_some(trace.backend);
            let service = expected.services.entry(trace.service).or_default();
            let backend = backend.map(|id| expected.backends.entry(id).or_default());
            for traffic in [Some(service), backend].into_iter().flatten() {
                count(if egress {
                    &mut traffic.egress
                } else {
                    &mut traffic.ingress
                });
                traffic.connections += u64::from(trace.new_flow);
            }
        }
        assert_eq!(expected.reasons, after.reasons, "reasons");
        assert_eq!(expected.rules, after.rules, "rules");
        assert_eq!(expected.services, after.services, "services");
        assert_eq!(expected.backends, after.backends, "backends");
        let turns = |state: &State| state.cursors.values().sum::<u64>();
        let turned = turns(after) - turns(before);
        assert!(turned <= 1, "the cursors moved {turned} times");
        assert!(trace.new_flow == 0 || turned == 1, "a flow out of turn");
    }

    /// Whether the frame, although dropped, was taken for a backend's reply.
    fn is_reply(&self) -> bool {
        matches!(
            self.ran.reason(),
            Some(Reason::HopLimit | Reason::HopLimitTold | Reason::RewriteFailed)
        ) && self.reading().is_some_and(|reading| {
            self.is_our_port(reading.to().port())
                && self
                    .way_back(&tuple(&reading))
                    .is_some_and(|way| way.age <= WAY_BACK && way.service == self.ran.trace.service)
        })
    }

    /// Where replies of this 5-tuple went before the frame.
    fn way_back(&self, key: &Tuple) -> Option<&ReverseView> {
        let tables = [Table::Established, Table::Pending];
        tables
            .iter()
            .find_map(|table| self.before.reverses.get(&(*table, *key)))
    }

    /// What the rules deny is dropped and nothing else, on established flows as well.
    fn check_firewall(&self, reason: Reason, reading: Option<&Reading>) {
        let unread = matches!(
            reason,
            Reason::Malformed
                | Reason::TooManyTags
                | Reason::TooManyExtensions
                | Reason::TinyFragment
                | Reason::NotIp
        );
        let Some(reading) = reading.filter(|reading| !unread && reading.part.is_none()) else {
            return;
        };
        assert_eq!(
            self.configuration.denies(reading),
            reason == Reason::FirewallDrop,
            "{reading:?} leaves for {reason:?}"
        );
    }

    /// No flow changes but that of the frame.
    fn check_tables(&self, reading: Option<&Reading>) {
        let own = reading.map(tuple);
        let clients: Vec<Tuple> = own
            .into_iter()
            .chain(own.and_then(|own| {
                let way = self.way_back(&own)?;
                Some(Tuple {
                    remote: way.client,
                    local: way.vip,
                    protocol: own.protocol,
                })
            }))
            .collect();
        for (key, flow) in &self.after.flows {
            let known = self.before.flows.get(key);
            assert!(
                known == Some(flow) || clients.contains(&key.1),
                "{key:?} became {flow:?}, from {known:?}"
            );
        }
        for (key, flow) in &self.before.flows {
            let stays = self.after.flows.contains_key(key);
            assert!(
                stays || self.may_evict || clients.contains(&key.1),
                "{key:?} {flow:?} is gone"
            );
        }
    }

    /// A frame that is sent on is the one that came, with new addresses and nothing else.
    fn check_rewrite(&self, reason: Reason, sent: &Reading) {
        let mut received = reading::read(&self.ran.frame).expect("a receiver can read it");
        if reason == Reason::HopLimitTold {
            return self.check_told(sent, &received);
        }
        if sent.is_later() {
            // It says no ports: those of its datagram are what the first has been given.
            received.ports = None;
        }
        let intact = |frame: &[u8]| verify::receive(frame).map(|received| received.payload);
        let (before, after) = (intact(self.sent), intact(&self.ran.frame));
        if reason == Reason::IcmpError {
            // What it quotes is rewritten too; that its checksum holds as before is to be seen.
            assert_eq!(
                before.is_ok(),
                after.is_ok(),
                "{before:?} and now {after:?}"
            );
            return;
        }
        match (&before, &after) {
            (Ok(before), Ok(after)) => assert_eq!(before, after, "the payload"),
            (Err(_), Err(_)) => {}
            _ => panic!("a receiver said {before:?}, and now {after:?}"),
        }
        match reason {
            Reason::ToClient => self.check_to_client(sent, &received),
            Reason::EchoReply => self.check_echo(sent, &received),
            _ => self.check_to_backend(sent, &received),
        }
    }

    /// An echo goes back to who asked for it.
    fn check_echo(&self, sent: &Reading, received: &Reading) {
        let services = &self.configuration.tables.services;
        assert!(
            services.keys().any(|vip| vip.address == sent.destination),
            "{} is no VIP",
            sent.destination
        );
        assert_eq!(received.source, sent.destination);
        assert_eq!(received.destination, sent.source);
        assert_eq!(received.hop_limit, 64);
        assert_eq!(self.sent[..6], self.ran.frame[6..12], "from another");
        assert_eq!(self.sent[6..12], self.ran.frame[..6], "to another");
        let (asked, answered) = if sent.source.is_ipv4() {
            (8, 0)
        } else {
            (128, 129)
        };
        assert_eq!(self.sent[sent.transport_at], asked);
        assert_eq!(self.ran.frame[sent.transport_at], answered);
        let behind = sent.transport_at + 4;
        assert_eq!(self.sent[behind..], self.ran.frame[behind..], "the payload");
    }

    /// Whoever sent what may go no further is told so from where it was sent to, and shown its beginning.
    fn check_told(&self, sent: &Reading, received: &Reading) {
        let frame = &self.ran.frame;
        verify::receive(frame).expect("the message is intact");
        assert_eq!(received.source, sent.destination);
        assert_eq!(received.destination, sent.source);
        assert_eq!(self.sent[..6], frame[6..12], "from another");
        assert_eq!(self.sent[6..12], frame[..6], "to another");
        let exceeded = if sent.source.is_ipv4() { 11 } else { 3 };
        let at = received.transport_at;
        assert_eq!(frame[at..at + 2], [exceeded, 0]);
        let quote = &frame[at + 8..];
        assert!(quote.len() >= 28, "a quote of {} bytes", quote.len());
        let begins = self.sent[sent.network_at..].starts_with(quote);
        assert!(begins, "it quotes another packet");
    }

    fn check_to_client(&self, sent: &Reading, received: &Reading) {
        let way = self.way_back(&tuple(sent)).expect("a reply has a way back");
        let ends = (received.source, received.destination);
        assert_eq!(ends, (way.vip.ip(), way.client.ip()));
        if !sent.is_later() {
            assert_eq!((received.from(), received.to()), (way.vip, way.client));
        }
        self.check_translated(sent, received);
        self.check_hop(&way.hop);
    }

    fn check_to_backend(&self, sent: &Reading, received: &Reading) {
        let (tables, trace) = (&self.configuration.tables, self.ran.trace);
        let backend = tables
            .backends
            .get(&trace.backend)
            .expect("a known backend");
        assert_eq!(backend.service, trace.service, "another service's backend");
        let takes = match trace.new_flow {
            0 => backend.state.keeps_flows(),
            _ => backend.state == BackendState::UP,
        };
        assert!(takes, "a backend that is {:?}", backend.state);
        let service = tables.services.values().find(|s| s.id == trace.service);
        let service = service.expect("a known service");
        self.check_hop(&backend.hop);
        let is_nat = service.forward == Forward::FULL_NAT;
        if is_nat {
            assert_eq!(wide(received.destination), backend.address);
            assert_eq!(wide(received.source), backend.source);
            self.check_translated(sent, received);
        }
        if is_nat && !sent.is_later() {
            let port = received.from().port();
            assert!(self.is_our_port(port), "port {port} is not ours");
            let port = if backend.port == 0 {
                sent.to().port()
            } else {
                backend.port
            };
            assert_eq!(received.to().port(), port);
        }
        if !is_nat {
            assert_eq!(self.sent[12..], self.ran.frame[12..], "dsr changes more");
        }
        if let Some(flow) = self.live_flow(sent)
            && (!is_nat || self.has_way_back(sent, &flow))
            && self.stays(&flow)
        {
            assert_eq!(trace.backend, flow.backend, "{flow:?} moved");
        }
    }

    /// Whether replies to a port are looked for.
    fn is_our_port(&self, port: u16) -> bool {
        let (first, count) = self.configuration.nat_ports;
        port.wrapping_sub(first) < count
    }

    /// Whether replies to a flow reach its client: its port is one of ours, and there is a way back
    /// from it that has not gone to another flow.
    fn has_way_back(&self, sent: &Reading, flow: &FlowView) -> bool {
        let Some(backend) = self.configuration.tables.backends.get(&flow.backend) else {
            return false;
        };
        let backend_port = match backend.port {
            0 => sent.to().port(),
            port => port,
        };
        let is_reply = |reply: &Tuple| {
            reply.protocol == sent.protocol
                && wide(reply.remote.ip()) == backend.address
                && reply.remote.port() == backend_port
                && wide(reply.local.ip()) == backend.source
                && reply.local.port() == flow.source_port
        };
        let ways = self.before.reverses.keys();
        let reply = ways.map(|(_, reply)| *reply).find(is_reply);
        self.is_our_port(flow.source_port)
            && reply
                .and_then(|reply| self.way_back(&reply))
                .is_some_and(|way| (way.client, way.vip) == (sent.from(), sent.to()))
    }

    /// Whether a flow's backend still takes it.
    fn stays(&self, flow: &FlowView) -> bool {
        let backends = &self.configuration.tables.backends;
        backends.get(&flow.backend).is_some_and(|backend| {
            backend.incarnation == flow.incarnation && backend.state.keeps_flows()
        })
    }

    /// The frame's flow, unless the frame may open a new one in its place.
    fn live_flow(&self, sent: &Reading) -> Option<FlowView> {
        let key = tuple(sent);
        let tables = [Table::Established, Table::Pending];
        let flow = tables
            .iter()
            .find_map(|table| self.before.flows.get(&(*table, key)))?;
        let flags = self.sent.get(sent.transport_at + 13).copied().unwrap_or(0);
        let reopens =
            sent.protocol == 6 && flow.state == FlowState::CLOSING && flags & (SYN | ACK) == SYN;
        (!reopens && flow.age <= BUSY).then_some(*flow)
    }

    /// Nothing but link addresses, hop limit, addresses, ports and checksums differs.
    fn check_translated(&self, sent: &Reading, received: &Reading) {
        assert_eq!(received.hop_limit + 1, sent.hop_limit, "the hop limit");
        let (network, transport) = (sent.network_at, sent.transport_at);
        let mut blank = self.sent.to_vec();
        let mut found = self.ran.frame.clone();
        let checksum = transport + if sent.protocol == 6 { 16 } else { 6 };
        let header = match sent.source {
            IpAddr::V4(_) => [8..9, 10..12, 12..20],
            IpAddr::V6(_) => [7..8, 8..24, 24..40],
        };
        let header = header.map(|range| range.start + network..range.end + network);
        let ports = [transport..transport + 4, checksum..checksum + 2];
        let link = std::iter::once(0..12);
        let others = link.chain(ports.into_iter().filter(|_| !sent.is_later()));
        for range in header.into_iter().chain(others) {
            blank[range.clone()].fill(0);
            found[range].fill(0);
        }
        assert_eq!(blank, found, "more was changed than addresses");
    }

    fn check_hop(&self, hop: &Hop) {
        let frame = &self.ran.frame;
        assert_eq!(frame[..6], hop.destination(), "to whom");
        assert_eq!(frame[6..12], hop.source(), "from whom");
        let exit = match hop.interface {
            crate::world::INTERFACE => Exit::Tx,
            other => Exit::Redirect(Some(other)),
        };
        assert_eq!(self.ran.exit, exit);
    }
}

/// The 5-tuple of a frame.
fn tuple(reading: &Reading) -> Tuple {
    Tuple {
        remote: reading.from(),
        local: reading.to(),
        protocol: reading.protocol,
    }
}
