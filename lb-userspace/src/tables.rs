//! The exact content of every configuration map: what `compile` makes, `reconcile` compares and
//! `dataplane` writes. Nothing here knows where it comes from or how it is written.

use std::collections::BTreeMap;

use lb_common::abi::limits::ROW_WORDS;
use lb_common::abi::{Backend, Features, Row, Rule, Service, Settings};

use crate::document::Vip;

/// The content of every configuration map.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// The frozen settings, as far as the document decides them.
    pub settings: Settings,
    /// Services by what clients address; the marks of VIPs are derived when they are written.
    pub services: BTreeMap<VipKey, Service>,
    /// The backends that every service's slots name, in order; the ranges are not placed yet, and
    /// `Service::slots` is meaningless here.
    pub slots: BTreeMap<VipKey, Vec<u32>>,
    /// Backends by id.
    pub backends: BTreeMap<u32, Backend>,
    /// The compiled firewall.
    pub firewall: FirewallTables,
    /// Most entries of each flow table.
    pub flows: u32,
}

/// A [`Vip`] that can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VipKey {
    /// The virtual address.
    pub address: std::net::IpAddr,
    /// Destination port, 0 for any.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// The compiled firewall.
#[derive(Debug, Clone, PartialEq)]
pub struct FirewallTables {
    /// Distinct rows; the first is that of all rules.
    pub rows: Vec<Row>,
    /// Source prefixes to rows, per family.
    pub sources: Prefixes,
    /// Destination prefixes to rows, per family.
    pub destinations: Prefixes,
    /// Rows by protocol and port, in the order of [`lb_common::abi::PortTable`]; empty if no rule
    /// asks.
    pub ports: Vec<Box<[u16]>>,
    /// Rules by position.
    pub rules: Vec<Rule>,
}

/// Prefixes and the rows that they select.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prefixes {
    /// IPv4, keyed by address bytes and length.
    pub v4: Vec<([u8; 4], u8, u32)>,
    /// IPv6, likewise.
    pub v6: Vec<([u8; 16], u8, u32)>,
}

impl From<Vip> for VipKey {
    fn from(vip: Vip) -> Self {
        Self { address: vip.address, port: vip.port, protocol: vip.protocol.number() }
    }
}

impl Default for FirewallTables {
    fn default() -> Self {
        Self {
            rows: vec![Row::NONE],
            sources: Prefixes::default(),
            destinations: Prefixes::default(),
            ports: Vec::new(),
            rules: Vec::new(),
        }
    }
}

impl FirewallTables {
    /// Words of each row in use.
    pub fn words(&self) -> u32 {
        (self.rules.len() as u32).div_ceil(64).min(ROW_WORDS)
    }

    /// The stages that these rules use.
    pub fn features(&self) -> Features {
        if self.rules.is_empty() {
            return Features::default();
        }
        let any = |prefixes: &Prefixes| !prefixes.v4.is_empty() || !prefixes.v6.is_empty();
        Features::FIREWALL
            .with_if(Features::RULE_SOURCE, any(&self.sources))
            .with_if(Features::RULE_DESTINATION, any(&self.destinations))
    }
}
