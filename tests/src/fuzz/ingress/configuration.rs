//! The configuration that an input begins with: services of every kind, backends, firewall rules.
//!
//! Addresses are those of the cases' scenes, so that their frames mean something here. Ports and
//! prefixes come from tables of telling values; entries may be added to their ends only.

use ipnet::IpNet;
use lb_userspace::document::{Action, AddressMatch, Forward, Protocol, Rule};
use lb_userspace::reconcile::{Plan, plan};
use lb_userspace::tables::Tables;

use super::super::language::Bytes;
use crate::case::Scene;
use crate::world::{BackendSetup, Setup, addresses, backend_hop, rule};

/// What rules ask of addresses.
pub(super) const ADDRESSES: [&[&str]; 16] = [
    &[],
    &["198.51.100.7/32"],
    &["198.51.100.0/24"],
    &["2001:db8:c::7/128"],
    &["2001:db8:c::/64"],
    &["0.0.0.0/0"],
    &["::/0"],
    &["!198.51.100.8/32"],
    &["!2001:db8:c::8/128"],
    &["198.51.100.0/24", "!198.51.100.8/29"],
    &["2001:db8:c::/64", "!2001:db8:c::8/126"],
    &["10.0.0.0/8", "2001:db8:b::/48"],
    &["192.0.2.10/32", "2001:db8:f::a/128"],
    &["10.0.0.11/32", "2001:db8:b::b/128"],
    &["198.51.100.7/32", "198.51.100.0/28", "2001:db8::/32"],
    &["!0.0.0.0/0", "!2001:db8:c::/63"],
];

/// What rules ask of ports.
pub(super) const PORTS: [&[(u16, u16)]; 12] = [
    &[],
    &[(80, 80)],
    &[(0, 0)],
    &[(65_535, 65_535)],
    &[(0, 65_535)],
    &[(1000, 20_000)],
    &[(8080, 8080)],
    &[(61_000, 61_000)],
    &[(40_000, 40_000)],
    &[(22, 22), (80, 81)],
    &[(0, 79), (81, 65_535)],
    &[(79, 80), (80, 443)],
];

/// What rules ask of the protocol.
pub(super) const PROTOCOLS: [Option<u8>; 8] = [
    None,
    Some(6),
    Some(17),
    Some(1),
    Some(58),
    Some(132),
    Some(0),
    Some(255),
];

/// Source ports of `full-nat`: the one of the cases, few, many, and up to the last.
const NAT_PORTS: [(u16, u16); 4] = [(61_000, 1), (61_000, 3), (20_000, 30_000), (65_000, 536)];

/// Most rules and blocks, so that inputs stay small.
const RULES_MAX: u8 = 7;
const BLOCKS_MAX: u8 = 3;

/// A configuration, and what the checks know of it.
#[derive(Debug, Clone)]
pub(super) struct Configuration {
    setup: Setup,
    /// The scene of each service in the order of their names.
    scenes: Vec<Scene>,
    /// What is compiled into the firewall, blocks first.
    pub(super) rules: Vec<Rule>,
    /// The content of every map.
    pub(super) tables: Tables,
    /// First source port of `full-nat`, and how many.
    pub(super) nat_ports: (u16, u16),
    choice: u8,
}

impl Configuration {
    /// Reads one.
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Self {
        let (services, choice, counts) = (bytes.byte(), bytes.byte(), bytes.byte());
        let has_source = choice & 0x80 == 0;
        let sources = [false, true].map(|v6| {
            let scene = Scene { v6, ..Scene::PLAIN };
            scene.our_address()
        });
        let nat_ports = NAT_PORTS[usize::from(choice >> 4 & 3)];
        let mut setup = Setup::new(if has_source { &sources } else { &[] });
        setup = setup.nat_ports(nat_ports.0, nat_ports.1);
        let mut scenes = Vec::new();
        for index in 0..4 {
            let kind = services >> (2 * index) & 3;
            if kind == 0 {
                continue;
            }
            let scene = scene(index & 2 != 0, index & 1 != 0, kind == 2);
            let mut vip = scene.vip();
            if kind == 3 {
                vip.set_port(0);
            }
            let backends: Vec<_> = (0..=choice & 3)
                .map(|id| backend(scene, id, choice))
                .collect();
            let name = name(scene);
            setup = setup.service(&name, vip, scene.protocol, scene.forward, &backends);
            scenes.push(scene);
        }
        let mut rules = Vec::new();
        let mut blocks = Vec::new();
        for _ in 0..counts >> 3 & BLOCKS_MAX {
            let prefixes = bytes.of(&ADDRESSES).unwrap_or_default();
            for prefix in prefixes.iter().filter(|prefix| !prefix.starts_with('!')) {
                setup = setup.block(prefix);
                blocks.push((*prefix).to_owned());
            }
        }
        if !blocks.is_empty() {
            let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
            rules.push(Rule {
                source: addresses(&blocks),
                ..rule("block", Action::Drop)
            });
        }
        for number in 0..counts & RULES_MAX {
            let rule = read_rule(bytes, number);
            setup = setup.rule(rule.clone());
            rules.push(rule);
        }
        let tables = setup.tables();
        Self {
            setup,
            scenes,
            rules,
            tables,
            nat_ports,
            choice,
        }
    }

    /// Changes one backend of a service as the next bytes say; the way to the new tables.
    pub(super) fn change_backend(&mut self, bytes: &mut Bytes<'_>) -> Option<Plan> {
        let (service, id, what) = (bytes.byte(), bytes.byte(), bytes.byte());
        let scene = *self.scenes.get(usize::from(service))?;
        let mut changed = backend(scene, id & 3, self.choice);
        changed.healthy = what & 1 == 0;
        changed.drain = what & 2 != 0;
        if what & 4 != 0 {
            changed.hop = None;
        }
        self.setup.put(&name(scene), &changed);
        if what & 8 != 0 && self.backends(scene) > 1 {
            self.setup.remove(&name(scene), changed.address);
        }
        let before = std::mem::replace(&mut self.tables, self.setup.tables());
        Some(plan(&before, &self.tables))
    }

    /// Takes another configuration's place: names keep their numbers.
    pub(super) fn succeeded_by(&mut self, next: Self) {
        self.setup.succeeded_by(next.setup.clone());
        let tables = self.setup.tables();
        let setup = std::mem::take(&mut self.setup);
        *self = Self {
            setup,
            tables,
            ..next
        };
    }

    /// Whether an independent reading of the rules drops such a packet.
    pub(super) fn denies(&self, reading: &super::Reading) -> bool {
        let first = self.rules.iter().find(|rule| matches(rule, reading));
        first.is_some_and(|rule| rule.action == Action::Drop)
    }

    fn backends(&self, scene: Scene) -> usize {
        let protocol = scene.protocol.number();
        let services = self.tables.services.iter();
        services
            .filter(|(key, _)| key.address == scene.vip().ip() && key.protocol == protocol)
            .flat_map(|(_, service)| {
                let backends = self.tables.backends.values();
                backends.filter(|backend| backend.service == service.id)
            })
            .count()
    }
}

/// The scene of a service.
pub(super) fn scene(v6: bool, udp: bool, dsr: bool) -> Scene {
    let (protocol, forward) = (
        if udp { Protocol::Udp } else { Protocol::Tcp },
        if dsr { Forward::Dsr } else { Forward::FullNat },
    );
    Scene {
        v6,
        protocol,
        forward,
        crosses: false,
    }
}

fn name(scene: Scene) -> String {
    let family = if scene.v6 { "v6" } else { "v4" };
    format!("{family} {}", scene.protocol)
}

fn backend(scene: Scene, id: u8, choice: u8) -> BackendSetup {
    let mut address = scene.backend(id);
    if choice & 4 != 0 {
        address.set_port(0);
    }
    let mut setup = BackendSetup::new(address);
    if choice & 8 != 0 {
        setup.weight = 1 + u16::from(id);
    }
    if choice & 0x40 != 0 && id == 1 {
        setup.hop = Some(backend_hop(address.ip(), 2));
    }
    setup
}

fn read_rule(bytes: &mut Bytes<'_>, number: u8) -> Rule {
    let source = bytes.of(&ADDRESSES);
    let destination = bytes.of(&ADDRESSES);
    let what = bytes.byte();
    let ports = bytes.byte();
    let protocol = PROTOCOLS[usize::from(what & 7)];
    let of_ports = |index: u8| PORTS.get(usize::from(index)).copied().unwrap_or_default();
    let has_ports = matches!(protocol, Some(6 | 17));
    let action = if what & 8 == 0 {
        Action::Drop
    } else {
        Action::Accept
    };
    Rule {
        source: address_match(source),
        destination: address_match(destination),
        protocol,
        port: of_ports(if has_ports { ports & 15 } else { 0 }).to_vec(),
        source_port: of_ports(if has_ports { ports >> 4 } else { 0 }).to_vec(),
        ..rule(&format!("rule {number}"), action)
    }
}

/// Beyond the table's end: a reference to an empty set, which matches nothing.
fn address_match(texts: Option<&[&str]>) -> AddressMatch {
    texts.map_or_else(
        || AddressMatch {
            within: Some(Vec::new()),
            ..AddressMatch::default()
        },
        addresses,
    )
}

fn matches(rule: &Rule, reading: &super::Reading) -> bool {
    let within = |ranges: &[(u16, u16)], port: Option<u16>| {
        ranges.is_empty()
            || port.is_some_and(|port| ranges.iter().any(|(a, b)| *a <= port && port <= *b))
    };
    let of = |wanted: &AddressMatch, address| {
        let covers = |prefix: &IpNet| prefix.contains(&address);
        wanted
            .within
            .as_ref()
            .is_none_or(|list| list.iter().any(covers))
            && !wanted.outside.iter().any(covers)
    };
    of(&rule.source, reading.source)
        && of(&rule.destination, reading.destination)
        && rule
            .protocol
            .is_none_or(|wanted| wanted == reading.protocol)
        && within(&rule.port, reading.ports.map(|ports| ports.1))
        && within(&rule.source_port, reading.ports.map(|ports| ports.0))
}
