//! What is measured: configurations, and the packets that each is given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use lb_common::abi::limits::RULES;
use lb_userspace::document::{Action, AddressMatch, Forward, Protocol, Rule};
use lb_userspace::tables::Tables;

use super::flows::Spread;
use super::front::FRAME;
use crate::packet::{ACK, Packet, SYN};
use crate::world::{BackendSetup, Setup, rule};

/// A configuration and what is measured on it.
pub struct Stage {
    /// What progress lines call it.
    pub name: String,
    /// Its tables.
    pub tables: Box<dyn Fn() -> Tables>,
    /// What is measured.
    pub scenarios: Vec<Scenario>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("name", &self.name)
            .field("scenarios", &self.scenarios)
            .finish_non_exhaustive()
    }
}

/// Packets of one kind.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What the report calls it.
    pub name: String,
    /// The packet of flow 0; others differ by source address and port.
    pub packet: Packet,
    /// Which flows the packets belong to.
    pub flows: Flows,
    /// What becomes of each.
    pub fate: Fate,
}

/// Which flows packets belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flows {
    /// So many flows that the balancer knows.
    Known(u32, Spread),
    /// So many sources that it keeps nothing of.
    Sources(u32),
    /// Each packet is a new flow's.
    New,
    /// The backend's answer to flow 0.
    Reply,
}

/// What becomes of a packet, with the number that XDP returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Dropped.
    Drop = 1,
    /// Handed to the host.
    Pass = 2,
    /// Sent out again.
    Tx = 3,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Scale {
    /// Each scenario with one flow, and the main one with up to 100k; sets of up to 1k prefixes.
    Brief,
    /// Each scenario with one flow and with 100k.
    Small,
    /// Up to 4M flows and sets of 1M prefixes.
    Full,
}

/// As many backends as Katran's benchmark has.
const BACKENDS: u16 = 100;
/// Most flows of the modes that need a source port for each: 100 backends have room for far more.
const NAT_FLOWS: u32 = 100_000;
/// The first port of `full-nat`, and how many.
const NAT_PORTS: (u16, u16) = (1024, 60_000);

/// A family's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

use Family::{V4, V6};

impl Family {
    const ALL: [Self; 2] = [V4, V6];

    fn other(self) -> Self {
        match self {
            V4 => V6,
            V6 => V4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            V4 => "IPv4",
            V6 => "IPv6",
        }
    }

    /// An address whose last four bytes are given.
    fn address(self, last: u32) -> IpAddr {
        match self {
            V4 => Ipv4Addr::from_bits(last).into(),
            V6 => Ipv6Addr::from_bits((0x2001_0db8 << 96) | u128::from(last)).into(),
        }
    }

    /// The source of flow 0; those of others follow.
    fn client(self) -> SocketAddr {
        SocketAddr::new(self.address(0x0a00_0000), 1024)
    }

    fn vip(self) -> SocketAddr {
        SocketAddr::new(self.address(0xc000_020a), 80)
    }

    fn backend(self, index: u16) -> SocketAddr {
        SocketAddr::new(self.address(0xac10_0000 + u32::from(index) + 1), 80)
    }

    /// Our address towards the backends.
    fn ours(self) -> IpAddr {
        self.address(0xac10_ffff)
    }

    /// Our addresses in tunnels.
    fn tunnels(self) -> IpNet {
        match self {
            V4 => IpNet::V4(Ipv4Net::new_assert([172, 17, 0, 0].into(), 16)),
            V6 => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(1 << 120), 64)),
        }
    }

    /// An address that is no service's.
    fn host(self) -> SocketAddr {
        SocketAddr::new(self.address(0xc000_0201), 80)
    }

    /// One address as a prefix.
    fn single(self, last: u32) -> IpNet {
        IpNet::from(self.address(last))
    }

    /// A TCP packet of [`FRAME`] bytes.
    fn tcp(self, destination: SocketAddr, flags: u8) -> Packet {
        filled(Packet::tcp(self.client(), destination, flags))
    }
}

/// A packet with as much payload as makes [`FRAME`] bytes of it.
pub(super) fn filled(packet: Packet) -> Packet {
    let headers = packet.payload(&[]);
    let bytes = FRAME - headers.bytes().len();
    headers.payload(&vec![0; bytes])
}

/// Everything that is measured.
pub fn stages(scale: Scale) -> Vec<Stage> {
    let mut stages = vec![many_flows(2_000_000, &[1, 1000, 100_000]), strangers()];
    if scale == Scale::Full {
        stages.push(many_flows(2_000_000, &[1_000_000]));
        stages.push(many_flows(8_000_000, &[4_000_000]));
    }
    for forward in [Forward::Dsr, Forward::FullNat] {
        for family in Family::ALL {
            stages.push(mode(forward, family, true, scale));
            stages.push(mode(forward, family, false, scale));
        }
    }
    for forward in [Forward::Nat, Forward::Ipip, Forward::Gue] {
        for family in Family::ALL {
            stages.push(mode(forward, family, false, scale));
        }
    }
    stages.extend(Family::ALL.map(crossing));
    stages.extend([1, 1000].map(set));
    if scale == Scale::Full {
        stages.push(set(1_000_000));
    }
    let rules = [1, 10, 100, 1000, 10_000];
    stages.extend(
        rules
            .into_iter()
            .filter(|rules| *rules < RULES)
            .map(rules_in_turn),
    );
    stages
}

/// The work that other balancers are compared on: many flows in a table of `entries`, a flood, and
/// packets of others.
fn many_flows(entries: u32, flows: &[u32]) -> Stage {
    let known = |flows: u32, spread| {
        let how = if spread == Spread::Zipf { ", Zipf" } else { "" };
        let name = format!("{}{how}", counted(flows, "flow"));
        Scenario::known(name, V4, flows, spread)
    };
    let uniform = flows.iter().map(|flows| known(*flows, Spread::Uniform));
    let many = flows.iter().filter(|flows| **flows >= 100_000);
    let zipf = many.map(|flows| known(*flows, Spread::Zipf));
    Stage {
        name: format!("flows in a table of {}", counted(entries, "entry")),
        tables: Box::new(move || tables(balancer(Forward::Dsr, V4, true).flows(entries))),
        scenarios: uniform.chain(zipf).collect(),
    }
}

/// What no flow table can speed up: packets that are in none.
fn strangers() -> Stage {
    let new = Scenario {
        name: "SYN flood".to_owned(),
        packet: V4.tcp(V4.vip(), SYN),
        flows: Flows::New,
        fate: Fate::Tx,
    };
    let others = Scenario {
        name: "not for us".to_owned(),
        packet: V4.tcp(V4.host(), ACK),
        flows: Flows::Sources(1),
        fate: Fate::Pass,
    };
    Stage {
        name: "strangers".to_owned(),
        tables: Box::new(|| tables(balancer(Forward::Dsr, V4, true))),
        scenarios: vec![new, others],
    }
}

/// One forwarding mode in one family.
fn mode(forward: Forward, family: Family, firewall: bool, scale: Scale) -> Stage {
    let with = if firewall { "firewall" } else { "no firewall" };
    let name = format!("{forward} {}, {with}", family.name());
    let flows: &[u32] = match scale {
        Scale::Brief => &[1],
        Scale::Small | Scale::Full => &[1, NAT_FLOWS],
    };
    let mut scenarios: Vec<Scenario> = flows
        .iter()
        .map(|&flows| {
            let name = format!("{name}, {}", counted(flows, "flow"));
            Scenario::known(name, family, flows, Spread::Uniform)
        })
        .collect();
    if matches!(forward, Forward::FullNat | Forward::Nat) {
        scenarios.push(Scenario::reply(&name, family));
    }
    if forward == Forward::FullNat {
        scenarios.push(Scenario {
            name: format!("{name}, SYN flood"),
            packet: family.tcp(family.vip(), SYN),
            flows: Flows::New,
            fate: Fate::Tx,
        });
    }
    Stage {
        name,
        tables: Box::new(move || tables(balancer(forward, family, firewall))),
        scenarios,
    }
}

/// `full-nat` from one family to the other.
fn crossing(family: Family) -> Stage {
    let name = format!("full-nat {} to {}", family.name(), family.other().name());
    Stage {
        scenarios: vec![
            Scenario::known(format!("{name}, 1 flow"), family, 1, Spread::Uniform),
            Scenario::reply(&name, family),
        ],
        name,
        tables: Box::new(move || {
            let far = family.other();
            tables(service(Forward::FullNat, family, far))
        }),
    }
}

/// Packets whose sources are all in a set that is dropped.
fn set(prefixes: u32) -> Stage {
    let name = format!("drop by a set of {}", counted(prefixes, "prefix"));
    Stage {
        scenarios: vec![Scenario {
            name: name.clone(),
            packet: V4.tcp(V4.vip(), ACK),
            flows: Flows::Sources(prefixes),
            fate: Fate::Drop,
        }],
        name,
        tables: Box::new(move || {
            let first = 0x0a00_0000;
            let entries = (first..first + prefixes).map(|last| V4.single(last));
            let blocked = Rule {
                source: within(entries.collect()),
                ..rule("blocked", Action::Drop)
            };
            tables(balancer(Forward::Dsr, V4, false).rule(blocked))
        }),
    }
}

/// Packets that only the last of the rules matches, and drops.
fn rules_in_turn(rules: u32) -> Stage {
    let name = format!("drop by the last of {}", counted(rules, "rule"));
    Stage {
        scenarios: vec![Scenario {
            name: name.clone(),
            packet: V4.tcp(V4.vip(), ACK),
            flows: Flows::Sources(1000),
            fate: Fate::Drop,
        }],
        name,
        tables: Box::new(move || {
            let others = (1..rules).map(other_rule);
            let last = Rule {
                source: within(vec![IpNet::V4(Ipv4Net::new_assert(
                    [10, 0, 0, 0].into(),
                    8,
                ))]),
                protocol: Some(6),
                port: vec![(80, 80)],
                ..rule("last", Action::Drop)
            };
            let setup = balancer(Forward::Dsr, V4, false);
            tables(others.chain([last]).fold(setup, Setup::rule))
        }),
    }
}

/// A rule that no measured packet matches: it is for a source and a port of its own.
fn other_rule(number: u32) -> Rule {
    let port = 10_000 + number as u16;
    Rule {
        source: within(vec![V4.single(0xc612_0000 + number), V6.single(number)]),
        protocol: Some(6),
        port: vec![(port, port)],
        ..rule(&format!("rule {number}"), Action::Drop)
    }
}

/// One service with [`BACKENDS`] backends of a family.
fn service(forward: Forward, family: Family, far: Family) -> Setup {
    let backends: Vec<BackendSetup> = (0..BACKENDS)
        .map(|index| BackendSetup::new(far.backend(index)))
        .collect();
    Setup::new(&[far.ours()])
        .tunnels(&[far.tunnels()])
        .flows(2 * NAT_FLOWS)
        .nat_ports(NAT_PORTS.0, NAT_PORTS.1)
        .service("web", family.vip(), Protocol::Tcp, forward, &backends)
}

/// One service of one family. With a firewall there are a set of a thousand prefixes and ten rules,
/// none of which concerns the measured packets.
fn balancer(forward: Forward, family: Family, firewall: bool) -> Setup {
    let setup = service(forward, family, family);
    if !firewall {
        return setup;
    }
    let entries = (0..1000).map(|number| family.single(0xcb00_7100 + number));
    let blocklist = Rule {
        source: within(entries.collect()),
        ..rule("blocklist", Action::Drop)
    };
    (1..=10)
        .map(other_rule)
        .fold(setup.rule(blocklist), Setup::rule)
}

fn tables(mut setup: Setup) -> Tables {
    Tables {
        trace: false,
        ..setup.tables()
    }
}

fn within(prefixes: Vec<IpNet>) -> AddressMatch {
    AddressMatch {
        within: Some(prefixes),
        ..AddressMatch::default()
    }
}

/// Such as "1k flows".
fn counted(count: u32, noun: &str) -> String {
    let noun = match (count, noun) {
        (1, _) => noun,
        (_, "prefix") => "prefixes",
        (_, "entry") => "entries",
        (_, "flow") => "flows",
        _ => "rules",
    };
    match count {
        1_000_000.. => format!("{}M {noun}", count / 1_000_000),
        1000.. => format!("{}k {noun}", count / 1000),
        _ => format!("{count} {noun}"),
    }
}

impl Scenario {
    /// Packets of flows that the balancer knows.
    fn known(name: String, family: Family, flows: u32, spread: Spread) -> Self {
        Self {
            name,
            packet: family.tcp(family.vip(), ACK),
            flows: Flows::Known(flows, spread),
            fate: Fate::Tx,
        }
    }

    /// A backend's replies.
    fn reply(name: &str, family: Family) -> Self {
        Self {
            name: format!("{name}, reply"),
            packet: family.tcp(family.vip(), ACK),
            flows: Flows::Reply,
            fate: Fate::Tx,
        }
    }
}
