//! The exact content of every configuration map: what `compile` makes, `reconcile` compares and
//! `dataplane` writes. Nothing here knows where it comes from or how it is written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lb_common::abi::limits::ROW_WORDS;
use lb_common::abi::{AddressFamily, Backend, Features, Forward, Row, Rule, Scheduler, Settings};

use crate::document::Vip;

/// The content of every configuration map.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// Services by what clients address. The marks of VIPs are derived when they are written.
    pub services: BTreeMap<VipKey, ServiceTable>,
    /// Backends by id.
    pub backends: BTreeMap<u32, Backend>,
    /// The compiled firewall.
    pub firewall: FirewallTables,
    /// Most entries of each flow table.
    pub flows: u32,
    /// Source ports of `full-nat`: the first, and how many.
    pub nat_ports: (u16, u16),
    /// Whether every decision is logged.
    pub debug: bool,
    /// Whether the last decision is left in the trace map.
    pub trace: bool,
}

/// One service and its slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTable {
    /// Index of its cursor and counters.
    pub id: u32,
    /// How a slot is picked.
    pub scheduler: Scheduler,
    /// How packets reach the backend.
    pub forward: Forward,
    /// The backend id of every slot, in order.
    pub slots: Vec<u32>,
}

/// What clients address, in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VipKey {
    /// The virtual address.
    pub address: IpAddr,
    /// Destination port, 0 for any.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// The compiled firewall. Rows are named by their index in `rows`.
#[derive(Debug, Clone, PartialEq)]
pub struct FirewallTables {
    /// Distinct rows; the first is that of all rules.
    pub rows: Vec<Row>,
    /// By source address; `None` if no rule asks.
    pub sources: Option<Prefixes>,
    /// By destination address; `None` if no rule asks.
    pub destinations: Option<Prefixes>,
    /// By protocol and port; `None` if no rule asks.
    pub ports: Option<PortRows>,
    /// Rules by position.
    pub rules: Vec<Rule>,
}

/// Prefixes and the rows that they select.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prefixes {
    /// IPv4: address bytes, length, row.
    pub v4: Vec<([u8; 4], u8, u32)>,
    /// IPv6, likewise.
    pub v6: Vec<([u8; 16], u8, u32)>,
    /// The row of IPv4 addresses that no prefix covers.
    pub uncovered_v4: u32,
    /// The row of IPv6 addresses that no prefix covers.
    pub uncovered_v6: u32,
}

/// Rows by protocol and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRows {
    /// Tables of 65,536 rows, in the order of [`lb_common::abi::PortTable`].
    pub tables: Vec<Vec<u16>>,
    /// Whether any rule asks for source ports.
    pub by_source: bool,
}

impl From<Vip> for VipKey {
    fn from(vip: Vip) -> Self {
        Self {
            address: vip.address,
            port: vip.port,
            protocol: vip.protocol.number(),
        }
    }
}

impl Default for FirewallTables {
    fn default() -> Self {
        Self {
            rows: vec![Row::NONE],
            sources: None,
            destinations: None,
            ports: None,
            rules: Vec::new(),
        }
    }
}

impl Tables {
    /// The frozen settings of a program that runs these tables.
    pub fn settings(&self, coarse_clock: bool) -> Settings {
        let firewall = &self.firewall;
        let sources = uncovered(firewall.sources.as_ref());
        let destinations = uncovered(firewall.destinations.as_ref());
        Settings {
            features: self
                .features()
                .with_if(Features::COARSE_CLOCK, coarse_clock),
            nat_port_first: self.nat_ports.0,
            nat_port_count: self.nat_ports.1,
            rule_words: (firewall.rules.len() as u32).div_ceil(64).min(ROW_WORDS),
            source_row_v4: sources.0,
            source_row_v6: sources.1,
            destination_row_v4: destinations.0,
            destination_row_v6: destinations.1,
        }
    }

    /// Whether a service translates to backends of the other family.
    fn crosses(&self, key: &VipKey, service: &ServiceTable) -> bool {
        let family = AddressFamily::of(key.address);
        service.forward == Forward::FULL_NAT
            && self
                .backends
                .values()
                .any(|backend| backend.service == service.id && backend.family != family)
    }

    /// The stages that these tables use.
    pub fn features(&self) -> Features {
        let any = |test: &dyn Fn(&VipKey, &ServiceTable) -> bool| {
            self.services
                .iter()
                .any(|(key, service)| test(key, service))
        };
        let modes = self.services.values();
        let modes = modes.fold(Features::default(), |modes, service| {
            modes.with(service.forward.feature())
        });
        let firewall = &self.firewall;
        Features::default()
            .with_if(Features::SERVICES_V4, any(&|key, _| key.address.is_ipv4()))
            .with_if(Features::SERVICES_V6, any(&|key, _| key.address.is_ipv6()))
            .with_if(Features::ANY_PORT, any(&|key, _| key.port == 0))
            .with(modes)
            .with_if(Features::CROSSING, any(&|key, s| self.crosses(key, s)))
            .with_if(Features::FIREWALL, !firewall.rules.is_empty())
            .with_if(Features::RULE_SOURCE, firewall.sources.is_some())
            .with_if(Features::RULE_DESTINATION, firewall.destinations.is_some())
            .with_if(Features::RULE_PORT, firewall.ports.is_some())
            .with_if(
                Features::RULE_SOURCE_PORT,
                firewall.ports.as_ref().is_some_and(|ports| ports.by_source),
            )
            .with_if(Features::DEBUG, self.debug)
            .with_if(Features::TRACE, self.trace)
    }
}

/// The rows of uncovered addresses, 0 where no rule asks.
fn uncovered(prefixes: Option<&Prefixes>) -> (u32, u32) {
    prefixes.map_or((0, 0), |prefixes| {
        (prefixes.uncovered_v4, prefixes.uncovered_v6)
    })
}
