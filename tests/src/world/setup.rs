//! A configuration under construction: the document, compiled by the product's own `compile`,
//! and what the controller would know of each backend.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use lb_common::abi::Hop;
use lb_userspace::compile::{BackendView, Surroundings, Way, compile};
use lb_userspace::document::{
    Action, AddressMatch, Backend, Block, Document, Forward, Protocol, Rule, Scheduler, Service,
    Vip,
};
use lb_userspace::ids::Ids;
use lb_userspace::reconcile::{Plan, Write, plan};
use lb_userspace::tables::Tables;

use super::INTERFACE;

/// Our own Ethernet address.
pub const OUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// The name of the service that a fresh backend belongs to, and its settings.
#[derive(Debug, Clone)]
pub struct BackendSetup {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share under `weighted-round-robin`.
    pub weight: u16,
    /// Whether it is being drained.
    pub drain: bool,
    /// The last word of its health check.
    pub healthy: bool,
    /// Where its packets leave; `None` while that is not known.
    pub hop: Option<Hop>,
}

/// A configuration under construction.
///
/// Ids are given in order from 0, and stay with their names through every change.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    document: Document,
    views: HashMap<(String, SocketAddr), (bool, Hop)>,
    ids: Ids,
    nat_ports: (u16, u16),
}

impl BackendSetup {
    /// A healthy backend behind its own Ethernet address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            weight: 1,
            drain: false,
            healthy: true,
            hop: Some(backend_hop(address.ip(), INTERFACE)),
        }
    }
}

/// The way to a backend: its Ethernet address ends with its IP address's last byte.
pub fn backend_hop(address: IpAddr, interface: u32) -> Hop {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    Hop::new(interface, [0x02, 0, 0, 0, 0xb0, last], OUR_MAC)
}

impl Setup {
    /// Nothing configured; `full-nat` has exactly one port, so that it is known beforehand.
    pub fn new(nat_source: &[IpAddr]) -> Self {
        Self {
            document: Document {
                interfaces: vec!["lo".to_owned()],
                flows: 1024,
                nat_source: nat_source.to_vec(),
                ..Document::default()
            },
            nat_ports: (61_000, 1),
            ..Self::default()
        }
    }

    /// The source ports of `full-nat`: the first, and how many.
    #[must_use]
    pub fn nat_ports(mut self, first: u16, count: u16) -> Self {
        self.nat_ports = (first, count);
        self
    }

    /// The outer sources of tunnels, one for each family.
    #[must_use]
    pub fn tunnels(mut self, sources: &[IpNet]) -> Self {
        self.document.tunnel_source = sources.to_vec();
        self
    }

    /// Most flows of each table.
    #[must_use]
    pub fn flows(mut self, flows: u32) -> Self {
        self.document.flows = flows;
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(
        mut self,
        name: &str,
        vip: SocketAddr,
        protocol: Protocol,
        forward: Forward,
        backends: &[BackendSetup],
    ) -> Self {
        self.document.services.push(Service {
            name: name.to_owned(),
            vip: Vip {
                address: vip.ip(),
                port: vip.port(),
                protocol,
            },
            scheduler: Scheduler::WeightedRoundRobin,
            forward,
            check: None,
            backends: Vec::new(),
        });
        for backend in backends {
            self.put(name, backend);
        }
        self
    }

    /// Adds a backend to a service, or replaces it.
    pub fn put(&mut self, service: &str, backend: &BackendSetup) {
        let entry = Backend {
            address: backend.address,
            weight: backend.weight,
            drain: backend.drain,
        };
        self.remove(service, backend.address);
        let backends = self.backends_mut(service);
        let at = backends
            .iter()
            .position(|other| other.address > backend.address)
            .unwrap_or(backends.len());
        backends.insert(at, entry);
        self.views.insert(
            (service.to_owned(), backend.address),
            (backend.healthy, backend.hop.unwrap_or_default()),
        );
    }

    /// Takes a backend out of the document.
    pub fn remove(&mut self, service: &str, address: SocketAddr) {
        self.backends_mut(service)
            .retain(|backend| backend.address != address);
    }

    /// Whether a service has a backend.
    pub fn has(&self, service: &str, address: SocketAddr) -> bool {
        let mut services = self.document.services.iter();
        services
            .find(|entry| entry.name == service)
            .is_some_and(|entry| entry.backends.iter().any(|b| b.address == address))
    }

    /// Goes on with ids as if all had been given out before: the next new backend gets the lowest
    /// that is free.
    pub fn reuse_ids(&mut self) {
        let mut ids = serde_json::to_value(&self.ids).unwrap_or_default();
        ids["backends"]["next"] = 0.into();
        match serde_json::from_value(ids) {
            Ok(ids) => self.ids = ids,
            Err(error) => panic!("the pool of ids has another form: {error}"),
        }
    }

    /// Adds a firewall rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.document.firewall.rules.push(rule);
        self
    }

    /// Blocks a source.
    #[must_use]
    pub fn block(mut self, prefix: &str) -> Self {
        self.document.firewall.blocks.push(Block {
            prefix: net(prefix),
            until: None,
        });
        self
    }

    /// Takes another configuration in its place; what has the same name keeps its number.
    pub fn succeeded_by(&mut self, next: Self) {
        let ids = std::mem::take(&mut self.ids);
        *self = Self { ids, ..next };
    }

    /// Lets an address in again that was blocked by itself.
    pub fn unblock(&mut self, address: IpAddr) {
        let host = IpNet::from(address);
        self.document
            .firewall
            .blocks
            .retain(|block| block.prefix != host);
    }

    /// The content of every map.
    pub fn tables(&mut self) -> Tables {
        self.ids.assign(&self.document);
        let view = |service: &str, address: SocketAddr| {
            let known = self.views.get(&(service.to_owned(), address));
            let (healthy, hop) = known.copied().unwrap_or_default();
            BackendView {
                healthy,
                way: Way {
                    hop,
                    source: None,
                    mtu: 1500,
                },
            }
        };
        let around = Surroundings {
            ids: &self.ids,
            view: &view,
            nat_ports: self.nat_ports,
            trace: true,
        };
        match compile(&self.document, &around) {
            Ok(tables) => tables,
            Err(error) => panic!("the configuration does not compile: {error}"),
        }
    }

    /// Changes the configuration in a way that single writes can follow, and returns those.
    pub fn change(&mut self, change: impl FnOnce(&mut Self)) -> Vec<Write> {
        let before = self.tables();
        change(self);
        match plan(&before, &self.tables()) {
            Plan::Writes(writes) => writes,
            Plan::Generation => panic!("the change needs a new generation"),
        }
    }

    fn backends_mut(&mut self, service: &str) -> &mut Vec<Backend> {
        let found = self
            .document
            .services
            .iter_mut()
            .find(|entry| entry.name == service);
        match found {
            Some(entry) => &mut entry.backends,
            None => panic!("there is no service {service}"),
        }
    }
}

/// A rule that matches everything, to be narrowed.
pub fn rule(name: &str, action: Action) -> Rule {
    Rule {
        name: name.to_owned(),
        source: AddressMatch::default(),
        destination: AddressMatch::default(),
        protocol: None,
        port: Vec::new(),
        source_port: Vec::new(),
        action,
    }
}

/// An address match; prefixes that start with `!` are excluded.
pub fn addresses(texts: &[&str]) -> AddressMatch {
    let (outside, within): (Vec<&str>, Vec<&str>) =
        texts.iter().partition(|text| text.starts_with('!'));
    AddressMatch {
        within: (!within.is_empty()).then(|| within.iter().map(|text| net(text)).collect()),
        outside: outside.iter().map(|text| net(&text[1..])).collect(),
        text: texts.iter().map(|text| (*text).to_owned()).collect(),
    }
}

fn net(text: &str) -> IpNet {
    match text.parse() {
        Ok(prefix) => prefix,
        Err(error) => panic!("{text} is no prefix: {error}"),
    }
}
